//! Guest debugging: single steps, hardware breakpoints, and the state of a vCPU between two instructions.

use abi::boot::{USER_CODE_SELECTOR, USER_DATA_SELECTOR};
use kvm_bindings::{
    KVM_GUESTDBG_BLOCKIRQ, KVM_GUESTDBG_ENABLE, KVM_GUESTDBG_SINGLESTEP, KVM_GUESTDBG_USE_HW_BP, Msrs,
    kvm_guest_debug, kvm_msr_entry, kvm_regs, kvm_segment, kvm_sregs,
};

use crate::machine::error::MachineError;
use crate::machine::request::kvm;
use crate::machine::vcpu::Vcpu;

/// TF in RFLAGS: a trap after the next instruction.
pub(crate) const TRAP_FLAG: u64 = 1 << 8;

/// IA32_LSTAR: where SYSCALL goes.
pub(crate) const MSR_LSTAR: u32 = 0xc000_0082;

/// IA32_CSTAR: where SYSCALL goes from compatibility mode, on AMD's CPUs.
pub(crate) const MSR_CSTAR: u32 = 0xc000_0083;

/// IA32_SYSENTER_EIP: where SYSENTER goes.
pub(crate) const MSR_SYSENTER_EIP: u32 = 0x176;

/// IA32_FMASK: the flags that SYSCALL clears.
pub(crate) const MSR_FMASK: u32 = 0xc000_0084;

/// Bit 10 of DR7, always set (Intel SDM vol. 3, 18.2.4).
const DR7_FIXED: u64 = 1 << 10;

/// Most breakpoints.
pub(crate) const BREAKPOINTS: usize = 4;

/// General and system registers of a vCPU that does not run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CpuState {
    pub general: kvm_regs,
    pub system: kvm_sregs,
}

impl CpuState {
    /// Privilege level: the two low bits of CS.
    pub(crate) fn ring(&self) -> u8 {
        (self.system.cs.selector & 3) as u8
    }
}

impl Vcpu {
    pub(crate) fn state(&self) -> Result<CpuState, MachineError> {
        let general = kvm("tell a vCPU's registers", || self.fd.get_regs())?;
        let system = kvm("tell a vCPU's system registers", || self.fd.get_sregs())?;
        Ok(CpuState { general, system })
    }

    pub(crate) fn set_general(&self, general: &kvm_regs) -> Result<(), MachineError> {
        kvm("set a vCPU's registers", || self.fd.set_regs(general))
    }

    /// Has the vCPU stop after its next instruction, and before the instructions at `breakpoints`. KVM injects no
    /// interrupts meanwhile; before Linux 5.16 it does not know that bit, and does.
    pub(crate) fn arm_step(&self, breakpoints: &[u64]) -> Result<(), MachineError> {
        let how = KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_BLOCKIRQ;
        let mut debug = kvm_guest_debug { control: KVM_GUESTDBG_ENABLE | how, ..Default::default() };
        let (registers, dr7) = debug_registers(breakpoints);
        debug.arch.debugreg[..BREAKPOINTS].copy_from_slice(&registers);
        debug.arch.debugreg[7] = dr7;
        kvm("step a vCPU through its instructions", || self.fd.set_guest_debug(&debug))
    }

    /// Lets the vCPU run freely again.
    pub(crate) fn disarm(&self) -> Result<(), MachineError> {
        kvm("end the stepping of a vCPU", || self.fd.set_guest_debug(&kvm_guest_debug::default()))?;
        let mut general = self.state()?.general;
        general.rflags &= !TRAP_FLAG;
        self.set_general(&general)
    }

    pub(crate) fn read_msr(&self, index: u32) -> Result<u64, MachineError> {
        let mut entries = msrs(index, 0)?;
        let count = kvm("tell a model-specific register", || self.fd.get_msrs(&mut entries))?;
        let entry = entries.as_slice().first().filter(|_| count == 1);
        entry
            .map(|entry| entry.data)
            .ok_or(MachineError::Internal("KVM does not tell a model-specific register"))
    }

    pub(crate) fn write_msr(&self, index: u32, value: u64) -> Result<(), MachineError> {
        let entries = msrs(index, value)?;
        match kvm("set a model-specific register", || self.fd.set_msrs(&entries))? {
            1 => Ok(()),
            _ => Err(MachineError::Internal("KVM does not set a model-specific register")),
        }
    }

