//! A server that faults: how long its clients are without it.

use abi::program;
use abi::program::crash;
use abi::workload::{Arguments, faults};

use super::{Workload, parts};
use crate::case::key::{Absent, Heading, Key, Kind};
use crate::case::value::{Word, words};
use crate::case::workload::{CountColumn, Figure, Nature, Refused};
use crate::case::{Parameters, keys};
use crate::system::System;
use crate::system::placement::Placement;

/// A server faults and is called again.
pub struct Faults;

words! {
    /// How a server faults; see [`abi::program::crash`].
    Fault {
        /// Reads where nothing is mapped.
        PageFault = "page_fault",
        /// Executes an invalid instruction.
        InvalidOpcode = "invalid_opcode",
        /// Writes to its own code.
        WriteCode = "write_code",
        /// Runs into the guard page below its stack.
        StackOverflow = "stack_overflow",
        /// Panics.
        Panic = "panic",
    }
}

impl Fault {
    /// One of [`abi::program::crash`].
    pub const fn abi(self) -> u32 {
        match self {
            Fault::PageFault => crash::PAGE_FAULT,
            Fault::InvalidOpcode => crash::INVALID_OPCODE,
            Fault::WriteCode => crash::WRITE_CODE,
            Fault::StackOverflow => crash::STACK_OVERFLOW,
            Fault::Panic => crash::PANIC,
        }
    }

    /// That of a case.
    pub(super) fn of_case(case: &Parameters) -> u64 {
        case.word::<Fault>(&FAULT).map_or(0, Fault::abi).into()
    }
}

/// How the server faults.
pub static FAULT: Key = Key {
    name: "fault",
    kind: Kind::Choice(Fault::NAMES),
    absent: Absent::First,
    help: "how the server faults",
    order: 180,
    in_name: keys::bare(180),
    column: Some(Heading { cell: keys::spaced, ..Heading::plain("fault", 650, false) }),
    ..Key::USUAL
};

/// Faults in the kernel after which the server is moved out and loses its trust.
pub static DEMOTE_AFTER: Key = Key {
    name: "demote_after",
    kind: Kind::Number(1, |_| (u32::MAX as i64, "more than any case needs")),
    values: "1 …",
    help: "number of faults in the kernel. Before the last of them, the kernel starts the server again where it was. At the last one \
           the server loses its trust: it starts in user space, in trust group 2. If the key is absent, the first fault ends the \
           server, and the driver starts it again",
    order: 190,
    in_name: keys::numbered(190),
    column: Some(Heading::plain("faults before\ndemotion", 655, true)),
    ..Key::USUAL
};

static KEYS: &[&Key] = &[&keys::CLIENT, &keys::SERVER, &FAULT, &DEMOTE_AFTER, &keys::SERVER_PROGRAM];

impl Workload for Faults {
    fn name(&self) -> &'static str {
        "faults"
    }

    fn sentence(&self) -> &'static str {
        "a server faults under a call and is called again"
    }

    fn round_trip(&self) -> &'static str {
        "the server (`crash`) faults under a call, is called, and if need be started again by the driver, and called once more"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["until_error", "until_answer", "call"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client → server"
    }

    fn nature(&self) -> Nature {
        Nature { faults: true, ..Nature::USUAL }
    }

    fn server_program(&self, _case: &Parameters) -> Option<&'static str> {
        Some(program::CRASH)
    }

    fn check(&self, case: &Parameters) -> Result<(), Refused> {
        if case.number(&DEMOTE_AFTER).is_some() && !case.server.is_some_and(Placement::is_in_kernel) {
            let fix = "put `demote_after` into a [[case]] of its own with `server = \"kernel\"`";
            return Err(Refused::at(&DEMOTE_AFTER, "only faults in the kernel cost a server its trust", fix));
        }
        Ok(())
    }

    fn system(&self, case: &Parameters) -> System {
        let mut system = parts::client_and_server(self, case);
        for server in system.participants.iter_mut().skip(1) {
            server.demote_after = case.number(&DEMOTE_AFTER).unwrap_or(0) as u32;
        }
        // The way depends on whether the server is alive.
        system.is_regular = false;
        system
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        let placement = case.server.map_or(0, Placement::number).into();
        faults::Arguments { fault: Fault::of_case(case), placement }.encode()
    }

    fn columns(&self) -> &'static [CountColumn] {
        static COLUMNS: [CountColumn; 3] = [
            CountColumn::early("faults\n(total)", Figure::Total("faults")),
            CountColumn::early("restarts\n(total)", Figure::Total("restarts")),
            CountColumn::early("demotions\n(total)", Figure::Total("demotions")),
        ];
        &COLUMNS
    }

    fn label(&self, channel: &'static str, _is_32_bit: bool) -> &'static str {
        match channel {
            "until_error" => "until error",
            "until_answer" => "until answer",
            other => other,
        }
    }
}
