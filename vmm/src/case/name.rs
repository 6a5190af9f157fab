//! The name of a case: its parts come from the keys.

use super::key::Key;
use super::keys;
use super::parameters::Parameters;

/// Keys that may be in the name of a case: those of its workload, and those of all.
fn named(case: &Parameters) -> Vec<&'static Key> {
    let own = case.workload.keys().iter().copied();
    let mut named: Vec<&Key> = own.chain(keys::OF_ALL).filter(|key| key.in_name.is_some()).collect();
    named.sort_by_key(|key| key.in_name.map(|part| part.order));
    named
}

/// What makes two cases comparable apart from placement.
pub(super) fn setting(case: &Parameters) -> String {
    let part = |key: &Key| key.in_name.and_then(|part| (part.text)(key, case));
    named(case).into_iter().filter_map(part).collect::<Vec<_>>().join("/")
}
