//! One round trip as a timeline in the Trace Event Format, which Perfetto and the Firefox profiler open. Its clock counts instructions.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::lens::trace::listing::name;
use crate::lens::trace::phase::{Phase, writes_to};
use crate::lens::trace::recording::Step;
use crate::lens::trace::round_trip::stub_entries;
use crate::lens::trace::{Trace, system_calls};
use crate::tlb::stream::Event;
use crate::tlb::{Model, Simulator};

/// What the file holds; its names are those of the format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timeline {
    /// In any order.
    pub trace_events: Vec<TraceEvent>,
    /// What a reader must know.
    pub other_data: BTreeMap<String, String>,
}

/// Something that happens at an instruction or lasts for some.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceEvent {
    /// What it is.
    pub name: String,
    /// What kind of thing.
    pub cat: String,
    /// `X` lasts, `i` happens, `M` names a track.
    pub ph: String,
    /// The instruction at which it begins, from 0.
    pub ts: u64,
    /// How many instructions it lasts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dur: Option<u64>,
    /// All have the same.
    pub pid: u32,
    /// Its track.
    pub tid: u32,
    /// More of it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub args: BTreeMap<String, serde_json::Value>,
}

/// Tracks, from top to bottom.
const TRACKS: [&str; 4] = ["system calls", "phases and functions", "page table", "events"];
const SYSTEM_CALLS: u32 = 1;
const PHASES: u32 = 2;
const PAGE_TABLES: u32 = 3;
const EVENTS: u32 = 4;

impl Trace {
    /// The last round trip that takes as many instructions as [`Summary::counts`](super::Summary::counts) has, with the page walks of a
    /// model, whose TLBs hold what the round trips before have left there.
    pub fn timeline(&self, case: &str, model: &Model) -> Timeline {
        let range = self.last_typical();
        let mut timeline = Timeline {
            trace_events: vec![metadata("process_name", 0, &format!("{case} (1 µs is one instruction)"))],
            other_data: BTreeMap::from([
                ("case".to_owned(), case.to_owned()),
                ("clock".to_owned(), "ts and dur are numbers of instructions, not microseconds".to_owned()),
                (
                    "page walks".to_owned(),
                    format!("those of the TLB model {}, not of a processor", model.name),
                ),
            ]),
        };
        let tracks = (1..).zip(TRACKS).map(|(track, name)| metadata("thread_name", track, name));
        timeline.trace_events.extend(tracks);
        self.add_system_calls(&range, &mut timeline);
        self.add_steps(&range, &mut timeline);
        self.add_walks(&range, model, &mut timeline);
        // Viewers nest what is as long as what is around it in the order of the file.
        timeline.trace_events.sort_by_key(|event| (event.ts, Reverse(event.dur), event.cat == "function"));
        timeline
    }

    fn last_typical(&self) -> Range<usize> {
        let is_it = |range: &&Range<usize>| self.counted(range) == self.summary.counts.instructions;
        self.round_trips.iter().rev().find(is_it).cloned().unwrap_or(0..0)
    }

    /// Instructions without the SYSCALL detour, which no processor makes.
    fn counted(&self, range: &Range<usize>) -> u64 {
        self.phases[range.clone()].iter().filter(|phase| **phase != Phase::Detour).count() as u64
    }

    /// Each of the client's calls until its own program goes on.
    fn add_system_calls(&self, range: &Range<usize>, timeline: &mut Timeline) {
        let entries = stub_entries(&self.recording, &self.map);
        for (index, call) in entries.into_iter().filter(|(index, _)| range.contains(index)) {
            let back = self.phases[index..range.end].iter().position(|phase| *phase == Phase::Client);
            let end = back.map_or(range.end, |steps| index + steps);
            let begin = self.counted(&(range.start..index));
            let event = TraceEvent::new(&system_calls::name(call), "system call", SYSTEM_CALLS, begin);
            timeline.trace_events.push(event.lasting(self.counted(&(index..end))));
        }
    }

