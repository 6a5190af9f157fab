//! The counts of one round trip.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lens::trace::footprint::{Collector, Footprint};
use crate::lens::trace::kind::Kinds;
use crate::lens::trace::phase::{Phase, writes_to};
use crate::lens::trace::recording::Step;

/// Exact counts of a stretch of a trace, the SYSCALL detour left out: the same on every host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Instructions.
    pub instructions: u64,
    /// Instructions of kernel and stubs: without client and server programs.
    pub path_instructions: u64,
    /// Instructions in ring 0.
    pub ring_0: u64,
    /// Instructions in ring 3.
    pub ring_3: u64,
    /// How often KVM's emulator begins a repeated instruction in ring 0 anew ([`crate::lens::trace::repeat`]).
    #[serde(default)]
    pub emulator_restarts: u64,
    /// Switches from one thread to another.
    pub context_switches: u64,
    /// Accesses to data that only read.
    pub reads: u64,
    /// Accesses to data that write.
    pub writes: u64,
    /// Instructions by phase; a phase that is not here has none.
    pub phases: BTreeMap<Phase, u64>,
    /// Instructions by kind.
    pub kinds: Kinds,
    /// What they touch.
    pub footprint: Footprint,
}

impl Counts {
    /// Whether the other stretch executes the same; it may touch other memory.
    pub fn executes_as(&self, other: &Counts) -> bool {
        let footprint = self.footprint.clone();
        *self == Counts { footprint, ..other.clone() }
    }
}

/// Counts, and the detour that is left out of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// Without the detour.
    pub counts: Counts,
    /// Instructions of the detour.
    pub detour_instructions: u64,
}

/// Counts a stretch of steps with their phases. `current` is the address of the word that names the running thread.
pub fn count<'a>(steps: impl Iterator<Item = (&'a Step, Phase)>, current: Option<u64>) -> Counted {
    use crate::tlb::stream::AccessKind;
    let mut counted = Counted::default();
    let mut touched = Collector::default();
    for (step, phase) in steps {
        if phase == Phase::Detour {
            counted.detour_instructions += 1;
            continue;
        }
        let counts = &mut counted.counts;
        counts.instructions += 1;
        counts.path_instructions += u64::from(phase.is_path());
        *(if step.ring == 0 { &mut counts.ring_0 } else { &mut counts.ring_3 }) += 1;
        if step.ring == 0 {
            counts.emulator_restarts += step.repeated.emulator_restarts;
        }
        *counts.phases.entry(phase).or_insert(0) += 1;
        if let Some(instruction) = step.instruction() {
            counts.kinds += Kinds::of(&instruction);
        }
        counts.context_switches += u64::from(current.is_some_and(|address| writes_to(step, address)));
        for memory in &step.accesses {
            match memory.access.kind {
                AccessKind::Fetch => {}
                AccessKind::Read => counts.reads += memory.piece_count(),
                AccessKind::Write => counts.writes += memory.piece_count(),
            }
        }
        touched.add(step, phase.is_kernel());
    }
    counted.counts.footprint = touched.footprint();
    counted
}
