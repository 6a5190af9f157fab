//! The host, as far as runs depend on it.

use crate::experiment::check::Limits;
use crate::report::record::HostRecord;

/// The host.
pub(super) struct Host;

impl Host {
    pub(super) fn probe() -> anyhow::Result<Host> {
        Ok(Host)
    }

    pub(super) fn limits(&self, programs: Vec<String>) -> Limits {
        Limits { pcid: Err("the guest's CPU has no PCIDs".to_owned()), vcpus_max: 1024, programs }
    }

    pub(super) fn record(&self) -> HostRecord {
        HostRecord::default()
    }
}
