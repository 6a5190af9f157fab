//! Why the kernel switched: what a round trip's messages take, which the rule of the resident space says exactly, and what
//! preemption and the life of servers add, which must be explained by what led to it.

use abi::report::{COUNTER_NAMES, Counters};

use crate::lens::agree::RULE;
use crate::lens::kernel;
use crate::machine::guest::GuestRun;
use crate::record::agreement::AgreementRecord;
use crate::system::System;

/// Page-table loads by messages alone, of a kernel with these counters.
pub fn loads_by_messages(count: impl Fn(&str) -> u64) -> u64 {
    let others =
        count("page_table_loads_by_preemption").saturating_add(count("page_table_loads_by_lifecycle"));
    count("page_table_loads").saturating_sub(others)
}

/// The same of a guest.
pub fn loads_of(run: &GuestRun) -> u64 {
    let counted = run.cpus.iter().fold(Counters::default(), |sum, cpu| sum.plus(&cpu.counted())).values();
    let place = |name: &str| COUNTER_NAMES.iter().position(|known| *known == name);
    loads_by_messages(|name| place(name).map_or(0, |place| counted[place]))
}

/// What must be true of everything but the messages in a regular case: nothing starts or moves in a way that makes the kernel
/// switch, and each switch of preemption goes back to a turn that the timer took away. Only what is not zero has a row.
pub fn agreements(system: &System, count: impl Fn(&str) -> u64, round_trips: u64) -> Vec<AgreementRecord> {
    if !system.is_regular || round_trips == 0 {
        return Vec::new();
    }
    let preemptions = count("preemptions");
    let switches = count("context_switches_by_preemption");
    // A turn that was taken away visits each other thread once at most, and comes back.
    let most = preemptions.saturating_mul(system.thread_count());
    let loads = system.page_table_loads_within(switches);
    let rows = [
        // A timer interrupt takes one turn away, or none.
        ("preemptions", preemptions, 0, count("timer_interrupts")),
        ("thread switches by preemption", switches, preemptions.min(most), most),
        (
            "page-table loads by preemption",
            count("page_table_loads_by_preemption"),
            *loads.start(),
            *loads.end(),
        ),
        ("thread switches by lifecycle", count("context_switches_by_lifecycle"), 0, 0),
        ("page-table loads by lifecycle", count("page_table_loads_by_lifecycle"), 0, 0),
    ];
    let row = |(what, counted, least, most): (&str, u64, u64, u64)| {
        let rule = counted.clamp(least, most);
        let quotient = counted as f64 / round_trips as f64;
        (counted != 0 || rule != 0).then(|| {
            AgreementRecord::new(what, &[(kernel::NAME, counted), (RULE, rule)], round_trips, quotient)
        })
    };
    rows.into_iter().filter_map(row).collect()
}

#[cfg(test)]
#[path = "cause_tests.rs"]
mod tests;
