//! Instructions that the recorder executes itself, because at least one KVM loses the step over them.

use abi::address::PAGE_SIZE;
use iced_x86::{Instruction, Mnemonic};
use kvm_bindings::kvm_regs;

use crate::lens::trace::access::read_word;
use crate::lens::trace::implicit;
use crate::machine::MachineError;
use crate::machine::debug::{CpuState, TRAP_FLAG, flat_user_segments, null_stack_segment, segment};
use crate::machine::memory::GuestMemory;
use crate::machine::vcpu::Vcpu;
use crate::machine::walk;

/// IF in RFLAGS.
const INTERRUPT_FLAG: u64 = 1 << 9;

/// Flags that INT clears: TF, NT, RF, VM; IF too, unless its gate is a trap gate.
const INTERRUPT_CLEARS: u64 = TRAP_FLAG | 1 << 14 | 1 << 16 | 1 << 17;

/// Executes the instruction that the vCPU is at, if it is STI, SYSRET or IRETQ to ring 3 in the kernel, or INT in ring 3
/// (Intel SDM vol. 2); says whether it did. Interrupts stay blocked, so the shadow that STI casts over the next instruction
/// is of no matter.
pub(super) fn execute(
    vcpu: &Vcpu,
    instruction: &Instruction,
    state: &CpuState,
    memory: &GuestMemory,
) -> Result<bool, MachineError> {
    /// What SYSRET takes from R11; the second bit is always set.
    const FLAGS: u64 = 0x3c_7fd7;
    const FLAGS_FIXED: u64 = 2;
    if state.ring() != 0 {
        return match instruction.mnemonic() {
            Mnemonic::Int => interrupt(vcpu, instruction, state, memory),
            _ => Ok(false),
        };
    }
    let general = state.general;
    let user = match instruction.mnemonic() {
        Mnemonic::Sti => {
            let rflags = general.rflags | INTERRUPT_FLAG;
            vcpu.set_general(&kvm_regs { rip: instruction.next_ip(), rflags, ..general })?;
            return Ok(true);
        }
        Mnemonic::Sysretq => {
            let rflags = general.r11 & FLAGS & !TRAP_FLAG | FLAGS_FIXED;
            let mut user = CpuState { general: kvm_regs { rip: general.rcx, rflags, ..general }, ..*state };
            [user.system.cs, user.system.ss] = flat_user_segments();
            Some(user)
        }
        Mnemonic::Iretq => frame_from_user(state, memory),
        _ => None,
    };
    let Some(user) = user else { return Ok(false) };
    vcpu.enter(&user)?;
    Ok(true)
}

/// INT n from ring 3, if the gate and its stack can be read: the frame on the stack that the gate leads to, and its handler
/// in ring 0. The frame holds the flags as the program has them, without TF.
fn interrupt(
    vcpu: &Vcpu,
    instruction: &Instruction,
    state: &CpuState,
    memory: &GuestMemory,
) -> Result<bool, MachineError> {
    let root = state.system.cr3;
    let read = |address| read_word(memory, root, address);
    let gate = implicit::gate(state.system.idt.base, instruction.immediate8(), &read);
    let frame = gate.and_then(|gate| gate.frame(state.system.tr.base, &read));
    let (Some(gate), Some(frame)) = (gate, frame) else { return Ok(false) };
    let Some(place) = walk::translate(memory, root, frame) else { return Ok(false) };
    let Some(code) = read(state.system.gdt.base + u64::from(gate.selector & !7)) else { return Ok(false) };
    let rflags = state.general.rflags & !TRAP_FLAG;
    let rip = state.general.rip + instruction.len() as u64;
    let (cs, ss) = (state.system.cs.selector.into(), state.system.ss.selector.into());
    // Two pages need not lie side by side in physical memory.
    if frame % PAGE_SIZE > PAGE_SIZE - 40 {
        return Ok(false);
    }
    memory.write_words(place.physical, &[rip, cs, rflags, state.general.rsp, ss])?;
    let interrupts = if gate.keeps_interrupts { 0 } else { INTERRUPT_FLAG };
    let mut kernel = *state;
    kernel.general.rip = gate.target;
    kernel.general.rsp = frame;
    kernel.general.rflags = rflags & !INTERRUPT_CLEARS & !interrupts;
    kernel.system.cs = segment(gate.selector & !3, code);
    kernel.system.ss = null_stack_segment();
    vcpu.enter(&kernel)?;
    Ok(true)
}

/// The state in an exception's frame at the stack pointer, where it came from ring 3: RIP, CS, RFLAGS, RSP, SS (Intel SDM
/// vol. 3, 7.14.2). The segments are what their descriptors say, those of 32-bit programs included.
pub(super) fn frame_from_user(state: &CpuState, memory: &GuestMemory) -> Option<CpuState> {
    let read = |address| read_word(memory, state.system.cr3, address);
    let word = |index: u64| read(state.general.rsp.wrapping_add(8 * index));
    let (rip, cs, rflags, rsp, ss) = (word(0)?, word(1)? as u16, word(2)?, word(3)?, word(4)? as u16);
    if cs & 3 != 3 {
        return None;
    }
    let loaded =
        |selector: u16| Some(segment(selector, read(state.system.gdt.base + u64::from(selector & !7))?));
    let mut user =
        CpuState { general: kvm_regs { rip, rsp, rflags: rflags & !TRAP_FLAG, ..state.general }, ..*state };
    (user.system.cs, user.system.ss) = (loaded(cs)?, loaded(ss)?);
    Some(user)
}
