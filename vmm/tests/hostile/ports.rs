//! Floods of ports, with and without devices behind them.

use super::*;

#[test]
fn floods_of_the_doorbell_and_of_strange_ports_change_nothing() {
    if !require_kvm() {
        return;
    }
    let run = run_kernel(|a| {
        write_report(a)?;
        out(a, port::DOORBELL, doorbell::MEASURE_BEGIN)?;
        let mut again = a.create_label();
        a.mov(ecx, 2_000u32)?;
        a.mov(esi, 0x9e37_79b9u32)?;
        a.set_label(&mut again)?;
        a.imul_3(esi, esi, 0x0019_660d)?;
        a.mov(eax, esi)?;
        a.mov(edx, u32::from(port::DOORBELL))?;
        a.out(dx, eax)?;
        a.out(dx, al)?;
        a.mov(edx, esi)?;
        a.and(edx, 0x2ff)?;
        a.out(dx, eax)?;
        a.in_(eax, dx)?;
        a.dec(ecx)?;
        a.jnz(again)?;
        out(a, port::DOORBELL, doorbell::MEASURE_END)?;
        out(a, port::EXIT, exit_code::FINISHED)
    });
    assert_eq!(run.outcome, Outcome::Finished { status: 0 });
    assert!(run.measured_ns.is_some());
    assert!(run.kvm_stats.is_empty() || run.kvm_stats["exits"] > 0, "{:?}", run.kvm_stats);
}

#[test]
fn a_port_without_a_device_reads_all_ones() {
    if !require_kvm() {
        return;
    }
    let Outcome::Panic { last_words, .. } = run_kernel(|a| {
        a.xor(eax, eax)?;
        a.mov(edx, 0x1234)?;
        a.in_(eax, dx)?;
        a.mov(ebx, eax)?;
        out(a, port::EXIT, exit_code::PANIC)
    })
    .outcome
    else {
        panic!("expected a panic");
    };
    assert_eq!(last_words.registers.general[3], 0xffff_ffff);
}

/// The bound itself has a unit test: a megabyte takes minutes where KVM runs inside an emulator.
#[test]
fn a_flood_of_the_console_is_kept() {
    if !require_kvm() {
        return;
    }
    // Strings of 16 KiB each, four bytes to an exit.
    let (strings, size) = (5, 16 << 10);
    let run = run_kernel(|a| {
        let mut again = a.create_label();
        a.mov(ebx, strings)?;
        a.mov(edx, u32::from(port::SERIAL))?;
        a.set_label(&mut again)?;
        a.mov(rsi, KERNEL_DATA)?;
        a.mov(ecx, size / 4)?;
        a.rep().outsd()?;
        a.dec(ebx)?;
        a.jnz(again)?;
        out(a, port::EXIT, exit_code::REFUSED)
    });
    assert_eq!(run.outcome, Outcome::Refused { message: String::new() });
    assert_eq!(run.console, vec![0; (strings * size) as usize]);
}

#[test]
fn strings_to_every_port_of_the_machine() {
    if !require_kvm() {
        return;
    }
    let run = run_kernel(|a| {
        for port in [port::SERIAL, port::SERIAL + 4, port::DOORBELL, 0x80] {
            a.mov(edx, u32::from(port))?;
            a.mov(rsi, KERNEL_DATA)?;
            a.mov(ecx, 257)?;
            a.rep().outsd()?;
            a.mov(ecx, 257)?;
            a.rep().outsw()?;
        }
        a.mov(edx, u32::from(port::EXIT))?;
        a.mov(dword_ptr(KERNEL_DATA), exit_code::REFUSED)?;
        a.mov(rsi, KERNEL_DATA)?;
        a.mov(ecx, 64)?;
        a.rep().outsd()
    });
    assert_eq!(run.outcome, Outcome::Refused { message: String::new() });
}
