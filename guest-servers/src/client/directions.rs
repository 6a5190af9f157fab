//! Round trip, there, back: the server tells when the call arrived and when its answer left.

use abi::workload::directions::Arguments;
use rt::clock::{StealTime, mark, now};
use rt::{Message, Start, call};

use crate::measure::{Failure, measure};

pub fn run(start: &Start, steal_time: &StealTime, _: Arguments) -> Result<(), Failure> {
    measure(start, || directions(steal_time))
}

fn directions(steal_time: &StealTime) -> Result<[u64; 3], Failure> {
    let stolen_ns = steal_time.stolen_ns();
    let begin = now();
    let answer = call(0, Message::EMPTY);
    let end = now();
    let [arrived, answered, ..] = answer?.message.words;
    let spans = [end.wrapping_sub(begin), arrived.wrapping_sub(begin), end.wrapping_sub(answered)];
    Ok(spans.map(|span| mark(steal_time, stolen_ns, span)))
}
