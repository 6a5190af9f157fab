//! Tests of the expansion and of what it refuses.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::case::seconds::Seconds;
use crate::workload::handlers::{self, HANDLERS_PER_CPU};

const HEAD: &str = "# Why?\nname = \"x\"\nquestion = \"Why?\"\n";

fn limits() -> Limits {
    Limits { pcid: Err("the guest's CPU has no PCIDs".to_owned()), vcpus_max: 8, ..Limits::any_host() }
}

fn expand_text(rest: &str, overrides: &Overrides, limits: &Limits) -> Result<Experiment, ConfigError> {
    let file = ExperimentFile::parse(Path::new("x.toml"), format!("{HEAD}{rest}"))?;
    expand(&file, overrides, limits)
}

fn names(rest: &str) -> Vec<String> {
    let experiment = expand_text(rest, &Overrides::default(), &limits()).unwrap();
    experiment.cases.into_iter().map(|case| case.name).collect()
}

/// The line of the error and what it says to do.
fn refused(rest: &str) -> (usize, String) {
    let error = expand_text(rest, &Overrides::default(), &limits()).expect_err("should be refused");
    (error.place.map_or(0, |place| place.line), format!("{} | {}", error.message, error.fix))
}

#[test]
fn lists_multiply_and_names_are_stable() {
    let rest =
        "[[case]]\nworkload = \"call\"\nclient = [\"user\", \"kernel\"]\nserver = \"user\"\nwords = [0, 4]\n";
    assert_eq!(
        names(rest),
        [
            "call/user-user/words=0/pcid=off",
            "call/user-user/words=4/pcid=off",
            "call/kernel-user/words=0/pcid=off",
            "call/kernel-user/words=4/pcid=off",
        ]
    );
}

#[test]
fn each_workload_has_its_own_name_and_programs() {
    let rest = "[[case]]\nworkload = \"relay\"\nclient = \"user\"\nrelay = \"kernel\"\nserver = \"user\"\nwords = 4\n\
                [[case]]\nworkload = \"alternate\"\nclient = \"user\"\nserver = \"kernel\"\n\
                [[case]]\nworkload = \"touch\"\nclient = \"user\"\nserver = \"kernel\"\npages = 16\n\
                [[case]]\nworkload = \"touch\"\nclient = \"user\"\nserver = \"kernel\"\nclient_pages = 1\nserver_pages = 2\n\
                [[case]]\nworkload = \"call\"\nsame_space = true\nvcpus = 2\n\
                [[case]]\nworkload = \"call\"\nname = \"mine\"\nclient = \"user\"\nserver = \"user\"\nserver_program = \"counter\"\n\
                [[case]]\nworkload = \"empty\"\nclient = \"kernel\"\n";
    let experiment = expand_text(rest, &Overrides::default(), &limits()).unwrap();
    let names: Vec<_> = experiment.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "relay/user-kernel-user/words=4/pcid=off",
            "alternate/user-kernel-user/pcid=off",
            "touch/user-kernel/pages=16/pcid=off",
            "touch/user-kernel/pages=1+2/pcid=off",
            "call/same-space/words=0/pcid=off/vcpus=2",
            "mine/user-user/words=0/pcid=off/program=counter",
            "empty/kernel/pcid=off",
        ]
    );
    let programs: Vec<_> =
        experiment.cases.iter().map(|case| case.parameters.server_program.as_deref()).collect();
    let expected =
        [Some("echo"), Some("null"), Some("touch"), Some("touch"), Some("null"), Some("counter"), None];
    assert_eq!(programs, expected);
}

/// A list of arguments is of one case; it is in the name, and in the plan of who it is for.
#[test]
fn programs_of_ones_own_are_told_what_the_file_says() {
    let case =
        "[[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = [\"user\", \"large\"]\nwords = [1, 2]\n";
    let mine = "client_program = \"asker\"\nclient_arguments = [7, 8]\nserver_program = \"mine\"\nserver_arguments = [3, 0, 5]\n";
    let mut here = limits();
    here.programs.extend(["asker".to_owned(), "mine".to_owned()]);
    let text = format!("{case}{mine}");
    let error = expand_text(&text, &Overrides::default(), &here).unwrap_err();
    assert!(error.message.contains("`mine` cannot run in `large`"), "{error}");
    assert!(error.fix.contains("`mine-32`"), "{}", error.fix);
    let case = case.replace("[\"user\", \"large\"]", "\"user\"");
    let experiment = expand_text(&format!("{case}{mine}"), &Overrides::default(), &here).unwrap();
    let names: Vec<_> = experiment.cases.iter().map(|case| case.name.as_str()).collect();
    let rest = "pcid=off/client-program=asker/client-arguments=7+8/program=mine/server-arguments=3+0+5";
    assert_eq!(names, [1, 2].map(|words| format!("call/user-user/words={words}/{rest}")));
    let system = experiment.cases[1].parameters.system();
    let [client, server] = system.participants.as_slice() else { panic!("two programs") };
    assert_eq!((client.program.as_str(), server.program.as_str()), ("asker", "mine"));
    assert_eq!(abi::workload::own(&client.arguments), [7, 8, 0, 0, 0, 0, 0]);
    assert_eq!(server.arguments[..4], [3, 0, 5, 0]);
    let json = serde_json::to_string(&experiment.cases[1].parameters).unwrap();
    let read: crate::case::Parameters = serde_json::from_str(&json).unwrap();
    assert_eq!(read, experiment.cases[1].parameters);
}