    /// Puts the vCPU into the state, whose code and stack segments may be those of another ring.
    pub(crate) fn enter(&self, state: &CpuState) -> Result<(), MachineError> {
        kvm("change the ring of a vCPU", || self.fd.set_sregs(&state.system))?;
        self.set_general(&state.general)
    }
}

/// Code (with L set) and stack of ring 3 as SYSRET leaves them, whatever their descriptors say.
pub(crate) fn flat_user_segments() -> [kvm_segment; 2] {
    // Types: Intel SDM vol. 3, tables 3-1 and 3-2. 11: code, readable, accessed; 3: data, writable, accessed.
    let flat = kvm_segment { limit: 0xffff_ffff, present: 1, s: 1, g: 1, dpl: 3, ..Default::default() };
    [
        kvm_segment { selector: USER_CODE_SELECTOR, type_: 11, l: 1, ..flat },
        kvm_segment { selector: USER_DATA_SELECTOR, type_: 3, db: 1, ..flat },
    ]
}

/// SS behind an interrupt from ring 3 in long mode: null. KVM takes the privilege level from its attributes, which it gives
/// itself in this case, too.
pub(crate) fn null_stack_segment() -> kvm_segment {
    let [_, flat] = flat_user_segments();
    kvm_segment { selector: 0, dpl: 0, ..flat }
}

/// The segment that a descriptor of code or data makes (Intel SDM vol. 3, figure 3-8).
pub(crate) fn segment(selector: u16, descriptor: u64) -> kvm_segment {
    let bits = |from: u32, count: u32| descriptor >> from & ((1 << count) - 1);
    let in_pages = bits(55, 1) == 1;
    let limit = (bits(0, 16) | bits(48, 4) << 16) as u32;
    kvm_segment {
        base: bits(16, 24) | bits(56, 8) << 24,
        limit: if in_pages { limit << 12 | 0xfff } else { limit },
        selector,
        // The processor marks the descriptor as accessed.
        type_: bits(40, 4) as u8 | 1,
        s: bits(44, 1) as u8,
        dpl: bits(45, 2) as u8,
        present: bits(47, 1) as u8,
        avl: bits(52, 1) as u8,
        l: bits(53, 1) as u8,
        db: bits(54, 1) as u8,
        g: u8::from(in_pages),
        ..Default::default()
    }
}

fn msrs(index: u32, data: u64) -> Result<Msrs, MachineError> {
    Msrs::from_entries(&[kvm_msr_entry { index, data, ..Default::default() }])
        .map_err(|_| MachineError::Internal("one model-specific register is too many for KVM"))
}

/// DR0 to DR3 and DR7 for breakpoints on execution. More than four do not fit; the rest are left out.
fn debug_registers(breakpoints: &[u64]) -> ([u64; BREAKPOINTS], u64) {
    let mut registers = [0; BREAKPOINTS];
    let mut dr7 = DR7_FIXED;
    for (index, (register, address)) in registers.iter_mut().zip(breakpoints).enumerate() {
        *register = *address;
        dr7 |= 2 << (2 * index); // globally enabled, on execution, length 1
    }
    (registers, dr7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_descriptor_makes_a_segment() {
        // 4 MiB from 0xa040_0000 on: code, 32 bits, ring 3, limit in pages.
        let small = segment(0x23, 0xa0c0_fb40_0000_03ff);
        assert_eq!((small.base, small.limit, small.selector), (0xa040_0000, 0x3f_ffff, 0x23));
        assert_eq!((small.type_, small.s, small.dpl, small.present), (11, 1, 3, 1));
        assert_eq!((small.l, small.db, small.g), (0, 1, 1));
        let [code, _] = flat_user_segments();
        assert_eq!(segment(USER_CODE_SELECTOR, 0x00af_fb00_0000_ffff), code);
    }

    #[test]
    fn breakpoints_fill_the_debug_registers_in_order() {
        assert_eq!(debug_registers(&[]), ([0; 4], 0x400));
        assert_eq!(debug_registers(&[7, 8]), ([7, 8, 0, 0], 0x40a));
        assert_eq!(debug_registers(&[1, 2, 3, 4, 5]), ([1, 2, 3, 4], 0x4aa));
    }
}
