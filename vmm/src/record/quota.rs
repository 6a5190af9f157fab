//! What each of several guests at once may take of the host's CPUs.

use serde::{Deserialize, Serialize};

/// The quotas of an experiment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quotas {
    /// CPUs of guest 0, guest 1, …, round and round; empty: as many as it wants.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cpus: Vec<f64>,
    /// Weights likewise; empty: all alike.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub weights: Vec<u32>,
}

/// What one guest may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// Most CPU time, in CPUs.
    pub cpus: Option<f64>,
    /// Share when CPU time is short, 1 to 10,000.
    pub weight: Option<u32>,
}

impl Quotas {
    /// That of the guest with this index.
    pub fn of(&self, guest: u32) -> Quota {
        let index = guest as usize;
        Quota {
            cpus: self.cpus.get(index % self.cpus.len().max(1)).copied(),
            weight: self.weights.get(index % self.weights.len().max(1)).copied(),
        }
    }
}
