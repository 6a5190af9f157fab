//! A lens that looks at guests while they run, at two places and a row of the docs.

use serde_json::{Value, json};

use crate::copy::{Patch, Ran, run_cases};
use crate::kvm::require_kvm;

pub const PATCH: &str = "docs/adding-a-lens.patch";

#[test]
fn a_file_and_a_line_are_enough() {
    let patch = Patch::read(PATCH);
    let places = patch.places();
    let files: Vec<&str> = places.iter().map(|(file, ..)| *file).collect();
    assert_eq!(files, ["docs/lenses.md", "vmm/src/lens/mod.rs", "vmm/src/lens/turns.rs"]);
    assert_eq!(places[0], (files[0], 1, 0), "its row");
    assert_eq!(places[1], (files[1], 2, 0), "the module, and a line in the registry");
}

/// The comparison of thread switches in the case of a run.
fn switches(ran: &Ran) -> &Value {
    let agreements = ran.cases()[0]["agreements"].as_array().unwrap();
    agreements.iter().find(|row| row["what"] == "thread switches").unwrap_or_else(|| panic!("{}", ran.said))
}

/// It counts in each guest, in processes of their own too, and what it counts is compared.
#[test]
#[ignore = "builds everything once more"]
fn it_agrees_where_it_should() {
    if !require_kvm() {
        return;
    }
    let case = "[[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\nsamples = 20\nlaunches = 2\n\
                pcid = \"off\"\n";
    let ran = run_cases("turns", &format!("{case}trace_round_trips = 2\n"));
    let lens = &ran.cases()[0]["lenses"]["turns"];
    let round_trips = ran.cases()[0]["round_trips"].as_u64().unwrap();
    // Two launches, each with half of the round trips and two switches in each of these.
    assert_eq!(lens["readings"], json!([round_trips, round_trips]), "{lens}");
    let counts = &switches(&ran)["counts"];
    let expected = 2 * round_trips;
    assert_eq!(counts, &json!({ "kernel": expected, "trace": expected, "turns": expected }));
    assert_eq!(switches(&ran)["agrees"], true);
    let crowd = run_cases("crowd", &format!("{case}guests = 2\n"));
    let lens = &crowd.cases()[0]["lenses"]["turns"];
    assert_eq!(lens["readings"].as_array().map(Vec::len), Some(4), "{lens}\n{}", crowd.said);
}

/// A relay takes four switches: the case fails, and the message names the lens that is wrong.
#[test]
#[ignore = "builds everything once more"]
fn a_lens_that_is_wrong_fails_the_case() {
    if !require_kvm() {
        return;
    }
    let ran = run_cases(
        "relay",
        "[[case]]\nworkload = \"relay\"\nclient = \"user\"\nrelay = \"user\"\nserver = \"user\"\nsamples = 20\n\
         pcid = \"off\"\ntrace_round_trips = 2\n",
    );
    assert!(!ran.is_success);
    assert_eq!(switches(&ran)["agrees"], false);
    assert!(
        ran.said.contains("check turns: whether a round trip of this workload is one call"),
        "{}",
        ran.said
    );
}
