//! What a call costs by the placement of client and server.

use crate::case::keys;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::format;
use crate::report::html::bars::{Bar, Bars, Group, count};
use crate::report::html::figure::{Definition, Figure};
use crate::report::html::pick::{self, Measure};
use crate::system::placement::Placement;
use crate::workload::Call;

pub(super) const FIGURE: Definition = Definition {
    name: "ipc-path",
    question: "What does a call cost, by the placement of client and server?",
    draw,
};

fn draw(run: &RunRecord) -> Option<Figure> {
    let calls: Vec<&CaseRecord> = cases(run).collect();
    if calls.len() < 2 || calls.iter().any(|case| case.parameters.has_32_bit()) {
        return None;
    }
    let measure = pick::instructions(run).unwrap_or(Measure {
        unit: "page tables loaded in one round trip, by the kernel's counters",
        noun: "page-table loads",
        of: pick::loads,
    });
    let counts_loads = measure.noun == "page-table loads";
    let groups = pick::by_pcid(calls.iter().copied());
    let groups = groups.into_iter().map(|(heading, mut cases)| {
        cases.sort_by(|one, other| {
            (measure.of)(other).partial_cmp(&(measure.of)(one)).unwrap_or(std::cmp::Ordering::Equal)
        });
        let bar = |case: &&CaseRecord| {
            let remark = if counts_loads { String::new() } else { pick::loads_remark(case) };
            let (label, ink) = (format::placements(&case.parameters), pick::ink(&case.parameters));
            Some(Bar::whole(label, ink, (measure.of)(case)?, remark))
        };
        Group { heading: heading.to_owned(), bars: cases.iter().filter_map(bar).collect() }
    });
    let bars = Bars { unit: measure.unit.to_owned(), groups: groups.collect(), ..Bars::default() };
    if bars.groups.iter().all(|group| group.bars.is_empty()) {
        return None;
    }
    let loads = if counts_loads {
        None
    } else {
        Some("Loads: page tables that one call and its answer load.".to_owned())
    };
    Some(Figure {
        claim: claim(&calls, &measure, counts_loads)?,
        notes: loads.into_iter().collect(),
        plot: Box::new(bars),
    })
}

/// Calls without a message.
fn cases(run: &RunRecord) -> impl Iterator<Item = &CaseRecord> {
    let is_plain = |case: &&CaseRecord| {
        case.parameters.number(&keys::WORDS) == Some(0) && case.parameters.guests.is_none()
    };
    pick::cases(run, &Call).filter(is_plain)
}

fn claim(calls: &[&CaseRecord], measure: &Measure, counts_loads: bool) -> Option<String> {
    let into = |placement| {
        calls.iter().find(|case| {
            let parameters = &case.parameters;
            let is_plain =
                !parameters.same_space && parameters.transfer == crate::case::parameter::Transfer::Switch;
            parameters.client == Placement::User && parameters.server == Some(placement) && is_plain
        })
    };
    let (kernel, user) = (into(Placement::Kernel)?, into(Placement::User)?);
    let cost = |case: &CaseRecord| {
        let loads = pick::page_tables(pick::loads(case)?);
        match (measure.of)(case).filter(|_| !counts_loads) {
            Some(number) => Some(format!("loads {loads} and takes {} {}", count(number), measure.noun)),
            None => Some(format!("loads {loads}")),
        }
    };
    Some(format!("A call into the kernel {}; a call into another user space {}", cost(kernel)?, cost(user)?))
}
