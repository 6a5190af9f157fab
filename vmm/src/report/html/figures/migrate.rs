//! How long a caller is without an answer while its server moves.

use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::bars::{Bar, Bars, Group, count, measured};
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::lines::{Axis, Lines, Point, Series};
use crate::report::html::pick;
use crate::report::html::theme::Ink;
use crate::report::html::timeline::{Row, Stretch, Timeline};
use crate::workload::Migrate;
use crate::workload::migration::{self, Flush, MIGRATION, Migration};

pub(super) const GAP: Definition = Definition {
    name: "migrate-gap",
    question: "How long is a caller without an answer while its server moves?",
    draw: gap,
};

pub(super) const PARTNERS: Definition = Definition {
    name: "migrate-partners",
    question: "What do a server's partners add when they move with it?",
    draw: partners,
};

fn moves(run: &RunRecord) -> impl Iterator<Item = &CaseRecord> {
    let is_plain = |case: &&CaseRecord| {
        !case.parameters.pcid
            && !case.parameters.has_32_bit()
            && migration::flush(&case.parameters) == Flush::Threshold
    };
    pick::cases(run, &Migrate).filter(is_plain)
}

fn by_method(case: &CaseRecord) -> (String, Ink) {
    match case.parameters.word(&MIGRATION) {
        Some(Migration::Group) => ("as a group".to_owned(), Ink::Path),
        Some(Migration::OneByOne) => ("one by one".to_owned(), Ink::Switch),
        Some(Migration::Relocate) => ("relocated".to_owned(), Ink::Slow),
        _ => ("stopped, started again".to_owned(), Ink::Other),
    }
}

fn gap(run: &RunRecord) -> Option<Figure> {
    let alone = |case: &&CaseRecord| {
        case.parameters.number(&migration::PARTNERS) == Some(0) && case.parameters.server_pages() == 0
    };
    let mut methods: Vec<(String, Ink, &CaseRecord)> = Vec::new();
    for case in moves(run).filter(alone) {
        let (label, ink) = by_method(case);
        // A group of one is one.
        if label != "as a group" && !methods.iter().any(|(known, ..)| *known == label) {
            methods.push((label, ink, case));
        }
    }
    let (_, _, in_place) = methods.iter().find(|(label, ..)| label == "one by one")?;
    let row = row("a server without partners, moved in place".to_owned(), in_place)?;
    let [gap_in, gap_out] =
        [1, 3].map(|index| row.stretches.get(index).map_or(0.0, |stretch| stretch.length));
    let unit = pick::tick_unit(run);
    let claim = format!(
        "While a server moves into the kernel, its caller is without an answer for {} {unit}, and on the way out for {}",
        pick::ticks_text(run, gap_in),
        pick::ticks_text(run, gap_out)
    );
    let text = if run.host.tsc_counts_instructions { count } else { measured };
    let mut panels: Vec<(String, Box<dyn Plot>)> =
        vec![(String::new(), Box::new(Timeline { rows: vec![row], unit: unit.to_owned(), text }))];
    let bars: Vec<Bar> = methods
        .iter()
        .filter_map(|(label, ink, case)| {
            let label = if label == "one by one" { "in place" } else { label };
            let (gap, _) = pick::median(case, "gap_in")?;
            Some(Bar { text: pick::ticks_text(run, gap), ..Bar::whole(label, *ink, gap, "") })
        })
        .collect();
    if bars.len() > 1 {
        let unit = format!("gap on the way in, {unit}");
        let groups = vec![Group { heading: String::new(), bars }];
        panels.push(("By the way of moving".to_owned(), Box::new(Bars { unit, groups, ..Bars::default() })));
    }
    let note = "Bars are calls that are answered. A gap is the move, which is its coloured part, and the first call after it.";
    Some(Figure { claim, notes: vec![note.to_owned()], plot: Box::new(Panels { panels, columns: 1 }) })
}

fn row(label: String, case: &CaseRecord) -> Option<Row> {
    let of = |channel: &str| Some(pick::median(case, channel)?.0);
    let call = |name: &str, channel: &str, ink| {
        Some(Stretch { name: name.to_owned(), length: of(channel)?, ink: Some(ink), first: None })
    };
    let gap = |name: &str, gap: &str, moved: &str| {
        Some(Stretch {
            name: name.to_owned(),
            length: of(gap)?,
            ink: None,
            first: Some((of(moved)?, "the move".to_owned())),
        })
    };
    let stretches = vec![
        call("in user space", "call_in_user", Ink::User)?,
        gap("gap", "gap_in", "move_in")?,
        call("in the kernel", "call_in_kernel", Ink::Kernel)?,
        gap("gap", "gap_out", "move_out")?,
    ];
    Some(Row { label, stretches })
}

fn partners(run: &RunRecord) -> Option<Figure> {
    let cases: Vec<&CaseRecord> = moves(run).filter(|case| case.name.starts_with("migrate/")).collect();
    let lines = |of: &dyn Fn(&CaseRecord) -> Option<Point>| {
        let mut series = pick::series(cases.iter().copied(), by_method, of);
        series.retain(|line| line.points.len() > 2);
        series
    };
    let point = |case: &CaseRecord, of: Option<f64>| {
        Some(Point::new(case.parameters.number(&migration::PARTNERS)? as f64, of?))
    };
    let gaps = lines(&|case| {
        let (y, interval) = pick::median(case, "gap_in")?;
        Some(Point { interval, ..point(case, Some(y))? })
    });
    let panel = |label: &str, series: &[Series]| {
        let x = Axis { ticks: pick::ticks(series), ..Axis::linear("partners that move with the server") };
        (String::new(), Box::new(Lines::new(x, Axis::linear(label), series.to_vec())) as Box<dyn Plot>)
    };
    let counter =
        |name: &'static str| lines(&move |case: &CaseRecord| point(case, case.without_preemption(name)));
    let [invlpgs, flushes] = ["invlpg", "tlb_full_flushes"].map(counter);
    let ends =
        |series: &[Series]| Some((pick::last(series, "one by one")?, pick::last(series, "as a group")?));
    let unit = pick::tick_unit(run);
    let (claim, panels) = match ends(&gaps) {
        Some((one, group)) => (
            format!(
                "With {} partners the gap on the way in is {} {unit} one by one, and {} as a group",
                count(one.x),
                pick::ticks_text(run, one.y),
                pick::ticks_text(run, group.y)
            ),
            vec![
                panel(&format!("gap on the way in, {unit}"), &gaps),
                panel("INVLPGs of a move in and out", &invlpgs),
            ],
        ),
        None => {
            let (one, group) = ends(&invlpgs)?;
            let claim = format!(
                "A server with {} partners takes {} INVLPGs to move in and out one by one, and {} as a group",
                count(one.x),
                count(one.y),
                count(group.y),
            );
            (
                claim,
                vec![
                    panel("INVLPGs of a move in and out", &invlpgs),
                    panel("full TLB flushes of the same", &flushes),
                ],
            )
        }
    };
    Some(Figure { claim, notes: Vec::new(), plot: Box::new(Panels { panels, columns: 2 }) })
}
