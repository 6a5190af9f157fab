use std::path::Path;

use roxmltree::{Document, Node};

use super::*;
use crate::compare::compare;
use crate::record::store::read_record;

const CALL: &str = "call/user-user/words=0/pcid=off";

fn reference() -> RunRecord {
    read_record(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../results/ipc-kvm-pvm")).unwrap()
}

/// The XML of a comparison with these conditions.
fn xml(first: &RunRecord, second: &RunRecord, conditions: &[&str]) -> String {
    let conditions: Vec<Condition> = conditions.iter().map(|text| text.parse().unwrap()).collect();
    junit(first, &[compare(first, second)], &conditions).unwrap()
}

fn named<'a>(document: &'a Document, name: &str) -> Node<'a, 'a> {
    let mut cases = document.descendants().filter(|node| node.has_tag_name("testcase"));
    cases.find(|case| case.attribute("name") == Some(name)).unwrap_or_else(|| panic!("{name}"))
}

fn child<'a>(node: Node<'a, 'a>, tag: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|child| child.has_tag_name(tag))
}

#[test]
fn what_is_met_is_a_failure_and_what_is_open_an_error() {
    let (first, mut second) = (reference(), reference());
    let set = |run: &mut RunRecord, name: &str, loads: Option<f64>| {
        let case = run.cases.iter_mut().find(|case| case.name == name).unwrap();
        match loads {
            Some(loads) => case.counters.get_mut("page_table_loads").unwrap().per_round_trip = Some(loads),
            None => _ = case.counters.remove("page_table_loads"),
        }
    };
    const LACKS: &str = "call/user-kernel/words=0/pcid=off";
    set(&mut second, CALL, Some(3.0));
    set(&mut second, LACKS, None);
    let text = xml(&first, &second, &["page_table_loads>0", "ticks>2%"]);
    let document = Document::parse(&text).unwrap();
    let failure = child(named(&document, CALL), "failure").unwrap();
    assert_eq!(failure.attribute("message"), Some("page_table_loads>0: 3 instead of 2"));
    // What else cannot be told is in its text.
    assert!(failure.text().unwrap().contains("ticks>2%: cannot be told, ticks are no time"), "{text}");
    assert!(child(named(&document, CALL), "system-out").unwrap().text().unwrap().contains("(+1)"));
    let error = child(named(&document, LACKS), "error").unwrap();
    assert!(error.attribute("message").unwrap().contains("the second run did not count it"), "{text}");
    let suites = document.root_element();
    assert_eq!(suites.attribute("failures"), Some("1"));
    let cases = suites.descendants().filter(|node| node.has_tag_name("testcase")).count();
    assert_eq!(cases, first.cases.len());
}

#[test]
fn without_conditions_nothing_fails_and_differences_are_told() {
    let (mut first, mut second) = (reference(), reference());
    second
        .cases
        .iter_mut()
        .find(|case| case.name == CALL)
        .unwrap()
        .counters
        .get_mut("ipc_slow")
        .unwrap()
        .per_round_trip = Some(1.0);
    let several = "several <CPUs> & guests";
    for run in [&mut first, &mut second] {
        run.cases[0].name = several.to_owned();
        run.cases[0].parameters.vcpus = 2;
    }
    let text = xml(&first, &second, &[]);
    let document = Document::parse(&text).unwrap();
    let suites = document.root_element();
    assert_eq!((suites.attribute("failures"), suites.attribute("errors")), (Some("0"), Some("0")));
    assert!(child(named(&document, CALL), "system-out").is_some());
    let skipped = child(named(&document, several), "skipped").unwrap();
    assert!(skipped.attribute("message").unwrap().contains("several CPUs"), "{text}");
    // What no case has is an error of its own.
    let mut untraced = first.clone();
    untraced.cases.iter_mut().for_each(|case| case.lenses.clear());
    let text = xml(&untraced, &untraced, &["instructions>0"]);
    assert!(child(named(&Document::parse(&text).unwrap(), "instructions>0"), "error").is_some(), "{text}");
}
