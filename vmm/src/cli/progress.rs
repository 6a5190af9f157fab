//! What a user sees while an experiment runs: a bar on a terminal, nothing in a pipe.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::note;
use crate::case::Case;
use crate::printable::{block, line};
use crate::record::run::{CaseRecord, LaunchRecord};
use crate::run::session::Observer;

/// The bar, and a line on standard error for every case that fails.
pub(super) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// A bar for `cases` cases of the experiment `name`. Hidden where standard error is no terminal.
    pub(super) fn new(name: &str, cases: usize) -> Progress {
        let bar = ProgressBar::with_draw_target(Some(cases as u64), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix} [{bar:24}] {pos}/{len} {elapsed} {wide_msg}");
        // The template is a constant; without it the default style does.
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("=> "));
        bar.set_prefix(line(name).into_owned());
        Progress { bar }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Progress {
    fn launch_begins(&mut self, case: &Case) {
        self.bar.set_message(line(&case.name).into_owned());
        self.bar.tick();
    }

    fn case_ended(&mut self, case: &CaseRecord) {
        self.bar.inc(1);
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
