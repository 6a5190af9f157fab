//! Recordings by name: those that inkbed keeps, and files of the user's. Cases are copied freely, so they hold references to what is
//! here, and what was read once stays until the program ends.

use std::cmp::Ordering;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sha2::{Digest, Sha256};

use super::kept;
use super::mapping::Mapping;
use super::read::Reader;
use super::replay::{Replay, ReplayError};
use crate::bounded;

/// How the name of a file of a recording ends.
pub const SUFFIX: &str = ".requests";

/// Most bytes of a file: what a replay has room for takes a few of them.
const BYTES_MAX: u64 = 64 << 20;

/// Most letters of a name.
const NAME_MAX: usize = 64;

/// A recording that a case can name.
pub struct Recording {
    name: String,
    /// SHA-256 of the file, in hexadecimal; none of a recording that inkbed keeps.
    sha256: Option<String>,
    replay: OnceLock<Arc<Replay>>,
}

/// A file that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is damaged, or too much for a replay.
    #[error("{}: {error}", path.display())]
    Replay {
        /// Which.
        path: PathBuf,
        /// Why.
        error: ReplayError,
    },
    /// Its name cannot be the name of a case.
    #[error("{}: the name of the file goes into the names of cases, and `{name}` cannot", path.display())]
    Name {
        /// Which.
        path: PathBuf,
        /// Its stem.
        name: String,
    },
    /// A recording that inkbed keeps has its name.
    #[error("{}: inkbed keeps another recording of the name `{name}`", path.display())]
    Taken {
        /// Which.
        path: PathBuf,
        /// Its stem.
        name: String,
    },
}

impl LoadError {
    /// What to do about it.
    pub fn fix(&self) -> &'static str {
        match self {
            LoadError::File { .. } => {
                "give the path of what `inkbed record` wrote: in a file from the folder of that file, with --set from the working folder"
            }
            LoadError::Replay { error: ReplayError::TooMany { .. }, .. } => {
                "record a shorter run of the program; `inkbed advise` reads recordings of any length"
            }
            LoadError::Replay { error: ReplayError::Empty, .. } => "record a program that requests something",
            LoadError::Replay { .. } => "record it anew: inkbed record -o FILE -- COMMAND",
            LoadError::Name { .. } => "rename it: 1 to 64 letters, digits, `-` and `_` before `.requests`",
            LoadError::Taken { .. } => "give the file another name",
        }
    }
}

impl Recording {
    /// As in names of cases.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// As in records: `NAME`, or of a file `NAME@SHA256`.
    pub fn recorded(&self) -> String {
        match &self.sha256 {
            None => self.name.clone(),
            Some(sha256) => format!("{}@{sha256}", self.name),
        }
    }

    /// The replay; none of a file that only a record names.
    pub fn replay(&self) -> Option<Arc<Replay>> {
        match self.sha256 {
            None => kept::replay(&self.name).ok(),
            Some(_) => self.replay.get().cloned(),
        }
    }

    fn identity(&self) -> (&str, Option<&str>) {
        (&self.name, self.sha256.as_deref())
    }
}

/// The recording of a record.
pub fn recorded(text: &str) -> Option<&'static Recording> {
    if kept::NAMES.contains(&text) {
        return Some(interned(text, None));
    }
    let (name, sha256) = text.split_once('@')?;
    let is_hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    let is_known = is_plain(name) && sha256.len() == 64 && sha256.chars().all(is_hexadecimal);
    is_known.then(|| interned(name, Some(sha256)))
}

/// The recording in a file.
pub fn load(path: &Path) -> Result<&'static Recording, LoadError> {
    let own = || path.to_owned();
    let bytes = bounded::read(path, BYTES_MAX).map_err(|error| LoadError::File { path: own(), error })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.strip_suffix(SUFFIX).unwrap_or(&name);
    if !is_plain(name) {
        return Err(LoadError::Name { path: own(), name: name.to_owned() });
    }
    if kept::NAMES.contains(&name) {
        let is_same = kept::bytes(name) == bytes;
        let taken = || LoadError::Taken { path: own(), name: name.to_owned() };
        return is_same.then(|| interned(name, None)).ok_or_else(taken);
    }
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    let recording = interned(name, Some(&sha256));
    if recording.replay.get().is_none() {
        let replay = Reader::new(bytes.as_slice())
            .map_err(ReplayError::from)
            .and_then(|reader| Replay::read(reader, &Mapping::built_in()))
            .map_err(|error| LoadError::Replay { path: own(), error })?;
        // Another thread may have read the same.
        let _ = recording.replay.set(Arc::new(replay));
    }
    Ok(recording)
}

