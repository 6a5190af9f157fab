//! Why a trace is not what the guest executed, and where.

use iced_x86::Mnemonic;

/// A trace that has a gap counts nothing: it is refused, with the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Gap {
    /// The vCPU stopped at an instruction that the one before cannot lead to.
    #[error(
        "the trace lost the guest behind instruction {number}, {from:#x} {instruction}: it leads to {}, but the vCPU stopped next \
         at {found:#x}; an exception or interrupt came in between, or a step was lost",
        addresses(expected)
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
        "the trace lost the guest behind instruction {number}, {from:#x} {instruction}: it leads to {}, but the vCPU never stopped \
         there",
        addresses(expected)
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
        "the guest executes {} at {address:#x} between the marks, which stepping cannot follow",
        format!("{mnemonic:?}").to_uppercase()
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
    #[error(
        "more than {0} instructions between the marks; use fewer round trips (trace_round_trips of a run, --round-trips of a trace)"
    )]
    TooLong(usize),
    /// The instructions touch too much memory.
    #[error(
        "{address:#x} {instruction} and the instructions before it touch more than {most} pages, which is the most that a trace \
         holds; use fewer round trips (trace_round_trips of a run, --round-trips of a trace), or a case that moves less memory"
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

fn addresses(addresses: &[u64]) -> String {
    addresses.iter().map(|address| format!("{address:#x}")).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_told_in_one_line() {
        let (from, expected, instruction) = (0x1000, vec![0x1002, 0x2000], "je 2000h".to_owned());
        let lost = Gap::LostStep { number: 7, from, instruction, expected, found: 0x3000 };
        let text = lost.to_string();
        assert!(
            text.contains("behind instruction 7, 0x1000 je 2000h: it leads to 0x1002 or 0x2000, but"),
            "{text}"
        );
        assert!(!text.contains(['\n', '[']), "{text}");
        let halt = Gap::CannotFollow { address: 0x1000, mnemonic: Mnemonic::Hlt };
        assert!(halt.to_string().starts_with("the guest executes HLT at 0x1000"));
    }
}
