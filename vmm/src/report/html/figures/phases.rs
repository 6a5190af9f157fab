//! Where the instructions of a round trip are spent.

use crate::case::keys;
use crate::lens::trace::phase::Phase;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::format;
use crate::report::html::bars::{Bar, Bars, Group, count};
use crate::report::html::figure::{Definition, Figure};
use crate::report::html::pick::{self, phase_ink};
use crate::report::html::theme::Ink;
use crate::workload::{Alternate, Call, Relay, Workload};

pub(super) const FIGURE: Definition =
    Definition { name: "phases", question: "In which phases of a round trip are its instructions?", draw };

/// In the order in which a call goes through them; what stands on both sides of the kernel is one.
const PARTS: [(Ink, &str, &[Phase]); 8] = [
    (phase_ink(Phase::Client), "client and server", &[Phase::Client, Phase::Server]),
    (phase_ink(Phase::ClientStub), "stubs", &[Phase::ClientStub, Phase::ServerStub]),
    (phase_ink(Phase::Entry), "kernel entry", &[Phase::Entry]),
    (phase_ink(Phase::FastPath), "fast path", &[Phase::FastPath]),
    (phase_ink(Phase::Switch), "switch", &[Phase::Switch]),
    (phase_ink(Phase::Direct), "direct call", &[Phase::Direct]),
    (phase_ink(Phase::SlowPath), "slow path", &[Phase::SlowPath]),
    (phase_ink(Phase::Exit), "kernel exit", &[Phase::Exit]),
];

fn draw(run: &RunRecord) -> Option<Figure> {
    let is_call = |workload: &'static dyn Workload| {
        let calls: [&'static dyn Workload; 3] = [&Call, &Relay, &Alternate];
        calls.contains(&workload)
    };
    let is_shown = |case: &&CaseRecord| {
        is_call(case.parameters.workload) && case.parameters.number(&keys::WORDS).unwrap_or(0) == 0
    };
    let traced: Vec<(&CaseRecord, _)> = run
        .cases
        .iter()
        .filter(is_shown)
        .filter_map(|case| Some((case, pick::steady_trace(case)?)))
        .collect();
    if traced.is_empty() {
        return None;
    }
    let mut groups: Vec<Group> = Vec::new();
    for (case, summary) in &traced {
        let phases = &summary.counts.phases;
        let part = |(ink, _, of): &(Ink, &str, &[Phase])| {
            (*ink, of.iter().map(|phase| phases.get(phase).copied().unwrap_or(0)).sum::<u64>() as f64)
        };
        let parts: Vec<(Ink, f64)> = PARTS.iter().map(part).collect();
        let sum: f64 = parts.iter().map(|(_, value)| value).sum();
        let bar = Bar {
            label: format::placements(&case.parameters),
            parts,
            text: count(sum),
            remark: pick::loads_remark(case),
            ink: pick::ink(&case.parameters),
        };
        let heading = case.parameters.workload.sentence();
        match groups.iter_mut().find(|group| group.heading == heading) {
            Some(group) => group.bars.push(bar),
            None => groups.push(Group { heading: heading.to_owned(), bars: vec![bar] }),
        }
    }
    let is_used = |ink: Ink| {
        let bars = groups.iter().flat_map(|group| &group.bars);
        bars.flat_map(|bar| &bar.parts).any(|(of, value)| *of == ink && *value > 0.0)
    };
    let key = PARTS.iter().filter(|(ink, ..)| is_used(*ink)).map(|(ink, name, _)| (*ink, (*name).to_owned()));
    let claim = claim(&groups)?;
    let bars = Bars {
        unit: "instructions of one round trip, by the trace".to_owned(),
        key: key.collect(),
        groups,
        is_measured: false,
        ..Bars::default()
    };
    let note =
        "Client and server are the measuring programs themselves; all the rest is what IPC takes.".to_owned();
    Some(Figure { claim, notes: vec![note], plot: Box::new(bars) })
}

/// The part in which the first two bars differ most.
fn claim(groups: &[Group]) -> Option<String> {
    let bars = &groups.first()?.bars;
    let find = |label: &str| bars.iter().find(|bar| bar.label == label);
    let (Some(user), Some(kernel)) = (find("user → user"), find("user → kernel")) else {
        let sum: f64 = bars.first()?.parts.iter().map(|(_, value)| value).sum();
        return Some(format!("A round trip {} takes {} instructions", bars.first()?.label, count(sum)));
    };
    let differences =
        user.parts.iter().zip(&kernel.parts).map(|((ink, user), (_, kernel))| (*ink, user - kernel));
    let (ink, most) = differences.max_by(|one, other| one.1.total_cmp(&other.1))?;
    let (_, name, _) = PARTS.iter().find(|(of, ..)| *of == ink)?;
    Some(format!(
        "A server in the kernel saves most in the phase “{name}”: {} of its instructions",
        count(most)
    ))
}
