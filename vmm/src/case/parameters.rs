//! One case: one setting of all parameters, measured in guests of its own.

use serde::{Deserialize, Serialize};

use super::groups::Groups;
use super::key::Key;
use super::parameter::{Gate, Transfer};
use super::seconds::Seconds;
use super::settings::Settings;
use super::size::MemorySize;
use super::value::{IntoValue, Value, Word};
use super::workload::{Moves, Workload};
use super::{keys, name};
use crate::machine::guest::HugePages;
use crate::system::placement::{self, Placement};
use crate::system::{System, slot};

/// A case with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Stable and readable: `call/user-kernel/words=4/pcid=off`.
    pub name: String,
    /// What is set.
    pub parameters: Parameters,
}

/// Everything that an experiment file can set for a case: what all cases have, and the settings of its workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// What is measured.
    pub workload: &'static dyn Workload,
    /// Where the client runs.
    #[serde(with = "placement::by_name")]
    pub client: Placement,
    /// Where the server runs.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "placement::by_name_if_any")]
    pub server: Option<Placement>,
    /// Where the relay of `relay` runs.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "placement::by_name_if_any")]
    pub relay: Option<Placement>,
    /// Where the other client of `alternate` runs.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "placement::by_name_if_any")]
    pub other_client: Option<Placement>,
    /// Client and server share one user space.
    pub same_space: bool,
    /// Trust groups, where the placement does not decide.
    #[serde(default, skip_serializing_if = "Groups::is_default")]
    pub groups: Groups,
    /// How calls reach the server.
    #[serde(default)]
    pub transfer: Transfer,
    /// The keys of the workload.
    #[serde(flatten)]
    pub settings: Settings,
    /// Bytes of the slot that each program in a small space gets; the smallest that it fits in, unless the file chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_bytes: Option<u64>,
    /// How programs that are built for 32 bits enter the kernel, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Program of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_program: Option<String>,
    /// Arguments of a program in the server's place, from the first one on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub server_arguments: Vec<u64>,
    /// Program in the client's place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_program: Option<String>,
    /// Its arguments, in place of the workload's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub client_arguments: Vec<u64>,
    /// TLB entries of user spaces carry process-context identifiers.
    pub pcid: bool,
    /// vCPUs of the guest.
    pub vcpus: u32,
    /// Memory of the guest, bytes.
    pub memory_bytes: u64,
    /// Pages of the host that the memory is made of.
    #[serde(default, skip_serializing_if = "HugePages::is_default")]
    pub huge_pages: HugePages,
    /// Guests at once, each in a process of its own. Absent: one guest in this process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guests: Option<u32>,
    /// Seconds after which a guest is taken for hung.
    pub deadline_seconds: u64,
    /// Round trips before the first sample.
    pub warm_up: u64,
    /// Round trips that each thread samples in each guest; with `seconds` the most that there is room for.
    pub samples: u64,
    /// How long each guest measures; the number of round trips that fills it is found before the first mark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<Seconds>,
    /// Guests booted afresh.
    pub launches: u32,
    /// Round trips traced in a guest of their own, for the lens `trace`; 0 for none.
    #[serde(default)]
    pub trace_round_trips: u64,
    /// Models of TLBs that the traced round trips are run on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tlb_models: Vec<String>,
}

impl Parameters {
    /// A case with a client in user space, one launch of one guest, and nothing else.
    pub fn plain(workload: &'static dyn Workload) -> Parameters {
        Parameters {
            workload,
            client: Placement::User,
            server: None,
            relay: None,
            other_client: None,
            same_space: false,
            groups: Groups::default(),
            transfer: Transfer::Switch,
            settings: Settings::default(),
            slot_bytes: None,
            gate: None,
            server_program: None,
            server_arguments: Vec::new(),
            client_program: None,
            client_arguments: Vec::new(),
            pcid: false,
            vcpus: 1,
            memory_bytes: 0,
            huge_pages: HugePages::No,
            guests: None,
            deadline_seconds: 0,
            warm_up: 0,
            samples: 0,
            seconds: None,
            launches: 1,
            trace_round_trips: 0,
            tlb_models: Vec::new(),
        }
    }

