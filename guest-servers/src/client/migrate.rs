//! Servers move into the kernel and out again between calls.

use abi::workload::migrate::Arguments;
use rt::clock::StealTime;
use rt::{Message, Start, call};

use crate::measure::{Failure, measure};
use crate::movers::Movers;

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    let movers = Movers::new(arguments.servers, arguments.method)?;
    // Partners are known by their messages.
    call(0, Message::EMPTY)?;
    measure(start, || movers.there_and_back(steal_time))
}