#[test]
fn a_workload_without_a_server_has_no_arguments_for_one() {
    let (line, text) = refused("[[case]]\nworkload = \"empty\"\nclient = \"user\"\nserver_arguments = [1]\n");
    assert_eq!(line, 7, "{text}");
    assert!(text.contains("this workload has no `server_program`"), "{text}");
}

#[test]
fn a_direct_transfer_is_in_the_name() {
    let rest = "[[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"kernel\"\ntransfer = [\"switch\", \"direct\"]\n";
    let expected = ["call/user-kernel/words=0/pcid=off", "call/user-kernel/words=0/transfer=direct/pcid=off"];
    assert_eq!(names(rest), expected);
}

#[test]
fn defaults_fill_in_and_the_command_line_overrides_both() {
    let rest = "[defaults]\nsamples = 5\nvcpus = [1, 2]\n[[case]]\nworkload = \"empty\"\nclient = \"user\"\nwarm_up = 7\n";
    let plain = expand_text(rest, &Overrides::default(), &limits()).unwrap();
    assert_eq!(plain.cases.len(), 2);
    assert_eq!((plain.cases[1].parameters.samples, plain.cases[1].parameters.vcpus), (5, 2));
    let overrides = Overrides::default().with(&keys::WARM_UP, 1u32).with(&keys::VCPUS, 4u32);
    let changed = expand_text(rest, &overrides, &limits()).unwrap();
    assert_eq!(changed.cases.len(), 1);
    assert_eq!((changed.cases[0].parameters.warm_up, changed.cases[0].parameters.vcpus), (1, 4));
}

#[test]
fn pcid_follows_the_hardware() {
    let rest = "[[case]]\nworkload = \"empty\"\nclient = \"user\"\n";
    let without = expand_text(rest, &Overrides::default(), &limits()).unwrap();
    assert_eq!((without.cases.len(), without.absent.len()), (1, 1));
    assert!(without.absent[0].reason.contains("no PCIDs"));
    let hardware = Limits { pcid: Ok(()), ..limits() };
    let with = expand_text(rest, &Overrides::default(), &hardware).unwrap();
    assert_eq!(with.cases.iter().map(|case| case.parameters.pcid).collect::<Vec<_>>(), [false, true]);
    assert!(with.absent.is_empty());
}

#[test]
fn pcid_on_without_hardware_says_so() {
    let (line, text) =
        refused("[[case]]\nworkload = \"empty\"\nclient = \"user\"\npcid = [\"off\", \"on\"]\n");
    assert_eq!(line, 7);
    assert!(text.contains("has no PCIDs") && text.contains("\"auto\""), "{text}");
    let overrides = Overrides::default().with(&keys::PCID, Value::Choice(2));
    assert!(
        expand_text("[[case]]\nworkload = \"empty\"\nclient = \"user\"\n", &overrides, &limits()).is_err()
    );
}

#[test]
fn impossible_values_are_refused_where_they_stand() {
    let call = "[[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\n";
    let cases = [
        ("words = [0, 513]\n", 8, "from 0 to 512"),
        ("words = -1\n", 8, "from 0 to 512"),
        ("words = []\n", 8, "at least one value"),
        ("samples = 0\n", 8, "from 1 to"),
        ("vcpus = 9\n", 8, "from 1 to 8"),
        ("launches = 0\n", 8, "from 1 to"),
        ("deadline_seconds = 0\n", 8, "from 1 to 86400"),
        ("memory = \"1M\"\n", 8, "17M or more"),
        ("memory = \"2T\"\n", 8, "511G"),
        ("memory = \"lots\"\n", 8, "64M"),
        ("pages = 4\n", 8, "has no `pages`"),
        ("relay = \"user\"\n", 8, "has no `relay`"),
        ("server_program = \"ecko\"\n", 8, "did you mean `echo`?"),
        ("client_program = \"mine\"\n", 8, "--servers DIR"),
        ("client_program = 4\n", 8, "no text"),
        ("server_arguments = [1]\n", 8, "`server_arguments` needs `server_program`"),
        ("client_arguments = 1\n", 8, "`client_arguments` needs `client_program`"),
        ("server_program = \"echo\"\nserver_arguments = [1, -1]\n", 9, "negative"),
        ("server_program = \"echo\"\nserver_arguments = [\"1\"]\n", 9, "write numbers"),
        ("server_program = \"echo\"\nserver_arguments = [0,0,0,0,0,0,0,0,0,0,0,0,0]\n", 9, "at most 12"),
        ("client_program = \"client\"\nclient_arguments = [0,0,0,0,0,0,0,0]\n", 9, "at most 7"),
        ("name = \"a b\"\n", 8, "letters, digits"),
    ];
    for (line_of_text, line, expected) in cases {
        let (at, text) = refused(&format!("{call}{line_of_text}"));
        assert_eq!(at, line, "{line_of_text}: {text}");
        assert!(text.contains(expected), "{line_of_text}: {text}");
    }
}

