//! One virtual CPU: the state that it starts in, and reading the state that it ended in.

use abi::boot::{KERNEL_CODE_SELECTOR, KERNEL_DATA_SELECTOR};
use abi::report::{NO_VECTOR, Registers};
use kvm_bindings::{
    CpuId, KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE, Msrs, kvm_lapic_state, kvm_mp_state, kvm_msr_entry,
    kvm_regs, kvm_segment, kvm_sregs,
};
use kvm_ioctls::{VcpuFd, VmFd};

use crate::machine::error::MachineError;
use crate::machine::request::{kvm, uninterrupted};

/// PE, MP, ET, NE, WP, AM, PG (Intel SDM vol. 3, 2.5).
const CR0: u64 = 0x8005_0033;
/// PAE, PGE.
const CR4: u64 = 0xa0;
/// SCE, LME, LMA, NXE.
const EFER: u64 = 0xd01;
/// Bit 1 of RFLAGS, which is always set; interrupts are off.
const RFLAGS: u64 = 2;

/// Where and with what a vCPU starts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub rip: u64,
    pub rsp: u64,
    /// RDI and RSI.
    pub arguments: [u64; 2],
    /// Physical address of the top-level page table.
    pub root_table: u64,
}

/// A virtual CPU.
#[derive(Debug)]
pub(crate) struct Vcpu {
    pub fd: VcpuFd,
    pub index: u32,
}

impl Vcpu {
    /// Creates vCPU `index`, whose local APIC gets the same number.
    pub(crate) fn new(vm: &VmFd, index: u32) -> Result<Vcpu, MachineError> {
        let fd = uninterrupted(|| vm.create_vcpu(index.into()))
            .map_err(|source| MachineError::CreateVcpu { index, source })?;
        let vcpu = Vcpu { fd, index };
        vcpu.count_time_as_the_host();
        Ok(vcpu)
    }

    /// Has KVM take the host's present frequency for the vCPU's time-stamp counter. By itself it takes the one that Linux knew when
    /// the module was loaded. If Linux has measured better since, by more than 250 parts per million, a KVM without TSC scaling
    /// (Linux 6.1) takes the vCPU's counter for 0 for ever, and every deadline of its timer comes late by the host's uptime.
    fn count_time_as_the_host(&self) {
        const THE_HOSTS: u32 = 0;
        // A KVM that refuses goes on as it did.
        let _ = uninterrupted(|| self.fd.set_tsc_khz(THE_HOSTS));
    }

    /// Frequency of the time-stamp counter, Hz; 0 where KVM does not know one.
    pub(crate) fn tsc_hz(&self) -> u64 {
        uninterrupted(|| self.fd.get_tsc_khz()).map_or(0, |khz| u64::from(khz) * 1000)
    }

    /// Puts the vCPU at its first instruction: in 64-bit mode, at privilege level 0, with interrupts off.
    pub(crate) fn prepare(&self, cpuid: &CpuId, start: Start) -> Result<(), MachineError> {
        kvm("set a vCPU's CPUID", || self.fd.set_cpuid2(cpuid))?;
        let mut special = kvm("tell a vCPU's system registers", || self.fd.get_sregs())?;
        set_long_mode(&mut special, start.root_table);
        kvm("start a vCPU in 64-bit mode", || self.fd.set_sregs(&special))?;
        let [rdi, rsi] = start.arguments;
        let general =
            kvm_regs { rip: start.rip, rflags: RFLAGS, rsp: start.rsp, rdi, rsi, ..Default::default() };
        kvm("set a vCPU's registers", || self.fd.set_regs(&general))?;
        if self.index > 0 {
            // All but the first would wait for a start-up IPI.
            let runnable = kvm_mp_state { mp_state: KVM_MP_STATE_RUNNABLE };
            kvm("make a vCPU runnable", || self.fd.set_mp_state(runnable))?;
        }
        Ok(())
    }

