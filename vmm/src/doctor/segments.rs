//! Asking a guest what its CPU does with segments: a guest that does nothing else.

use std::time::Duration;

use abi::plan::{PlanServer, flag, placement, server_flag, trust};
use abi::program;
use abi::workload::{Loop, empty};

use crate::guest_image::GuestImage;
use crate::host::{Fact, SegmentFacts};
use crate::machine::guest::{Console, GuestConfig, HugePages, Outcome, Pin};
use crate::machine::{self, StopFlag};
use crate::record::outcome::OutcomeRecord;

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
    driver.arguments = empty::Arguments {}.encode();
    Loop { round_trips: 1, ..Loop::default() }.put(&mut driver.arguments);
    Some(GuestConfig {
        kernel: image.kernel.clone(),
        modules: vec![image.servers.iter().find(|elf| elf.name == program::CLIENT)?.clone()],
        servers: vec![driver],
        rights: Vec::new(),
        plan_flags: flag::PROBE_SEGMENTS,
        vcpus: 1,
        memory_bytes: MEMORY_BYTES,
        huge_pages: HugePages::No,
        withheld_features: 0,
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
    fn the_probe_is_a_client_that_needs_nobody() {
        let config = config(&crate::case::tests::image()).unwrap();
        assert_eq!((config.servers.len(), config.modules[0].name.as_str()), (1, "client"));
        assert_eq!(config.plan_flags, flag::PROBE_SEGMENTS);
    }
}