#[test]
fn impossible_combinations_are_refused() {
    let kernel = "[[case]]\nworkload = \"call\"\nclient = [\"user\", \"kernel\"]\nserver = \"user\"\nsame_space = true\n";
    assert_eq!(refused(kernel).0, 8);
    assert!(refused("[[case]]\nworkload = \"call\"\nclient = \"user\"\n").1.contains("server"));
    assert!(refused("[[case]]\nworkload = \"empty\"\n").1.contains("client"));
    let relay = "[[case]]\nworkload = \"relay\"\nclient = \"user\"\nserver = \"user\"\n";
    assert!(refused(relay).1.contains("relay"));
    let twice =
        "[[case]]\nworkload = \"touch\"\nclient = \"user\"\nserver = \"user\"\npages = 1\nclient_pages = 2\n";
    assert!(refused(twice).1.contains("given twice"));
    let direct = "[[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = [\"kernel\", \"user\"]\ntransfer = \"direct\"\n";
    assert_eq!(refused(direct).0, 8);
    let long = "[[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"kernel\"\nwords = 8\ntransfer = \"direct\"\n";
    assert_eq!(refused(long).0, 9);
    assert!(refused("").1.contains("no case"));
}

#[test]
fn migrations_and_chains_that_make_no_sense_are_refused() {
    let migrate = "[[case]]\nworkload = \"migrate\"\nclient = \"user\"\n";
    for method in ["relocate", "restart"] {
        let alone = format!("{migrate}migration = \"{method}\"\n");
        assert_eq!(names(&alone), [format!("migrate/user/pages=0/partners=0/{method}/pcid=off")]);
        let (line, text) = refused(&format!("{alone}partners = [0, 2]\n"));
        assert!(line == 7 && text.contains("without `partners`"), "{line}: {text}");
    }
    assert!(refused(&format!("{migrate}partners = 17\n")).1.contains("0 to 16"));
    let chain = "[[case]]\nworkload = \"chain\"\nclient = \"user\"\nservers = 2\nmoved = 3\n";
    assert!(refused(chain).1.contains("lower `moved`"));
}

#[test]
fn crowds_have_names_and_memory_for_all_of_them() {
    let scaling = "[[case]]\nworkload = \"scaling\"\nclient = \"user\"\nserver = \"kernel\"\nvcpus = 4\n";
    assert_eq!(
        names(&format!("{scaling}serving = [\"pairs\", \"per_cpu\"]\n")),
        ["scaling/user-kernel/pairs/pcid=off/vcpus=4", "scaling/user-kernel/per-cpu/pcid=off/vcpus=4"]
    );
    let handlers = "[[case]]\nworkload = \"handler_call\"\nclient = \"user\"\nserver = \"user\"\nvcpus = 8\nshape = [\"monolith\", \"natural\"]\nhandlers_per_cpu = 3760\n";
    let limits = limits();
    let cases = expand_text(handlers, &Overrides::default(), &limits).unwrap().cases;
    assert_eq!(cases[1].name, "handler_call/user-user/natural/handlers=3760/pcid=off/vcpus=8");
    for case in &cases {
        assert_eq!(handlers::count(&case.parameters), 30_080);
        assert!(case.parameters.memory_bytes >= 200 << 20);
        // Each of the threads that measure leaves its samples.
        assert_eq!(case.parameters.sample_count(), 8 * case.parameters.samples);
    }
    let overrides = Overrides::default().with(&HANDLERS_PER_CPU, 3u32).with(&keys::VCPUS, 2u32);
    let cases = expand_text(handlers, &overrides, &limits).unwrap().cases;
    assert_eq!(handlers::count(&cases[0].parameters), 6);
    let fault = "[[case]]\nworkload = \"handler_fault\"\nclient = \"user\"\nserver = \"user\"\n";
    let cases = expand_text(fault, &Overrides::default(), &limits).unwrap().cases;
    assert_eq!((cases[0].parameters.warm_up, cases[0].parameters.samples), (0, 1));
}

