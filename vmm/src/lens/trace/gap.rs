//! Why a trace is not what the guest executed, and where.

use iced_x86::Mnemonic;

/// A trace that has a gap counts nothing: it is refused, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// The vCPU stopped at an instruction that the one before cannot lead to.
    #[error(
        "instruction {number} of the trace, {from:#x} {instruction}, leads to {expected:#x?}, but the vCPU stopped next \
         at {found:#x}: a step was lost there, or an exception or interrupt came in between"
    )]
    LostStep {
        /// How many instructions came before, from the first mark on.
        number: usize,
        /// Address of the last instruction before the gap.
        from: u64,
        /// The same, disassembled.
        instruction: String,
        /// Where it can lead.
        expected: Vec<u64>,
        /// Where the vCPU was next.
        found: u64,
    },
    /// The vCPU ran on after an instruction without stopping, up to the second mark or the end of the guest.
    #[error(
        "instruction {number} of the trace, {from:#x} {instruction}, leads to {expected:#x?}, but the vCPU never stopped \
         there"
    )]
    NeverStopped {
        /// How many instructions came before, from the first mark on.
        number: usize,
        /// Address of the last instruction before the gap.
        from: u64,
        /// The same, disassembled.
        instruction: String,
        /// Where it can lead.
        expected: Vec<u64>,
    },
    /// An instruction that cannot be followed.
    #[error(
        "the guest executes {mnemonic:?} at {address:#x} between the marks, which stepping cannot follow"
    )]
    CannotFollow {
        /// Its address.
        address: u64,
        /// What it is.
        mnemonic: Mnemonic,
    },
    /// No instruction is where the vCPU is.
    #[error("no instruction can be read at {0:#x}")]
    Unreadable(u64),
    /// Code that belongs neither to the kernel nor to a server of the plan.
    #[error("the code at {0:#x} belongs neither to the kernel nor to a server")]
    Stray(u64),
    /// The trace grew too long.
    #[error("more than {0} instructions between the marks; use fewer --round-trips")]
    TooLong(usize),
    /// The instructions touch too much memory.
    #[error(
        "{address:#x} {instruction} and the instructions before it touch more than {most} pages, which is the most that a trace \
         holds; use fewer --round-trips, or a case that moves less memory"
    )]
    TooMuch {
        /// Address of the instruction that went too far.
        address: u64,
        /// The same, disassembled.
        instruction: String,
        /// Most pages of a trace.
        most: u64,
    },
    /// The guest never set its marks.
    #[error("the guest ended without its two marks, between which a trace is taken")]
    NoMarks,
}
