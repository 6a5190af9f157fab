//! System calls, message tags and status codes: the boundary between kernel and server.
//!
//! A server reaches the kernel only through the stubs of its kernel interface page ([`crate::region`]). Every stub
//! takes and returns the same registers, in every placement:
//!
//! | register | in | out |
//! |---|---|---|
//! | RAX | | [`status`] |
//! | RDI | handle, or first argument | badge of the sender |
//! | RSI | [`Tag`], or second argument | [`Tag`] |
//! | R12 to R15 | message words 0 to 3 | message words 0 to 3 |
//! | RBX, RBP, RSP | | unchanged |
//!
//! A 32-bit program has too few registers. There the stub takes the number's arguments and the message from the thread's
//! message block ([`crate::region::MessageBlock`]) and leaves the results in it. EAX is the [`status`]; EBX, ESI, EDI, EBP and
//! ESP are unchanged, ECX, EDX and the flags are lost.
//!
//! All four message words are delivered whatever the tag's length says; a sender clears those that are nobody's business.
//! All other registers are lost. Message words 4 and up travel in the thread's message buffer, see
//! [`number::SET_MESSAGE_BUFFER`].

/// Numbers of the system calls; the stub of number `n` lies at [`crate::region::stub_offset`]`(n)`.
pub mod number {
    /// RDI = handle, RSI = tag, message. Sends and waits for the reply of exactly this call.
    pub const CALL: u32 = 0;
    /// RSI = tag, message. Replies to the caller that is owed one, then waits for the next message. The badge tells
    /// the sender.
    pub const REPLY_AND_WAIT: u32 = 1;
    /// RDI = handle, RSI = tag, message. Sends and goes on once a receiver has taken the message; expects no reply.
    pub const SEND: u32 = 2;
    /// Waits for a message or a notification, replying to nobody. A caller that is still owed a reply gets
    /// [`super::status::NO_REPLY`].
    pub const WAIT: u32 = 3;
    /// RDI = handle, RSI = bits. Sets bits of the target's notification word; never blocks.
    pub const NOTIFY: u32 = 4;
    /// Lets other threads of the same priority run first.
    pub const YIELD: u32 = 5;
    /// Does nothing and returns: the price of getting in and out of the kernel.
    pub const NULL: u32 = 6;
    /// RDI = status. Ends the whole server.
    pub const EXIT: u32 = 7;
    /// RDI = address of a page-aligned page of the server's own region that it may write. Message word `i` >= 4 is the
    /// `i`-th word of that page.
    pub const SET_MESSAGE_BUFFER: u32 = 8;
    /// RSI = number of bytes, at most 32, in R12 to R15. Prints on the console.
    pub const WRITE_CONSOLE: u32 = 9;
    /// Driver only. The measured part begins. RDI = threads of the driver that measure together; 0 is 1. With RSI = 0 all of
    /// them come here and wait for each other; with 1 the others wait by themselves, and the caller makes the mark at once.
    /// R12 = round trips that each of them is going to make.
    pub const MEASURE_BEGIN: u32 = 10;
    /// Driver only. The measured part has ended. RDI = round trips, RSI = samples per round trip, R12 = samples
    /// written, R13 = calls answered while servers moved, R14 = calls that failed then, each as this thread has counted.
    /// Waits for as many threads as the first mark did.
    pub const MEASURE_END: u32 = 11;
    /// Driver only. Ends the case. RDI = status.
    pub const FINISH: u32 = 12;
    /// As CALL, in the transfer mode `direct`: if the server runs in the kernel, has registered a direct entry, has a
    /// thread waiting and the message is short, the caller's own thread runs that entry ([`super::DirectEntry`]).
    /// Otherwise exactly CALL.
    pub const CALL_DIRECT: u32 = 13;
    /// RDI = address of the server's [`super::DirectEntry`] in its own region, 0 for none. It is used only while the
    /// server runs in the kernel.
    pub const SET_DIRECT_ENTRY: u32 = 14;
    /// Driver only. Moves a server that is [`crate::plan::server_flag::MIGRATABLE`] while the system runs. RDI = its index
    /// in the plan, RSI = [`super::migrate`] bits. Message word 0 of the answer is the number of servers moved, word 1 the
    /// pages whose privilege changed, word 2 the INVLPGs, word 3 the full flushes that it took.
    pub const MIGRATE: u32 = 15;
    /// Driver only. Stops a server as if it had ended itself, and gives its memory and its slot back. RDI = its index in the
    /// plan. Message word 0 of the answer is the number of frames in use by all servers.
    pub const STOP: u32 = 16;
    /// Driver only. Starts a server that has stopped or died from its beginning, in a fresh region; rights that lead to it
    /// are good again. RDI = its index in the plan, RSI = one of [`crate::plan::placement`]. Answer as STOP.
    pub const START: u32 = 17;
    /// RDI = address, RSI = bytes of the caller's state: writable memory of its image, without pointers, that is carried
    /// over when it is relocated ([`super::migrate::RELOCATE`]). 0 bytes for none.
    pub const SET_STATE: u32 = 18;
    /// Driver only. Moves a thread to another CPU while the system runs. RDI = index of its server in the plan, RSI = its
    /// number in the server, R12 = CPU, one of those that the server is spread over. Not for servers whose threads have
    /// endpoints of their own.
    pub const MOVE_THREAD: u32 = 19;
    /// Driver only, one of several threads that measure together: its own part has ended. RDI and RSI = the time-stamp counter
    /// when it began and when it ended. With R12 = 1 the counters of its CPU are noted now, and what comes behind is in no
    /// count; MEASURE_END then leaves them alone.
    pub const PART_MEASURED: u32 = 20;
    /// Driver only, behind its measured part. R12 = 1 while guests that were started with this one still measure.
    pub const OTHERS_MEASURE: u32 = 21;
    /// Number of system calls.
    pub const COUNT: u32 = 22;
}

