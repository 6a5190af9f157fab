//! Whether two runs had the same programs: another client or server does something else, so its counts and times are no comparison.

use crate::record::run::{GuestRecord, RunRecord};

/// In which way the programs of the second run are not those of the first. `None`: they are the same, or all built in: then they come with
/// the kernel, and another build of both is what is compared.
pub fn difference(first: &RunRecord, second: &RunRecord) -> Option<String> {
    let (first, second) = (&first.guest, &second.guest);
    let has_own = first.servers_folder.is_some() || second.servers_folder.is_some();
    let is_same = match (&first.programs_sha256, &second.programs_sha256) {
        (Some(first), Some(second)) => first == second,
        // Records of old have one hash of everything.
        _ => first.sha256 == second.sha256,
    };
    (has_own && !is_same).then(|| {
        format!("the programs are different: the first run has {}, the second {}", told(first), told(second))
    })
}

fn told(guest: &GuestRecord) -> String {
    let folder = guest
        .servers_folder
        .as_ref()
        .map_or("built-in ones".to_owned(), |folder| format!("those of {folder}"));
    match &guest.programs_sha256 {
        Some(hash) => format!("{folder} (SHA-256 {})", hash.chars().take(12).collect::<String>()),
        None => folder,
    }
}
