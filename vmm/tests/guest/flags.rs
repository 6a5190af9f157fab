//! No flag that ring 3 can set comes into the kernel, by whatever door: a server in the kernel, which goes on with the kernel's
//! flags, tells what it has. Alignment check is the one that counts: it switches SMAP off. It comes in by these doors only where
//! ring 3's flags are the processor's own, so the nested machines' word counts.

use abi::call::{Tag, number};
use abi::plan::flag;
use abi::report::feature;
use iced_x86::code_asm::*;
use inkbed::guest_image::GuestImage;
use inkbed::machine::guest::{GuestConfig, GuestRun, Outcome};
use object::{Object, ObjectSymbol};

use crate::harness::{Place, boot, config, counted};
use crate::raw::{self, Assembled, assemble, call_stub, raw};

pub const TRAP: u32 = 1 << 8;
const DIRECTION: u32 = 1 << 10;
const NESTED_TASK: u32 = 1 << 14;
const ALIGNMENT_CHECK: u32 = 1 << 18;
/// What a server in the kernel must find clear. Interrupts are on there, and IOPL is ring 0's to set.
pub const UNWANTED: u32 = TRAP | DIRECTION | 3 << 12 | NESTED_TASK | ALIGNMENT_CHECK;
/// What ring 3 sets, one by one. The trap flag ends the program unless the door takes it.
const FLAGS: [u32; 3] = [DIRECTION, NESTED_TASK, ALIGNMENT_CHECK];

/// The server in the kernel: answers each message with its flags, and with those that it had when the one before came.
pub fn flag_reader() -> Vec<u8> {
    assemble(64, |a| {
        let mut again = a.create_label();
        a.xor(ebx, ebx)?;
        call_stub(a, number::WAIT)?;
        a.set_label(&mut again)?;
        a.pushfq()?;
        a.pop(r12)?;
        a.or(rbx, r12)?;
        a.mov(r13, rbx)?;
        a.mov(esi, Tag::new(0, 2).0 as u32)?;
        call_stub(a, number::REPLY_AND_WAIT)?;
        a.jmp(again)
    })
}

/// Sets flags in ring 3, in 64-bit mode.
pub fn set(a: &mut CodeAssembler, flags: u32) -> Assembled {
    a.pushfq()?;
    a.or(dword_ptr(rsp), flags as i32)?;
    a.popfq()
}

/// Clears all flags that may have been set, whatever a door has left of them.
fn clear(a: &mut CodeAssembler) -> Assembled {
    a.push(2)?;
    a.popfq()
}

/// Calls handle 0 and keeps the flags that its server has had in EBX.
pub fn ask(a: &mut CodeAssembler) -> Assembled {
    a.xor(edi, edi)?;
    a.xor(esi, esi)?;
    call_stub(a, number::CALL)?;
    a.or(rbx, r13)
}

/// Ends the case with the unwanted flags in EBX.
fn finish(a: &mut CodeAssembler) -> Assembled {
    a.mov(edi, ebx)?;
    a.and(edi, UNWANTED as i32)?;
    call_stub(a, number::FINISH)
}

/// A driver in ring 3 that runs `code`, and the server in the kernel behind its handle 0.
fn guest(code: &[u8]) -> GuestConfig {
    let driver = raw(Place::User).reaching(&[1]).with(|plan| plan.flags = abi::plan::server_flag::DRIVER);
    let mut config = config(&[driver, raw(Place::Kernel)]);
    raw::set_code(&mut config, 0, code);
    raw::set_code(&mut config, 1, &flag_reader());
    config
}

fn assert_clean(config: &GuestConfig, door: &str) -> Option<GuestRun> {
    let run = boot(config)?;
    let Outcome::Finished { status } = run.outcome else {
        panic!("{door}: {:?}, {:?}", run.outcome, run.faults)
    };
    assert_eq!(status, 0, "{door}: the kernel runs with flags {status:#x} of ring 3");
    Some(run)
}

