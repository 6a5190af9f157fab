//! What a run that is under way has measured: one line a launch, appended, so that a run of many cases writes each figure once.
//!
//! The record of a run is written when it begins and when it ends. Between the two, and for ever if it is killed, it is the record
//! on the disk and the lines of the journal together.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::relate::relate;
use super::run::{CaseRecord, LaunchRecord, RunRecord};
use crate::bounded;
use crate::printable::json;

/// Name of the journal in the folder of a run.
pub const JOURNAL_FILE: &str = "launches.jsonl";

/// A case as it is now, without the launches that earlier lines tell; and what is needed of them to go on.
#[derive(Serialize)]
struct LineWritten<'a, K> {
    index: usize,
    launches_before: usize,
    case: &'a CaseRecord,
    launches: &'a [LaunchRecord],
    kept: &'a K,
}

/// The same as it is read.
#[derive(Deserialize)]
struct LineRead {
    index: usize,
    launches_before: usize,
    case: CaseRecord,
    launches: Vec<LaunchRecord>,
}

/// What only the one who goes on with the run reads of it.
#[derive(Deserialize)]
struct LineKept<K> {
    index: usize,
    kept: K,
}

/// The whole lines of a journal.
#[derive(Debug, Default)]
pub(super) struct Whole {
    /// Each with its end.
    pub(super) text: String,
    /// There is a part of one more: whoever wrote it was killed.
    pub(super) is_cut: bool,
}

/// A journal that is being written.
#[derive(Debug)]
pub(super) struct Journal(File);

impl Journal {
    /// Begins the journal at `path`, where none is.
    pub(super) fn begin(path: &Path) -> io::Result<Journal> {
        File::options().append(true).create_new(true).open(path).map(Journal)
    }

    /// Goes on with the journal at `path` behind so many bytes; what follows them is cut off.
    pub(super) fn go_on(path: &Path, whole_bytes: u64) -> io::Result<Journal> {
        let file = File::options().append(true).create(true).open(path)?;
        file.set_len(whole_bytes)?;
        file.sync_all()?;
        Ok(Journal(file))
    }

    /// Appends case `index` of the run, of whose launches `launches_before` have been told, with what is `kept` of the others to go
    /// on with them. On the disk when it returns.
    pub(super) fn append<K: Serialize>(
        &mut self,
        index: usize,
        case: &mut CaseRecord,
        launches_before: usize,
        kept: &K,
    ) -> io::Result<()> {
        let launches = std::mem::take(&mut case.launches);
        let line = LineWritten { index, launches_before, case, launches: &launches[launches_before..], kept };
        let text = serde_json::to_string(&line);
        case.launches = launches;
        self.0.write_all((json(&text?) + "\n").as_bytes())?;
        self.0.sync_data()
    }
}

/// Reads the journal at `path`; where none is, no launch has ended.
pub(super) fn read(path: &Path, bytes_max: u64) -> io::Result<Whole> {
    let mut bytes = match bounded::read(path, bytes_max) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Whole::default()),
        bytes => bytes?,
    };
    // A cut may go through a character, so it is made first.
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let is_cut = whole < bytes.len();
    bytes.truncate(whole);
    let text = String::from_utf8(bytes)
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))?;
    Ok(Whole { text, is_cut })
}

/// What was kept of each launch that the journal `text` tells of, with the index of its case.
pub(super) fn kept<K: DeserializeOwned>(text: &str) -> Result<Vec<(usize, K)>, String> {
    lines(text).map(|line| line.map(|(_, LineKept { index, kept })| (index, kept))).collect()
}

/// Each line with its number, from 1.
fn lines<T: DeserializeOwned>(text: &str) -> impl Iterator<Item = Result<(usize, T), String>> {
    text.lines().zip(1..).map(|(line, number)| {
        let line = serde_json::from_str(line).map_err(|error| format!("line {number}: {error}"))?;
        Ok((number, line))
    })
}

/// Adds what the journal `text` tells, in whole lines, to the record that the run began with.
pub(super) fn add(run: &mut RunRecord, text: &str) -> Result<(), String> {
    for line in lines::<LineRead>(text) {
        let (number, line) = line?;
        let mut case = line.case;
        let count = run.cases.len();
        let mut earlier = match run.cases.get_mut(line.index) {
            Some(earlier) => std::mem::take(&mut earlier.launches),
            None if line.index == count => Vec::new(),
            None => return Err(format!("line {number}: case {count} is missing")),
        };
        if earlier.len() < line.launches_before {
            return Err(format!("line {number}: launch {} is missing", earlier.len()));
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
                journal.append(index, &mut so_far, count - 1, &count).unwrap();
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
        // The cut may go through a character.
        let text = text.replace("box", "Grüße").replace("user-user", "ü-ü");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(JOURNAL_FILE);
        for cut in (0..text.len()).step_by(97).chain(text.find('ü').map(|at| at + 1)) {
            fs::write(&path, &text.as_bytes()[..cut]).unwrap();
            let whole = read(&path, 1 << 20).unwrap();
            let mut run = begin.clone();
            add(&mut run, &whole.text).unwrap();
            let lines = text.as_bytes()[..cut].iter().filter(|byte| **byte == b'\n').count();
            assert_eq!(launches(&run), lines, "cut at {cut}");
            assert_eq!(kept::<u32>(&whole.text).unwrap().len(), lines);
            assert_eq!(whole.is_cut, cut > 0 && text.as_bytes()[cut - 1] != b'\n');
            let after = Journal::go_on(&path, whole.text.len() as u64);
            after.unwrap().append(0, &mut run_record().cases[0], 0, &0).unwrap();
            assert!(!read(&path, 1 << 20).unwrap().is_cut);
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
