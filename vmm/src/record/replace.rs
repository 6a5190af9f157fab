//! Overwriting a run: its own files go, as its record lists them, and nothing else does.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use super::form::Form;
use super::journal::JOURNAL_FILE;
use super::store::{PAGE_FILE, RECORD_FILE, StoreError, io_error, read_record};

/// Folder of the raw samples, in the folder of a run.
pub(super) const SAMPLES_FOLDER: &str = "samples";

/// Where the samples of the run in `folder` are: a folder of its own, never what a link leads to.
pub(super) fn samples_folder(folder: &Path) -> Result<PathBuf, StoreError> {
    let path = folder.join(SAMPLES_FOLDER);
    match fs::symlink_metadata(&path) {
        Ok(metadata) if metadata.is_symlink() => Err(StoreError::IsLink { path }),
        _ => Ok(path),
    }
}

/// Removes the files of the run in `folder`. The record goes last: a removal that is broken off can be done again.
pub(super) fn remove_run(folder: &Path, forms: &[Form]) -> Result<(), StoreError> {
    let samples = samples_folder(folder)?;
    let record = read_record(folder)?;
    let launches = record.cases.iter().flat_map(|case| &case.launches);
    let listed = launches.filter_map(|launch| own_samples(launch.samples_file.as_deref()?));
    for name in listed {
        remove(&samples.join(name))?;
    }
    for name in forms.iter().map(|form| form.file).chain([PAGE_FILE, JOURNAL_FILE, RECORD_FILE]) {
        remove(&folder.join(name))?;
    }
    Ok(())
}

/// The name of a file that lies in the folder of the samples itself. A record is a file like any other, and may say
/// anything.
pub(super) fn own_samples(path: &str) -> Option<&str> {
    let mut parts = Path::new(path).components();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Component::Normal(folder)), Some(Component::Normal(name)), None)
            if folder == SAMPLES_FOLDER =>
        {
            name.to_str()
        }
        _ => None,
    }
}

/// Removes a file, or a link in its place, not what that leads to.
pub(super) fn remove(file: &Path) -> Result<(), StoreError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("remove", file)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::record::store::ResultsFolder;
    use crate::reduce::tests::run_record;
    use crate::report::FORMS;

    /// A finished run whose record lists one file of samples, and the name of that.
    fn finished_run(folder: &Path, samples_file: &str) {
        let mut run = run_record();
        run.cases[0].launches[0].samples_file = Some(samples_file.to_owned());
        let results = ResultsFolder::create(folder, false, FORMS).unwrap();
        results.write_samples(&crate::record::samples::whole("samples/own.npy"), &[1, 2], 1).unwrap();
        results.write_record(&run).unwrap();
    }

    #[test]
    fn what_the_record_lists_goes_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        finished_run(folder.path(), "samples/own.npy");
        let foreign = folder.path().join("samples/mine.npy");
        fs::write(&foreign, "mine").unwrap();
        drop(ResultsFolder::create(folder.path(), true, FORMS).unwrap());
        assert!(foreign.exists() && !folder.path().join("samples/own.npy").exists());
        assert!(!folder.path().join(RECORD_FILE).exists());
    }

    #[test]
    fn a_record_cannot_name_files_elsewhere() {
        for path in
            ["../victim", "samples/../../victim", "/etc/hostname", "samples", "samples/a/b", "", "victim"]
        {
            assert_eq!(own_samples(path), None, "{path}");
        }
        assert_eq!(own_samples("samples/x.npy"), Some("x.npy"));
        let folder = tempfile::tempdir().unwrap();
        let (run, victim) = (folder.path().join("run"), folder.path().join("victim"));
        fs::write(&victim, "mine").unwrap();
        finished_run(&run, "samples/../../victim");
        drop(ResultsFolder::create(&run, true, FORMS).unwrap());
        assert!(victim.exists());
    }

    #[test]
    fn no_link_is_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (run, victim) = (folder.path().join("run"), folder.path().join("victim"));
        finished_run(&run, "samples/own.npy");
        fs::rename(run.join("samples"), &victim).unwrap();
        symlink(&victim, run.join("samples")).unwrap();
        let error = ResultsFolder::create(&run, true, FORMS).unwrap_err();
        assert!(matches!(error, StoreError::IsLink { .. }), "{error}");
        assert!(victim.join("own.npy").exists() && run.join(RECORD_FILE).exists());
        // A link that somebody left in an otherwise empty folder is not written through either.
        let empty = folder.path().join("empty");
        fs::create_dir(&empty).unwrap();
        fs::remove_file(victim.join("own.npy")).unwrap();
        symlink(&victim, empty.join("samples")).unwrap();
        assert!(ResultsFolder::create(&empty, false, FORMS).is_err());
    }
}