#[test]
fn crowds_that_make_no_sense_are_refused() {
    let scaling = "[[case]]\nworkload = \"scaling\"\nclient = \"user\"\nserver = \"user\"\n";
    let (line, text) = refused(&format!("{scaling}vcpus = [2, 1]\nserving = \"across\"\n"));
    assert!(line == 9 && text.contains("needs two of them"), "{line}: {text}");
    let handlers =
        "[[case]]\nworkload = \"handler_call\"\nclient = \"user\"\nserver = \"kernel\"\nvcpus = 8\n";
    let (line, text) = refused(&format!("{handlers}handlers_per_cpu = 4093\n"));
    assert!(line == 9 && text.contains("32744") && text.contains("most threads"), "{line}: {text}");
    let (_, text) = refused(&format!("{handlers}shape = \"natural\"\nhandlers_per_cpu = 3841\n"));
    assert!(text.contains("slots of the kernel"), "{text}");
    let fault = "[[case]]\nworkload = \"handler_fault\"\nclient = \"user\"\nserver = \"user\"\nsamples = 2\n";
    let (line, text) = refused(fault);
    assert!(line == 8 && text.contains("`launches`"), "{line}: {text}");
    assert!(refused(&format!("{scaling}handlers_per_cpu = 2\n")).1.contains("has no `handlers_per_cpu`"));
    assert!(refused(&format!("{handlers}serving = \"pairs\"\n")).1.contains("has no `serving`"));
}

#[test]
fn policies_that_would_never_act_are_refused() {
    let faults = "[[case]]\nworkload = \"faults\"\nclient = \"user\"\n";
    let names =
        names(&format!("{faults}server = \"kernel\"\nfault = \"write_code\"\ndemote_after = [1, 2]\n"));
    assert_eq!(names[1], "faults/user-kernel/write-code/demote-after=2/pcid=off");
    let in_user = format!("{faults}server = [\"kernel\", \"user\"]\ndemote_after = 2\n");
    assert!(refused(&in_user).1.contains("only faults in the kernel"));
    assert!(refused(&format!("{faults}server = \"kernel\"\ndemote_after = 0\n")).1.contains("from 1 to"));
    let chain = "[[case]]\nworkload = \"chain\"\nclient = \"user\"\nwarm_up = 4\n";
    assert!(refused(&format!("{chain}promote_after = 5\n")).1.contains("raise `warm_up` to 5"));
    assert!(refused(&format!("{chain}promote_after = 4\nmoved = [0, 1]\n")).1.contains("remove `moved`"));
    assert!(
        refused(&format!("{faults}server = \"user\"\npromote_after = 4\n")).1.contains("no `promote_after`")
    );
}

#[test]
fn the_same_case_twice_is_refused() {
    let empty = "[[case]]\nworkload = \"empty\"\nclient = \"user\"\n";
    let (line, text) = refused(&format!("{empty}{empty}"));
    assert_eq!(line, 7);
    assert!(text.contains("appears twice"), "{text}");
}

#[test]
fn values_of_the_command_line_are_checked_too() {
    let rest = "[[case]]\nworkload = \"empty\"\nclient = \"user\"\n";
    let overrides = Overrides::default().with(&keys::SAMPLES, 0u32);
    let error = expand_text(rest, &overrides, &limits()).unwrap_err();
    assert_eq!(error.file, None);
    assert!(error.fix.contains("from 1 to"));
}

proptest! {
    #[test]
    fn the_number_of_cases_is_the_product(words in prop::collection::btree_set(0u64..=512, 1..5),
                                          clients in 1usize..=2, servers in 1usize..=2, vcpus in 1usize..=3) {
        let placements = ["\"user\"", "\"kernel\""];
        let text = format!(
            "[[case]]\nworkload = \"call\"\nclient = [{}]\nserver = [{}]\nwords = {:?}\nvcpus = {:?}\n",
            placements[..clients].join(", "), placements[..servers].join(", "),
            words.iter().collect::<Vec<_>>(), (1..=vcpus).collect::<Vec<_>>(),
        );
        let experiment = expand_text(&text, &Overrides::default(), &limits()).unwrap();
        prop_assert_eq!(experiment.cases.len(), words.len() * clients * servers * vcpus);
        let names: BTreeSet<_> = experiment.cases.iter().map(|case| case.name.clone()).collect();
        prop_assert_eq!(names.len(), experiment.cases.len());
    }

    #[test]
    fn no_text_panics(text in "(?s).{0,200}") {
        let _ = expand_text(&text, &Overrides::default(), &limits());
    }
}

/// A call with these placements, and more keys.
fn scheme(client: &str, server: &str, rest: &str) -> String {
    format!("[[case]]\nworkload = \"call\"\nclient = {client}\nserver = {server}\nwords = 0\n{rest}")
}

