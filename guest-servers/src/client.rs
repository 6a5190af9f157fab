//! Drives the measured loops: warm-up, first mark, samples, second mark, end of the case. What a round trip does is in
//! `client/NAME.rs`, a file for each workload of [`abi::workload`].
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use abi::workload::{self, status};
use rt::Start;
use rt::clock::StealTime;

rt::server!(serve);

#[path = "measure/load.rs"]
mod load;
#[path = "measure/measure.rs"]
mod measure;
#[path = "measure/movers.rs"]
mod movers;
#[path = "measure/question.rs"]
mod question;
#[path = "measure/together.rs"]
mod together;

use measure::Failure;

/// Declares the file of each workload, and the function that runs the one that the arguments are for.
macro_rules! clients {
    ($($name:ident)*) => {
        mod client {
            $( pub mod $name; )*
        }

        fn run(start: &Start, steal_time: &StealTime) -> Result<(), Failure> {
            let arguments = &start.info().arguments;
            match workload::number(arguments) {
                $( workload::$name::NUMBER => {
                    client::$name::run(start, steal_time, workload::$name::Arguments::decode(arguments))
                } )*
                _ => Err(Failure(status::BAD_ARGUMENT)),
            }
        }
    };
}
abi::for_each_workload!(clients);

fn serve(start: Start) -> ! {
    let status = match run(&start, &StealTime::new(&start)) {
        Ok(()) => 0,
        Err(Failure(status)) => status,
    };
    rt::call::finish(status)
}
