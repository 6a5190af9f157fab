//! From how many pages on a full TLB flush beats INVLPG page by page.

use crate::case::keys;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::format;
use crate::report::html::bars::count;
use crate::report::html::figure::{Definition, Figure};
use crate::report::html::lines::{Axis, Form, Lines, Point, Series};
use crate::report::html::pick;
use crate::report::html::theme::Ink;
use crate::workload::Migrate;
use crate::workload::migration::{Flush, flush};

pub(super) const FIGURE: Definition = Definition {
    name: "flush-threshold",
    question: "From how many pages on does a full TLB flush beat INVLPG page by page?",
    draw,
};

fn draw(run: &RunRecord) -> Option<Figure> {
    let is_asked = run.cases.iter().any(|case| flush(&case.parameters) == Flush::ByPage);
    if !is_asked {
        return None;
    }
    // What the kernel measures by its own clock is time only where ticks are.
    let measured = run
        .cases
        .iter()
        .filter(|case| !case.ticks.is_empty())
        .find(|case| case.flush.as_ref().is_some_and(|flush| flush.measured && !flush.points.is_empty()));
    measured.and_then(curves).or_else(|| by_moves(run))
}

/// The two curves that a kernel measured at boot.
fn curves(case: &CaseRecord) -> Option<Figure> {
    let flush = case.flush.as_ref()?;
    let line = |name: &str, ink, of: fn(&crate::record::flush::FlushPoint) -> u32| Series {
        name: name.to_owned(),
        ink,
        points: flush
            .points
            .iter()
            .map(|point| Point::new(f64::from(point.pages), f64::from(of(point))))
            .collect(),
        form: Form::Marked,
        has_numbers: false,
    };
    let series = vec![
        line("page by page", Ink::Switch, |point| point.by_page_ticks),
        line("all at once", Ink::Path, |point| point.full_ticks),
    ];
    let threshold = flush.threshold_pages?;
    let claim = format!(
        "From {} pages on, this kernel flushes the whole TLB",
        format::grouped(u64::from(threshold) + 1)
    );
    let x = Axis { ticks: pick::ticks(&series), ..Axis::logarithmic("pages to forget") };
    let mut plot = Lines::new(x, Axis::logarithmic("ticks of the time-stamp counter"), series);
    plot.marks = vec![(f64::from(threshold), format!("threshold: {threshold} pages"))];
    Some(Figure { claim, notes: vec![flush.reason.clone() + "."], plot: Box::new(plot) })
}

/// What moves of a server take under each rule.
fn by_moves(run: &RunRecord) -> Option<Figure> {
    let cases: Vec<&CaseRecord> = pick::cases(run, &Migrate).filter(|case| !case.parameters.pcid).collect();
    let name = |case: &CaseRecord| match flush(&case.parameters) {
        Flush::ByPage => ("page by page".to_owned(), Ink::Switch),
        Flush::Full => ("all at once".to_owned(), Ink::Path),
        Flush::Threshold => ("by the threshold".to_owned(), Ink::Other),
    };
    let lines = |of: fn(&CaseRecord) -> Option<f64>| {
        pick::series(cases.iter().copied(), name, |case| {
            Some(Point::new(case.parameters.number(&keys::SERVER_PAGES)? as f64, of(case)?))
        })
    };
    let threshold =
        cases.iter().find_map(|case| case.flush.as_ref().filter(|flush| flush.threshold_pages.is_some()))?;
    let pages = threshold.threshold_pages?;
    let invlpgs = lines(|case| case.without_preemption("invlpg"));
    let most = pick::last(&invlpgs, "page by page")?;
    let gaps = lines(|case| Some(pick::median(case, "gap_in")?.0));
    let has_gaps = gaps.iter().any(|line| line.points.len() > 2);
    let (label, series) = match has_gaps {
        true => (format!("gap of a move in, {}", pick::tick_unit(run)), gaps),
        false => ("INVLPGs of a move in and out".to_owned(), invlpgs),
    };
    let claim = format!(
        "Above {} pages this kernel flushes the whole TLB, which at {} pages spares it {} INVLPGs",
        count(f64::from(pages)),
        count(most.x),
        count(most.y)
    );
    let x = Axis { ticks: pick::ticks(&series), ..Axis::logarithmic("pages of the server's working set") };
    let plot = Lines::new(x, Axis::logarithmic(label), series);
    let reason = format!("The threshold: {}.", threshold.reason);
    Some(Figure { claim, notes: vec![reason], plot: Box::new(plot) })
}