    /// The number that a key of the workload is set to.
    pub fn number(&self, key: &Key) -> Option<u64> {
        match key.get(self)? {
            Value::Number(number) => u64::try_from(number).ok(),
            _ => None,
        }
    }

    /// The word that a key of the workload is set to.
    pub fn word<T: Word>(&self, key: &Key) -> Option<T> {
        key.get(self).and_then(T::of)
    }

    /// The case with this key set.
    #[must_use]
    pub fn with(mut self, key: &'static Key, value: impl IntoValue) -> Parameters {
        key.set(&mut self, value.into_value());
        self
    }

    /// Pages that the client touches.
    pub fn client_pages(&self) -> u32 {
        self.number(&keys::CLIENT_PAGES).unwrap_or(0) as u32
    }

    /// Pages that the server touches.
    pub fn server_pages(&self) -> u32 {
        self.number(&keys::SERVER_PAGES).unwrap_or(0) as u32
    }

    /// Who takes part, and in which order a round trip visits them.
    pub fn system(&self) -> System {
        self.workload.system(self)
    }

    /// The programs' placements in the order of the message's way: `user-kernel`, or `same-space`.
    pub fn placements(&self) -> String {
        if self.same_space {
            return "same-space".to_owned();
        }
        self.way().map(Placement::name).collect::<Vec<_>>().join("-")
    }

    /// The programs' placements in the order of the message's way. A relay stands before the server, the other client
    /// behind it.
    pub fn way(&self) -> impl Iterator<Item = Placement> {
        [Some(self.client), self.relay, self.server, self.other_client].into_iter().flatten()
    }

    /// Whether a program takes part that is built for 32 bits, and so needs segments that are honoured.
    pub fn has_32_bit(&self) -> bool {
        self.way().any(Placement::is_32_bit)
    }

    /// Whether a program takes part that runs in a small space, or moves there.
    pub fn has_small(&self) -> bool {
        let moves = self.workload.nature().moves != Moves::Never && self.client.is_32_bit();
        moves || self.way().any(|placement| placement == Placement::Small)
    }

    /// What makes two cases comparable apart from placement: the case's name without it.
    pub fn setting(&self) -> String {
        name::setting(self)
    }

    /// The smallest slot that the case's programs in small spaces fit in; `None` if there is none.
    pub fn smallest_slot(&self) -> Option<u64> {
        slot::smallest(self.server_pages())
    }

    /// The size of slot, where it is not the smallest that the programs fit in.
    pub fn chosen_slot(&self) -> Option<MemorySize> {
        let bytes = self.slot_bytes.filter(|bytes| Some(*bytes) != self.smallest_slot())?;
        Some(MemorySize { bytes })
    }

    /// Round trips that one guest is asked to measure; with `seconds` the most.
    pub fn round_trips(&self) -> u64 {
        self.samples.saturating_mul(u64::from(self.measuring_threads()))
    }

    /// Samples that all round trips of one guest leave.
    pub fn sample_count(&self) -> u64 {
        self.round_trips().saturating_mul(self.workload.channels().len() as u64)
    }

    /// Threads of the client that measure.
    pub fn measuring_threads(&self) -> u32 {
        self.workload.measuring_threads(self)
    }
}

/// How many launches these cases ask for together.
pub fn launches(cases: &[Case]) -> u64 {
    cases.iter().map(|case| u64::from(case.parameters.launches)).sum()
}

/// Whether `name` holds the parts of `pattern` between its `*` in this order: `user-kernel`, `call*words=4`.
pub fn matches_pattern(name: &str, pattern: &str) -> bool {
    let mut rest = name;
    pattern.split('*').all(|part| match rest.find(part) {
        Some(at) => {
            rest = &rest[at + part.len()..];
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_found_anywhere_and_in_order() {
        let name = "call/user-kernel/words=4/pcid=off";
        for pattern in ["", "*", "call", "user-kernel", "call*words=4", "call/*off"] {
            assert!(matches_pattern(name, pattern), "{pattern}");
        }
        for pattern in ["relay", "words=4*call", "call*call"] {
            assert!(!matches_pattern(name, pattern), "{pattern}");
        }
    }
}
