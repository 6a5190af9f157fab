//! The lens `kernel`: the guest kernel's own counters, which are always on.

use crate::host::HostFacts;
use crate::lens::{Ability, Count, Lens, Seen, What, took_part};
use crate::record::run::LensRecord;

/// Its name.
pub const NAME: &str = "kernel";

/// The kernel's counters.
pub struct Kernel;

impl Lens for Kernel {
    fn name(&self) -> &'static str {
        NAME
    }

    fn ability(&self, _host: &HostFacts) -> Ability {
        Ability::available(NAME, "the guest kernel's own counters are exact everywhere")
    }

    fn record(&self, _seen: &Seen<'_>) -> LensRecord {
        took_part(None)
    }

    fn count(&self, what: What, seen: &Seen<'_>) -> Count {
        match what {
            What::PageTableLoads => Count::of(Some(seen.loads)),
            What::ThreadSwitches => Count::of(Some(seen.switches)),
            _ => Count::None,
        }
    }

    fn what_to_check(&self) -> &'static str {
        "the counters of the kernel's switch (guest-kernel), each load and switch once"
    }
}
