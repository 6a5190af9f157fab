//! What a run that is under way has measured: one line a launch, appended, so that a run of many cases writes each figure once.
//!
//! The record of a run is written when it begins and when it ends. Between the two, and for ever if it is killed, it is the record
//! on the disk and the lines of the journal together.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::relate::relate;
use super::run::{CaseRecord, LaunchRecord, RunRecord};
use crate::printable::json;

/// Name of the journal in the folder of a run.
pub const JOURNAL_FILE: &str = "launches.jsonl";

/// A case as it is now, without the launches that earlier lines tell.
#[derive(Serialize)]
struct LineWritten<'a> {
    index: usize,
    launches_before: usize,
    case: &'a CaseRecord,
    launches: &'a [LaunchRecord],
}

/// The same as it is read.
#[derive(Deserialize)]
struct LineRead {
    index: usize,
    launches_before: usize,
    case: CaseRecord,
    launches: Vec<LaunchRecord>,
}

/// A journal that is being written.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    /// Begins the journal at `path`, where none is.
    pub(super) fn begin(path: &Path) -> io::Result<Journal> {
        File::options().append(true).create_new(true).open(path).map(Journal)
    }

    /// Appends case `index` of the run, of whose launches `launches_before` have been told. On the disk when it returns.
    pub(super) fn append(
        &mut self,
        index: usize,
        case: &mut CaseRecord,
        launches_before: usize,
    ) -> io::Result<()> {
        let launches = std::mem::take(&mut case.launches);
        let line = LineWritten { index, launches_before, case, launches: &launches[launches_before..] };
        let text = serde_json::to_string(&line);
        case.launches = launches;
        self.0.write_all((json(&text?) + "\n").as_bytes())?;
        self.0.sync_data()
    }
}

/// Adds what the journal `text` tells to the record that the run began with. Of the last line there may be only a part: whoever
/// wrote it was killed.
pub(super) fn add(run: &mut RunRecord, text: &str) -> Result<(), String> {
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let Some(line) = line.strip_suffix('\n') else { break };
        let line: LineRead =
            serde_json::from_str(line).map_err(|error| format!("line {}: {error}", number + 1))?;
        let mut case = line.case;
        let count = run.cases.len();
        let mut earlier = match run.cases.get_mut(line.index) {
            Some(earlier) => std::mem::take(&mut earlier.launches),
            None if line.index == count => Vec::new(),
            None => return Err(format!("line {}: case {count} is missing", number + 1)),
        };
        if earlier.len() < line.launches_before {
            return Err(format!("line {}: launch {} is missing", number + 1, earlier.len()));
        }
        earlier.truncate(line.launches_before);
        earlier.extend(line.launches);
        case.launches = earlier;
        match run.cases.get_mut(line.index) {
            Some(earlier) => *earlier = case,
            None => run.cases.push(case),
        }
    }
    relate(run);
    Ok(())
}

/// Removes the journal of a run whose record is complete.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reduce::tests::run_record;

    /// The record that a run begins with, the journal of its launches, and the record in the end.
    fn journal_of_a_run() -> (RunRecord, String, RunRecord) {
        let mut end = run_record();
        relate(&mut end);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL_FILE);
        let mut journal = Journal::begin(&path).unwrap();
        for (index, case) in end.cases.iter().enumerate() {
            // Each launch in a line of its own, the last one with the case's figures.
            for count in 1..=case.launches.len() {
                let mut so_far = CaseRecord { launches: case.launches[..count].to_vec(), ..case.clone() };
                journal.append(index, &mut so_far, count - 1).unwrap();
                assert_eq!(so_far.launches.len(), count);
            }
        }
        let begin = RunRecord { cases: Vec::new(), ..end.clone() };
        (begin, fs::read_to_string(&path).unwrap(), end)
    }

    #[test]
    fn the_lines_together_are_the_record() {
        let (mut run, text, end) = journal_of_a_run();
        add(&mut run, &text).unwrap();
        assert_eq!(run, end);
        // A line that is told twice changes nothing.
        add(&mut run, &text).unwrap();
        assert_eq!(run, end);
    }

    #[test]
    fn wherever_the_writer_is_killed_what_was_told_before_stays() {
        let (begin, text, end) = journal_of_a_run();
        let launches = |run: &RunRecord| run.cases.iter().map(|case| case.launches.len()).sum::<usize>();
        for cut in (0..text.len()).step_by(97).filter(|cut| text.is_char_boundary(*cut)) {
            let mut run = begin.clone();
            add(&mut run, &text[..cut]).unwrap();
            assert_eq!(launches(&run), text[..cut].matches('\n').count(), "cut at {cut}");
        }
        assert_eq!(launches(&end), text.matches('\n').count());
    }

    #[test]
    fn a_journal_that_nobody_wrote_is_refused() {
        let (begin, text, _) = journal_of_a_run();
        let second = text.split_inclusive('\n').next_back().unwrap();
        for (text, reason) in
            [("{}\n", "line 1: missing field"), (second, "case 0 is missing"), ("\n", "line 1")]
        {
            let error = add(&mut begin.clone(), text).unwrap_err();
            assert!(error.contains(reason), "{error}");
        }
    }
}
