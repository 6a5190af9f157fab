//! The table `[guests]` of an experiment file: what each of several guests at once may take of the host's CPUs.

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};

use super::check::not_empty;
use super::error::ConfigError;
use super::file::ExperimentFile;
use super::list::List;
use crate::record::quota::Quotas;

/// `[guests]` as it is written. A list goes round: guest 0 gets the first value, guest 1 the second, …
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuotaEntry {
    /// Most CPU time, in CPUs.
    pub cpus: Option<List<Cpus>>,
    /// Share of the CPU time when it is short; 100 is the usual.
    pub weight: Option<List<i64>>,
}

/// A number of CPUs: whole or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cpus(pub f64);

impl<'de> Deserialize<'de> for Cpus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cpus, D::Error> {
        struct Number;
        impl Visitor<'_> for Number {
            type Value = Cpus;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a number of CPUs such as 0.5 or 2")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Cpus, E> {
                Ok(Cpus(value as f64))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Cpus, E> {
                Ok(Cpus(value))
            }
        }
        deserializer.deserialize_any(Number)
    }
}

/// The quotas of a file; `None` where it sets none.
pub fn read(file: &ExperimentFile) -> Result<Option<Quotas>, ConfigError> {
    let entry = &file.content.guests;
    let mut quotas = Quotas::default();
    if let Some(list) = &entry.cpus {
        not_empty(file, "cpus", list)?;
        for value in &list.values {
            let cpus = value.get_ref().0;
            if !(0.01..=4096.0).contains(&cpus) {
                let message = format!("`cpus = {cpus}` is out of range");
                return Err(file.error_at(value.span(), message, "choose a number from 0.01 to 4096"));
            }
            quotas.cpus.push(cpus);
        }
    }
    if let Some(list) = &entry.weight {
        not_empty(file, "weight", list)?;
        for value in &list.values {
            let weight = *value.get_ref();
            if !(1..=10_000).contains(&weight) {
                let message = format!("`weight = {weight}` is out of range");
                return Err(file.error_at(value.span(), message, "choose a number from 1 to 10000"));
            }
            quotas.weights.push(weight as u32);
        }
    }
    Ok((quotas != Quotas::default()).then_some(quotas))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::record::quota::Quota;

    fn read(table: &str) -> Result<Option<Quotas>, ConfigError> {
        let text = format!(
            "name = \"x\"\nquestion = \"Why?\"\n{table}\n[[case]]\nworkload = \"empty\"\nclient = \"user\"\n"
        );
        super::read(&ExperimentFile::parse(Path::new("x.toml"), text)?)
    }

    #[test]
    fn lists_go_round() {
        let quotas = read("[guests]\ncpus = [0.5, 2]\nweight = 50").unwrap().unwrap();
        assert_eq!(quotas.of(0), Quota { cpus: Some(0.5), weight: Some(50) });
        assert_eq!(quotas.of(3), Quota { cpus: Some(2.0), weight: Some(50) });
        assert_eq!(read("").unwrap(), None);
        assert_eq!(Quotas::default().of(7), Quota::default());
    }

    #[test]
    fn what_no_host_can_give_is_refused_with_its_place() {
        for table in ["cpus = 0", "cpus = -1", "cpus = 1e9", "weight = 0", "weight = 20000", "cpus = []"] {
            let error = read(&format!("[guests]\n{table}")).unwrap_err();
            assert_eq!(error.place.as_ref().unwrap().line, 4, "{table}: {error}");
            assert!(!error.fix.is_empty());
        }
        assert!(read("[guests]\nwieght = 5").unwrap_err().fix.contains("weight"));
    }
}
