//! Working sets: what a switch costs beyond itself.

use abi::program;
use abi::workload::{Arguments, touch};

use super::{Workload, parts};
use crate::case::parameter::Transfer;
use crate::case::workload::Refused;
use crate::case::{Parameters, key::Key, keys};
use crate::system::System;

/// Client and server touch pages of their own between two calls.
pub struct Touch;

static KEYS: &[&Key] = &[
    &keys::SAME_SPACE,
    &keys::CLIENT,
    &keys::SERVER,
    &keys::TRANSFER,
    &keys::WORDS,
    &keys::PAGES,
    &keys::CLIENT_PAGES,
    &keys::SERVER_PAGES,
    &keys::SERVER_PROGRAM,
];

impl Workload for Touch {
    fn name(&self) -> &'static str {
        "touch"
    }

    fn sentence(&self) -> &'static str {
        "client and server touch pages, one call between"
    }

    fn round_trip(&self) -> &'static str {
        "the client touches its pages, then calls; the server (`touch`) touches its own before it answers with what it was asked"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["round_trip"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client → server"
    }

    fn server_program(&self, _case: &Parameters) -> Option<&'static str> {
        Some(program::TOUCH)
    }

    fn check(&self, case: &Parameters) -> Result<(), Refused> {
        if case.transfer == Transfer::Direct && case.number(&keys::WORDS) > Some(0) {
            let message = "the entry function of `touch` answers with an empty message";
            let fix = "put `transfer = \"direct\"` into a [[case]] of its own without `words`, or use `workload = \"call\"`";
            return Err(Refused::at(&keys::TRANSFER, message, fix));
        }
        Ok(())
    }

    fn system(&self, case: &Parameters) -> System {
        parts::client_and_server(self, case)
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        touch::Arguments {
            pages: case.client_pages().into(),
            direct: u64::from(case.transfer == Transfer::Direct),
            words: case.number(&keys::WORDS).unwrap_or(0),
        }
        .encode()
    }
}