#[test]
fn slots_and_gates_multiply_only_what_has_them() {
    let case = scheme(
        "\"large\"",
        "[\"large\", \"small\", \"kernel\"]",
        "slot_size = [\"2M\", \"64M\"]\ngate = [\"int\", \"sysenter\"]",
    );
    assert_eq!(
        names(&case),
        [
            "call/large-large/words=0/pcid=off",
            "call/large-large/words=0/gate=sysenter/pcid=off",
            "call/large-small/words=0/pcid=off",
            "call/large-small/words=0/gate=sysenter/pcid=off",
            "call/large-small/words=0/slot=64M/pcid=off",
            "call/large-small/words=0/slot=64M/gate=sysenter/pcid=off",
            "call/large-kernel/words=0/pcid=off",
            "call/large-kernel/words=0/gate=sysenter/pcid=off",
        ]
    );
}

#[test]
fn a_server_gets_the_smallest_slot_that_it_fits_in() {
    let slot = |pages: u32| {
        let case = format!(
            "[[case]]\nworkload = \"touch\"\nclient = \"large\"\nserver = \"small\"\npages = {pages}\n"
        );
        let experiment = expand_text(&case, &Overrides::default(), &limits()).unwrap();
        experiment.cases[0].parameters.slot_bytes.unwrap() >> 20
    };
    assert_eq!([0, 32, 512, 15_000].map(slot), [2, 2, 4, 64]);
    let case = "[[case]]\nworkload = \"touch\"\nclient = \"large\"\nserver = \"small\"\n";
    let (line, text) = refused(&format!("{case}pages = 512\nslot_size = \"2M\"\n"));
    assert!(line == 8 && text.contains("4M or more"), "{line} {text}");
    let (line, text) = refused(&format!("{case}pages = 20000\n"));
    assert!(line == 8 && text.contains("`large` or `kernel`"), "{line} {text}");
}

/// Each error names what is wrong and the way out.
#[test]
fn what_the_schemes_do_not_have_is_refused_with_the_fix() {
    let cases = [
        (scheme("\"user\"", "\"small\"", ""), 6, "64-bit program", "client = \"large\""),
        (scheme("\"small\"", "\"small\"", ""), 6, "samples do not fit", "client = \"large\""),
        (scheme("\"large\"", "\"kernel\"", "transfer = \"direct\""), 6, "direct transfer", "of its own"),
        (scheme("\"large\"", "\"small\"", "slot_size = \"3M\""), 9, "no slots of 3M", "2M, 4M, 8M"),
        (scheme("\"large\"", "\"large\"", "slot_size = \"4M\""), 9, "small spaces", "server = \"small\""),
        (scheme("\"user\"", "\"kernel\"", "gate = \"int\""), 9, "32 bits", "remove `gate`"),
        (scheme("\"large\"", "\"small\"", "gate = \"sysenterr\""), 9, "sysenterr", "did you mean `sysenter`"),
        (scheme("\"large\"", "\"small\"", "tlb_models = \"zen5\"\ntrace_round_trips = 4"), 9, "zen5", "zen4"),
        (
            scheme("\"large\"", "\"small\"", "tlb_models = \"zen4\""),
            9,
            "none are traced",
            "trace_round_trips",
        ),
        (
            "[[case]]\nworkload = \"scaling\"\nclient = \"large\"\nserver = \"small\"\n".to_owned(),
            6,
            "has no placement `large`",
            "`user` and `kernel`",
        ),
        (
            "[[case]]\nworkload = \"migrate\"\nclient = \"large\"\nmigration = \"group\"\n".to_owned(),
            7,
            "one by one",
            "of their own",
        ),
        (
            "[[case]]\nworkload = \"reach\"\nclient = \"large\"\nserver = \"small\"\ntarget = \"kernel\"\n"
                .to_owned(),
            8,
            "no address of 32 bits",
            "`\"kernel\"`",
        ),
        (
            "[[case]]\nworkload = \"reach\"\nclient = \"user\"\nserver = \"large\"\ntarget = \"client\"\n"
                .to_owned(),
            8,
            "64-bit client's memory",
            "`client = \"large\"`",
        ),
        (
            "[[case]]\nworkload = \"reach\"\nclient = \"large\"\nserver = \"small\"\nserver_program = \"null\"\n"
                .to_owned(),
            8,
            "has no `server_program`",
            "remove `server_program`",
        ),
        (
            "[[case]]\nworkload = \"chain\"\nclient = \"large\"\npromote_after = 2\n".to_owned(),
            7,
            "no kernel",
            "`moved`",
        ),
    ];
    for (case, expected_line, message, fix) in cases {
        let (line, text) = refused(&case);
        assert!(text.contains(message) && text.contains(fix), "{case}\n{text}");
        assert_eq!(line, expected_line, "{case}\n{text}");
    }
}

