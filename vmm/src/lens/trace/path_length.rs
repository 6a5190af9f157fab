//! The committed reference of the IPC path: what each placement costs per round trip, exactly.
//!
//! `cargo test` compares every build with it, so that a change to the path shows its price.

use std::collections::BTreeMap;

use abi::call::REGISTER_WORDS;
use serde::{Deserialize, Serialize};

use crate::lens::trace::Summary;
use crate::lens::trace::counts::Counts;
use crate::lens::trace::phase::Phase;

/// Counts of each case by its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathLength {
    /// What this is, for who opens the file.
    pub about: String,
    /// One entry for each case.
    pub cases: BTreeMap<String, Counts>,
}

/// Most instructions of kernel and stubs per round trip that the design aims at, by the beginning of a case's name.
pub const GOALS: [(&str, u64); 4] = [
    ("user to user", 240),
    ("user to kernel", 160),
    ("kernel to kernel, direct", 40),
    ("kernel to kernel", 110),
];

/// Whether the goals are those of this case: they are for messages that travel in registers.
pub fn has_goal(name: &str) -> bool {
    let is_of_size = |words| name.ends_with(&format!(", {words} words"));
    (0..=REGISTER_WORDS).any(is_of_size)
}

/// [`PathLength::about`].
const ABOUT: &str = "exact counts per round trip, by inkbed's trace lens; the same on every host";

impl PathLength {
    /// Of these traces.
    pub fn new<'a>(cases: impl IntoIterator<Item = (&'a str, &'a Summary)>) -> PathLength {
        let counts = |(name, summary): (&str, &Summary)| (name.to_owned(), summary.counts.clone());
        PathLength { about: ABOUT.to_owned(), cases: cases.into_iter().map(counts).collect() }
    }

    /// One line for each case that has a goal: what is aimed at, and what it takes.
    pub fn goals(&self) -> Vec<String> {
        let line = |(name, counts): (&String, &Counts)| {
            let (_, most) = GOALS.iter().find(|(beginning, _)| name.starts_with(beginning))?;
            let taken = counts.path_instructions;
            let verdict = if taken <= *most { "met" } else { "missed" };
            Some(format!(
                "{name}: {taken} instructions of kernel and stubs, at most {most} wanted: {verdict}"
            ))
        };
        self.cases.iter().filter(|(name, _)| has_goal(name)).filter_map(line).collect()
    }

    /// What is different in `now`, one line for each count, instructions by phase first. Empty: nothing.
    pub fn differences(&self, now: &PathLength) -> Vec<String> {
        let mut lines = Vec::new();
        for (name, before) in &self.cases {
            match now.cases.get(name) {
                Some(after) => lines.extend(compare(before, after).map(|line| format!("{name}: {line}"))),
                None => lines.push(format!("{name}: the case is gone")),
            }
        }
        let is_new = |name: &&String| !self.cases.contains_key(*name);
        lines.extend(now.cases.keys().filter(is_new).map(|name| format!("{name}: a new case")));
        lines
    }
}

/// One count of many.
type Field = fn(&Counts) -> u64;

fn compare(before: &Counts, after: &Counts) -> impl Iterator<Item = String> {
    let mut pairs = vec![
        ("instructions".to_owned(), before.instructions, after.instructions),
        ("of kernel and stubs".to_owned(), before.path_instructions, after.path_instructions),
    ];
    for phase in Phase::ALL {
        let of = |counts: &Counts| counts.phases.get(&phase).copied().unwrap_or(0);
        pairs.push((format!("  {}", phase.name()), of(before), of(after)));
    }
    let plain: [(&str, Field); 12] = [
        ("ring 0", |counts| counts.ring_0),
        ("ring 3", |counts| counts.ring_3),
        ("restarts of KVM's emulator", |counts| counts.emulator_restarts),
        ("thread switches", |counts| counts.context_switches),
        ("reads", |counts| counts.reads),
        ("writes", |counts| counts.writes),
        ("kernel code, bytes", |counts| counts.footprint.kernel.code_bytes),
        ("kernel code, cache lines", |counts| counts.footprint.kernel.code_lines),
        ("kernel data, cache lines", |counts| counts.footprint.kernel.data_lines),
        ("servers' code, bytes", |counts| counts.footprint.servers.code_bytes),
        ("servers' code, cache lines", |counts| counts.footprint.servers.code_lines),
        ("servers' data, cache lines", |counts| counts.footprint.servers.data_lines),
    ];
    pairs.extend(plain.map(|(label, field)| (label.to_owned(), field(before), field(after))));
    let kinds = before.kinds.named().into_iter().zip(after.kinds.named());
    pairs.extend(kinds.map(|((label, before), (_, after))| (label.to_owned(), before, after)));
    let pages = (before.footprint.pages != after.footprint.pages)
        .then(|| format!("pages: {:?}, were {:?}", after.footprint.pages, before.footprint.pages));
    let is_different = |(_, before, after): &(String, u64, u64)| before != after;
    let line = |(label, before, after): (String, u64, u64)| {
        format!("{label}: {after}, were {before} ({:+})", after as i64 - before as i64)
    };
    pairs.into_iter().filter(is_different).map(line).chain(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(cases: &[(&str, u64)]) -> PathLength {
        let counts = |fast_path: u64| Counts {
            instructions: 100 + fast_path,
            phases: BTreeMap::from([(Phase::FastPath, fast_path)]),
            ..Counts::default()
        };
        let cases = cases.iter().map(|(name, fast_path)| ((*name).to_owned(), counts(*fast_path))).collect();
        PathLength { about: ABOUT.to_owned(), cases }
    }

    #[test]
    fn the_difference_is_told_by_phase() {
        let before = reference(&[("a", 50), ("b", 60), ("c", 70)]);
        let after = reference(&[("a", 50), ("b", 57), ("d", 1)]);
        assert_eq!(before.differences(&before), Vec::<String>::new());
        let expected = [
            "b: instructions: 157, were 160 (-3)",
            "b:   fast path: 57, were 60 (-3)",
            "c: the case is gone",
            "d: a new case",
        ];
        assert_eq!(before.differences(&after), expected);
    }

    #[test]
    fn goals_go_by_the_beginning_of_the_name() {
        let cases = [
            ("kernel to kernel, 0 words", 1),
            ("kernel to kernel, direct, 0 words", 1),
            ("kernel to kernel, 64 words", 1),
        ];
        let mut reference = reference(&cases);
        reference.cases.values_mut().for_each(|counts| counts.path_instructions = 100);
        let [switched, direct] = &reference.goals()[..] else { panic!("two cases have goals") };
        assert!(switched.ends_with("at most 110 wanted: met"), "{switched}");
        assert!(direct.ends_with("at most 40 wanted: missed"), "{direct}");
    }

    #[test]
    fn a_reference_survives_its_file() {
        let reference = reference(&[("a", 50)]);
        let text = serde_json::to_string_pretty(&reference).unwrap();
        assert!(text.contains("\"fast_path\": 50"), "{text}");
        assert_eq!(serde_json::from_str::<PathLength>(&text).unwrap(), reference);
    }
}
