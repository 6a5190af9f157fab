//! Instructions that the recorder executes itself, because at least one KVM loses the step over them.

use abi::boot::USER_CODE_SELECTOR;
use iced_x86::{Instruction, Mnemonic};
use kvm_bindings::kvm_regs;

use crate::lens::trace::access::read_u64;
use crate::machine::MachineError;
use crate::machine::debug::{CpuState, TRAP_FLAG};
use crate::machine::memory::GuestMemory;
use crate::machine::vcpu::Vcpu;

/// IF in RFLAGS.
const INTERRUPT_FLAG: u64 = 1 << 9;

/// Executes the instruction that the vCPU is at, if it is STI, SYSRET or IRETQ to ring 3 in the kernel (Intel SDM vol. 2);
/// says whether it did. Interrupts stay blocked, so the shadow that STI casts over the next instruction is of no matter.
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
        return Ok(false);
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
            Some(kvm_regs { rip: general.rcx, rflags, ..general })
        }
        Mnemonic::Iretq => frame_from_user(state, memory),
        _ => None,
    };
    let Some(general) = user else { return Ok(false) };
    vcpu.enter_user(&CpuState { general, ..*state })?;
    Ok(true)
}

/// The registers in an exception's frame at the stack pointer, where it came from ring 3: RIP, CS, RFLAGS, RSP, SS (Intel
/// SDM vol. 3, 7.14.2).
pub(super) fn frame_from_user(state: &CpuState, memory: &GuestMemory) -> Option<kvm_regs> {
    let word = |index: u64| read_u64(memory, state.system.cr3, state.general.rsp.wrapping_add(8 * index));
    let (rip, cs, rflags, rsp) = (word(0)?, word(1)?, word(2)?, word(3)?);
    let is_from_user = cs == u64::from(USER_CODE_SELECTOR);
    is_from_user.then_some(kvm_regs { rip, rsp, rflags: rflags & !TRAP_FLAG, ..state.general })
}
