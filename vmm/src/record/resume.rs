//! Going on with a run that was stopped: what its folder still holds.

use std::path::Path;

use serde::de::DeserializeOwned;

use super::form::Form;
use super::journal::{self, JOURNAL_FILE, Journal};
use super::replace::remove;
use super::run::{ResumedRecord, RunRecord, RunState};
use super::store::{
    PAGE_FILE, RECORD_FILE, RECORD_SIZE_MAX, ResultsFolder, StoreError, io_error, lock, read_record,
};

/// What a folder holds of a run.
#[derive(Debug)]
pub struct Stopped<K> {
    /// The record with all launches that have ended.
    pub record: RunRecord,
    /// The case of each launch by its index, and what was kept of it, in the order in which they ended. None of a finished run.
    pub launches: Vec<(usize, K)>,
    /// Of one more launch there is only a part.
    pub is_cut: bool,
    /// Bytes of the journal that are whole.
    whole_bytes: u64,
}

impl ResultsFolder {
    /// Takes a folder in which a run was begun; `None` where none was.
    pub fn reopen(path: &Path, forms: &'static [Form]) -> Result<Option<ResultsFolder>, StoreError> {
        if !path.join(RECORD_FILE).exists() {
            return Ok(None);
        }
        ResultsFolder::locked(path, forms, lock(path)?).map(Some)
    }

    /// Reads what is there.
    pub fn stopped<K: DeserializeOwned>(&self) -> Result<Stopped<K>, StoreError> {
        let mut record = read_record(&self.path)?;
        if record.state == RunState::Finished {
            return Ok(Stopped { record, launches: Vec::new(), is_cut: false, whole_bytes: 0 });
        }
        let path = self.path.join(JOURNAL_FILE);
        let not_a_record = |reason: String| StoreError::NotARecord { path: path.clone(), reason };
        let whole = journal::read(&path, RECORD_SIZE_MAX).map_err(io_error("read", &path))?;
        let launches = journal::kept(&whole.text).map_err(not_a_record)?;
        if record.launches_done() != launches.len() as u64 {
            let (there, told) = (record.launches_done(), launches.len());
            return Err(not_a_record(format!("it has {told} launches, and the record has {there}")));
        }
        if record.state == RunState::Interrupted {
            // The figures in the record were made for its end; the next launch goes on with those of the journal.
            record.cases.clear();
            journal::add(&mut record, &whole.text).map_err(not_a_record)?;
        }
        let whole_bytes = whole.text.len() as u64;
        Ok(Stopped { record, launches, is_cut: whole.is_cut, whole_bytes })
    }

    /// Writes that the run goes on at this time; returns its record. What was made for its end is removed, as it is not its end.
    pub fn go_on<K>(&self, stopped: Stopped<K>, at_utc: String) -> Result<RunRecord, StoreError> {
        let mut run = stopped.record;
        for name in self.forms.iter().map(|form| form.file).chain([PAGE_FILE]) {
            remove(&self.path.join(name))?;
        }
        let path = self.path.join(JOURNAL_FILE);
        let journal = Journal::go_on(&path, stopped.whole_bytes).map_err(io_error("write", &path))?;
        self.journal.replace(Some(journal));
        run.resumed.push(ResumedRecord { at_utc, launches_done: run.launches_done() });
        (run.state, run.finished_utc) = (RunState::Running, None);
        // Its launches are in the journal.
        let cases = std::mem::take(&mut run.cases);
        self.begin(&run)?;
        run.cases = cases;
        Ok(run)
    }
}
