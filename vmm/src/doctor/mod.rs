//! What this host is and what can be measured on it, judged: the library behind `inkbed doctor`.

mod checks;
mod segments;

#[cfg(test)]
mod tests;

use serde::Serialize;

use crate::guest_image::GuestImage;
use crate::host::{Check, Fact, HostFacts};
use crate::lens::{Ability, abilities};

/// A host's facts, and what follows from them.
#[derive(Clone, Debug, Serialize)]
pub struct Diagnosis {
    /// What it says of itself.
    #[serde(flatten)]
    pub facts: HostFacts,
    /// What each way of counting can do here.
    pub lenses: Vec<Ability>,
    /// All of it judged, for people.
    pub checks: Vec<Check>,
}

impl Diagnosis {
    /// Asks the host everything, as [`HostFacts::probe`], and judges.
    pub fn probe() -> Diagnosis {
        Diagnosis::of(HostFacts::probe())
    }

    /// The same, with what a guest of this kernel finds out about segments. Takes as long as booting it.
    pub fn with_segments(self, image: &GuestImage) -> Diagnosis {
        let segments = match self.facts.kvm.usable.reason() {
            Some(_) => Fact::absent("no guest can be run"),
            None => segments::probe(image),
        };
        Diagnosis::of(HostFacts { segments, ..self.facts })
    }

    fn of(facts: HostFacts) -> Diagnosis {
        let lenses = abilities(&facts);
        let checks = checks::all(&facts, &lenses);
        Diagnosis { facts, lenses, checks }
    }
}
