//! How long a call takes, where ticks are time.

use crate::case::keys;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::figure::{Definition, Figure};
use crate::report::html::intervals::{Intervals, Measured};
use crate::report::html::pick;
use crate::workload::Call;

pub(super) const FIGURE: Definition = Definition {
    name: "ipc-time",
    question: "How long does a call take, by the placement of client and server?",
    draw,
};

fn draw(run: &RunRecord) -> Option<Figure> {
    // A clock that counts instructions is no clock: what it says stands in the figure of counts.
    if run.host.tsc_counts_instructions {
        return None;
    }
    let is_plain = |case: &&CaseRecord| {
        let parameters = &case.parameters;
        parameters.number(&keys::WORDS) == Some(0)
            && parameters.guests.is_none()
            && !parameters.pcid
            && !parameters.has_32_bit()
    };
    let rows: Vec<Measured> = pick::cases(run, &Call).filter(is_plain).filter_map(row).collect();
    let of = |label: &str| Some(rows.iter().find(|row| row.label == label)?.median);
    let (kernel, user) = (of("user → kernel")?, of("user → user")?);
    let claim = format!(
        "A call into the kernel takes {:.2} times as long as one into another user space: {} and {} ticks",
        kernel / user,
        pick::ticks_text(run, kernel),
        pick::ticks_text(run, user)
    );
    let unit =
        format!("{}, median of all samples; band: 95 % interval; dots: launches", pick::tick_unit(run));
    Some(Figure { claim, notes: Vec::new(), plot: Box::new(Intervals { rows, unit }) })
}

fn row(case: &CaseRecord) -> Option<Measured> {
    let (median, interval) = pick::median(case, "round_trip")?;
    let (label, ink) = pick::by_placement(case);
    let launches = case.launches.iter().filter_map(|launch| launch.median_ticks.get("round_trip"));
    Some(Measured { label, ink, median, interval, launches: launches.map(|ticks| *ticks as f64).collect() })
}
