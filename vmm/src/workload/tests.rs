//! Tests of the registry: what is declared once is the same everywhere.

use std::collections::BTreeSet;
use std::path::Path;

use super::*;
use crate::case::key::{Key, Kind, Scope, Standing};
use crate::case::value::Value;
use crate::case::{Case, Parameters, keys};
use crate::experiment::check::Limits;
use crate::experiment::expand::expand;
use crate::experiment::file::ExperimentFile;
use crate::experiment::overrides::{self, Overrides};

/// A value of a key as it is written that is not the usual one, where there is another.
fn unusual(key: &Key) -> String {
    match key.kind {
        Kind::Number(least, most) => {
            let (most, _) = most(&Scope { channels: 1, vcpus_max: 4 });
            (least + 2).min(most).to_string()
        }
        Kind::Choice(words) | Kind::FlagOrChoice(words) => format!("\"{}\"", words[words.len() - 1]),
        Kind::Recording => "\"sqlite\"".to_owned(),
        Kind::Flag => "false".to_owned(),
        Kind::Size => "\"64M\"".to_owned(),
        Kind::Seconds => "0.5".to_owned(),
        Kind::Text | Kind::Numbers(_) | Kind::Table => String::new(),
    }
}

/// The case of a workload in which nothing that is its own is as usual, as far as the workload allows.
fn case_of(workload: &'static dyn Workload) -> Case {
    let placements = [&keys::CLIENT, &keys::SERVER, &keys::RELAY, &keys::OTHER_CLIENT];
    let mut text =
        format!("name = \"x\"\nquestion = \"Why?\"\n[[case]]\nworkload = \"{}\"\n", workload.name());
    text.push_str("pcid = \"off\"\nvcpus = 2\nwarm_up = 9\n");
    for key in placements.into_iter().filter(|key| workload.has(key)) {
        text.push_str(&format!("{} = \"kernel\"\n", key.name));
    }
    let own = workload.keys().iter().filter(|key| key.field.is_none() && !matches!(key.kind, Kind::Text));
    // Keys that stand for others say the same twice; those without a value of their own exclude each other.
    let own: Vec<&&Key> =
        own.filter(|key| key.stands_for.is_empty() && key.name != PROMOTE_AFTER.name).collect();
    for key in own {
        text.push_str(&format!("{} = {}\n", key.name, unusual(key)));
    }
    let is_once = workload.nature().is_measured_once;
    let text = if is_once { text.replace("warm_up = 9\n", "") } else { text };
    // With partners servers are not restarted.
    let text = text.replace("migration = \"restart\"", "migration = \"group\"");
    let file = ExperimentFile::parse(Path::new("x.toml"), text).unwrap_or_else(|error| panic!("{error}"));
    let experiment = expand(&file, &Overrides::default(), &Limits::any_host());
    let mut cases = experiment.unwrap_or_else(|error| panic!("{error}: {}", error.fix)).cases;
    assert_eq!(cases.len(), 1);
    cases.remove(0)
}

/// From TOML to the name, to JSON, to CSV, and back: whatever is set is in each of them.
#[test]
fn every_workload_goes_all_the_way_and_back() {
    for workload in ALL.iter().copied() {
        let case = case_of(workload);
        let json = serde_json::to_value(&case.parameters).unwrap();
        let read: Parameters = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(read, case.parameters, "{}", case.name);
        assert_eq!(serde_json::to_value(&read).unwrap(), json);
        for (key, value) in case.parameters.settings.iter() {
            let text = key.kind.text(value);
            let recorded = &json[key.recorded()];
            assert_eq!(
                recorded.as_str().map_or_else(|| recorded.to_string(), str::to_owned),
                text,
                "{}",
                key.name
            );
            assert!(key.in_csv && key.plain_text(&case.parameters) == text, "{}: {}", key.name, case.name);
            let in_name = case.name.contains(&text.replace('_', "-"));
            assert!(in_name, "`{}` is {text}, and not in {}", key.name, case.name);
            assert!(workload.has(key));
        }
        assert_eq!(case.parameters.setting(), read.setting());
    }
}

/// Whoever changes one key changes the name of the case, so that no two settings have one name.
#[test]
fn every_key_of_a_workload_is_in_the_name() {
    for workload in ALL.iter().copied() {
        let base = case_of(workload).parameters;
        let own = workload.keys().iter().filter(|key| key.field.is_none() && !matches!(key.kind, Kind::Text));
        for key in own.filter(|key| key.name != PROMOTE_AFTER.name) {
            let other = match key.kind {
                Kind::Number(..) => Value::Number(1),
                Kind::Recording => Value::Recording(crate::requests::known::recorded("gcc").unwrap()),
                _ => Value::Choice(0),
            };
            let mut changed = base.clone();
            key.set(&mut changed, other);
            assert_ne!(changed.setting(), base.setting(), "{}: {}", workload.name(), key.name);
        }
    }
}

#[test]
fn keys_of_one_name_are_one_key() {
    for workload in ALL {
        for own in workload.keys() {
            let known = key(own.name).unwrap();
            assert_eq!((known.order, known.recorded()), (own.order, own.recorded()), "{}", own.name);
        }
    }
    let names: BTreeSet<&str> = keys().iter().map(|key| key.name).collect();
    assert_eq!(names.len(), keys().len());
    let recorded: BTreeSet<&str> = keys().iter().map(|key| key.recorded()).collect();
    assert_eq!(recorded.len(), keys().len());
}

/// Each workload is another one to the guest, too: only those share a number whose round trips are the same.
#[test]
fn workloads_are_told_apart() {
    let names: BTreeSet<&str> = ALL.iter().map(|workload| workload.name()).collect();
    assert_eq!(names.len(), ALL.len());
    let number = |workload: &'static dyn Workload| {
        abi::workload::number(&workload.arguments(&case_of(workload).parameters))
    };
    for (index, one) in ALL.iter().copied().enumerate() {
        for other in ALL.iter().copied().skip(index + 1) {
            let same_to_the_client = ["call", "relay", "scaling"];
            let shares = [one, other].iter().all(|workload| same_to_the_client.contains(&workload.name()));
            assert_eq!(number(one) == number(other), shares, "{one} {other}");
        }
    }
}

/// What the command line takes are keys of files, each of which a case can have.
#[test]
fn the_command_line_takes_every_key_that_says_so() {
    let names: Vec<&str> = overrides::keys().map(|key| key.name).collect();
    for name in ["handlers_per_cpu", "trace_round_trips", "samples", "seconds"] {
        assert!(names.contains(&name), "{name}");
    }
    for key in overrides::keys() {
        let mut overrides = Overrides::default();
        let value = unusual(key).replace('"', "");
        overrides.set(&format!("{}={value}", key.name)).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(overrides.describe().keys().collect::<Vec<_>>(), [key.name]);
        assert!(key.standing != Standing::EveryCase || key.multiplies);
    }
}

/// A trace takes no interrupts: whoever waits for the end of another's time slice would be traced for ever.
#[test]
fn who_waits_for_a_time_slice_is_not_traced() {
    let untraced: Vec<&str> = ALL
        .iter()
        .filter(|workload| workload.why_not_traced().is_some_and(|reason| reason.contains("timer")))
        .map(|workload| workload.name())
        .collect();
    assert_eq!(untraced, ["migrate_under_load"]);
}
