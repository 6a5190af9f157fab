//! Recordings that a file or the command line names: one that inkbed keeps, or the path of a file.

use std::collections::BTreeMap;
use std::path::Path;

use crate::case::Case;
use crate::case::key::{Kind, Raw, Wrong};
use crate::case::value::Value;
use crate::requests::known::{self, Recording};
use crate::workload::recording;

/// The recording that is written so; a path begins at `folder`.
pub(super) fn read(written: &Raw, folder: &Path) -> Result<Value, Wrong> {
    match written {
        Raw::Text(text) if text.ends_with(known::SUFFIX) => known::load(&folder.join(text))
            .map(Value::Recording)
            .map_err(|error| Wrong { message: error.to_string(), fix: error.fix().to_owned() }),
        _ => match Kind::Recording.read(written)? {
            Value::Recording(file) if file.replay().is_none() => Err(Wrong {
                message: format!("`{written}` is what records say of a file"),
                fix: format!("write the path of the file, which ends with {}", known::SUFFIX),
            }),
            kept => Ok(kept),
        },
    }
}

/// A name that two different recordings of these cases have: their results could not be told apart.
pub(super) fn of_one_name(cases: &[Case]) -> Option<&'static str> {
    let mut known: BTreeMap<&str, &'static Recording> = BTreeMap::new();
    cases.iter().find_map(|case| {
        let recording = recording(&case.parameters)?;
        let other = known.insert(recording.name(), recording)?;
        (other != recording).then(|| recording.name())
    })
}
