//! Accesses to the registers that the VMM itself keeps.

use inkbed::lens::measure;
use inkbed::lens::pmu::software::{SoftwareKind, SoftwarePmu, Source};
use inkbed::lens::pmu::{PmuRequest, Privilege};

use super::*;

/// Bad accesses fault in the guest, whatever they are.
#[test]
fn bad_accesses_to_the_software_counters_fault_in_the_guest() {
    if !require_kvm() {
        return;
    }
    let outcome = |register: u32, value: u64| {
        let config = kernel(|a| {
            a.mov(ecx, register)?;
            a.mov(eax, value as u32)?;
            a.mov(edx, (value >> 32) as u32)?;
            a.wrmsr()?;
            out(a, port::EXIT, exit_code::REFUSED)
        });
        let model = SoftwarePmu { kind: SoftwareKind::IntelVersion2, source: Source::Accesses, defect: None };
        let request = PmuRequest::Software(model, Privilege::All).into();
        measure::run(&config, &request, &StopFlag::new().unwrap()).unwrap().run.outcome
    };
    assert!(matches!(outcome(0x186, 0x43_00c0), Outcome::Refused { .. }), "a good selector is taken");
    for (register, value) in
        [(0x186, 1 << 21), (0x186, 1 << 40), (0x38d, u64::MAX), (0x18d, 0), (0xc001_0000, 0)]
    {
        let outcome = outcome(register, value);
        assert!(matches!(outcome, Outcome::TripleFault { .. }), "{register:#x}: {outcome:?}");
    }
}