/// Where segments are not honoured the other cases run, and each that cannot is named with the reason.
#[test]
fn cases_without_their_segments_are_unavailable() {
    let case = scheme("[\"large\", \"kernel\"]", "\"kernel\"", "gate = \"syscall\"")
        + "\n"
        + &scheme("\"user\"", "\"kernel\"", "");
    let limits = Limits { segments: Err("no bases".to_owned()), ..limits() };
    let experiment = expand_text(&case, &Overrides::default(), &limits).unwrap();
    let names: Vec<&str> = experiment.cases.iter().map(|case| case.name.as_str()).collect();
    assert_eq!(names, ["call/kernel-kernel/words=0/pcid=off", "call/user-kernel/words=0/pcid=off"]);
    let what = "call/large-kernel/words=0/gate=syscall/pcid=off".to_owned();
    assert_eq!(experiment.unavailable, [Absent { what, reason: "no bases".to_owned() }]);
}

#[test]
fn gates_that_the_cpu_lacks_are_left_out_or_refused() {
    let lacking = BTreeMap::from([(Gate::Sysenter, "AMD has none".to_owned())]);
    let limits = Limits { missing_gates: lacking, ..limits() };
    let all = scheme("\"large\"", "\"small\"", "gate = \"all\"");
    let experiment = expand_text(&all, &Overrides::default(), &limits).unwrap();
    let gates: Vec<_> = experiment.cases.iter().map(|case| case.parameters.gate).collect();
    assert_eq!(gates, [Some(Gate::Int), Some(Gate::Syscall)]);
    assert_eq!(experiment.absent.iter().filter(|absent| absent.what.contains("sysenter")).count(), 1);
    let one = scheme("\"large\"", "\"small\"", "gate = \"sysenter\"");
    let error = expand_text(&one, &Overrides::default(), &limits).unwrap_err();
    assert!(error.message.contains("AMD has none") && error.fix.contains("\"all\""), "{error}");
}

/// A trace is of round trips, and nothing is repeated after a wild read.
#[test]
fn what_is_measured_once_is_not_traced() {
    let case = "[defaults]\ntrace_round_trips = 4\ntlb_models = \"zen4\"\n\
                [[case]]\nworkload = \"reach\"\nclient = \"large\"\nserver = \"small\"\n";
    let experiment = expand_text(case, &Overrides::default(), &limits()).unwrap();
    let parameters = &experiment.cases[0].parameters;
    assert_eq!((parameters.trace_round_trips, parameters.samples), (0, 1));
    assert!(parameters.tlb_models.is_empty());
}

/// As the client is built, so is who stands for another one.
#[test]
fn the_other_client_is_built_as_the_client_is() {
    let case = |client: &str, rest: &str| {
        format!("[[case]]\nworkload = \"alternate\"\nclient = {client}\nserver = \"kernel\"\n{rest}")
    };
    let expected = [
        "alternate/large-kernel-large/pcid=off",
        "alternate/user-kernel-user/pcid=off",
        "alternate/kernel-kernel-user/pcid=off",
    ];
    assert_eq!(names(&case("[\"large\", \"user\", \"kernel\"]", "")), expected);
    let chosen = names(&case("\"large\"", "other_client = \"user\"\n"));
    assert_eq!(chosen, ["alternate/large-kernel-user/pcid=off"]);
    let small = case("\"large\"", "").replace("\"kernel\"", "\"small\"");
    assert_eq!(names(&small), ["alternate/large-small-large/pcid=off"]);
}

/// The limits of 32-bit programs are those of the side that is one.
#[test]
fn each_side_has_room_for_its_own_pages() {
    let case = |server: &str, pages: &str| {
        format!("[[case]]\nworkload = \"touch\"\nclient = \"large\"\nserver = \"{server}\"\n{pages}\n")
    };
    assert_eq!(names(&case("kernel", "server_pages = 262144")).len(), 1);
    let refusals = [
        ("kernel", "server_pages = 1\nclient_pages = 262144", 9),
        ("large", "client_pages = 1\nserver_pages = 262144", 9),
        ("kernel", "pages = 262144", 8),
        ("small", "client_pages = 1\nserver_pages = 20000", 9),
    ];
    for (server, pages, expected_line) in refusals {
        let (line, text) = refused(&case(server, pages));
        assert!(line == expected_line && text.contains("lower the pages"), "{pages}: {line} {text}");
    }
}

