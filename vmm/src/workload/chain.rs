//! Servers that move into the kernel one by one: what each of them saves.

use abi::address::HOME_COUNT;
use abi::program;
use abi::workload::{Arguments, chain};

use super::{Workload, parts};
use crate::case::key::{Absent, Heading, Key, Kind};
use crate::case::value::Value;
use crate::case::workload::{Crowd, Moves, Nature, Refused};
use crate::case::{Parameters, keys};
use crate::system::System;

/// A call through a chain of servers, the first of which have moved into the kernel.
pub struct Chain;

const MOST: fn(&crate::case::key::Scope) -> (i64, &'static str) =
    |_| (HOME_COUNT as i64, "the most servers that may migrate in one system");

/// Servers of the chain. The talk speaks of A, B and C.
static SERVERS: Key = Key {
    kind: Kind::Number(1, MOST),
    absent: Absent::Number(3),
    help: "servers of the chain",
    ..keys::SERVERS
};

/// Of these, the first that have moved into the kernel.
pub static MOVED: Key = Key {
    name: "moved",
    kind: Kind::Number(0, MOST),
    // Whoever moves by itself is not moved.
    absent: Absent::Of(|case| match case.number(&PROMOTE_AFTER) {
        Some(_) => None,
        None => Some(Value::Number(0)),
    }),
    if_absent: "0",
    values: "0 … `servers`",
    help: "how many of these servers have moved into the kernel, from the first on",
    order: 140,
    in_name: keys::numbered(140),
    column: Some(Heading::plain("servers\nmoved", 610, true)),
    ..Key::USUAL
};

/// Messages after which a server moves into the kernel by itself.
pub static PROMOTE_AFTER: Key = Key {
    name: "promote_after",
    kind: Kind::Number(1, |_| (u32::MAX as i64, "more than any case needs")),
    values: "1 … `warm_up`",
    help: "messages after which each server has proved stable and moves into the kernel by itself, with its partners; instead of \
           `moved`",
    order: 200,
    in_name: keys::numbered(200),
    column: Some(Heading::plain("messages before\npromotion", 660, true)),
    ..Key::USUAL
};

static KEYS: &[&Key] = &[&keys::CLIENT, &SERVERS, &PROMOTE_AFTER, &MOVED];

impl Workload for Chain {
    fn name(&self) -> &'static str {
        "chain"
    }

    fn sentence(&self) -> &'static str {
        "a call through a chain of servers that move into the kernel one by one"
    }

    fn round_trip(&self) -> &'static str {
        "client → A → B → … and back; the servers start in user space, the first `moved` have migrated into the kernel"
    }

    fn channels(&self) -> &'static [&'static str] {
        &["round_trip"]
    }

    fn keys(&self) -> &'static [&'static Key] {
        KEYS
    }

    fn way(&self) -> &'static str {
        "client"
    }

    fn nature(&self) -> Nature {
        Nature { moves: Moves::Before, ..Nature::USUAL }
    }

    fn check(&self, case: &Parameters) -> Result<(), Refused> {
        let after = case.number(&PROMOTE_AFTER);
        if case.number(&MOVED) > case.number(&SERVERS) {
            let message = "more servers are to move than the chain has";
            return Err(Refused::at(&MOVED, message, "raise `servers`, or lower `moved`"));
        }
        if after.is_some() && case.number(&MOVED).is_some() {
            let message = "servers that move into the kernel by themselves are not moved";
            return Err(Refused::at(&PROMOTE_AFTER, message, "remove `moved`"));
        }
        if let Some(messages) = after.filter(|messages| *messages > case.warm_up) {
            let message =
                format!("the servers have had {} messages when the measured part begins", case.warm_up);
            let fix = format!("raise `warm_up` to {messages} or more, or lower `promote_after`");
            return Err(Refused::at(&PROMOTE_AFTER, message, fix));
        }
        if after.is_some() && case.has_32_bit() {
            let message = "servers for 32 bits move into no kernel, neither by order nor by themselves";
            let fix = "use `client = \"user\"` with `promote_after`, or `moved` with `client = \"large\"`";
            return Err(Refused::at(&PROMOTE_AFTER, message, fix));
        }
        Ok(())
    }

    /// client → A → B → … and back.
    fn system(&self, case: &Parameters) -> System {
        let servers = case.number(&SERVERS).unwrap_or(0) as usize;
        let moved = case.number(&MOVED).unwrap_or(0) as usize;
        let promote_after = case.number(&PROMOTE_AFTER);
        let mut system = parts::system(self, case);
        system.client().may_call = vec![1.into()];
        for index in 1..=servers {
            let is_in = index <= moved || promote_after.is_some();
            let (program, next) = match index < servers {
                true => (program::RELAY, vec![(index + 1).into()]),
                false => (program::NULL, Vec::new()),
            };
            let server = parts::add_moving(&mut system, program, is_in, next);
            system.participants[server].promote_after = promote_after.unwrap_or(0) as u32;
        }
        system.way = (0..=servers).chain((0..servers).rev()).collect();
        system
    }

    fn arguments(&self, case: &Parameters) -> Arguments {
        chain::Arguments { moved: case.number(&MOVED).unwrap_or(0) }.encode()
    }

    /// Servers that move by themselves have moved by then.
    fn settles_after(&self, case: &Parameters) -> u64 {
        case.number(&PROMOTE_AFTER).unwrap_or(0)
    }

    fn crowd(&self, case: &Parameters) -> Crowd {
        Crowd { servers: case.number(&SERVERS).unwrap_or(0), threads: 0 }
    }

    /// Whoever moves by itself stays where it is without the number.
    fn compared_with(&self, case: &mut Parameters) {
        if case.number(&MOVED).or(case.number(&PROMOTE_AFTER)).is_some() {
            case.settings.remove(&PROMOTE_AFTER);
            MOVED.set(case, Value::Number(0));
        }
    }
}
