//! `README.md`, and the decisions that state path lengths.

use crate::document::{check, says};
use crate::sources::{IPC, Sources, path, stated};

#[test]
fn the_readme_says_what_the_runs_say() {
    let mut of = Sources::default();
    let mut row = |setting: &str, case: &str| {
        vec![of.loads(&IPC, &format!("call/{setting}/pcid=off")), path(&format!("{case}, 0 words"))]
    };
    let rows = [
        row("user-user/words=0", "user to user"),
        row("same-space/words=0", "same space"),
        row("user-kernel/words=0", "user to kernel"),
        row("kernel-kernel/words=0", "kernel to kernel"),
        row("user-kernel/words=0/transfer=direct", "user to kernel, direct"),
    ];
    let mut ended = |shape: &str| {
        let case = format!("handler_fault/user-user/page-fault/{shape}/handlers=47/pcid=off/vcpus=640");
        of.in_all(&["monolith-kvm-pvm"], &case, |case| case["counters"]["threads_ended"]["total"].as_u64())
    };
    assert_eq!(ended("natural"), 1, "only the server that faults dies");
    let handlers = ended("monolith");
    let vcpus = stated(640, "vmm/tests/guest/crowd.rs", "(640, 640 * HANDLERS_PER_CPU)");
    let per_cpu = stated(47, "vmm/tests/guest/crowd.rs", "const HANDLERS_PER_CPU: u32 = 47;");
    assert_eq!(handlers, vcpus * per_cpu);
    let threads = stated(3, "vmm/tests/guest/crowd.rs", "path(place, 1, 3)");
    let most = stated(64, "bench-config/scaling.toml", "64]");
    let limit = stated(1024, "bench-config/boot.toml", "--vcpus 1024");
    let [user, one_space, kernel, inside, direct] = rows;
    check(
        "README.md",
        0,
        &["2010", "2.0", "L4"],
        &[
            ("user → user | {} | {}", user),
            ("user → user, in one space | {} | {}", one_space),
            ("user → kernel | {} | {}", kernel),
            ("kernel → kernel | {} | {}", inside),
            ("thread | {} | {}", direct),
            ("{} threads on {} vCPUs and in one of {} threads", vec![handlers, vcpus, threads]),
            ("The talk counts {} handlers", vec![handlers]),
            ("Run 1 to {} vCPUs in a guest", vec![limit]),
            ("cost on 1 to {} vCPUs", vec![most]),
            ("What do {} handlers per CPU cost", vec![per_cpu]),
        ],
    );
}

#[test]
fn the_decisions_say_the_path_lengths_of_the_reference() {
    says(
        "docs/decisions/0016-every-thread-has-one-owner.md",
        "{} instructions between user spaces, {} within the kernel",
        &[path("user to user, 0 words"), path("kernel to kernel, 0 words")],
    );
    says(
        "docs/decisions/0016-every-thread-has-one-owner.md",
        "Two of the {},",
        &[path("user to user, 0 words")],
    );
}
