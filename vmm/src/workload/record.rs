//! How cases are written to records and read from them: a workload is its name, settings are the keys that are known.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::ser::{Serialize, Serializer};

use super::{Workload, keys, named};
use crate::case::key::{Key, Raw};
use crate::case::settings::{Settings, serialize_all};
use crate::case::suggest::suggest;
use crate::case::value::Value;

impl Serialize for dyn Workload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for &'static dyn Workload {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<&'static dyn Workload, D::Error> {
        let name = String::deserialize(deserializer)?;
        named(&name).ok_or_else(|| {
            let known = super::ALL.iter().map(|workload| workload.name());
            de::Error::custom(format!("unknown workload `{name}`: {}", suggest(&name, known)))
        })
    }
}

/// Keys that lie among the settings.
fn settings() -> impl Iterator<Item = &'static Key> {
    keys().iter().copied().filter(|key| key.field.is_none())
}

impl Serialize for Settings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = |key: &'static Key| {
            let usual = key.default_value().filter(|_| key.always_recorded);
            Some((key, self.get(key).or(usual)?))
        };
        serialize_all(settings().filter_map(value), serializer)
    }
}

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Settings, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Settings;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("the settings of a case")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Settings, A::Error> {
                let mut read = Settings::default();
                while let Some(name) = map.next_key::<String>()? {
                    match settings().find(|key| key.recorded() == name) {
                        Some(key) => {
                            let raw: Raw = map.next_value()?;
                            let value = key.kind.read(&raw).map_err(|wrong| {
                                de::Error::custom(format!("{name}: {}; {}", wrong.message, wrong.fix))
                            })?;
                            if matches!(value, Value::Number(number) if number < 0) {
                                return Err(de::Error::custom(format!("{name}: {raw} is below zero")));
                            }
                            if !(key.always_recorded && Some(value) == key.default_value()) {
                                read.set(key, value);
                            }
                        }
                        None => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(read)
            }
        }
        deserializer.deserialize_map(Map)
    }
}
