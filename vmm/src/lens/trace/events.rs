//! A trace as the stream of events that TLB models run on.

use std::ops::Range;

use crate::lens::trace::Trace;
use crate::lens::trace::phase::Phase;
use crate::lens::trace::recording::Recording;
use crate::tlb::stream::{Event, EventSink};

impl Trace {
    /// Gives the whole trace to `sink`, in program order, with a mark at each end of each complete round trip. The SYSCALL
    /// detour is left out: no processor makes it.
    pub fn events(&self, sink: &mut dyn EventSink) {
        send(&self.recording, &self.phases, &self.round_trips, sink);
    }
}

fn send(recording: &Recording, phases: &[Phase], round_trips: &[Range<usize>], sink: &mut dyn EventSink) {
    sink.event(&Event::PcidsEnabled(recording.has_pcids));
    let last_end = round_trips.last().map(|range| range.end);
    let is_boundary = |index: usize| {
        round_trips.binary_search_by_key(&index, |range| range.start).is_ok() || last_end == Some(index)
    };
    for (index, (step, phase)) in recording.steps.iter().zip(phases).enumerate() {
        if is_boundary(index) {
            sink.event(&Event::RoundTrip);
        }
        if *phase == Phase::Detour {
            continue;
        }
        for memory in &step.accesses {
            memory.pieces().for_each(|piece| sink.event(&Event::Access(piece)));
        }
        if let Some(event) = &step.event {
            sink.event(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lens::trace::recording::Step;

    #[test]
    fn marks_enclose_round_trips_and_the_detour_is_left_out() {
        let step = |event| Step { event, ..Step::default() };
        let load = Some(Event::LoadPageTable { value: 0x2000 });
        let recording =
            Recording { steps: vec![step(None), step(load), step(load), step(None)], ..Default::default() };
        let phases = [Phase::Client, Phase::Detour, Phase::Switch, Phase::Client];
        let mut events = Vec::new();
        send(&recording, &phases, &[0..1, 1..3], &mut events);
        let mark = Event::RoundTrip;
        let load = Event::LoadPageTable { value: 0x2000 };
        assert_eq!(events, [Event::PcidsEnabled(false), mark, mark, load, mark]);
    }
}
