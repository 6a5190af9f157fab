//! One case: one setting of all parameters, measured in guests of its own.

use serde::{Deserialize, Serialize};

use super::groups::Groups;
use super::parameter::{Fault, Flush, Gate, HandlerShape, Migration, Reached, Serving, Transfer};
use super::seconds::Seconds;
use super::size::MemorySize;
use crate::experiment::scheme;
use crate::machine::guest::HugePages;
use crate::system::placement::Placement;
use crate::workload::Workload;

/// A case with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Stable and readable: `call/user-kernel/words=4/pcid=off`.
    pub name: String,
    /// What is set.
    pub parameters: Parameters,
}

/// Everything that an experiment file can set for a case. What a workload does not have is `None`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameters {
    /// What is measured.
    pub workload: Workload,
    /// Where the client runs.
    pub client: Placement,
    /// Where the server runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<Placement>,
    /// Where the relay of `relay` runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relay: Option<Placement>,
    /// Where the other client of `alternate` runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_client: Option<Placement>,
    /// Client and server share one user space.
    pub same_space: bool,
    /// Trust groups, where the placement does not decide.
    #[serde(default, skip_serializing_if = "Groups::is_default")]
    pub groups: Groups,
    /// How calls reach the server.
    #[serde(default)]
    pub transfer: Transfer,
    /// Words of the message and of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<u64>,
    /// Pages that the client touches between two calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_pages: Option<u32>,
    /// Pages that the server touches for every call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_pages: Option<u32>,
    /// Servers of `chain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub servers: Option<u32>,
    /// Of these, the first that have moved into the kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved: Option<u32>,
    /// Partners of the server of `migrate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partners: Option<u32>,
    /// How `migrate` moves them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
    /// How the kernel has the TLB forget pages.
    #[serde(default)]
    pub flush: Flush,
    /// How the server of `faults` faults.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// Faults in the kernel after which it is moved out and loses its trust.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub demote_after: Option<u32>,
    /// Messages after which a server of `chain` moves into the kernel by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promote_after: Option<u32>,
    /// Who serves the clients of `scaling`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serving: Option<Serving>,
    /// What the handlers are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shape: Option<HandlerShape>,
    /// Handlers on each CPU.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub handlers_per_cpu: Option<u32>,
    /// What the server of `reach` reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Reached>,
    /// Bytes of the slot that each program in a small space gets; the smallest that it fits in, unless the file chooses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot_bytes: Option<u64>,
    /// How programs that are built for 32 bits enter the kernel, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<Gate>,
    /// Program of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server_program: Option<String>,
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
    /// How long each guest measures: it finds out before the first mark how many round trips fill this time.
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
        let moves = self.workload.has_moving_servers() && self.client.is_32_bit();
        moves || self.way().any(|placement| placement == Placement::Small)
    }

    /// What makes two cases comparable apart from placement: the case's name without it.
    pub fn setting(&self) -> String {
        let mut parts = Vec::new();
        if let Some(words) = self.words {
            parts.push(format!("words={words}"));
        }
        match (self.client_pages, self.server_pages) {
            (Some(client), Some(server)) if client == server => parts.push(format!("pages={client}")),
            (Some(client), Some(server)) => parts.push(format!("pages={client}+{server}")),
            (None, Some(server)) => parts.push(format!("pages={server}")),
            _ => {}
        }
        for (key, number) in [("servers", self.servers), ("moved", self.moved), ("partners", self.partners)] {
            parts.extend(number.map(|number| format!("{key}={number}")));
        }
        parts.extend(self.migration.map(|migration| migration.name().replace('_', "-")));
        if self.flush != Flush::Threshold {
            parts.push(format!("flush={}", self.flush.name().replace('_', "-")));
        }
        parts.extend(self.fault.map(|fault| fault.name().replace('_', "-")));
        for (key, number) in [("demote-after", self.demote_after), ("promote-after", self.promote_after)] {
            parts.extend(number.map(|number| format!("{key}={number}")));
        }
        parts.extend(self.target.map(|target| format!("target={}", target.name())));
        parts.extend(self.serving.map(|serving| serving.name().replace('_', "-")));
        parts.extend(self.shape.map(|shape| shape.name().to_owned()));
        parts.extend(self.handlers_per_cpu.map(|handlers| format!("handlers={handlers}")));
        if self.transfer == Transfer::Direct {
            parts.push("transfer=direct".to_owned());
        }
        parts.extend(self.chosen_slot().map(|slot| format!("slot={slot}")));
        parts.extend(self.gate.filter(|gate| *gate != Gate::Int).map(|gate| format!("gate={}", gate.name())));
        parts.push(format!("pcid={}", if self.pcid { "on" } else { "off" }));
        if self.vcpus != 1 {
            parts.push(format!("vcpus={}", self.vcpus));
        }
        parts.extend(self.guests.map(|guests| format!("guests={guests}")));
        if self.huge_pages != HugePages::No {
            parts.push(format!("huge-pages={}", self.huge_pages.name()));
        }
        parts.join("/")
    }

    /// The size of slot, where it is not the smallest that the programs fit in.
    pub fn chosen_slot(&self) -> Option<MemorySize> {
        let bytes = self.slot_bytes.filter(|bytes| Some(*bytes) != scheme::smallest_slot(self))?;
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
        if self.workload.measures_on_all_cpus() && self.serving != Some(Serving::Across) {
            self.vcpus
        } else {
            1
        }
    }

    /// Handlers on all CPUs together.
    pub fn handlers(&self) -> u64 {
        u64::from(self.handlers_per_cpu.unwrap_or(0)) * u64::from(self.vcpus)
    }
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