/// Address of the entry of SYSCALL: the only one of the kernel that a page fault takes for a system call.
pub fn system_call_entry() -> u64 {
    let kernel = GuestImage::embedded().kernel;
    let file = object::File::parse(&kernel.bytes[..]).expect("the kernel is an ELF file");
    let symbol =
        file.symbols().find(|symbol| symbol.name().is_ok_and(|name| name.contains("system_call_entry")));
    symbol.expect("the kernel has symbols").address()
}

#[test]
fn no_flag_comes_in_by_syscall() {
    let code = assemble(64, |a| {
        a.xor(ebx, ebx)?;
        for flags in FLAGS.into_iter().chain([FLAGS.iter().sum()]) {
            a.xor(edi, edi)?;
            a.xor(esi, esi)?;
            a.mov(eax, number::CALL)?;
            set(a, flags)?;
            a.syscall()?;
            clear(a)?;
            a.or(rbx, r12)?;
        }
        finish(a)
    });
    assert_clean(&guest(&code), "SYSCALL");
}

/// A jump to where SYSCALL arrives is a page fault, which KVM's that emulate ring 0 make of SYSCALL, too.
#[test]
fn no_flag_comes_in_by_a_jump_to_the_entry() {
    let entry = system_call_entry();
    let code = assemble(64, |a| {
        a.xor(ebx, ebx)?;
        for flags in FLAGS.into_iter().chain([FLAGS.iter().sum()]) {
            let mut back = a.create_label();
            a.xor(edi, edi)?;
            a.xor(esi, esi)?;
            a.mov(eax, number::CALL)?;
            a.lea(rcx, ptr(back))?;
            a.mov(rdx, entry)?;
            set(a, flags)?;
            a.jmp(rdx)?;
            a.set_label(&mut back)?;
            clear(a)?;
            a.or(rbx, r12)?;
        }
        finish(a)
    });
    assert_clean(&guest(&code), "jump to the entry");
}

/// The timer ends the slice of a thread that spins with all flags, and the server goes on that it has notified before.
#[test]
fn no_flag_comes_in_by_the_timer() {
    let code = assemble(64, |a| {
        a.xor(ebx, ebx)?;
        a.mov(edi, 1)?;
        a.xor(esi, esi)?;
        call_stub(a, number::MEASURE_BEGIN)?;
        for _ in 0..8 {
            let mut again = a.create_label();
            a.xor(edi, edi)?;
            a.mov(esi, 1)?;
            call_stub(a, number::NOTIFY)?;
            a.mov(ecx, 20_000_000)?;
            set(a, FLAGS.iter().sum())?;
            a.set_label(&mut again)?;
            a.dec(ecx)?;
            a.jnz(again)?;
            clear(a)?;
            ask(a)?;
        }
        for (register, value) in [(rdi, 1_u64), (rsi, 1), (r12, 0), (r13, 0), (r14, 0)] {
            a.mov(register, value)?;
        }
        call_stub(a, number::MEASURE_END)?;
        finish(a)
    });
    let mut config = guest(&code);
    // As the driver's: neither is due before the other, so the notified one waits for the end of the slice.
    config.servers[1].priority = config.servers[0].priority;
    let Some(run) = assert_clean(&config, "timer") else { return };
    assert!(counted(&run).timer_interrupts > 0, "no slice has ended");
}

/// A call from another CPU interrupts a thread that spins with all flags.
#[test]
fn no_flag_comes_in_by_an_interrupt_of_another_cpu() {
    let code = assemble(64, |a| {
        a.xor(ebx, ebx)?;
        (0..16).try_for_each(|_| ask(a))?;
        finish(a)
    });
    let spinning = assemble(64, |a| {
        let mut again = a.create_label();
        set(a, FLAGS.iter().sum())?;
        a.set_label(&mut again)?;
        a.jmp(again)
    });
    let driver = raw(Place::User).reaching(&[1]).with(|plan| plan.flags = abi::plan::server_flag::DRIVER);
    let reader = raw(Place::Kernel).with(|plan| (plan.first_cpu, plan.priority) = (1, 20));
    let spinner = raw(Place::User).with(|plan| (plan.first_cpu, plan.priority) = (1, 5));
    let mut config = config(&[driver, reader, spinner]);
    for (index, code) in [code, flag_reader(), spinning].iter().enumerate() {
        raw::set_code(&mut config, index, code);
    }
    config.vcpus = 2;
    assert_clean(&config, "interrupt of another CPU");
}