#[test]
fn all_programs_in_small_spaces_must_have_slots() {
    let fits = [
        "workload = \"slots\"\nclient = \"large\"\nserver = \"small\"\nservers = 256",
        "workload = \"chain\"\nclient = \"large\"\nservers = 9\nmoved = 8\nslot_size = \"64M\"",
        "workload = \"migrate\"\nclient = \"large\"\npartners = 7\nslot_size = \"64M\"",
        "workload = \"reach\"\nclient = \"large\"\nserver = \"small\"\nslot_size = \"64M\"",
    ];
    for case in fits {
        assert_eq!(names(&format!("[[case]]\n{case}\n")).len(), 1, "{case}");
    }
    let too_many = [
        (fits[0].replace("256", "257"), 8, "room for 256 slots of 2M", "257"),
        (fits[1].replace("moved = 8", "moved = 9"), 9, "room for 8 slots of 64M", "9"),
        (fits[2].replace("partners = 7", "partners = 8"), 8, "room for 8 slots of 64M", "9"),
    ];
    for (case, expected_line, room, needed) in too_many {
        let (line, text) = refused(&format!("[[case]]\n{case}\n"));
        assert!(text.contains(room) && text.contains(&format!("needs {needed}")), "{case}: {text}");
        assert!(text.contains("a smaller `slot_size`, or fewer servers"), "{case}: {text}");
        assert_eq!(line, expected_line, "{case}: {text}");
    }
}

#[test]
fn models_need_two_round_trips_and_a_workload_that_is_traced() {
    let (line, text) =
        refused(&scheme("\"large\"", "\"small\"", "trace_round_trips = 1\ntlb_models = \"zen4\""));
    assert!(line == 10 && text.contains("`trace_round_trips` to 2 or more"), "{line} {text}");
    let defaults = "[defaults]\ntrace_round_trips = 1\ntlb_models = \"zen4\"\n";
    assert_eq!(refused(&format!("{defaults}{}", scheme("\"large\"", "\"small\"", ""))).0, 6);
    let reach = "[[case]]\nworkload = \"reach\"\nclient = \"large\"\nserver = \"small\"\n";
    for key in ["trace_round_trips = 4", "tlb_models = \"zen4\""] {
        let (line, text) = refused(&format!("{reach}{key}\n"));
        assert!(line == 8 && text.contains("`reach` is measured once and not traced"), "{line} {text}");
    }
    assert_eq!(names(&format!("{reach}trace_round_trips = 0\n")).len(), 1);
}

/// The way out of one refusal must not be refused.
#[test]
fn no_fix_puts_the_client_into_a_small_space() {
    let client = refused("[[case]]\nworkload = \"call\"\nserver = \"small\"\n").1;
    assert!(client.contains("`\"large\"`") && !client.contains("`\"small\"`"), "{client}");
    let server = refused("[[case]]\nworkload = \"call\"\nclient = \"large\"\n").1;
    assert!(server.contains("`\"small\"`"), "{server}");
}

#[test]
fn traces_have_a_budget_unless_the_command_line_asks_for_them() {
    let file = |seconds: &str| {
        let text = format!(
            "# Why?\nname = \"x\"\nquestion = \"Why?\"\ntrace_budget_seconds = {seconds}\n[[case]]\nworkload = \"empty\"\nclient = \"user\"\n"
        );
        ExperimentFile::parse(Path::new("x.toml"), text).unwrap()
    };
    let budget =
        |overrides: &Overrides| expand(&file("90"), overrides, &Limits::any_host()).unwrap().trace_budget;
    assert_eq!(budget(&Overrides::default()), Some(Duration::from_secs(90)));
    assert_eq!(budget(&Overrides::default().with(&keys::TRACE_ROUND_TRIPS, 4u32)), None);
    let error = expand(&file("0"), &Overrides::default(), &Limits::any_host()).unwrap_err();
    assert_eq!(error.place.unwrap().line, 4);
}

/// The nearest place that says something counts, and `samples` where it says both.
#[test]
fn round_trips_are_counted_or_fill_a_time() {
    let time = Limits { seconds: Some(Seconds::milliseconds(500)), ..limits() };
    let amount = |defaults: &str, case: &str, overrides: &Overrides, limits: &Limits| {
        let text = format!(
            "[defaults]\n{defaults}[[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\n{case}"
        );
        let cases = expand_text(&text, overrides, limits).unwrap().cases;
        let parameters = &cases[0].parameters;
        (parameters.samples, parameters.seconds.map(|seconds| seconds.to_string()))
    };
    let none = Overrides::default();
    assert_eq!(amount("", "", &none, &limits()), (300, None));
    assert_eq!(amount("", "", &none, &time), (4 << 20, Some("0.5".to_owned())));
    assert_eq!(amount("", "seconds = 2\n", &none, &limits()).1.as_deref(), Some("2"));
    assert_eq!(amount("samples = 7\n", "", &none, &time), (7, None));
    assert_eq!(amount("samples = 7\n", "seconds = 0.1\n", &none, &time).1.as_deref(), Some("0.1"));
    assert_eq!(amount("seconds = 0.1\n", "samples = 7\n", &none, &time), (7, None));
    assert_eq!(amount("", "samples = 7\nseconds = 0.1\n", &none, &time), (7, None));
    let tenth = Overrides::default().with(&keys::SECONDS, Value::Seconds(Seconds::milliseconds(100)));
    let both = tenth.clone().with(&keys::SAMPLES, 9u32);
    assert_eq!(amount("", "samples = 7\n", &tenth, &time).1.as_deref(), Some("0.1"));
    assert_eq!(amount("", "samples = 7\n", &both, &time), (9, None));
    // Without a warm-up nobody knows the pace.
    assert_eq!(amount("warm_up = 0\n", "", &none, &time), (300, None));
    // Room is shared: by guests, threads, and what a little memory holds.
    assert_eq!(amount("", "guests = 64\n", &none, &time).0, (4 << 20) / 64);
    assert!((1..4 << 20).contains(&amount("memory = \"32M\"\n", "", &none, &time).0));
}

