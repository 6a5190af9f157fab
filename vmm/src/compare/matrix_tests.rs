use super::*;
use crate::compare::times::tests::{SIX, run, slower_by};
use crate::record::run::CaseRecord;

const CALL: &str = "call/user-user/words=0/pcid=off";

fn case<'a>(run: &'a mut RunRecord, name: &str) -> &'a mut CaseRecord {
    run.cases.iter_mut().find(|case| case.name == name).unwrap()
}

fn load(run: &mut RunRecord, loads: f64) {
    case(run, CALL).counters.get_mut("page_table_loads").unwrap().per_round_trip = Some(loads);
}

#[test]
fn a_row_is_what_differs_in_any_run() {
    let first = run(&SIX);
    let [mut more, mut slower, mut lacks] = [run(&SIX), slower_by(1.05), run(&SIX)];
    load(&mut more, 3.0);
    slower.host = first.host.clone();
    lacks.cases.retain(|case| case.name != CALL);
    let matrix = matrix(&first, &[more, slower, lacks]);
    assert_eq!((matrix.runs.len(), matrix.comparisons.len()), (4, 3));
    let counts: Vec<&Row> = matrix.rows.iter().filter(|row| row.what == "page_table_loads").collect();
    let cells = [Cell::Same(2.0), Cell::Count(3.0), Cell::Same(2.0), Cell::Absent];
    assert_eq!((counts.len(), counts[0].case.as_str(), &counts[0].cells[..]), (1, CALL, &cells[..]));
    // All five cases are slower in the third run.
    let times: Vec<&Row> = matrix.rows.iter().filter(|row| row.what.ends_with(" ticks")).collect();
    assert_eq!(times.len(), 5);
    let of_call = times.iter().find(|row| row.case == CALL).unwrap();
    assert!(
        matches!(of_call.cells[..], [Cell::Ticks(_), Cell::Ticks(_), Cell::Ratio(ratio), Cell::Absent] if (ratio - 1.05).abs() < 1e-3),
        "{of_call:?}"
    );
    assert_eq!(matrix.rows.len(), 6);
    let text = text(&matrix, 120);
    for part in ["3 (+1)", "+5.00%", "–", "≈", "run 2: 1 of", "run 3: All", "run 4: All", "5 of 5 are slower"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(markdown(&matrix).contains("| 3 (+1) |"), "{}", markdown(&matrix));
}

#[test]
fn runs_of_the_same_have_no_row() {
    let matrix = matrix(&run(&SIX), &[run(&SIX), run(&SIX)]);
    assert_eq!(matrix.rows, []);
    assert!(text(&matrix, 120).contains("run 3: All"));
}
