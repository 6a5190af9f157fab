//! A server that reads what is not its own: what keeps it from that.

use abi::address::{PHYSICAL_MAP_BASE, REGION_SIZE, SLOT_BASE, SMALL_BASE};
use abi::program;
use abi::region::START_INFO_OFFSET;
use abi::workload::{Arguments, reach};

use super::{Workload, parts};
use crate::case::key::{Absent, Heading, Key, Kind};
use crate::case::value::{Word, words};
use crate::case::workload::{Does, Ending, Nature, Refused, Verdict};
use crate::case::{Parameters, keys};
use crate::system::placement::Placement;
use crate::system::{Participant, System};

/// A server reads what is not its own.
pub struct Reach;

words! {
    /// What the server reads.
    Reached {
        /// Memory of another server in the same placement.
        Neighbour = "neighbour",
        /// Memory of its client.
        Client = "client",
        /// Memory of the kernel.
        Kernel = "kernel",
    }
}

impl Reached {
    /// Whose memory it is, in the words of a table.
    pub const fn owner(self) -> &'static str {
        match self {
            Reached::Kernel => "the kernel's",
            Reached::Client => "its client's",
            Reached::Neighbour => "another server's",
        }
    }

    fn of_case(case: &Parameters) -> Reached {
        case.word(&TARGET).unwrap_or(Reached::Neighbour)
    }
}

/// What the server reads.
pub static TARGET: Key = Key {
    name: "target",
    kind: Kind::Choice(Reached::NAMES),
    absent: Absent::First,
    help: "whose memory the server reads: that of another server in the same placement, of its client, or of the kernel",
    order: 240,
    in_name: Some(crate::case::key::InName {
        order: 220,
        text: |key, case| Some(format!("target={}", case.word::<Reached>(key)?.word())),
    }),
    column: Some(Heading {
        text: "server reads",
        order: 720,
        is_number: false,
        cell: |key, case| {
            case.word::<Reached>(key).map_or(String::new(), |target| format!("{} memory", target.owner()))
        },
        tells: |_| true,
        usual: "",
    }),
    ..Key::USUAL
};

// Of all programs one reads what it is told to, so there is no `server_program`.
static KEYS: &[&Key] = &[&keys::CLIENT, &keys::SERVER, &TARGET];

impl Workload for Reach {
    fn name(&self) -> &'static str {
        "reach"
    }

    fn sentence(&self) -> &'static str {
        "a server reads what is not its own"
    }

    fn round_trip(&self) -> &'static str {
        "the server (`crash`) reads the `target`; measured once in each guest, not traced"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["until_end"]
    }

    fn about_samples(&self) -> &'static str {
        "no time worth reading; whether it got what lies there: one call answered, or failed"
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client → server"
    }

    fn nature(&self) -> Nature {
        Nature {
            is_measured_once: true,
            counts_other_calls: true,
            is_compared: false,
            does: Does::EndsSomehow,
            ..Nature::USUAL
        }
    }

    fn server_program(&self, _case: &Parameters) -> Option<&'static str> {
        Some(program::CRASH)
    }

    fn check(&self, case: &Parameters) -> Result<(), Refused> {
        let is_32_bit = case.server.is_some_and(Placement::is_32_bit);
        match Reached::of_case(case) {
            Reached::Kernel if is_32_bit => {
                let message =
                    "no address of 32 bits leads to the kernel's memory, so there is nothing to read";
                let fix = "put `target = \"kernel\"` into a [[case]] of its own with `server = \"user\"` or `\"kernel\"`";
                Err(Refused::at(&TARGET, message, fix).or(&keys::CLIENT))
            }
            Reached::Client if is_32_bit && !case.client.is_32_bit() => {
                let message =
                    "no address of 32 bits leads to a 64-bit client's memory, so there is nothing to read";
                let fix = "put `target = \"client\"` into a [[case]] of its own with `client = \"large\"`";
                Err(Refused::at(&TARGET, message, fix).or(&keys::CLIENT))
            }
            _ => Ok(()),
        }
    }

    fn system(&self, case: &Parameters) -> System {
        let mut system = parts::client_and_server(self, case);
        if let Some(server) = system.participants.get(1).cloned() {
            // The neighbour only has to be there.
            let program = program::NULL.to_owned();
            system.add(Participant { program, space: 2, ..server });
        }
        system.is_regular = false;
        system
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        let (address, expected) = target(case).unwrap_or_default();
        reach::Arguments { address, expected }.encode()
    }

    fn verdict(&self) -> Option<&'static dyn Verdict> {
        Some(&Reach)
    }
}

impl Verdict for Reach {
    fn heading(&self) -> &'static str {
        "read\nsucceeds"
    }

    fn of(&self, case: &Parameters, ending: Ending) -> &'static str {
        // Supervisor-mode access prevention concerns pages of user mode only.
        let is_prevented = Reached::of_case(case) == Reached::Client
            && case.server.is_some_and(Placement::is_in_kernel)
            && !case.client.is_in_kernel()
            && ending.has_smap;
        match (ending.answered, ending.failed) {
            (0, 0) => "",
            (0, _) if is_prevented => "no, by SMAP",
            (0, _) => "no",
            _ => "yes",
        }
    }

    /// What matters most comes first.
    fn question(&self, case: &Parameters) -> (usize, String) {
        const ORDER: [Reached; 3] = [Reached::Kernel, Reached::Client, Reached::Neighbour];
        let target = Reached::of_case(case);
        let order = ORDER.iter().position(|known| *known == target).unwrap_or(ORDER.len());
        (order, format!("a wild read at {} address gets it", target.owner()))
    }

    fn impossible(&self, case: &Parameters, server: Placement) -> Option<&'static str> {
        (Reached::of_case(case) == Reached::Kernel && server.is_32_bit()).then_some("no such address")
    }
}

/// The address that the server of `reach` reads, as it names it, and what lies there: of another program its start
/// information, which begins with the version of the interface and the program's index in the plan. The kernel gives its
/// slots away in the order of the plan: client, server, neighbour.
fn target(case: &Parameters) -> Option<(u64, u64)> {
    const CLIENT: u64 = 0;
    const NEIGHBOUR: u64 = 2;
    let start_info = |server: u64| u64::from(abi::VERSION) | server << 32;
    // Of the first program that is there.
    let first_region = |placement: Placement| match placement {
        placement if placement.is_32_bit() => 0,
        placement if placement.is_in_kernel() => SLOT_BASE,
        _ => REGION_SIZE,
    };
    let client_region = first_region(case.client);
    // Slots of the kernel that were given away before the neighbour's: the server's, and the client's where it has one.
    let earlier_slots = 1 + u64::from(case.client.is_in_kernel());
    let (region, server) = match (case.word::<Reached>(&TARGET)?, case.server?) {
        // Whatever it finds there.
        (Reached::Kernel, _) => return Some((PHYSICAL_MAP_BASE, 0)),
        (Reached::Client, Placement::Small) => (client_region.wrapping_sub(SMALL_BASE), CLIENT),
        (Reached::Client, _) => (client_region, CLIENT),
        (Reached::Neighbour, Placement::Small) => (case.slot_bytes?, NEIGHBOUR),
        (Reached::Neighbour, server) if server.is_in_kernel() => {
            (SLOT_BASE + earlier_slots * REGION_SIZE, NEIGHBOUR)
        }
        // In a space of its own it finds itself there.
        (Reached::Neighbour, server) => (first_region(server), NEIGHBOUR),
    };
    Some((region.wrapping_add(START_INFO_OFFSET), start_info(server)))
}

#[cfg(test)]
#[path = "reach_tests.rs"]
mod tests;