#[test]
fn times_that_nobody_can_measure_for_are_refused() {
    let call = "[[case]]\nworkload = \"call\"\nclient = \"user\"\nserver = \"user\"\n";
    for (keys, what) in [
        ("seconds = 0\n", "0.001 to 3600"),
        ("seconds = 1e9\n", "0.001 to 3600"),
        ("seconds = 0.5\nwarm_up = 0\n", "`warm_up` of 1"),
        ("seconds = 31\n", "twice `seconds`"),
    ] {
        let (line, text) = refused(&format!("{call}{keys}"));
        assert!(line == 8 && text.contains(what), "{line}: {text}");
    }
    let once = "[[case]]\nworkload = \"handler_fault\"\nclient = \"user\"\nserver = \"user\"\nseconds = 1\n";
    let (line, text) = refused(once);
    assert!(line == 8 && text.contains("`launches`"), "{line}: {text}");
    let overrides = Overrides::default().with(&keys::SECONDS, Value::Seconds(Seconds::milliseconds(0)));
    assert!(expand_text(call, &overrides, &limits()).unwrap_err().fix.contains("0.001"));
}

/// A copy of a recording that inkbed keeps, under another name.
fn copied_recording(kept: &str, to: &Path) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-config/recordings");
    std::fs::copy(folder.join(kept).with_extension("requests"), to).unwrap();
}

#[test]
fn a_recording_is_read_from_the_folder_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("deep")).unwrap();
    copied_recording("git-status", &folder.path().join("deep/mine.requests"));
    let expanded = |recordings: &str, overrides: &Overrides| {
        let text = format!(
            "{HEAD}[[case]]\nworkload = \"replay\"\nrecording = [{recordings}]\nin_kernel = [0, 3]\npcid = \"off\"\n"
        );
        let file = ExperimentFile::parse(&folder.path().join("x.toml"), text)?;
        expand(&file, overrides, &Limits::any_host())
    };
    let none = Overrides::default();
    let experiment = expanded("\"deep/mine.requests\", \"gcc\"", &none).unwrap();
    let names: Vec<&str> = experiment.cases.iter().map(|case| case.name.as_str()).collect();
    let wanted = ["mine/in-kernel=0", "mine/in-kernel=3", "gcc/in-kernel=0", "gcc/in-kernel=3"];
    assert_eq!(names, wanted.map(|part| format!("replay/user/{part}/pcid=off")));
    // The same requests are the same system, whatever they are named.
    let of_kept = expanded("\"git-status\"", &none).unwrap();
    let way = |experiment: &Experiment| experiment.cases[1].parameters.system().way;
    assert_eq!(way(&experiment), way(&of_kept));

    let error = expanded("\"gcc\", \"mine.requests\"", &none).unwrap_err();
    assert_eq!(error.place.as_ref().map(|place| (place.line, place.column)), Some((6, 21)));
    assert!(error.message.contains("No such file") && error.fix.contains("folder of that file"), "{error}");
    let error = expanded("\"git-sttus\"", &none).unwrap_err();
    assert!(error.fix.contains("did you mean `git-status`?") && error.fix.contains(".requests"), "{error}");
    let error = expanded(&format!("\"mine@{}\"", "0".repeat(64)), &none).unwrap_err();
    assert!(error.fix.contains("path of the file"), "{error}");

    // On the command line a path begins at the working folder, and takes the place of the file's.
    let mut overrides = Overrides::default();
    let path = folder.path().join("deep/mine.requests").display().to_string();
    overrides.set(&format!("recording={path},gcc")).unwrap();
    let names_of =
        |experiment: Experiment| experiment.cases.into_iter().map(|case| case.name).collect::<Vec<_>>();
    assert_eq!(names_of(expanded("\"sqlite\"", &overrides).unwrap()), names);
    assert!(overrides.describe()["recording"].starts_with("mine@"), "{:?}", overrides.describe());
    assert!(overrides.set("recording=none.requests").unwrap_err().message.contains("No such file"));

    copied_recording("gcc", &folder.path().join("mine.requests"));
    let error = expanded("\"mine.requests\", \"deep/mine.requests\"", &none).unwrap_err();
    assert!(error.message.contains("appears twice") || error.message.contains("two recordings"), "{error}");
}
