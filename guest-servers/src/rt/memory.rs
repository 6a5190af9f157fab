//! The memory that a server finds in its region: message buffer, working set, samples.

#![expect(unsafe_code, reason = "raw memory of the program's own region")]

use core::cell::{Cell, UnsafeCell};
use core::ptr::with_exposed_provenance;

use abi::call::{MESSAGE_WORDS_MAX, status};

use crate::Start;
use crate::call::{Error, set_message_buffer};

const WORDS: usize = MESSAGE_WORDS_MAX as usize;
const WORDS_PER_PAGE: usize = 512;

/// One page that is the message buffer of the server's first thread.
#[repr(align(4096))]
struct Page(UnsafeCell<[u64; WORDS]>);

// SAFETY: only the first thread of a server gets at it, see `message_buffer`.
unsafe impl Sync for Page {}

static BUFFER: Page = Page(UnsafeCell::new([0; WORDS]));

/// Registers the message buffer of the server's first thread, and returns it: word `i` is message word `i`, for
/// `i >= 4`. Cells, because the kernel writes there, too. There is none for other threads: that is an error.
pub fn message_buffer(start: &Start) -> Result<&'static [Cell<u64>; WORDS], Error> {
    if start.thread != 0 {
        return Err(Error(status::NO_BUFFER));
    }
    set_message_buffer(BUFFER.0.get().expose_provenance() as u64)?;
    // SAFETY: only this thread uses the page, and only through cells.
    Ok(unsafe { &*BUFFER.0.get().cast() })
}

/// Pages of a working set.
pub type WorkingSet = [[Cell<u64>; WORDS_PER_PAGE]];

/// The table of a program whose image has one: so many bytes of it.
pub fn table(start: &Start, bytes: u64) -> &'static [u8] {
    let bytes = bytes.min(abi::replay::SIZE_MAX) as usize;
    // SAFETY: whoever tells the program how long the table is has put a segment of that length there, for reading. If there is
    // none, the program faults, which is its own affair.
    unsafe {
        core::slice::from_raw_parts(
            with_exposed_provenance((start.base + abi::replay::OFFSET) as usize),
            bytes,
        )
    }
}

/// The pages of the working set.
pub fn working_set(start: &Start) -> &'static WorkingSet {
    let address = (start.base + start.working_set_offset()) as usize;
    // SAFETY: the kernel has mapped this many pages there, zero at first; each server touches them through cells, from
    // one thread only.
    unsafe {
        core::slice::from_raw_parts(with_exposed_provenance(address), start.info().working_set_pages as usize)
    }
}

/// Reads and writes one word of each of the first `count` pages.
#[inline(always)]
pub fn touch(pages: &WorkingSet, count: usize) {
    for page in pages.iter().take(count) {
        // SAFETY: a word of the working set; volatile, because the access is the purpose.
        unsafe {
            let word = page[0].as_ptr();
            word.write_volatile(word.read_volatile().wrapping_add(1));
        }
    }
}

fn all_samples(start: &Start) -> &'static [Cell<u64>] {
    let address = (start.base + start.samples_offset()) as usize;
    // SAFETY: the kernel has mapped places for this many samples there, for the driver of the case only.
    unsafe {
        core::slice::from_raw_parts(with_exposed_provenance(address), start.info().sample_capacity as usize)
    }
}

/// The samples of one thread of the driver of the case.
pub struct Samples {
    places: &'static [Cell<u64>],
    count: usize,
}

impl Samples {
    /// Places for as many samples as the VMM has given.
    pub fn new(start: &Start) -> Samples {
        Samples { places: all_samples(start), count: 0 }
    }

    /// The part of this thread, if each leaves `count` of them: the threads' parts follow each other.
    pub fn of_thread(start: &Start, count: u64) -> Samples {
        let first = start.thread.saturating_mul(count);
        let part = usize::try_from(first).ok().zip(usize::try_from(first.saturating_add(count)).ok());
        let places = part.and_then(|(first, end)| all_samples(start).get(first..end));
        Samples { places: places.unwrap_or_default(), count: 0 }
    }

    /// Adds a sample; one that finds no place is lost.
    #[inline(always)]
    pub fn push(&mut self, sample: u64) {
        if let Some(place) = self.places.get(self.count) {
            place.set(sample);
            self.count += 1;
        }
    }

    /// Writes to each page of them, so that the host gives all of them now.
    pub fn touch_all(&self) {
        self.places.iter().step_by(WORDS_PER_PAGE).chain(self.places.last()).for_each(|place| place.set(0));
    }

    /// Number of samples so far.
    pub fn count(&self) -> u64 {
        self.count as u64
    }

    /// Forgets all samples.
    pub fn clear(&mut self) {
        self.count = 0;
    }
}
