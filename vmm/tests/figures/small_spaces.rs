//! `docs/small-spaces.md`.

use abi::address::{REGION_SIZE, SLOT_COUNT};

use crate::document::check;
use crate::sources::{SCHEMES, Sources, small_slots, stated};

const PLACES: [&str; 3] = ["large", "small", "kernel"];

#[test]
fn small_spaces_are_compared_as_in_the_runs() {
    let mut of = Sources::default();
    let call = |server: &str| format!("call/large-{server}/words=0/pcid=off");
    let mut counts = |counter: &str| PLACES.map(|server| of.count(&SCHEMES, &call(server), counter)).to_vec();
    let [loads, flushes, segments] =
        ["page_table_loads", "tlb_full_flushes", "segment_loads"].map(&mut counts);
    let path = PLACES.map(|server| of.path_to(server)).to_vec();
    let all = PLACES.map(|server| of.traced(&SCHEMES, &call(server), "instructions")).to_vec();
    let misses = PLACES.map(|server| of.pentium_misses(&SCHEMES, &call(server))).to_vec();
    let touching = PLACES.map(|server| of.misses_with(server)).to_vec();
    let alternate =
        PLACES.map(|server| of.loads(&SCHEMES, &format!("alternate/large-{server}-large/pcid=off"))).to_vec();
    let mut gate = |run: &str, gate: &str| {
        of.traced(&[run], &format!("gates/large{gate}/pcid=off"), "path_instructions")
    };
    let gates =
        vec![gate(SCHEMES[1], ""), gate(SCHEMES[0], "/gate=sysenter"), gate(SCHEMES[1], "/gate=syscall")];
    let [of_smallest, smallest, of_largest, largest] = small_slots();
    let pages = of.remapped(SCHEMES[0], "large");
    let [large, elsewhere] = [SCHEMES[0], "migrate-kvm-pvm"].map(|run| of.remapped(run, "user"));
    assert_eq!(large, elsewhere, "pages that change where a server of 64 bits moves");
    let moves = stated(1000, "vmm/tests/guest/small_migration.rs", "[(1, 1000), (2, 1000)]");
    check(
        "docs/small-spaces.md",
        0,
        &["(1995)", "(2010)"],
        &[
            ("page-table loads | {} | {} | {}", loads),
            ("full flushes | {} | {} | {}", flushes),
            ("segment loads | {} | {} | {}", segments),
            ("instructions of kernel and stubs | {} | {} | {}", path),
            ("instructions, with the loops of both programs | {} | {} | {}", all),
            ("TLB misses on a modelled Pentium | {} | {} | {}", misses),
            ("touch 32 pages each | {} | {} | {}", touching),
            ("in turn | {} | {} | {}", alternate),
            ("takes {} instructions of kernel and stubs by INT, {} by SYSENTER, and {} by SYSCALL", gates),
            (
                "room for {} small servers of {} MiB, or {} of {} MiB,",
                vec![of_smallest, smallest, of_largest, largest],
            ),
            (
                "for {} servers of {} GiB in the kernel, of group 1",
                vec![SLOT_COUNT as u64, REGION_SIZE >> 30],
            ),
            ("a new limit and {} pages;", vec![pages]),
            ("and {} of its pages change", vec![large]),
            ("in {} moves under load", vec![moves]),
        ],
    );
}
