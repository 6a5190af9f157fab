//! Values from the command line that replace those of the file.

use std::collections::BTreeMap;

use super::error::{ConfigError, suggest};
use crate::case::parameter::{HUGE_PAGES, HugePagesChoice, PcidChoice};
use crate::case::seconds::{Seconds, SecondsError};
use crate::case::size::MemorySize;

/// Values that hold for all cases, whatever the file says in `[defaults]` or in a case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// See [`super::file::Common`], also for the others.
    pub vcpus: Option<i64>,
    /// Memory of the guest.
    pub memory: Option<MemorySize>,
    /// Pages of the host that the memory is made of.
    pub huge_pages: Option<HugePagesChoice>,
    /// Guests at once, in cases that have several numbers of them as well as in those that have none.
    pub guests: Option<Vec<i64>>,
    /// Handlers on each CPU, in cases that have handlers.
    pub handlers_per_cpu: Option<i64>,
    /// Process-context identifiers.
    pub pcid: Option<PcidChoice>,
    /// Seconds after which a guest is taken for hung.
    pub deadline_seconds: Option<i64>,
    /// Round trips before the first sample.
    pub warm_up: Option<i64>,
    /// Round trips to sample.
    pub samples: Option<i64>,
    /// How long to measure instead.
    pub seconds: Option<Seconds>,
    /// Guests booted afresh for every case.
    pub launches: Option<i64>,
    /// Round trips to trace in a guest of their own.
    pub trace_round_trips: Option<i64>,
}

/// Keys that [`Overrides::set`] takes.
pub const KEYS: [&str; 12] = [
    "vcpus",
    "memory",
    "huge_pages",
    "guests",
    "handlers_per_cpu",
    "pcid",
    "deadline_seconds",
    "warm_up",
    "samples",
    "seconds",
    "launches",
    "trace_round_trips",
];

impl Overrides {
    /// Takes one `key=value`.
    pub fn set(&mut self, assignment: &str) -> Result<(), ConfigError> {
        let Some((key, value)) = assignment.split_once('=') else {
            let message = format!("`{assignment}` is no `key=value`");
            return Err(ConfigError::on_command_line(message, "write for example --set samples=1000"));
        };
        let (key, value) = (key.trim(), value.trim());
        match key {
            "vcpus" => self.vcpus = Some(whole_number(key, value)?),
            "memory" => self.memory = Some(memory(value)?),
            "huge_pages" => self.huge_pages = Some(huge_pages(value)?),
            "guests" => {
                let numbers = value.split(',').map(|number| whole_number(key, number.trim()));
                self.guests = Some(numbers.collect::<Result<_, _>>()?);
            }
            "handlers_per_cpu" => self.handlers_per_cpu = Some(whole_number(key, value)?),
            "pcid" => self.pcid = Some(pcid(value)?),
            "deadline_seconds" => self.deadline_seconds = Some(whole_number(key, value)?),
            "warm_up" => self.warm_up = Some(whole_number(key, value)?),
            "samples" => self.samples = Some(whole_number(key, value)?),
            "seconds" => self.seconds = Some(seconds(value)?),
            "launches" => self.launches = Some(whole_number(key, value)?),
            "trace_round_trips" => self.trace_round_trips = Some(whole_number(key, value)?),
            _ => {
                let message = format!("unknown key `{key}` in `--set {assignment}`");
                return Err(ConfigError::on_command_line(message, suggest(key, KEYS)));
            }
        }
        Ok(())
    }

    /// What was set, for the results.
    pub fn describe(&self) -> BTreeMap<String, String> {
        let values = [
            ("vcpus", self.vcpus.map(|value| value.to_string())),
            ("memory", self.memory.map(|value| value.to_string())),
            ("huge_pages", self.huge_pages.map(|value| value.0.name().to_owned())),
            ("guests", self.guests.as_ref().map(|numbers| join(numbers))),
            ("handlers_per_cpu", self.handlers_per_cpu.map(|value| value.to_string())),
            ("pcid", self.pcid.map(|value| format!("{value:?}").to_lowercase())),
            ("deadline_seconds", self.deadline_seconds.map(|value| value.to_string())),
            ("warm_up", self.warm_up.map(|value| value.to_string())),
            ("samples", self.samples.map(|value| value.to_string())),
            ("seconds", self.seconds.map(|value| value.to_string())),
            ("launches", self.launches.map(|value| value.to_string())),
            ("trace_round_trips", self.trace_round_trips.map(|value| value.to_string())),
        ];
        values.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

fn join(numbers: &[i64]) -> String {
    numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn huge_pages(value: &str) -> Result<HugePagesChoice, ConfigError> {
    value.parse().map_err(|()| {
        ConfigError::on_command_line(
            format!("unknown value `{value}` of huge_pages"),
            suggest(value, HUGE_PAGES),
        )
    })
}

fn whole_number(key: &str, value: &str) -> Result<i64, ConfigError> {
    value.replace('_', "").parse().map_err(|_| {
        ConfigError::on_command_line(
            format!("`{value}` is no whole number"),
            format!("write for example --set {key}=10"),
        )
    })
}

fn seconds(value: &str) -> Result<Seconds, ConfigError> {
    value.parse().map_err(|error: SecondsError| {
        ConfigError::on_command_line(error.to_string(), "write for example --set seconds=0.5")
    })
}

fn memory(value: &str) -> Result<MemorySize, ConfigError> {
    value.parse().map_err(|error: crate::case::size::MemorySizeError| {
        ConfigError::on_command_line(error.to_string(), "write for example --set memory=128M")
    })
}

fn pcid(value: &str) -> Result<PcidChoice, ConfigError> {
    match value {
        "auto" => Ok(PcidChoice::Auto),
        "on" => Ok(PcidChoice::On),
        "off" => Ok(PcidChoice::Off),
        _ => Err(ConfigError::on_command_line(
            format!("unknown value `{value}` of pcid"),
            suggest(value, ["auto", "on", "off"]),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_taken() {
        let mut overrides = Overrides::default();
        for assignment in ["samples=1_000", "memory = 1G", "pcid=off", "guests=1, 4", "huge_pages=true"] {
            overrides.set(assignment).unwrap();
        }
        assert_eq!(overrides.samples, Some(1000));
        assert_eq!(overrides.memory, Some(MemorySize::mebibytes(1024)));
        assert_eq!(overrides.guests, Some(vec![1, 4]));
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
