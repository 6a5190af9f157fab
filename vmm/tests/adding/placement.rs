//! A placement that is a new combination of properties: one entry, and a row of the docs.

use serde_json::Value;

use crate::copy::{Patch, run_cases};
use crate::kvm::require_kvm;

pub const PATCH: &str = "docs/adding-a-placement.patch";

#[test]
fn an_entry_and_a_row_are_enough() {
    let patch = Patch::read(PATCH);
    let entry = ("abi/src/placement.rs", 2, 0);
    assert_eq!(patch.places(), [entry, ("docs/experiment-files.md", 1, 0)], "a comment and a line; a row");
}

/// TLB entries that a round trip drops, by the model.
fn dropped(case: &Value) -> u64 {
    case["tlb_models"][0]["steady"]["entries_dropped"]
        .as_u64()
        .unwrap_or_else(|| panic!("{}", case["lenses"]))
}

/// It runs in ring 0 as `kernel` does, with the same loads, and loses its pages with each of them.
#[test]
#[ignore = "builds everything once more"]
fn it_is_what_its_entry_says() {
    if !require_kvm() {
        return;
    }
    let settings = "samples = 20\npcid = \"off\"\ntrace_round_trips = 3\ntlb_models = [\"zen3\"]\n";
    let ran = run_cases(
        "local",
        &format!(
            "[[case]]\nworkload = \"relay\"\nclient = \"user\"\nrelay = \"user\"\nserver = [\"kernel\", \"local\"]\n{settings}\
             [[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = [\"kernel\", \"local\"]\n{settings}\
             [[case]]\nname = \"direct\"\nworkload = \"call\"\nclient = \"user\"\nserver = \"local\"\n\
             transfer = \"direct\"\n{settings}"
        ),
    );
    let names = [
        "relay/user-user-kernel/pcid=off",
        "relay/user-user-local/pcid=off",
        "call/user-kernel/pcid=off",
        "call/user-local/pcid=off",
        "direct/user-local/transfer=direct/pcid=off",
    ];
    for (name, expected) in ran.names().iter().zip(names) {
        // A case's name may have the words of a call, too.
        assert_eq!(name.replace("/words=0", ""), expected, "{}", ran.said);
    }
    assert_eq!(ran.names().len(), names.len());
    let [relay_kernel, relay_local, call_kernel, call_local, direct] = ran.cases() else { unreachable!() };
    for (case, loads) in ran.cases().iter().zip([2, 2, 0, 0, 0]) {
        assert_eq!(case["expected"]["page_table_loads_per_round_trip"], loads, "{}", case["name"]);
        assert_eq!(case["expected"]["agrees"], true, "{}", case["name"]);
        let instructions = &case["lenses"]["trace"]["readings"][0]["counts"]["instructions"];
        assert!(instructions.as_u64() > Some(0), "{}", case["lenses"]);
    }
    let path = |case: &Value| case["lenses"]["trace"]["readings"][0]["counts"]["instructions"].clone();
    assert_eq!(path(relay_local), path(relay_kernel));
    assert_eq!(path(call_local), path(call_kernel));
    assert!(dropped(relay_local) > dropped(relay_kernel));
    // Without a load nothing is forgotten.
    assert_eq!([call_kernel, call_local, direct].map(dropped), [0; 3]);
}
