//! Values from the command line that replace those of the file.

use std::collections::BTreeMap;
use std::path::Path;

use super::error::{ConfigError, suggest};
use super::recordings;
use crate::case::key::{Key, Kind, Raw, Wrong};
use crate::case::value::{IntoValue, Value};
use crate::workload;

/// Values that hold for all cases, whatever the file says in `[defaults]` or in a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    set: BTreeMap<&'static str, Vec<Value>>,
}

/// Keys that [`Overrides::set`] takes.
pub fn keys() -> impl Iterator<Item = &'static Key> + Clone {
    workload::keys().iter().copied().filter(|key| key.may_be_set)
}

impl Overrides {
    /// Takes one `key=value`; of a key whose values multiply, several with commas between them.
    pub fn set(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let Some((name, value)) = assignment.split_once('=') else {
            let message = format!("`{assignment}` is no `key=value`");
            return Err(ConfigError::on_command_line(message, "write for example --set samples=1000"));
        };
        let name = name.trim();
        let Some(key) = keys().find(|key| key.name == name) else {
            let message = format!("unknown key `{name}` in `--set {assignment}`");
            return Err(ConfigError::on_command_line(message, suggest(name, keys().map(|key| key.name))));
        };
        let texts: Vec<&str> = if key.multiplies { value.split(',').collect() } else { vec![value] };
        let read = |text: &str| match key.kind {
            Kind::Recording => recordings::read(&Raw::Text(text.to_owned()), Path::new("")),
            kind => kind.read_text(text),
        };
        let values = texts.into_iter().map(|text| read(text.trim()));
        let values = values
            .collect::<Result<Vec<_>, Wrong>>()
            .map_err(|wrong| ConfigError::on_command_line(format!("{name}: {}", wrong.message), wrong.fix))?;
        self.set.insert(key.name, values);
        Ok(())
    }

    /// Sets one value of a key, whatever was set before.
    pub fn put(&mut self, key: &'static Key, value: impl IntoValue) {
        self.set.insert(key.name, vec![value.into_value()]);
    }

    /// The same, for those who begin with it.
    #[must_use]
    pub fn with(mut self, key: &'static Key, value: impl IntoValue) -> Overrides {
        self.put(key, value);
        self
    }

    /// These, and where a key is not among them, what `other` has.
    #[must_use]
    pub fn or(mut self, other: Overrides) -> Overrides {
        for (key, values) in other.set {
            self.set.entry(key).or_insert(values);
        }
        self
    }

    /// The values of a key, if it is set.
    pub fn get(&self, key: &Key) -> Option<&[Value]> {
        self.set.get(key.name).map(Vec::as_slice)
    }

    /// What was set, for the results.
    pub fn describe(&self) -> BTreeMap<String, String> {
        let text = |key: &Key, values: &[Value]| {
            values.iter().map(|value| key.kind.text(*value)).collect::<Vec<_>>().join(",")
        };
        keys().filter_map(|key| Some((key.name.to_owned(), text(key, self.get(key)?)))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::keys::{GUESTS, SAMPLES};

    #[test]
    fn assignments_are_taken() {
        let mut overrides = Overrides::default();
        for assignment in ["samples=1_000", "memory = 1G", "pcid=off", "guests=1, 4", "huge_pages=true"] {
            overrides.set(assignment).unwrap();
        }
        assert_eq!(overrides.get(&SAMPLES), Some([Value::Number(1000)].as_slice()));
        assert_eq!(overrides.get(&GUESTS), Some([Value::Number(1), Value::Number(4)].as_slice()));
        assert_eq!(overrides.describe()["memory"], "1G");
        assert_eq!(overrides.describe()["guests"], "1,4");
        assert_eq!(overrides.describe()["huge_pages"], "transparent");
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_fix() {
        let mut overrides = Overrides::default();
        assert!(overrides.set("sample=4").unwrap_err().fix.contains("did you mean `samples`?"));
        for assignment in [
            "samples",
            "samples=many",
            "memory=big",
            "pcid=yes",
            "guests=",
            "guests=1;2",
            "huge_pages=1G",
            "seconds=soon",
        ] {
            assert!(!overrides.set(assignment).unwrap_err().fix.is_empty(), "{assignment}");
        }
        assert_eq!(overrides, Overrides::default());
    }
}
