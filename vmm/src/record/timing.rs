//! How a record of a case holds the verdict on its ticks: as `timing`, or as version 1 did.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::host::Timing;

#[derive(Serialize)]
struct Written<'a> {
    timing: &'a Timing,
}

#[derive(Deserialize)]
struct Read {
    timing: Option<Timing>,
    timing_valid: Option<bool>,
    timing_reason: Option<String>,
}

/// Writes `timing`.
pub fn serialize<S: Serializer>(timing: &Timing, serializer: S) -> Result<S::Ok, S::Error> {
    Written { timing }.serialize(serializer)
}

/// Reads either form.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timing, D::Error> {
    let read = Read::deserialize(deserializer)?;
    let of_version_1 = match (read.timing_valid, read.timing_reason) {
        (Some(true), None) => Timing::Valid,
        (_, reason) => {
            let reason = reason.unwrap_or_else(|| "the record does not say why".to_owned());
            // Version 1 told with the reason what the tables tell once.
            let parts = [
                "; counts are exact",
                ": ticks are not hardware timing",
                ": cycle figures are not hardware timing",
            ];
            Timing::invalid(parts.iter().fold(reason, |reason, part| reason.replace(part, "")))
        }
    };
    Ok(read.timing.unwrap_or(of_version_1))
}
