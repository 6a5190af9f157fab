//! What each way of counting can do on this host.

use serde::Serialize;

use crate::host::HostFacts;
use crate::lens::ALL;

/// What one lens can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ability {
    /// The lens.
    pub name: &'static str,
    /// Whether it can be used.
    pub availability: Availability,
    /// What it counts here, or why it does not.
    pub reason: String,
    /// What the user can do about it.
    pub remedy: Option<String>,
}

/// Whether a lens can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Availability {
    /// Fully.
    Available,
    /// With a restriction that the reason names.
    Limited,
    /// Not at all.
    Unavailable,
}

pub(super) const HARDWARE_REMEDY: &str =
    "run on a machine with VMX or SVM, on bare metal or with nested virtualization";

/// What each lens can do on this host.
pub fn abilities(host: &HostFacts) -> Vec<Ability> {
    if let Some(reason) = host.kvm.usable.reason() {
        let remedy = Some(reason);
        let absent = |name| Ability::unavailable(name, "no guest can be run", remedy);
        return ALL.iter().map(|lens| absent(lens.name())).collect();
    }
    ALL.iter().map(|lens| lens.ability(host)).collect()
}

impl Ability {
    pub(super) fn available(name: &'static str, reason: impl Into<String>) -> Ability {
        Ability { name, availability: Availability::Available, reason: reason.into(), remedy: None }
    }

    pub(super) fn limited(name: &'static str, reason: impl Into<String>, remedy: &str) -> Ability {
        let remedy = Some(remedy.to_owned());
        Ability { name, availability: Availability::Limited, reason: reason.into(), remedy }
    }

    pub(super) fn unavailable(
        name: &'static str,
        reason: impl Into<String>,
        remedy: Option<&str>,
    ) -> Ability {
        let remedy = remedy.map(str::to_owned);
        Ability { name, availability: Availability::Unavailable, reason: reason.into(), remedy }
    }
}
