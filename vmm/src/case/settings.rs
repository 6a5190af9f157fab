//! What is set in a case beyond what every case has: the keys of its workload.

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::key::{Key, Kind};
use super::value::Value;

/// The keys that are set, in the order of records.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    set: Vec<(&'static Key, Value)>,
}

impl Settings {
    /// The value of a key.
    pub fn get(&self, key: &Key) -> Option<Value> {
        self.set.iter().find(|(known, _)| known.name == key.name).map(|(_, value)| *value)
    }

    /// Sets a key.
    pub fn set(&mut self, key: &'static Key, value: Value) {
        match self.set.iter_mut().find(|(known, _)| known.name == key.name) {
            Some((_, old)) => *old = value,
            None => {
                let at = self.set.partition_point(|(known, _)| known.order <= key.order);
                self.set.insert(at, (key, value));
            }
        }
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &Key) {
        self.set.retain(|(known, _)| known.name != key.name);
    }

    /// Keys and values, in the order of records.
    pub fn iter(&self) -> impl Iterator<Item = (&'static Key, Value)> {
        self.set.iter().copied()
    }
}

impl PartialEq for Settings {
    fn eq(&self, other: &Settings) -> bool {
        self.set.len() == other.set.len()
            && self.iter().zip(other.iter()).all(|(one, two)| (one.0.name, one.1) == (two.0.name, two.1))
    }
}

impl Eq for Settings {}

/// A value as records have it.
pub(crate) struct Recorded(pub(crate) Kind, pub(crate) Value);

impl Serialize for Recorded {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.0, self.1) {
            (_, Value::Number(number)) => serializer.serialize_i64(number),
            (_, Value::Flag(flag)) => serializer.serialize_bool(flag),
            (_, Value::Size(size)) => serializer.serialize_u64(size.bytes),
            (_, Value::Seconds(seconds)) => seconds.serialize(serializer),
            (kind, value @ (Value::Choice(_) | Value::Recording(_))) => {
                serializer.serialize_str(&kind.text(value))
            }
        }
    }
}

/// Writes these keys as one map.
pub(crate) fn serialize_all<S: Serializer>(
    keys: impl Iterator<Item = (&'static Key, Value)>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for (key, value) in keys {
        map.serialize_entry(key.recorded(), &Recorded(key.kind, value))?;
    }
    map.end()
}
