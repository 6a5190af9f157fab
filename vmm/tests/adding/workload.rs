//! A workload with two keys, at four places.

use crate::copy::{Patch, run_cases};
use crate::kvm::require_kvm;

pub const PATCH: &str = "docs/adding-a-workload.patch";

/// The places: a file for the host, one for the guest, an entry in the interface, a line in the registry.
#[test]
fn four_places_are_enough() {
    let patch = Patch::read(PATCH);
    let files: Vec<&str> = patch.places().iter().map(|(file, ..)| *file).collect();
    let places = [
        "abi/src/workload.rs",
        "guest-servers/src/client/burst.rs",
        "vmm/src/workload/burst.rs",
        "vmm/src/workload/mod.rs",
    ];
    assert_eq!(files, places);
    assert_eq!(patch.places()[3], (places[3], 2, 0), "the module, and a line in the registry");
}

/// Run with both keys as lists.
#[test]
#[ignore = "builds everything once more"]
fn it_is_built_and_run() {
    if !require_kvm() {
        return;
    }
    let ran = run_cases(
        "rows",
        "[[case]]\nworkload = \"burst\"\nclient = \"user\"\nserver = \"user\"\ncalls = [1, 3]\npause = [0, 2]\n\
         samples = 20\npcid = \"off\"\ntrace_round_trips = 2\n",
    );
    let expected = [(1, 0), (1, 2), (3, 0), (3, 2)];
    let expected =
        expected.map(|(calls, pause)| format!("burst/user-user/calls={calls}/pause={pause}/pcid=off"));
    assert_eq!(ran.names(), expected, "{}", ran.said);
    for (case, calls) in ran.cases().iter().zip([1, 1, 3, 3]) {
        // By the rule there are two loads to a call, and the kernel has counted as many.
        assert_eq!(case["expected"]["page_table_loads_per_round_trip"], 2 * calls, "{}", case["name"]);
        assert_eq!(case["expected"]["agrees"], true, "{}", case["name"]);
    }
    let csv = ran.file("results.csv");
    let columns: Vec<&str> = csv.lines().next().unwrap().split(',').collect();
    assert!(columns.contains(&"calls") && columns.contains(&"pause"), "{columns:?}");
    let table = ran.file("table.txt");
    assert!(table.contains("several calls in a row") && table.contains("pause"), "{table}");
}
