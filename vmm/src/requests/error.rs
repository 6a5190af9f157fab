//! What can be wrong with a recording.

use std::io;

use super::recording::VERSION;

/// A recording that cannot be written or read. Each says what was saved.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file system.
    #[error("the recording cannot be read or written after {saved} requests: {source}")]
    Io {
        /// Requests before it that are whole.
        saved: u64,
        /// What the system said.
        source: io::Error,
    },
    /// Some other file.
    #[error("this is no recording of requests: {why}. `inkbed record -o FILE -- COMMAND` makes one")]
    NotARecording {
        /// What is wrong with its first line.
        why: String,
    },
    /// A file of the future.
    #[error(
        "this recording of `{program}` has version {version}, and this inkbed reads up to {VERSION}. Use inkbed {inkbed} or newer"
    )]
    Newer {
        /// Its version.
        version: u64,
        /// What it is of.
        program: String,
        /// Who wrote it.
        inkbed: String,
    },
    /// The end is missing.
    #[error("the end of the recording is missing. {saved} requests before it are whole")]
    Truncated {
        /// Requests that are whole.
        saved: u64,
    },
    /// A checksum is wrong, or a line is none.
    #[error("the recording is damaged: {why}. {saved} requests before that are whole")]
    Damaged {
        /// Requests that are whole.
        saved: u64,
        /// What is wrong.
        why: String,
    },
}
