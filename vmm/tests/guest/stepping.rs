//! A program that enters the kernel with the trap flag set: whether a debug exception comes behind it, in ring 0 and with the
//! user's GS, or once it is back, the program dies of it alone, and the flag is on nowhere in the kernel. SYSENTER always has
//! that exception; of SYSCALL processors and emulators differ.

use abi::call::{VECTOR_32, number, status};
use abi::plan::{flag, server_flag};
use abi::report::feature;
use iced_x86::code_asm::*;
use inkbed::machine::guest::{GuestConfig, Outcome};

use crate::flags::{TRAP, UNWANTED, ask, flag_reader, set, system_call_entry};
use crate::harness::{Place, boot, config};
use crate::raw::{self, Assembled, assemble, call_stub, raw};

const STEPPER: u32 = 2;

/// Writes the instruction that enters the kernel.
type Enter = &'static dyn Fn(&mut CodeAssembler) -> Assembled;

/// Calls the stepper, which must die, and then the server in the kernel that tells its flags.
fn driver() -> Vec<u8> {
    assemble(64, |a| {
        a.xor(ebx, ebx)?;
        a.mov(edi, 1)?;
        a.xor(esi, esi)?;
        call_stub(a, number::CALL)?;
        a.xor(eax, status::PARTNER_DEAD as i32)?;
        a.mov(ebp, eax)?;
        ask(a)?;
        ask(a)?;
        a.and(ebx, UNWANTED as i32)?;
        a.or(ebx, ebp)?;
        a.mov(edi, ebx)?;
        call_stub(a, number::FINISH)
    })
}

fn guest(stepper: &[u8], place: Place) -> GuestConfig {
    let driver_plan = raw(Place::User).reaching(&[1, STEPPER]).with(|plan| plan.flags = server_flag::DRIVER);
    let mut config = config(&[driver_plan, raw(Place::Kernel), raw(place)]);
    for (index, code) in [&driver(), &flag_reader(), stepper].into_iter().enumerate() {
        raw::set_code(&mut config, index, code);
    }
    config
}

/// Runs the guest; false where it is refused.
fn dies_alone(config: &GuestConfig, door: &str) -> Option<bool> {
    let run = boot(config)?;
    if let Outcome::Refused { message } = &run.outcome {
        println!("skipped: {door}: {message}");
        assert!(config.servers[STEPPER as usize].placement != abi::plan::placement::USER, "{message}");
        return Some(run.features & feature::SEGMENT_BASES != 0);
    }
    assert_eq!(run.outcome, Outcome::Finished { status: 0 }, "{door}: {:?}", run.faults);
    let dead: Vec<u32> = run.faults.iter().map(|fault| fault.fault.server).collect();
    assert_eq!(dead, [STEPPER], "{door}: {:?}", run.faults);
    Some(true)
}

#[test]
fn a_program_that_steps_through_a_door_dies_alone() {
    let entry = system_call_entry();
    let doors: [(&str, Enter); 3] = [
        ("SYSCALL", &|a| a.syscall()),
        ("jump to the entry", &|a| a.jmp(rdx)),
        ("INT", &|a| a.int(u32::from(VECTOR_32))),
    ];
    for (door, enter) in doors {
        let code = assemble(64, |a| {
            let mut back = a.create_label();
            call_stub(a, number::WAIT)?;
            a.mov(eax, number::NULL)?;
            a.lea(rcx, ptr(back))?;
            a.mov(rdx, entry)?;
            set(a, TRAP)?;
            enter(a)?;
            a.set_label(&mut back)?;
            a.ud2()
        });
        if dies_alone(&guest(&code, Place::User), door).is_none() {
            return;
        }
    }
}

#[test]
fn a_32_bit_program_that_steps_through_a_gate_dies_alone() {
    let gates: [(u64, Enter); 3] = [
        (0, &|a| a.int(u32::from(VECTOR_32))),
        (flag::GATE_SYSENTER, &|a| a.sysenter()),
        (flag::GATE_SYSCALL, &|a| a.syscall()),
    ];
    for (gate, enter) in gates {
        let code = assemble(32, |a| {
            call_stub(a, number::WAIT)?;
            a.mov(eax, number::NULL)?;
            // As the stub of SYSENTER.
            a.mov(ecx, esp)?;
            a.pushfd()?;
            a.or(dword_ptr(esp), TRAP as i32)?;
            a.popfd()?;
            enter(a)?;
            a.ud2()
        });
        let mut config = guest(&code, Place::Large);
        config.plan_flags = gate;
        if dies_alone(&config, &format!("gate {gate:#x}")) != Some(true) {
            return;
        }
    }
}
