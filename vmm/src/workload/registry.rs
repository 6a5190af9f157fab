//! What there is: workloads and keys by name.

use std::sync::LazyLock;

use super::{ALL, Workload};
use crate::case::key::Key;
use crate::case::keys;

/// The workload with this name.
pub fn named(name: &str) -> Option<&'static dyn Workload> {
    ALL.iter().copied().find(|workload| workload.name() == name)
}

/// All keys, each name once, in the order of records and CSV files.
pub fn keys() -> &'static [&'static Key] {
    static KEYS: LazyLock<Vec<&'static Key>> = LazyLock::new(|| {
        let mut all: Vec<&'static Key> = Vec::new();
        let own = ALL.iter().flat_map(|workload| workload.keys().iter().copied());
        for key in keys::OF_ALL.into_iter().chain(own) {
            if !all.iter().any(|known| known.name == key.name) {
                all.push(key);
            }
        }
        all.sort_by_key(|key| key.order);
        all
    });
    &KEYS
}

/// The key with this name.
pub fn key(name: &str) -> Option<&'static Key> {
    keys().iter().copied().find(|key| key.name == name)
}

/// What the cases of a table are sorted by.
pub fn sorting() -> Vec<&'static Key> {
    let mut sorting: Vec<&'static Key> = keys().iter().copied().filter(|key| key.sorted.is_some()).collect();
    sorting.sort_by_key(|key| key.sorted);
    sorting
}
