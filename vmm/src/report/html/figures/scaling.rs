//! What IPC does to many CPUs: within each and across.

use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::bars::count;
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::lines::{Axis, Lines, Point, Series};
use crate::report::html::pick;
use crate::report::html::theme::Ink;
use crate::system::placement::Placement;
use crate::workload::{SERVING, Scaling, Serving};

pub(super) const MESSAGES: Definition = Definition {
    name: "scaling-messages",
    question: "How many messages must cross from CPU to CPU, by who serves?",
    draw: messages,
};

pub(super) const THROUGHPUT: Definition = Definition {
    name: "scaling-throughput",
    question: "How many round trips are made on many CPUs, within each and across?",
    draw: throughput,
};

fn cases(run: &RunRecord, is_remote: bool, server: Placement) -> Vec<&CaseRecord> {
    let of_way = |case: &&CaseRecord| {
        let is_across = matches!(case.parameters.word(&SERVING), Some(Serving::Central | Serving::Across));
        is_across == is_remote && !case.parameters.pcid && case.parameters.server == Some(server)
    };
    pick::cases(run, &Scaling).filter(of_way).collect()
}

/// Who serves is what these figures compare; a placement has its colour elsewhere.
fn name(case: &CaseRecord) -> (String, Ink) {
    let (name, ink) = match case.parameters.word(&SERVING) {
        Some(Serving::Pairs) => ("a server each", Ink::Other),
        Some(Serving::PerCpu) => ("a thread each", Ink::Path),
        Some(Serving::Central) => ("one server", Ink::Switch),
        _ => ("from the first CPU to the last", Ink::Slow),
    };
    (name.to_owned(), ink)
}

/// Servers in the kernel, and whether those in user space give the same lines.
fn of_kernel(series: impl Fn(Placement) -> Vec<Series>) -> (Vec<Series>, bool) {
    let kernel = series(Placement::Kernel);
    let is_same = series(Placement::User) == kernel;
    (kernel, is_same)
}

fn lines(cases: &[&CaseRecord], of: impl Fn(&CaseRecord) -> Option<f64>) -> Vec<Series> {
    let point = |case: &CaseRecord| Some(Point::new(f64::from(case.parameters.vcpus), of(case)?));
    let mut series = pick::series(cases.iter().copied(), name, point);
    series.retain(|line| line.points.len() > 1);
    series
}

fn panel(heading: &str, label: &str, series: Vec<Series>) -> Option<(String, Box<dyn Plot>)> {
    let x = Axis { ticks: pick::ticks(&series), ..Axis::logarithmic("vCPUs") };
    (!series.is_empty())
        .then(|| (heading.to_owned(), Box::new(Lines::new(x, Axis::linear(label), series)) as Box<dyn Plot>))
}

fn messages(run: &RunRecord) -> Option<Figure> {
    let across = |case: &CaseRecord| case.per_round_trip("ipc_remote");
    let [(local, is_local_same), (remote, is_remote_same)] =
        [false, true].map(|is_remote| of_kernel(|server| lines(&cases(run, is_remote, server), across)));
    let most = local.iter().flat_map(|line| &line.points).map(|point| point.y).fold(0.0, f64::max);
    let central = remote.iter().find(|line| line.name.starts_with("one server"))?;
    let (vcpus, share) = central.points.last().map(|point| (point.x, point.y))?;
    if local.is_empty() {
        return None;
    }
    let claim = format!(
        "Where each CPU has its own thread to serve it, {} messages cross to another CPU; with one server for {} CPUs, {} of a round trip does",
        if most == 0.0 { "no".to_owned() } else { count(most) },
        count(vcpus),
        count(share),
    );
    let label = "messages to another CPU, in one round trip";
    let note = match is_local_same && is_remote_same {
        true => "It is the same for servers in user space and in the kernel.",
        false => "Servers in the kernel.",
    };
    let panels =
        [panel("served on the own CPU", label, local), panel("served on another CPU", label, remote)];
    let panels = panels.into_iter().flatten().collect();
    Some(Figure { claim, notes: vec![note.to_owned()], plot: Box::new(Panels { panels, columns: 2 }) })
}

fn throughput(run: &RunRecord) -> Option<Figure> {
    // vCPUs that run in turn have no throughput of their own.
    let rate = |case: &CaseRecord| {
        case.round_trips_per_second.filter(|_| case.timing.is_time() && !case.is_overcommitted)
    };
    let [local, remote] =
        [false, true].map(|is_remote| lines(&cases(run, is_remote, Placement::Kernel), rate));
    let line = local.first()?;
    let (first, last) = line.points.first().zip(line.points.last())?;
    let claim = format!(
        "{} times the CPUs make {:.2} times the round trips, where each CPU serves itself",
        count(last.x / first.x),
        last.y / first.y.max(1.0),
    );
    let panels = [
        panel("served on the own CPU", "round trips per second", local),
        panel("served on another CPU", "round trips per second", remote),
    ];
    let panels = panels.into_iter().flatten().collect();
    Some(Figure {
        claim,
        notes: vec!["Servers in the kernel.".to_owned()],
        plot: Box::new(Panels { panels, columns: 2 }),
    })
}
