//! The recordings that the program carries with it: those of `bench-config/recordings`.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use super::mapping::Mapping;
use super::read::Reader;
use super::replay::{Replay, ReplayError};

macro_rules! kept {
    ($($name:literal)*) => {
        /// Their names, which are those of their files without `.requests`.
        pub const NAMES: &[&str] = &[$($name),*];

        pub(super) fn bytes(name: &str) -> &'static [u8] {
            match name {
                $($name => include_bytes!(concat!("../../../bench-config/recordings/", $name, ".requests")),)*
                _ => &[],
            }
        }
    };
}

kept! { "gcc" "git-clone" "git-status" "nginx" "redis" "shell-pipeline" "sqlite" "tar-gzip" }

/// The replay of a recording, with the built-in servers. It is read once.
pub fn replay(name: &str) -> Result<Arc<Replay>, ReplayError> {
    static READ: LazyLock<Mutex<HashMap<String, Arc<Replay>>>> = LazyLock::new(Mutex::default);
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(replay) = read.get(name) {
        return Ok(Arc::clone(replay));
    }
    let replay = Arc::new(Replay::read(Reader::new(bytes(name))?, &Mapping::built_in())?);
    read.insert(name.to_owned(), Arc::clone(&replay));
    Ok(replay)
}