    /// The registers now, all zero where KVM does not tell.
    pub(crate) fn registers(&self) -> Registers {
        let general = uninterrupted(|| self.fd.get_regs()).unwrap_or_default();
        let special = uninterrupted(|| self.fd.get_sregs()).unwrap_or_default();
        Registers {
            general: [
                general.rax,
                general.rcx,
                general.rdx,
                general.rbx,
                general.rsp,
                general.rbp,
                general.rsi,
                general.rdi,
                general.r8,
                general.r9,
                general.r10,
                general.r11,
                general.r12,
                general.r13,
                general.r14,
                general.r15,
            ],
            rip: general.rip,
            rflags: general.rflags,
            cs: special.cs.selector.into(),
            ss: special.ss.selector.into(),
            cr2: special.cr2,
            cr3: special.cr3,
            vector: NO_VECTOR,
            error_code: 0,
        }
    }

    /// Whether the vCPU waits in HLT.
    pub(crate) fn is_halted(&self) -> bool {
        uninterrupted(|| self.fd.get_mp_state()).is_ok_and(|state| state.mp_state == KVM_MP_STATE_HALTED)
    }

    /// Whether the vCPU goes on by itself, or by an interrupt that waits or that its own timer will raise. What another
    /// vCPU could do does not count. Where KVM does not tell, it could.
    pub(crate) fn can_wake(&self) -> bool {
        !self.is_halted()
            || uninterrupted(|| self.fd.get_lapic()).map_or(true, |apic| self.has_interrupt_coming(&apic))
    }

    /// Registers of the local APIC: Intel SDM vol. 3, table 11-1.
    fn has_interrupt_coming(&self, apic: &kvm_lapic_state) -> bool {
        const REQUESTED: [usize; 8] = [0x200, 0x210, 0x220, 0x230, 0x240, 0x250, 0x260, 0x270];
        const TIMER: usize = 0x320;
        const INITIAL_COUNT: usize = 0x380;
        const CURRENT_COUNT: usize = 0x390;
        const MASKED: u32 = 1 << 16;
        const PERIODIC: u32 = 1 << 17;
        const TSC_DEADLINE: u32 = 1 << 18;
        let register = |offset: usize| {
            let bytes = apic.regs[offset..].iter().zip(0..4);
            bytes.fold(0u32, |value, (byte, index)| value | u32::from(*byte as u8) << (8 * index))
        };
        let timer = register(TIMER);
        let is_timer_armed = match timer {
            timer if timer & MASKED != 0 => false,
            timer if timer & TSC_DEADLINE != 0 => self.tsc_deadline() != Some(0),
            timer if timer & PERIODIC != 0 => register(INITIAL_COUNT) != 0,
            _ => register(CURRENT_COUNT) != 0,
        };
        is_timer_armed || REQUESTED.iter().any(|offset| register(*offset) != 0)
    }

    /// IA32_TSC_DEADLINE, 0 when the timer is not armed.
    fn tsc_deadline(&self) -> Option<u64> {
        const IA32_TSC_DEADLINE: u32 = 0x6e0;
        let entry = kvm_msr_entry { index: IA32_TSC_DEADLINE, ..Default::default() };
        let mut registers = Msrs::from_entries(&[entry]).ok()?;
        let count = uninterrupted(|| self.fd.get_msrs(&mut registers)).ok()?;
        registers.as_slice().first().filter(|_| count == 1).map(|entry| entry.data)
    }
}

fn set_long_mode(special: &mut kvm_sregs, root_table: u64) {
    special.cr0 = CR0;
    special.cr3 = root_table;
    special.cr4 = CR4;
    special.efer = EFER;
    // Types: Intel SDM vol. 3, tables 3-1 and 3-2. 11: code, readable, accessed; 3: data, writable, accessed.
    let flat = kvm_segment { limit: 0xffff_ffff, present: 1, s: 1, g: 1, ..Default::default() };
    let code = kvm_segment { selector: KERNEL_CODE_SELECTOR, type_: 11, l: 1, ..flat };
    let data = kvm_segment { selector: KERNEL_DATA_SELECTOR, type_: 3, db: 1, ..flat };
    special.cs = code;
    (special.ss, special.ds, special.es, special.fs, special.gs) = (data, data, data, data, data);
    // VMX enters only with a busy 64-bit task state (Intel SDM vol. 3, 26.3.1.2); the kernel loads its own.
    special.tr = kvm_segment { limit: 0x67, type_: 11, present: 1, ..Default::default() };
    special.ldt = kvm_segment { unusable: 1, ..Default::default() };
    // Empty tables: an exception before the kernel has its own is a triple fault.
    (special.gdt.base, special.gdt.limit) = (0, 0);
    (special.idt.base, special.idt.limit) = (0, 0);
}
