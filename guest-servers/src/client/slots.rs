//! One server after the other is stopped, started again and called.

use abi::workload::slots::Arguments;
use rt::clock::{StealTime, sample};
use rt::{Message, Start, call};

use crate::measure::{Failure, measure};

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    let count = arguments.servers.max(1);
    let mut turn = 0;
    measure(start, || {
        let handle = turn % count;
        turn += 1;
        restart(steal_time, handle, arguments.placement as u32)
    })
}

/// Stops the server behind a handle, starts it again, calls it twice.
fn restart(steal_time: &StealTime, handle: u64, placement: u32) -> Result<[u64; 4], Failure> {
    let server = handle + 1;
    let (stop, stopped) = sample(steal_time, || rt::call::stop(server));
    stopped?;
    let (start, started) = sample(steal_time, || rt::call::start(server, placement));
    started?;
    let (first, answer) = sample(steal_time, || call(handle, Message::EMPTY));
    answer?;
    let (second, answer) = sample(steal_time, || call(handle, Message::EMPTY));
    answer?;
    Ok([stop, start, first, second])
}