fn is_plain(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(is_plain)
}

/// The one of this identity.
fn interned(name: &str, sha256: Option<&str>) -> &'static Recording {
    static KNOWN: Mutex<Vec<&'static Recording>> = Mutex::new(Vec::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(one) = known.iter().find(|one| one.identity() == (name, sha256)) {
        return one;
    }
    let (name, sha256) = (name.to_owned(), sha256.map(str::to_owned));
    let one: &'static Recording = Box::leak(Box::new(Recording { name, sha256, replay: OnceLock::new() }));
    known.push(one);
    one
}

impl PartialEq for Recording {
    fn eq(&self, other: &Recording) -> bool {
        self.identity() == other.identity()
    }
}

impl Eq for Recording {}

impl PartialOrd for Recording {
    fn partial_cmp(&self, other: &Recording) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Recording {
    fn cmp(&self, other: &Recording) -> Ordering {
        self.identity().cmp(&other.identity())
    }
}

impl fmt::Debug for Recording {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.recorded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept_file(name: &str) -> PathBuf {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bench-config/recordings");
        folder.join(name).with_extension("requests")
    }

    #[test]
    fn a_file_is_known_by_its_stem_and_its_hash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.requests");
        std::fs::copy(kept_file("git-status"), &path).unwrap();
        let mine = load(&path).unwrap();
        assert_eq!(mine.name(), "mine");
        assert!(std::ptr::eq(recorded(&mine.recorded()).unwrap(), mine), "{mine:?}");
        let kept = recorded("git-status").unwrap();
        assert_eq!(mine.replay().unwrap().table, kept.replay().unwrap().table);
        // Under the same name another recording is another one.
        std::fs::copy(kept_file("gcc"), &path).unwrap();
        let other = load(&path).unwrap();
        assert!(other != mine && other.name() == "mine" && other.recorded() != mine.recorded());
        // A record names it, and nothing has read it.
        let unread = format!("mine@{}", "0".repeat(64));
        assert!(recorded(&unread).unwrap().replay().is_none());
        for wrong in
            ["", "min", "mine@", "mine@0", &format!("a/b@{}", "0".repeat(64)), &unread.replace('0', "g")]
        {
            assert!(recorded(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_kept_recording_is_the_same_by_its_path() {
        assert!(std::ptr::eq(load(&kept_file("gcc")).unwrap(), recorded("gcc").unwrap()));
    }

    #[test]
    fn a_file_that_cannot_be_replayed_says_why_and_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |name: &str, bytes: Option<&[u8]>| {
            let path = folder.path().join(name);
            if let Some(bytes) = bytes {
                std::fs::write(&path, bytes).unwrap();
            }
            let error = load(&path).unwrap_err();
            assert!(!error.fix().is_empty() && error.to_string().contains(name), "{error}");
            format!("{error}; {}", error.fix())
        };
        let whole = std::fs::read(kept_file("git-status")).unwrap();
        assert!(refused("none.requests", None).contains("No such file"));
        assert!(
            refused("cut.requests", Some(&whole[..whole.len() / 2]))
                .contains("the end of the recording is missing")
        );
        assert!(refused("text.requests", Some(b"a text that is no recording")).contains("no recording"));
        assert!(refused("a b.requests", Some(&whole)).contains("rename it"));
        assert!(refused("gcc.requests", Some(&whole)).contains("give the file another name"));
        let mut damaged = whole.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 0xff;
        assert!(refused("damaged.requests", Some(&damaged)).contains("damaged.requests: the recording"));
    }
}
