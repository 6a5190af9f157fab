//! What a user sees while an experiment runs: a bar on a terminal; in a pipe or a file, a line for each case that has ended.

use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::note;
use super::pace::{Pace, in_words};
use crate::case::{Case, launches};
use crate::printable::{block, line};
use crate::record::run::{CaseRecord, LaunchRecord, RunRecord};
use crate::run::session::Observer;

/// The bar or the lines, and what every case that fails left behind; all on standard error.
pub(super) struct Progress {
    bar: ProgressBar,
    pace: Pace,
    /// The launch that runs: its case, and when it began.
    running: Option<(String, Instant)>,
    cases: usize,
    cases_ended: usize,
}

impl Progress {
    /// For a run of these cases, whose record has what was done before.
    pub(super) fn new(run: &RunRecord, cases: &[Case]) -> Progress {
        let cases_ended = run.cases_complete();
        let bar = ProgressBar::with_draw_target(Some(cases.len() as u64), ProgressDrawTarget::stderr())
            .with_position(cases_ended as u64);
        let style = ProgressStyle::with_template("{prefix} [{bar:24}] {pos}/{len} {elapsed} {wide_msg}");
        // The template is a constant; without it the default style does.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(line(&run.experiment.name).into_owned());
        let pace = Pace::new(launches(cases).saturating_sub(run.launches_done()));
        Progress { bar, pace, running: None, cases: cases.len(), cases_ended }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn launch_ended(&mut self) {
        if let Some((case, began)) = self.running.take() {
            self.pace.launch_ended(&case, began.elapsed());
        }
    }

    /// `, 40 s left`, or nothing while nobody knows.
    fn left(&self) -> String {
        self.pace.left().map_or_else(String::new, |left| format!(", {} left", in_words(left)))
    }
}

impl Observer for Progress {
    fn launch_begins(&mut self, case: &Case) {
        self.launch_ended();
        self.bar.set_message(format!("{}{}", line(&case.name), self.left()));
        self.bar.tick();
        self.running = Some((case.name.clone(), Instant::now()));
    }

    fn case_ended(&mut self, case: &CaseRecord) {
        self.launch_ended();
        self.cases_ended += 1;
        self.bar.inc(1);
        if self.bar.is_hidden() {
            let (ended, cases) = (self.cases_ended, self.cases);
            let took = in_words(self.pace.case_took(&case.name));
            note!("[{ended}/{cases}] {} {took}{}", line(&case.name), self.left());
        }
        if !case.outcome.is_success() {
            self.bar.suspend(|| note!("{}", failure(case)));
        }
    }
}

/// A failed case with everything that its guests left behind.
pub(super) fn failure(case: &CaseRecord) -> String {
    let mut text = format!("failed: {}: {}", line(&case.name), case.outcome);
    let mut failed = case.launches.iter().filter(|launch| !launch.outcome.is_success());
    if case.density.is_some() {
        failed.by_ref().for_each(|launch| text.push_str(&lost_guest(launch)));
        return text;
    }
    let failed = failed.next();
    for fault in failed.iter().flat_map(|launch| &launch.server_faults) {
        text.push_str(&format!("\n  {fault}"));
    }
    if let Some(last_words) = case.outcome.last_words() {
        text.push_str(&format!("\n  {}", last_words.to_string().replace('\n', "\n  ")));
    }
    if let Some(console) = failed.and_then(|launch| launch.console_tail.as_ref()) {
        text.push_str(&format!("\n  console:\n    {}", block(console).replace('\n', "\n    ")));
    }
    text
}

/// One guest of many that did not end well: which, how, and its last words.
fn lost_guest(launch: &LaunchRecord) -> String {
    let mut text = String::new();
    if let Some(process) = &launch.process {
        text.push_str(&format!("\n  guest {}", process.guest));
    }
    text.push_str(&format!(": {}", launch.outcome));
    for fault in &launch.server_faults {
        text.push_str(&format!("\n    {fault}"));
    }
    if let Some(last_words) = launch.outcome.last_words() {
        text.push_str(&format!("\n    {}", last_words.to_string().replace('\n', "\n    ")));
    }
    if let Some(console) = &launch.console_tail {
        text.push_str(&format!("\n    console:\n      {}", block(console).replace('\n', "\n      ")));
    }
    text
}
