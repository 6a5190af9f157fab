//! Checks of what CPUs do to each other.

use super::check::{Evidence, Finding};

/// The command that asks the same with programs that no release holds.
const IN_THE_SUITE: &str = "in the project's source, cargo test -p inkbed --test guest smp";

pub(super) fn shootdowns(evidence: &Evidence<'_>) -> Finding {
    if let Some(failure) = evidence.failure() {
        return failure;
    }
    let (flushes, stands) = (evidence.total("shootdowns"), evidence.total("standstills"));
    match flushes {
        0 => Finding::not_possible(format!(
            "no other CPU held a page of the servers that moved: {IN_THE_SUITE}"
        )),
        _ => Finding::agrees(format!(
            "{flushes} flushes for another CPU and {stands} standstills in {} round trips, and no call went wrong",
            evidence.round_trips()
        )),
    }
}

pub(super) fn remote_call(evidence: &Evidence<'_>) -> Finding {
    if let Some(failure) = evidence.failure() {
        return failure;
    }
    let (round_trips, remote, interrupts) =
        (evidence.round_trips(), evidence.total("ipc_remote"), evidence.total("ipis"));
    let found =
        format!("{remote} messages to another CPU and {interrupts} interrupts in {round_trips} round trips");
    if remote >= round_trips && interrupts > 0 { Finding::agrees(found) } else { Finding::differs(found) }
}
