//! Tests of what stays of a launch.

use super::*;
use crate::case::Parameters;
use crate::case::tests::parameters;
use crate::record::run::HostRecord;
use crate::reduce::tests::{case_of, guest_run};
use crate::statistics::distribution::EXACT_SAMPLES_MAX;
use crate::statistics::summary::quantile;
use crate::workload::Call;

/// A case of so many calls, and a guest that has made them.
fn calls(samples: Vec<u64>) -> (Case, Launch) {
    let round_trips = samples.len() as u64;
    let parameters = Parameters { samples: round_trips, ..parameters(&Call) };
    let mut run = guest_run(samples, 2 * round_trips);
    run.measured_ns = Some(1_000_000_000);
    (Case { name: "x".to_owned(), parameters }, Measured::from(run).into())
}

#[test]
fn a_launch_keeps_no_samples_and_no_console() {
    let (case, launch) = calls(vec![10, SAMPLE_DISTURBED | 30, 20]);
    let kept = Reduced::new(&case, launch, None);
    let run = kept.run().unwrap();
    assert!(run.samples.is_empty() && run.console.is_empty());
    assert_eq!((kept.channels[0].count(), kept.channels[0].median(), kept.disturbed_samples), (3, 20, 1));
    assert_eq!(kept.record.median_ticks["round_trip"], 20);
    assert!(kept.record.histograms["round_trip"].len() < 200, "{:?}", kept.record.histograms);
}

/// Up to the bound a figure is one of the samples; beyond it is as near as the documents say, and the record stays small.
#[test]
fn figures_of_few_samples_are_exact_and_those_of_many_are_near() {
    for (count, is_exact) in [(EXACT_SAMPLES_MAX, true), (EXACT_SAMPLES_MAX * 10, false)] {
        // Each one is another, and all are large enough to be in wide bins.
        let mut samples: Vec<u64> =
            (0..count as u64).map(|index| 1_000_000 + index * 7_919 % 1_000_003).collect();
        let (case, launch) = calls(samples.clone());
        let record = case_of(&case, vec![launch], &HostRecord::default());
        let summary = record.ticks["round_trip"].summary;
        samples.sort_unstable();
        for (figure, percent) in [(summary.median, 50), (summary.p90, 90), (summary.p99, 99)] {
            let exact = quantile(&samples, percent);
            let far = figure.abs_diff(exact);
            assert!(
                far <= if is_exact { 0 } else { exact / 2_048 },
                "{count} samples, {percent} %: {figure} for {exact}"
            );
        }
        assert_eq!((summary.count, summary.min, summary.max), (count as u64, samples[0], samples[count - 1]));
        let sum: u64 = samples.iter().sum();
        assert!(summary.mean.abs_diff(sum / count as u64) <= 1);
        let bytes = serde_json::to_string(&record).unwrap().len();
        assert!(bytes < 16_384, "{count} samples: {bytes} bytes");
    }
}

#[test]
fn the_tail_of_the_console_is_bounded_in_lines_and_in_bytes() {
    let tail = |console: &[u8]| console_tail(console).unwrap_or_default();
    let lines: Vec<String> = (0..100).map(|line| line.to_string()).collect();
    assert_eq!(tail(lines.join("\n").as_bytes()), lines[80..].join("\n"));
    let endless = tail(&vec![b'x'; 1 << 20]);
    assert_eq!((endless.chars().next(), endless.len()), (Some('…'), "…".len() + CONSOLE_TAIL_BYTES));
    // Three bytes each, so that the cut is in the middle of one; what is no character is longer as text.
    assert!(tail("€".repeat(5000).as_bytes()).trim_matches(['…', '€']).is_empty());
    assert!(tail(&[0xff; 1 << 20]).len() <= 4 * CONSOLE_TAIL_BYTES);
    assert_eq!(tail(b" \n\n"), "");
}
