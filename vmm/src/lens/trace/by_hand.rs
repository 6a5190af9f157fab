//! Instructions that the recorder executes itself, because at least one KVM loses the step over them.

use abi::address::PAGE_SIZE;
use iced_x86::{Instruction, Mnemonic};
use kvm_bindings::{kvm_regs, kvm_segment};

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

/// INT n from ring 3, if its gate is open to ring 3 and leads to 64-bit code of ring 0, and the stack can be written: leaves the
/// frame on the stack that the gate leads to and goes to its handler. The frame holds the flags as the program has them, without
/// TF.
fn interrupt(
    vcpu: &Vcpu,
    instruction: &Instruction,
    state: &CpuState,
    memory: &GuestMemory,
) -> Result<bool, MachineError> {
    let root = state.system.cr3;
    let read = |address| read_word(memory, root, address);
    let gate = implicit::gate(state.system.idt.base, instruction.immediate8(), &read);
    let gate = gate.filter(implicit::Gate::is_open_to_ring_3);
    let frame = gate.and_then(|gate| gate.frame(state.system.tr.base, &read));
    let (Some(gate), Some(frame)) = (gate, frame) else { return Ok(false) };
    let Some(place) = walk::translate(memory, root, frame) else { return Ok(false) };
    let descriptor = descriptor_address(state, gate.selector);
    let Some(code) = read(descriptor).map(|descriptor| segment(gate.selector & !3, descriptor)) else {
        return Ok(false);
    };
    if !is_kernel_code(&code) || !is_canonical(gate.target) {
        return Ok(false);
    }
    let rflags = state.general.rflags & !TRAP_FLAG;
    let rip = state.general.rip.wrapping_add(instruction.len() as u64);
    let (cs, ss) = (state.system.cs.selector.into(), state.system.ss.selector.into());
    // Two pages need not lie side by side in physical memory.
    if frame % PAGE_SIZE > PAGE_SIZE - 40 || !place.writable {
        return Ok(false);
    }
    // A page may be mapped to where no memory is.
    if memory.write_words(place.physical, &[rip, cs, rflags, state.general.rsp, ss]).is_err() {
        return Ok(false);
    }
    let interrupts = if gate.keeps_interrupts { 0 } else { INTERRUPT_FLAG };
    let mut kernel = *state;
    kernel.general.rip = gate.target;
    kernel.general.rsp = frame;
    kernel.general.rflags = rflags & !INTERRUPT_CLEARS & !interrupts;
    kernel.system.cs = code;
    kernel.system.ss = null_stack_segment();
    vcpu.enter(&kernel)?;
    Ok(true)
}

/// The address of a descriptor of the global table, which is where the guest says.
fn descriptor_address(state: &CpuState, selector: u16) -> u64 {
    state.system.gdt.base.wrapping_add(u64::from(selector & !7))
}

/// Whether a gate may lead there: a present segment of 64-bit code in ring 0.
fn is_kernel_code(segment: &kvm_segment) -> bool {
    const CODE: u8 = 1 << 3;
    let is_code = segment.s == 1 && segment.type_ & CODE != 0;
    is_code && segment.present == 1 && segment.dpl == 0 && (segment.l, segment.db) == (1, 0)
}

/// Whether bits 63 to 47 are all the same.
fn is_canonical(address: u64) -> bool {
    ((address as i64) << 16 >> 16) as u64 == address
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
    let loaded = |selector: u16| Some(segment(selector, read(descriptor_address(state, selector))?));
    let mut user =
        CpuState { general: kvm_regs { rip, rsp, rflags: rflags & !TRAP_FLAG, ..state.general }, ..*state };
    (user.system.cs, user.system.ss) = (loaded(cs)?, loaded(ss)?);
    Some(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_leads_to_present_64_bit_code_of_ring_0_alone() {
        let leads_to = |descriptor| is_kernel_code(&segment(0x10, descriptor));
        assert!(leads_to(0x00af_9b00_0000_ffff));
        let others = [
            ("nothing", 0),
            ("not present", 0x00af_1b00_0000_ffff),
            ("ring 3", 0x00af_fb00_0000_ffff),
            ("data", 0x00cf_9300_0000_ffff),
            ("32 bits", 0x00cf_9b00_0000_ffff),
            ("a task-state segment", 0x00af_8b00_0000_ffff),
        ];
        for (what, descriptor) in others {
            assert!(!leads_to(descriptor), "{what}");
        }
    }

    #[test]
    fn addresses_are_canonical_in_both_halves_alone() {
        for (address, expected) in [
            (0, true),
            (0x7fff_ffff_ffff, true),
            (0x8000_0000_0000, false),
            (0xffff_7fff_ffff_ffff, false),
            (0xffff_8000_0000_0000, true),
        ] {
            assert_eq!(is_canonical(address), expected, "{address:#x}");
        }
    }
}
