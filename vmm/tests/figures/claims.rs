//! `docs/deck-claims.md`.

use abi::address::{HOME_COUNT, REGION_SIZE, SLOT_COUNT, SLOTS_PER_TOP_ENTRY};
use abi::flush::{DEFAULT_PAGES, POINT_COUNT};
use abi::plan::PARTNERS_MAX;

use crate::document::check;
use crate::sources::{IPC, SCHEMES, Sources, path, small_slots, stated};

/// Those that the table does not say as a figure.
#[test]
fn what_the_claims_say_without_a_figure_is_so() {
    let mut of = Sources::default();
    let user_user = "call/user-user/words=0/pcid=off";
    let loads = of.loads(&IPC, user_user);
    assert_eq!(of.count(&IPC, user_user, "tlb_full_flushes"), loads, "each load flushes");
    let tagged = "call/user-user/words=0/pcid=on";
    assert_eq!(of.loads(&IPC[1..2], tagged), loads, "there are as many with tags");
    assert_eq!(of.count(&IPC[1..2], tagged, "page_table_loads_preserving_tlb"), loads, "each keeps the TLB");
    let [to_small, to_kernel] =
        ["small", "kernel"].map(|server| format!("call/large-{server}/words=0/pcid=off"));
    for counter in ["page_table_loads", "tlb_full_flushes"] {
        assert_eq!(of.count(&SCHEMES, &to_small, counter), of.count(&SCHEMES, &to_kernel, counter));
    }
    assert_eq!(of.count(&SCHEMES, &to_kernel, "segment_loads"), 0, "the kernel takes none");
    let failed = |of: &mut Sources, method: &str| {
        let case = format!("migrate-under-load-methods/user/pages=0/partners=0/{method}/pcid=off");
        of.in_all(&["migrate-kvm-pvm"], &case, |case| case["other_calls"]["failed"]["total"].as_u64())
    };
    assert_eq!(["one-by-one", "relocate"].map(|method| failed(&mut of, method)), [0, 0]);
    assert_ne!(failed(&mut of, "restart"), 0);
}

#[test]
fn the_claims_say_what_the_runs_say() {
    let mut of = Sources::default();
    let call = |of: &mut Sources, places: &str| of.loads(&IPC, &format!("call/{places}/words=0/pcid=off"));
    let [user_user, user_kernel, kernel_user, kernel_kernel] =
        ["user-user", "user-kernel", "kernel-user", "kernel-kernel"].map(|places| call(&mut of, places));
    assert_eq!([kernel_user, kernel_kernel], [user_kernel; 2]);
    let alternate = ["user-kernel-user", "user-user-user"]
        .map(|places| of.loads(&IPC, &format!("alternate/{places}/pcid=off")));
    let chain = [0, 1, 2, 3]
        .map(|moved| of.loads(&["chain-kvm-pvm"], &format!("chain/user/servers=3/moved={moved}/pcid=off")));
    let mut of_replay = |recording: &str| {
        [0, 3].map(|servers| {
            of.loads(&["programs-kvm-pvm"], &format!("replay/user/{recording}/in-kernel={servers}/pcid=off"))
        })
    };
    let programs = ["sqlite", "redis", "nginx"].map(&mut of_replay).concat();
    let start = ["user", "kernel"].map(|server| {
        of.count(&["slots-kvm-pvm"], &format!("slots/user-{server}/servers=1/pcid=off"), "frames_taken")
    });
    assert_eq!(start[0], start[1], "a start takes the same in both");
    let pages = of.remapped("migrate-kvm-pvm", "user");
    let natural = "handler_call/user-user/natural/handlers=47/pcid=off/vcpus=640";
    let handlers = of.in_all(&["monolith-kvm-pvm"], natural, |case| {
        let parameter = |name: &str| case["parameters"][name].as_u64();
        Some(parameter("handlers_per_cpu")? * parameter("vcpus")?)
    });
    let guests = of.in_all(&["density-kvm-pvm"], "call/user-user/words=0/pcid=off/guests=64", |case| {
        case["density"]["guests"].as_u64()
    });
    let moves = stated(1000, "vmm/tests/guest/migration.rs", "[(1, 1000), (2, 1000)");
    stated(moves, "vmm/tests/guest/small_migration.rs", "[(1, 1000), (2, 1000)]");
    stated(moves, "vmm/tests/guest/migration.rs", "scenario::MIGRATE_COUNTER, 1000)");
    let at_once = stated(1030, "vmm/tests/guest/lifecycle.rs", "const COUNT: u64 = 1_030;");
    let crowds = [1, 10, 100, 1000];
    stated(1000, "vmm/tests/guest/trace.rs", "[1, 10, 100, 1_000].map(instructions)");
    let turns = stated(5, "guest-kernel/src/arch/x86_64/flush.rs", "const TURNS: usize = 5;");
    let region = REGION_SIZE >> 30;
    let (slots, partners) = (SLOT_COUNT as u64, PARTNERS_MAX as u64);
    let [of_smallest, smallest, of_largest, largest] = small_slots();

    let mut expected = vec![
        ("True without PCIDs: {} loads per call,", vec![user_user]),
        ("with all {} handlers", vec![handlers]),
        ("in up to {} guests at once", vec![guests]),
        ("in the kernel: {} loads per call", vec![user_kernel]),
        (
            "takes {} instructions of kernel and stubs. With both ends in the kernel it takes {}",
            vec![path("user to user, 0 words"), path("kernel to kernel, 0 words")],
        ),
        ("room for {} servers of {} MiB, or {} of {} MiB", vec![of_smallest, smallest, of_largest, largest]),
        ("Every slot has {} GiB", vec![region]),
        ("In {} moves under load", vec![moves]),
        ("True: {} loads per call. Between two user spaces there are {}.", vec![user_kernel, user_user]),
        ("True: {} loads.", vec![kernel_kernel]),
        (
            "True: {} loads per round trip, the switches between the two clients. With the server in user space there are {}.",
            alternate.to_vec(),
        ),
        ("moves {} times in place", vec![moves]),
        ("Every region has {} GiB", vec![region]),
        (
            "There are {} slots, {} to a top-level entry. A test has {} servers",
            vec![slots, SLOTS_PER_TOP_ENTRY as u64, at_once],
        ),
        ("the same instructions with {}, {}, {} and {} servers", crowds.to_vec()),
        ("instructions, IPCs and loads with {}, {}, {} and {} servers", crowds.to_vec()),
        ("have slots of {} to {} MiB", vec![smallest, largest]),
        ("takes {} frames, page tables included", vec![start[0]]),
        ("in {} pages of the smallest server", vec![pages]),
        ("There are {} slots and {} homes, of {} GiB each", vec![slots, HOME_COUNT as u64, region]),
        ("{} servers move with one system call", vec![partners + 1]),
        ("the last {} trusted partners", vec![partners]),
        ("takes {}, {}, {} and {} loads as its servers move in", chain.to_vec()),
        ("SQLite's {} page-table loads become {}, redis's {} become {}, and nginx's {} become {}.", programs),
        ("Elsewhere it is {},", vec![DEFAULT_PAGES.into()]),
        (
            "in the kernel have {} GiB. Slots of small spaces, for 32-bit programs, have {} to {} MiB",
            vec![region, smallest, largest],
        ),
        ("True: {} GiB.", vec![region]),
        ("measures {} numbers of pages, {} times each", vec![POINT_COUNT as u64, turns]),
    ];
    expected.extend(of_small_spaces(&mut of));
    check("docs/deck-claims.md", 2, &[], &expected);
}

