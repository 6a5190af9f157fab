//! What the fault of one handler does to the others.

use abi::program;
use abi::workload::{Arguments, handler_fault};

use super::{FAULT, Fault, Workload, handlers};
use crate::case::workload::{CountColumn, Crowd, Figure, Nature, Refused};
use crate::case::{Parameters, key::Key, keys};
use crate::system::System;

/// One handler faults, and all the others are called.
pub struct HandlerFault;

static KEYS: &[&Key] = &[
    &keys::CLIENT,
    &keys::SERVER,
    &handlers::SHAPE,
    &handlers::HANDLERS_PER_CPU,
    &FAULT,
    &keys::SERVER_PROGRAM,
];

static COLUMNS: [CountColumn; 4] = [
    CountColumn::early("calls served\nduring moves", Figure::AnsweredMeanwhile),
    CountColumn::early("calls\nfailed", Figure::Failed),
    CountColumn::late("threads\nended", Figure::PerLaunch("threads_ended")),
    CountColumn::late("CPUs\nstopped", Figure::PerLaunch("standstills")),
];

impl Workload for HandlerFault {
    fn name(&self) -> &'static str {
        "handler_fault"
    }

    fn sentence(&self) -> &'static str {
        "one handler faults, then all others are called"
    }

    fn round_trip(&self) -> &'static str {
        "a client on the first CPU has one handler (`crash`) fault under its call, then calls all the others; measured once in each guest"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["until_error"]
    }

    fn about_samples(&self) -> &'static str {
        "and counts of the calls to the others that were answered, and of those that failed"
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client → handlers"
    }

    fn nature(&self) -> Nature {
        Nature {
            measures_on_all_cpus: false,
            has_time_slices: false,
            is_measured_once: true,
            counts_other_calls: true,
            ..handlers::NATURE
        }
    }

    fn server_program(&self, _case: &Parameters) -> Option<&'static str> {
        Some(program::CRASH)
    }

    fn check(&self, case: &Parameters) -> Result<(), Refused> {
        handlers::check(case)
    }

    fn system(&self, case: &Parameters) -> System {
        handlers::system(self, case)
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        handler_fault::Arguments { handlers: handlers::count(case), fault: Fault::of_case(case) }.encode()
    }

    fn crowd(&self, case: &Parameters) -> Crowd {
        handlers::crowd(case)
    }

    fn columns(&self) -> &'static [CountColumn] {
        &COLUMNS
    }
}
