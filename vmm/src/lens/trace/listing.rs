//! One round trip, instruction by instruction: for people, and as folded stacks for flame graphs.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Range;

use crate::lens::trace::effect::disassemble;
use crate::lens::trace::phase::Phase;
use crate::lens::trace::place::{Map, Place};
use crate::lens::trace::recording::{Recording, Step};
use crate::lens::trace::{Trace, steps};
use crate::tlb::stream::{AccessKind, Event};

impl Trace {
    /// The typical round trip with phases, functions, instructions and the data they touch.
    pub fn listing(&self) -> String {
        let mut text = String::new();
        let mut heading = None;
        for (step, phase) in self.typical_round_trip() {
            let place = name(&self.map, &self.recording, step);
            if heading.as_ref() != Some(&(phase, place.clone())) {
                // Writing to a string never fails, here and below.
                let _ = writeln!(text, "\n{}: {place} (ring {})", phase.name(), step.ring);
                heading = Some((phase, place));
            }
            let _ = writeln!(text, "{}", line(step));
        }
        text
    }

    /// The typical round trip as folded stacks, one `frame;frame;frame count` a line: ring, phase, function. Tools that
    /// draw flame graphs read it; the width of a frame is its number of instructions.
    pub fn folded(&self) -> String {
        let mut text = String::new();
        for (stack, count) in &self.summary.stacks {
            let _ = writeln!(text, "{stack} {count}");
        }
        text
    }
}

/// Instructions of a round trip by ring, phase, and program and function, without the SYSCALL detour.
pub(super) fn stacks(
    recording: &Recording,
    phases: &[Phase],
    map: &Map,
    round_trip: Range<usize>,
) -> BTreeMap<String, u64> {
    let mut stacks = BTreeMap::new();
    for (step, phase) in steps(recording, phases, round_trip).filter(|(_, phase)| *phase != Phase::Detour) {
        let place = name(map, recording, step).replace(';', ":");
        *stacks.entry(format!("ring {};{};{place}", step.ring, phase.name())).or_insert(0) += 1;
    }
    stacks
}

/// Program and function of an instruction.
pub(super) fn name(map: &Map, recording: &Recording, step: &Step) -> String {
    let place = map.place(recording, step);
    let function = map.function(place, step).map(|(name, _)| name);
    match place {
        Place::Kernel => function.unwrap_or("kernel").to_owned(),
        Place::Stub { server, call } => format!("{} stub {call}", map.program(server)),
        Place::Program { server } => {
            let program = map.program(server);
            function.map_or_else(|| program.to_owned(), |function| format!("{program} {function}"))
        }
    }
}

/// Address, text, data.
fn line(step: &Step) -> String {
    let text = step.instruction().map_or_else(|| "(bad)".to_owned(), |instruction| disassemble(&instruction));
    let mut line = format!("  {:016x}  {text:<44}", step.address);
    for memory in &step.accesses {
        let access = &memory.access;
        let what = match access.kind {
            AccessKind::Fetch => continue,
            AccessKind::Read => "reads",
            AccessKind::Write => "writes",
        };
        let _ = write!(line, "  {what} {:#x}", access.address);
        if memory.size_bytes > u64::from(access.size_bytes) {
            let _ = write!(line, " and on, {} bytes", memory.size_bytes);
        }
    }
    match step.event {
        Some(Event::LoadPageTable { value }) => {
            let _ = write!(line, "  loads page table {value:#x}");
        }
        Some(event) => {
            let _ = write!(line, "  {event:?}");
        }
        None => {}
    }
    line.trim_end().to_owned()
}
