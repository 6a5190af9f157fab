//! The last words of the real guest name functions: of the kernel, and of the server that it was running.

mod support;

use std::time::Duration;

use abi::plan::{PlanServer, placement, server_flag, trust};
use abi::program::{self, scenario};
use inkbed::guest_image::GuestImage;
use inkbed::machine::guest::{GuestConfig, Outcome};
use inkbed::machine::{self, StopFlag};
use support::{guest, require_kvm};

/// A guest whose only server spins for ever.
fn spinning(placement: u32, trust_group: u32) -> GuestConfig {
    let image = GuestImage::embedded();
    let module = program::ALL.iter().position(|name| *name == program::SCENARIO).unwrap() as u32;
    let mut server = PlanServer {
        module,
        placement,
        trust_group,
        priority: 1,
        thread_count: 1,
        flags: server_flag::DRIVER,
        ..PlanServer::default()
    };
    server.arguments[scenario::NUMBER] = scenario::SPIN;
    server.arguments[scenario::PARAMETER] = u64::from(u32::MAX);
    GuestConfig {
        modules: image.servers,
        servers: vec![server],
        memory_bytes: 64 << 20,
        deadline: Some(Duration::from_secs(1)),
        ..guest(image.kernel)
    }
}

#[test]
fn a_spinning_server_is_named() {
    if !require_kvm() {
        return;
    }
    let places =
        [(placement::USER, trust::NONCRITICAL_UNTRUSTED), (placement::KERNEL, trust::CRITICAL_TRUSTED)];
    for (placement, trust_group) in places {
        let run = machine::run(&spinning(placement, trust_group), &StopFlag::new().unwrap()).unwrap();
        let Outcome::Hang { last_words, .. } = run.outcome else { panic!("{:?}", run.outcome) };
        // The deadline may also find the kernel at its timer interrupt.
        assert!(
            last_words.backtrace.iter().any(|line| line.contains("scenario: ") || line.contains("::")),
            "{:?}",
            last_words.backtrace
        );
        assert!(run.boot_ns.is_some());
    }
}