/// A fault ends a server that has set all flags, and its caller in the kernel goes on.
#[test]
fn no_flag_comes_in_by_a_fault() {
    let code = assemble(64, |a| {
        a.xor(ebx, ebx)?;
        ask(a)?;
        finish(a)
    });
    // In the kernel: calls the server that faults, then answers with its own flags.
    let calling = assemble(64, |a| {
        let mut again = a.create_label();
        call_stub(a, number::WAIT)?;
        a.set_label(&mut again)?;
        a.xor(edi, edi)?;
        a.xor(esi, esi)?;
        call_stub(a, number::CALL)?;
        a.pushfq()?;
        a.pop(r13)?;
        a.mov(esi, 2)?;
        call_stub(a, number::REPLY_AND_WAIT)?;
        a.jmp(again)
    });
    let faulting = assemble(64, |a| {
        call_stub(a, number::WAIT)?;
        set(a, FLAGS.iter().sum())?;
        a.ud2()
    });
    let driver = raw(Place::User).reaching(&[1]).with(|plan| plan.flags = abi::plan::server_flag::DRIVER);
    let mut config = config(&[driver, raw(Place::Kernel).reaching(&[2]), raw(Place::User)]);
    for (index, code) in [code, calling, faulting].iter().enumerate() {
        raw::set_code(&mut config, index, code);
    }
    let Some(run) = assert_clean(&config, "fault") else { return };
    assert_eq!(run.faults.len(), 1, "{:?}", run.faults);
}

/// The gates of 32-bit programs.
#[test]
fn no_flag_comes_in_by_the_gates_of_32_bit_programs() {
    let gates =
        [(0, 0), (flag::GATE_SYSENTER, feature::SYSENTER_32), (flag::GATE_SYSCALL, feature::SYSCALL_32)];
    for (gate, needed) in gates {
        let code = assemble(32, |a| {
            a.xor(ebx, ebx)?;
            for flags in FLAGS.into_iter().chain([FLAGS.iter().sum()]) {
                // The message block lies above the stack: as the thread begins, handle and tag are 0.
                a.mov(dword_ptr(esp + 4), 0)?;
                a.mov(dword_ptr(esp + 12), 0)?;
                a.pushfd()?;
                a.or(dword_ptr(esp), flags as i32)?;
                a.popfd()?;
                call_stub(a, number::CALL)?;
                a.push(2)?;
                a.popfd()?;
                // Message word 1.
                a.or(ebx, dword_ptr(esp + 4 + 16 + 8))?;
            }
            a.and(ebx, UNWANTED as i32)?;
            a.mov(dword_ptr(esp + 4), ebx)?;
            call_stub(a, number::FINISH)
        });
        let driver =
            raw(Place::Large).reaching(&[1]).with(|plan| plan.flags = abi::plan::server_flag::DRIVER);
        let mut config = config(&[driver, raw(Place::Kernel)]);
        raw::set_code(&mut config, 0, &code);
        raw::set_code(&mut config, 1, &flag_reader());
        config.plan_flags = gate;
        let Some(run) = boot(&config) else { return };
        if let Outcome::Refused { message } = &run.outcome {
            println!("skipped: {message}");
            assert!(run.features & (needed | feature::SEGMENT_BASES) != needed | feature::SEGMENT_BASES);
            continue;
        }
        let Outcome::Finished { status } = run.outcome else { panic!("{:?}, {:?}", run.outcome, run.faults) };
        assert_eq!(status, 0, "gate {gate:#x}: the kernel runs with flags {status:#x} of ring 3");
    }
}
