//! How long a guest takes to start.

use crate::record::run::{CaseRecord, RunRecord};
use crate::report::format;
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::lines::{Axis, Form, Lines, Point, Series};
use crate::report::html::pick;
use crate::report::html::theme::Ink;
use crate::workload::handlers::HANDLERS_PER_CPU;

pub(super) const FIGURE: Definition =
    Definition { name: "boot", question: "How long does a guest take to start, with many vCPUs?", draw };

/// Median over launches of the time from the first entry until all servers are loaded, ms.
pub(super) fn start_ms(case: &CaseRecord) -> Option<f64> {
    let mut starts: Vec<u64> = case.launches.iter().filter_map(|launch| launch.boot_ns).collect();
    starts.sort_unstable();
    starts.get(starts.len().checked_sub(1)? / 2).map(|ns| *ns as f64 / 1e6)
}

/// The part of the run's cases that have one name.
fn parts(run: &RunRecord) -> Vec<(&str, Vec<&CaseRecord>)> {
    let mut parts: Vec<(&str, Vec<&CaseRecord>)> = Vec::new();
    for case in run.cases.iter().filter(|case| case.outcome.is_success()) {
        let name = case.name.split('/').next().unwrap_or_default();
        match parts.iter_mut().find(|(of, _)| *of == name) {
            Some((_, cases)) => cases.push(case),
            None => parts.push((name, vec![case])),
        }
    }
    parts
}

fn draw(run: &RunRecord) -> Option<Figure> {
    if run.experiment.name != "boot" {
        return None;
    }
    let mut claims = Vec::new();
    let mut panels: Vec<(String, Box<dyn Plot>)> = Vec::new();
    for (_, cases) in parts(run) {
        let starts: Vec<Point> = cases
            .iter()
            .filter_map(|case| Some(Point::new(f64::from(case.parameters.vcpus), start_ms(case)?)))
            .collect();
        let Some((fixed, each)) = fit(&starts) else { continue };
        let heading = match cases[0].parameters.number(&HANDLERS_PER_CPU) {
            Some(handlers) => format!("{handlers} handlers on each vCPU"),
            None => "a thread of one server on each vCPU".to_owned(),
        };
        claims.push(format!(
            "{} ms and {} ms more with each vCPU ({heading})",
            three_digits(fixed),
            three_digits(each)
        ));
        let launches = cases.iter().flat_map(|case| {
            let at = f64::from(case.parameters.vcpus);
            case.launches.iter().filter_map(move |launch| Some(Point::new(at, launch.boot_ns? as f64 / 1e6)))
        });
        let dots = Series {
            name: String::new(),
            ink: Ink::Kernel,
            points: launches.collect(),
            form: Form::Dots,
            has_numbers: false,
        };
        let line = starts.iter().map(|point| Point::new(point.x, fixed + each * point.x)).collect();
        let fitted = Series {
            name: "fit".to_owned(),
            ink: Ink::Other,
            points: line,
            form: Form::Fit,
            has_numbers: false,
        };
        let measured = Series {
            name: "median".to_owned(),
            ink: Ink::Kernel,
            points: starts,
            form: Form::Marked,
            has_numbers: false,
        };
        let x = Axis { ticks: pick::ticks(std::slice::from_ref(&measured)), ..Axis::logarithmic("vCPUs") };
        let plot = Lines::new(
            x,
            Axis::logarithmic("start of the kernel and all servers, ms"),
            vec![dots, fitted, measured],
        );
        panels.push((heading, Box::new(plot)));
    }
    let first = claims.first()?;
    let claim = format!("A guest starts in about {first}");
    let note = "Dots are launches. The fit has the least ratio of its error to what was measured.".to_owned();
    let notes = std::iter::once(note).chain(pick::wall_time_remark(run)).collect();
    Some(Figure { claim, notes, plot: Box::new(Panels { panels, columns: 2 }) })
}

/// `a + b x` with the least sum of squares of relative errors, neither below zero.
fn fit(points: &[Point]) -> Option<(f64, f64)> {
    if points.len() < 3 {
        return None;
    }
    // Each equation divided by what was measured: y / y = a / y + b x / y.
    let sum = |of: &dyn Fn(&Point) -> f64| points.iter().map(of).sum::<f64>();
    let (aa, ab, bb) =
        (sum(&|p| 1.0 / p.y.powi(2)), sum(&|p| p.x / p.y.powi(2)), sum(&|p| (p.x / p.y).powi(2)));
    let (a1, b1) = (sum(&|p| 1.0 / p.y), sum(&|p| p.x / p.y));
    let determinant = aa * bb - ab * ab;
    let (a, b) = ((a1 * bb - b1 * ab) / determinant, (b1 * aa - a1 * ab) / determinant);
    match (a >= 0.0, b >= 0.0) {
        (true, true) => Some((a, b)),
        (false, _) => Some((0.0, b1 / bb)),
        _ => Some((a1 / aa, 0.0)),
    }
}

fn three_digits(value: f64) -> String {
    match value {
        value if value >= 100.0 => format::grouped(value.round() as u64),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_fit_finds_what_the_points_were_made_of(fixed in 0.0f64..100.0, each in 0.01f64..10.0) {
            let points: Vec<Point> = [1.0, 2.0, 8.0, 64.0, 640.0].iter().map(|x| Point::new(*x, fixed + each * x)).collect();
            let (a, b) = fit(&points).unwrap();
            prop_assert!((a - fixed).abs() < 1e-6 * (1.0 + fixed) && (b - each).abs() < 1e-6 * each, "{} {}", a, b);
        }
    }
}
