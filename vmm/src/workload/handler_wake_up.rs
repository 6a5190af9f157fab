//! Clients on all CPUs wake handlers of higher priority in turn.

use abi::program;
use abi::workload::{Arguments, handler_wake_up};

use super::{Workload, handlers};
use crate::case::workload::{Crowd, Nature, Refused};
use crate::case::{Parameters, key::Key};
use crate::system::System;

/// Clients on all CPUs notify handlers of higher priority in turn.
pub struct HandlerWakeUp;

impl Workload for HandlerWakeUp {
    fn name(&self) -> &'static str {
        "handler_wake_up"
    }

    fn sentence(&self) -> &'static str {
        "a client on each CPU wakes the handlers there in turn"
    }

    fn round_trip(&self) -> &'static str {
        "a client on each CPU notifies the next one of the handlers there, which has a higher priority and waits again"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["wake_up"]
    }

    fn about_samples(&self) -> &'static str {
        "of each client"
    }

    fn keys(&self) -> &'static [&'static Key] {
        handlers::KEYS
    }

    fn way(&self) -> &'static str {
        "client → handlers"
    }

    fn nature(&self) -> Nature {
        handlers::NATURE
    }

    fn server_program(&self, _case: &Parameters) -> Option<&'static str> {
        Some(program::NULL)
    }

    fn check(&self, case: &Parameters) -> Result<(), Refused> {
        handlers::check(case)
    }

    fn system(&self, case: &Parameters) -> System {
        handlers::system(self, case)
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        handler_wake_up::Arguments { handlers: handlers::per_cpu(case) }.encode()
    }

    fn crowd(&self, case: &Parameters) -> Crowd {
        handlers::crowd(case)
    }
}