/// Vector of the interrupt gate through which 32-bit programs enter the kernel, the number of the system call in EAX. Open
/// to them whatever gate their stubs use.
pub const VECTOR_32: u8 = 36;

/// Results of a system call, in RAX.
pub mod status {
    /// Done.
    pub const OK: u64 = 0;
    /// The handle names no right of this server.
    pub const NO_RIGHT: u64 = 1;
    /// The server at the other end is dead, or died before it replied.
    pub const PARTNER_DEAD: u64 = 2;
    /// The tag announces more words than [`super::MESSAGE_WORDS_MAX`], or has bits set that must be zero.
    pub const BAD_TAG: u64 = 3;
    /// The message is longer than four words and one of the partners has no message buffer; or the address given to
    /// SET_MESSAGE_BUFFER is not a writable page of the server's region.
    pub const NO_BUFFER: u64 = 4;
    /// Only the driver of the case may do this.
    pub const NOT_PERMITTED: u64 = 5;
    /// The server took the message and waited for the next one without replying.
    pub const NO_REPLY: u64 = 6;
    /// There is no such system call.
    pub const NO_SUCH_CALL: u64 = 7;
    /// An argument is out of range.
    pub const BAD_ARGUMENT: u64 = 8;
    /// The server is not in trust group 1, so it may not be in the kernel.
    pub const NOT_TRUSTED: u64 = 9;
    /// No slot or no memory is left.
    pub const EXHAUSTED: u64 = 10;
    /// The server is not waiting for a message; or the caller was moved to another CPU before its turn came. Nothing was done.
    pub const BUSY: u64 = 11;
}

/// Bits of the second argument of [`number::MIGRATE`].
pub mod migrate {
    /// Into the kernel; without this bit into user space.
    pub const TO_KERNEL: u64 = 1 << 0;
    /// With its group: the trusted servers that it exchanged messages with lately, as far as they may be moved, too.
    pub const WITH_GROUP: u64 = 1 << 1;
    /// The server has been found unstable: its trust group becomes 2 (critical, not trusted).
    pub const DEMOTE: u64 = 1 << 2;
    /// To another address: its program is loaded and relocated again there, its state is carried over, and it starts from
    /// its beginning. For any 64-bit server, migratable or not, that does not already run in the placement, and only while all of
    /// its threads wait for messages; else nothing changes. Not with its group.
    pub const RELOCATE: u64 = 1 << 3;
    /// Of a 32-bit server: into a small space; without this bit into a space of its own. In place, and with none of the bits
    /// above.
    pub const TO_SMALL: u64 = 1 << 4;
    /// All bits.
    pub const ALL: u64 = TO_KERNEL | WITH_GROUP | DEMOTE | RELOCATE | TO_SMALL;
}

/// The function of a server in the kernel that callers in the transfer mode `direct` run themselves, as in LRPC
/// (Bershad et al., SOSP 1989): RDI = badge, RSI = tag, R12 to R15 = message words 0 to 3; returns the answer's tag in RAX
/// and its words in R12 to R15.
///
/// The trade-off: it runs in ring 0 on the caller's stack or the kernel's, with interrupts off, so it must be short, and it
/// must not make system calls. If it faults, the server dies and the caller gets [`status::PARTNER_DEAD`], as always.
pub type DirectEntry = extern "C" fn(badge: u64, tag: u64) -> u64;

/// Words of the longest message: 4 KiB.
pub const MESSAGE_WORDS_MAX: u64 = 512;

/// Message words that travel in registers.
pub const REGISTER_WORDS: u64 = 4;

/// What a message is: bits 0 to 15 its length in words, bits 16 to 31 [`Tag::FLAGS`], bits 32 to 63 a label that only
/// the partners give a meaning to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct Tag(pub u64);

impl Tag {
    /// Set by the kernel when WAIT returns a notification: message word 0 holds the bits.
    pub const NOTIFICATION: u64 = 1 << 16;

    /// All bits between length and label. A sender must leave them zero.
    pub const FLAGS: u64 = 0xffff_0000;

    /// A message of `words` words with a label.
    pub const fn new(label: u32, words: u16) -> Tag {
        Tag((label as u64) << 32 | words as u64)
    }

    /// Length of the message, words.
    pub const fn words(self) -> u64 {
        self.0 & 0xffff
    }

    /// The label.
    pub const fn label(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Whether a sender may use it: length within bounds, no flag set.
    pub const fn is_sendable(self) -> bool {
        self.words() <= MESSAGE_WORDS_MAX && self.0 & Self::FLAGS == 0
    }

    /// Whether the message fits in registers and needs no copy by the kernel. Implies [`Tag::is_sendable`].
    pub const fn is_short(self) -> bool {
        self.0 & 0xffff_ffff <= REGISTER_WORDS
    }
}