    /// Phases with the functions in them, page tables, and what happens at single instructions.
    fn add_steps(&self, range: &Range<usize>, timeline: &mut Timeline) {
        let current = self.map.current_thread_word(&self.recording);
        let mut open: BTreeMap<&str, TraceEvent> = BTreeMap::new();
        let mut now = 0;
        let steps = self.recording.steps[range.clone()].iter().zip(&self.phases[range.clone()]);
        for (step, phase) in steps.filter(|(_, phase)| **phase != Phase::Detour) {
            let function = name(&self.map, &self.recording, step);
            let page_table = format!("{:#x}", step.page_table);
            let mut phase_ended = false;
            for (kind, track, name) in [
                ("phase", PHASES, phase.name()),
                ("function", PHASES, &function),
                ("page table", PAGE_TABLES, &page_table),
            ] {
                // A function that goes on in the next phase is drawn in both.
                let goes_on = open.get(kind).is_some_and(|event| event.name == name)
                    && !(kind == "function" && phase_ended);
                if !goes_on {
                    phase_ended |= kind == "phase";
                    let ended = open.insert(kind, TraceEvent::new(name, kind, track, now));
                    timeline.trace_events.extend(ended.map(|event| event.ending(now)));
                }
            }
            timeline
                .trace_events
                .extend(instant(step, current).map(|name| TraceEvent::new(name, "event", EVENTS, now)));
            now += 1;
        }
        timeline.trace_events.extend(open.into_values().map(|event| event.ending(now)));
    }

    fn add_walks(&self, range: &Range<usize>, model: &Model, timeline: &mut Timeline) {
        let mut simulator = Simulator::new(model);
        simulator.event(&Event::PcidsEnabled(self.recording.has_pcids));
        let mut now = 0;
        let steps = self.recording.steps[..range.end].iter().zip(&self.phases).enumerate();
        for (index, (step, _)) in steps.filter(|(_, (_, phase))| **phase != Phase::Detour) {
            let before = simulator.since_mark().total().walks;
            for memory in &step.accesses {
                memory.pieces().for_each(|piece| simulator.event(&Event::Access(piece)));
            }
            step.event.iter().for_each(|event| simulator.event(event));
            let walks = simulator.since_mark().total().walks - before;
            if index >= range.start {
                if walks > 0 {
                    let mut event = TraceEvent::new("page walk (model)", "page walk", EVENTS, now);
                    event.args.insert("walks".to_owned(), walks.into());
                    timeline.trace_events.push(event);
                }
                now += 1;
            }
        }
    }
}

/// What an instruction does beyond its accesses, in the order in which it is told.
fn instant(step: &Step, current: Option<u64>) -> impl Iterator<Item = &'static str> {
    let of_tlb = step.event.as_ref().map(|event| match event {
        Event::LoadPageTable { .. } => "page-table load",
        Event::InvalidatePage { .. } | Event::InvalidatePcid { .. } | Event::FlushAll { .. } => {
            "invalidation"
        }
        Event::Access(_) | Event::PcidsEnabled(_) | Event::RoundTrip => "mark",
    });
    let switches = current.is_some_and(|address| writes_to(step, address));
    of_tlb.into_iter().chain(switches.then_some("thread switch"))
}

fn metadata(what: &str, track: u32, name: &str) -> TraceEvent {
    let args = BTreeMap::from([("name".to_owned(), name.into())]);
    TraceEvent { ph: "M".to_owned(), args, ..TraceEvent::new(what, "", track, 0) }
}

impl TraceEvent {
    fn new(name: &str, kind: &str, track: u32, now: u64) -> TraceEvent {
        let [name, cat, ph] = [name, kind, "i"].map(str::to_owned);
        TraceEvent { name, cat, ph, ts: now, dur: None, pid: 1, tid: track, args: BTreeMap::new() }
    }

    fn lasting(self, instructions: u64) -> TraceEvent {
        TraceEvent { ph: "X".to_owned(), dur: Some(instructions), ..self }
    }

    fn ending(self, now: u64) -> TraceEvent {
        let instructions = now - self.ts;
        self.lasting(instructions)
    }
}
