//! The keys that all workloads have, and those that several of them share.

mod effort;
mod guest;
mod placement;
mod shared;

pub use effort::{DEADLINE_SECONDS, LAUNCHES, SAMPLES, SECONDS, TLB_MODELS, TRACE_ROUND_TRIPS, WARM_UP};
pub use guest::{GATE, GUESTS, HUGE_PAGES, MEMORY, PCID, SLOT_SIZE, VCPUS};
pub use placement::{
    CLIENT, CLIENT_ARGUMENTS, CLIENT_PROGRAM, GROUPS, NAME, OTHER_CLIENT, RELAY, SAME_SPACE, SERVER,
    SERVER_ARGUMENTS, SERVER_PROGRAM, TRANSFER, WORKLOAD,
};
pub use shared::{CLIENT_PAGES, PAGES, SERVER_PAGES, SERVERS, WORDS};

use super::key::{InName, Key};
use super::parameters::Parameters;

/// Keys of every case whose workload does not matter, in the order in which the docs show them.
pub static OF_ALL: [&Key; 20] = [
    &SECONDS,
    &SAMPLES,
    &WARM_UP,
    &LAUNCHES,
    &TRACE_ROUND_TRIPS,
    &TLB_MODELS,
    &DEADLINE_SECONDS,
    &VCPUS,
    &MEMORY,
    &HUGE_PAGES,
    &GUESTS,
    &PCID,
    &WORKLOAD,
    &NAME,
    &SLOT_SIZE,
    &GATE,
    &GROUPS,
    &CLIENT_PROGRAM,
    &CLIENT_ARGUMENTS,
    &SERVER_ARGUMENTS,
];

/// `words=4`: the part of a name that every case with the key has.
pub const fn numbered(order: u16) -> Option<InName> {
    Some(InName { order, text: named })
}

fn named(key: &Key, case: &Parameters) -> Option<String> {
    Some(keyed(key, &written(key, case)?))
}

/// `page-fault`: the value alone, where it says enough.
pub const fn bare(order: u16) -> Option<InName> {
    Some(InName { order, text: written })
}

/// `flush=full`, but where it is the usual value.
pub const fn unusual(order: u16) -> Option<InName> {
    Some(InName {
        order,
        text: |key, case| {
            key.get(case).filter(|value| Some(*value) != key.default_value())?;
            Some(keyed(key, &written(key, case)?))
        },
    })
}

fn keyed(key: &Key, value: &str) -> String {
    format!("{}={value}", key.name.replace('_', "-"))
}

fn written(key: &Key, case: &Parameters) -> Option<String> {
    key.get(case).map(|value| key.kind.text(value).replace('_', "-"))
}

/// The cell of a column that shows the value in words.
pub fn spaced(key: &Key, case: &Parameters) -> String {
    key.text(case).replace('_', " ")
}
