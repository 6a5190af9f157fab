//! Tests of the report for people.

use super::super::relate::relate;
use super::super::tests::run_record;
use super::*;

fn run() -> RunRecord {
    let mut run = run_record();
    relate(&mut run);
    run
}

#[test]
fn the_table_is_what_it_was() {
    let expected = "\
";
    let text = render(&run(), FILE_WIDTH);
    assert_eq!(text, expected, "\n{text}");
}
