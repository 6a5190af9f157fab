use std::path::Path;

use super::*;
use crate::host::Timing;
use crate::record::store::read_record;

fn reference() -> RunRecord {
    read_record(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/ipc-kvm-pvm")).unwrap()
}

#[test]
fn every_figure_is_read_and_has_its_source() {
    let rows: Result<Vec<Peer>, _> = csv::Reader::from_reader(FILE.as_bytes()).into_deserialize().collect();
    let rows = rows.unwrap();
    assert_eq!(rows, *ALL);
    assert!(rows.len() > 15);
    for row in &rows {
        assert!(row.source.starts_with("https://") && !row.how.is_empty() && row.value < 10_000, "{row:?}");
        let twice = |other: &&Peer| {
            (&other.kernel, &other.case, other.words, other.figure)
                == (&row.kernel, &row.case, row.words, row.figure)
        };
        assert_eq!(rows.iter().filter(twice).count(), 1, "{row:?}");
    }
}

/// The page for people has the same figures.
#[test]
fn the_docs_have_the_figures_of_the_file() {
    let docs = include_str!("../../../docs/peers.md");
    let value = |kernel: &str, case: &str, figure: Figure| {
        let mut rows = ALL.iter();
        let row = rows
            .find(|row| row.kernel == kernel && row.case == case && row.figure == figure && row.words < 2);
        grouped(row.unwrap_or_else(|| panic!("{kernel}, {case}")).value)
    };
    let instructions = |kernel, case| value(kernel, case, Figure::Instructions);
    let loads = |kernel, case| value(kernel, case, Figure::PageTableLoads);
    let ticks = |case: &str| value("seL4", case, Figure::Ticks);
    for (row, kernel, case) in [
        ("| seL4 16.0, two spaces, fast path |", "seL4", "two spaces, fast path"),
        ("| seL4 16.0, one space, fast path |", "seL4", "one space, fast path"),
        ("| NOVA 24.08, portal call, two spaces, 1 word |", "NOVA", "portal call, two spaces"),
        ("| NOVA 24.08, portal call, one space, 1 word |", "NOVA", "portal call, one space"),
    ] {
        let line = docs.lines().find(|line| line.starts_with(row)).unwrap_or_else(|| panic!("{row}"));
        let cells = format!("| {} | {} |", instructions(kernel, case), loads(kernel, case));
        assert!(line.contains(&cells), "{line}: {cells}");
    }
    assert!(docs.contains(&format!(
        "| L4Re, two tasks, one way doubled | | {} |",
        instructions("L4Re", "two tasks, one way doubled")
    )));
    for processor in ["i7-4770", "i7-6700"] {
        let [two, one] =
            ["two spaces", "one space"].map(|spaces| ticks(&format!("{spaces}, Intel {processor}")));
        let line = docs.lines().find(|line| line.starts_with(&format!("| Intel {processor}"))).unwrap();
        assert!(line.contains(&format!("| {two} | {one} |")), "{line}");
    }
}

#[test]
fn counts_stand_beside_counts_and_times_beside_times_only() {
    let mut run = reference();
    let counted = beside(&run);
    let call = |beside: &Beside| {
        let mut own = beside.own.iter();
        own.find(|own| own.case == "call/user-user/words=0/pcid=off").unwrap().clone()
    };
    assert_eq!(call(&counted).page_table_loads, Some(2.0));
    assert_eq!(call(&counted).instructions, Some(227.0));
    assert_eq!(call(&counted).ticks, None);
    assert!(counted.peers.iter().all(|peer| peer.figure != Figure::Ticks));
    assert!(counted.own.iter().all(|own| !own.case.contains("words=512")), "nobody else has so many words");
    let shown = text(&counted, 200);
    assert!(shown.contains("415") && !shown.contains("1,300"), "{shown}");
    assert!(
        shown.contains("Times of other kernels are not shown, because this run has none: ring 0"),
        "{shown}"
    );

    run.cases.iter_mut().for_each(|case| case.timing = Timing::Valid);
    let timed = beside(&run);
    assert!(call(&timed).ticks.is_some() && timed.no_times.is_none());
    let shown = markdown(&timed);
    assert!(
        shown.contains("1,300 | published") && shown.contains("ticks") && !shown.contains("not shown"),
        "{shown}"
    );

    run.cases.iter_mut().for_each(|case| case.lenses.clear());
    assert!(text(&beside(&run), 200).contains("trace_round_trips=4"));
}
