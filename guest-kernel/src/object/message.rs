//! Messages: four words in registers, the rest copied by the kernel from one message buffer to the other.

use abi::address::PAGE_SIZE;
use abi::call::{MESSAGE_WORDS_MAX, REGISTER_WORDS, Tag};

use crate::arch;
use crate::memory::physical_pointer;
use crate::object::server::Server;
use crate::object::thread::Thread;

/// A thread's message buffer: one page of its server's region, by its address in the kernel's map of physical memory.
///
/// The page was checked when the thread registered it, and stays in memory as long as its server has a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    words: *mut u64,
}

impl Buffer {
    /// The message buffer at `address`: a page of the server's own region that it may write.
    pub fn of(server: &Server, address: u64) -> Option<Buffer> {
        let offset = address.checked_sub(server.program_base())?;
        if offset >= server.region_size() || !address.is_multiple_of(PAGE_SIZE) {
            return None;
        }
        let frame = arch::writable_frame(server.root(), server.base() + offset)?;
        Some(Buffer { words: physical_pointer(frame).cast() })
    }
}

/// Whether a message with this tag can go from `sender` to `receiver`: a long one needs a buffer at both ends.
pub fn can_transfer(tag: Tag, sender: &Thread, receiver: &Thread) -> bool {
    tag.words() <= REGISTER_WORDS || sender.buffer().is_some() && receiver.buffer().is_some()
}

/// Copies the words of a message that [`can_transfer`] from `sender` to `receiver`.
pub fn transfer(tag: Tag, sender: &Thread, receiver: &Thread) {
    for (from, to) in sender.context.words.iter().zip(&receiver.context.words) {
        to.set(from.get());
    }
    if let (Some(from), Some(to)) = (sender.buffer(), receiver.buffer()) {
        let words = tag.words().min(MESSAGE_WORDS_MAX);
        if words > REGISTER_WORDS {
            let first = REGISTER_WORDS as usize;
            // SAFETY: both buffers hold MESSAGE_WORDS_MAX words, mapped for the kernel for ever, that nobody holds a Rust reference to
            // (`Buffer::of`), `words` is at most that, and both ranges
            // start at the same word of their page, so they are the same or do not overlap.
            unsafe { arch::copy_words(from.words.add(first), to.words.add(first), words as usize - first) };
        }
    }
}
