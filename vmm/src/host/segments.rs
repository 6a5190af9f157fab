//! Whether segments have bases and limits in compatibility mode here, and which gates lead out of it: what programs for 32
//! bits, and so small spaces, need.
//!
//! The processors that KVM runs on all have them. What is between may not: an emulator of ring 0 that loads no such
//! descriptor, an emulator of the processor that checks no limit. So the guest's kernel tries it in ring 3, and this
//! asks it.

use std::time::Duration;

use abi::plan::{PlanServer, flag, placement, server_flag, trust};
use abi::program::{self, client, workload};
use abi::report::feature;
use serde::Serialize;

use crate::guest_image::GuestImage;
use crate::host::fact::Fact;
use crate::machine::guest::{Console, GuestConfig, HugePages, Outcome, Pin};
use crate::machine::{self, StopFlag};
use crate::record::outcome::OutcomeRecord;

/// What the guest's kernel has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentFacts {
    /// A segment's base is added to addresses.
    pub bases: bool,
    /// An address beyond a segment's limit is an exception.
    pub limits: bool,
    /// SYSENTER enters the kernel from compatibility mode.
    pub sysenter: bool,
    /// SYSCALL does.
    pub syscall: bool,
}

impl SegmentFacts {
    /// From the features of a guest that has looked.
    pub fn from_features(features: u64) -> SegmentFacts {
        let has = |bit| features & bit != 0;
        SegmentFacts {
            bases: has(feature::SEGMENT_BASES),
            limits: has(feature::SEGMENT_LIMITS),
            sysenter: has(feature::SYSENTER_32),
            syscall: has(feature::SYSCALL_32),
        }
    }
}

const MEMORY_BYTES: u64 = 64 << 20;
const DEADLINE: Duration = Duration::from_secs(60);

/// Boots a guest that does nothing else.
pub(crate) fn probe(image: &GuestImage) -> Fact<SegmentFacts> {
    let Some(config) = config(image) else {
        return Fact::absent(format_args!("there is no program `{}` to boot a guest with", program::CLIENT));
    };
    let stop = match StopFlag::new() {
        Ok(stop) => stop,
        Err(error) => return Fact::absent(error),
    };
    match machine::run(&config, &stop) {
        Ok(run) if run.outcome == (Outcome::Finished { status: 0 }) => {
            Fact::Known(SegmentFacts::from_features(run.features))
        }
        Ok(run) => {
            let outcome = OutcomeRecord::from(&run.outcome);
            Fact::absent(format_args!("the guest that was to find out ended otherwise: {outcome}"))
        }
        Err(error) => Fact::from(Err(error)),
    }
}

fn config(image: &GuestImage) -> Option<GuestConfig> {
    let mut driver = PlanServer {
        placement: placement::USER,
        trust_group: trust::NONCRITICAL_TRUSTED,
        thread_count: 1,
        cpu_count: 1,
        flags: server_flag::DRIVER,
        ..PlanServer::default()
    };
    driver.arguments[client::WORKLOAD] = workload::EMPTY;
    driver.arguments[client::ROUND_TRIPS] = 1;
    Some(GuestConfig {
        kernel: image.kernel.clone(),
        modules: vec![image.servers.iter().find(|elf| elf.name == program::CLIENT)?.clone()],
        servers: vec![driver],
        rights: Vec::new(),
        plan_flags: flag::PROBE_SEGMENTS,
        vcpus: 1,
        memory_bytes: MEMORY_BYTES,
        huge_pages: HugePages::No,
        sample_capacity: 1,
        pin: Pin::None,
        deadline: Some(DEADLINE),
        console: Console::Capture,
        verbose: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_become_facts() {
        let facts = SegmentFacts::from_features(feature::SEGMENT_BASES | feature::SYSCALL_32 | feature::PCID);
        assert_eq!(facts, SegmentFacts { bases: true, limits: false, sysenter: false, syscall: true });
    }

    #[test]
    fn the_probe_is_a_client_that_needs_nobody() {
        let config = config(&crate::case::tests::image()).unwrap();
        assert_eq!((config.servers.len(), config.modules[0].name.as_str()), (1, "client"));
        assert_eq!(config.plan_flags, flag::PROBE_SEGMENTS);
    }
}
