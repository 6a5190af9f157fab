//! The lens `pmu`: the guest kernel programs and reads its virtual performance counters around the measured part.
//!
//! `shape` tells from CPUID which counters the guest has, `availability` whether the host lets them count, `table` which
//! selector counts what on which processor, `program` fits the events to the counters there are, and `result` judges what
//! the guest reports: self-tests first, and no figure without them. `setup` puts it together for one run.
//!
//! [`software`] is a model of such counters behind MSR exits. It proves the guest's register accesses on hosts that have
//! no counters; its figures mean nothing.

mod availability;
mod event;
mod lens;
mod program;
mod result;
mod setup;
mod shape;
pub mod software;
mod table;
mod watch;

#[cfg(test)]
mod tests;

pub(crate) use availability::{HYBRID_REMEDY, no_pmu_on};
pub use availability::{HostPmu, PmuAvailability};
pub use event::Event;
pub use lens::Pmu;
pub use program::{LeftOut, Privilege, Program, program};
pub use result::{CounterResult, PmuResult, judge};
pub(crate) use setup::PmuSetup;
pub use shape::{Counters, Shape};
pub use table::{EventTable, ProcessorEvent, Selector, architectural, for_core, for_shape, tables};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use software::SoftwarePmu;

use crate::lens::LensRequest;

/// The lens's name.
pub const NAME: &str = "pmu";

/// How the guest's counters are used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PmuRequest {
    /// Those that KVM gives to guests.
    Host(Privilege),
    /// A model in the VMM, for tests of the register accesses.
    Software(SoftwarePmu, Privilege),
}

impl From<PmuRequest> for LensRequest {
    /// This lens only.
    fn from(request: PmuRequest) -> LensRequest {
        LensRequest::only(NAME, request.to_value())
    }
}

impl PmuRequest {
    fn to_value(&self) -> Value {
        // Plain data: it can always be written.
        serde_json::to_value(self).unwrap_or_default()
    }
}
