//! Guests that break, lie, flood and hang: the VMM answers each with a typed result.

mod support;

use abi::port;
use iced_x86::code_asm::*;
use inkbed::machine::guest::{GuestConfig, GuestRun, Outcome};
use inkbed::machine::{self, StopFlag};
use support::{guest, kernel_of, require_kvm};

/// Assembles a kernel whose first instruction is the first that `write` emits.
fn kernel(write: impl FnOnce(&mut CodeAssembler) -> Result<(), IcedError>) -> GuestConfig {
    let mut assembler = CodeAssembler::new(64).unwrap();
    write(&mut assembler).unwrap();
    guest(kernel_of(&assembler.assemble(support::KERNEL_CODE).unwrap()))
}

fn run(config: &GuestConfig) -> GuestRun {
    machine::run(config, &StopFlag::new().unwrap()).unwrap()
}

/// Writes the 32-bit `value` to `port`.
fn out(a: &mut CodeAssembler, port: u16, value: u32) -> Result<(), IcedError> {
    a.mov(edx, u32::from(port))?;
    a.mov(eax, value)?;
    a.out(dx, eax)
}

#[test]
fn unknown_exit_code() {
    if !require_kvm() {
        return;
    }
    let config = kernel(|a| out(a, port::EXIT, 0xdead_beef));
    let run = run(&config);
    println!("create {} us", run.create_ns / 1000);
    assert_eq!(run.outcome, Outcome::Corrupt { reason: "exit code 0xdeadbeef".to_owned() });
}
