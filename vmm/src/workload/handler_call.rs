//! Clients on all CPUs call handlers in turn.

use abi::program;
use abi::workload::{Arguments, handler_call};

use super::{Workload, handlers};
use crate::case::workload::{Crowd, Nature, Refused};
use crate::case::{Parameters, key::Key};
use crate::system::System;

/// Clients on all CPUs call handlers in turn.
pub struct HandlerCall;

impl Workload for HandlerCall {
    fn name(&self) -> &'static str {
        "handler_call"
    }

    fn sentence(&self) -> &'static str {
        "a client on each CPU calls the handlers there in turn"
    }

    fn round_trip(&self) -> &'static str {
        "a client on each CPU calls the next one of the handlers there"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["round_trip"]
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
        handler_call::Arguments { handlers: handlers::per_cpu(case) }.encode()
    }

    fn crowd(&self, case: &Parameters) -> Crowd {
        handlers::crowd(case)
    }
}