/// What the claims say of small spaces.
fn of_small_spaces(of: &mut Sources) -> Vec<(&'static str, Vec<u64>)> {
    let mut count = |case: &str, counter: &str| of.count(&SCHEMES, &format!("{case}/pcid=off"), counter);
    let (call, relay) = ("call/large-small/words=0", "relay/large-small-small/words=0");
    let one = ["page_table_loads", "tlb_full_flushes", "segment_loads"].map(|counter| count(call, counter));
    let two = ["page_table_loads", "segment_loads"].map(|counter| count(relay, counter));
    let alternate = ["small", "large"]
        .map(|server| count(&format!("alternate/large-{server}-large"), "page_table_loads"));
    let segments = one[2];
    let path = ["kernel", "small", "large"].map(|server| of.path_to(server));
    let misses = ["kernel", "small"].map(|server| of.misses_with(server));
    let slot_sizes = ["", "/slot=4M", "/slot=8M", "/slot=16M", "/slot=32M", "/slot=64M"];
    let medians = slot_sizes
        .map(|slot| of.median(SCHEMES[0], &format!("slots-call/large-small/words=0{slot}/pcid=off")));
    assert!(medians.iter().all(|median| *median == medians[0]), "{medians:?}");
    let pages = ["large", "user"].map(|client| of.remapped(SCHEMES[0], client));
    vec![
        ("and back: {} loads, {} flushes, {} segment loads. ", one.to_vec()),
        ("Through two small spaces: {} loads, {} segment loads.", two.to_vec()),
        (
            "take {} loads per round trip, and {} if the server has a large space. The {} are",
            vec![alternate[0], alternate[1], alternate[0]],
        ),
        ("with {} segment loads per call", vec![segments]),
        ("{} of its pages change on each way, and {} of a 64-bit server", pages.to_vec()),
        (
            "a call takes {} instructions of kernel and stubs with the server in the kernel, {} with it in a small space, and {} with",
            path.to_vec(),
        ),
        (
            "Where both touch {} pages, the modelled Pentium misses {} times with the kernel, and {} times",
            vec![32, misses[0], misses[1]],
        ),
        ("the same {} instructions in each size", vec![medians[0]]),
    ]
}
