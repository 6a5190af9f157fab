//! Kinds of instructions that cost more than one of the others, by what they do to the processor.

use std::ops::AddAssign;

use iced_x86::{Instruction, Mnemonic, OpKind, Register};
use serde::{Deserialize, Serialize};

/// How many of each kind. One instruction may be of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kinds {
    /// MOV to CR3.
    pub page_table_loads: u64,
    /// SYSCALL.
    pub system_calls: u64,
    /// SYSRET.
    pub system_returns: u64,
    /// IRET.
    pub interrupt_returns: u64,
    /// SWAPGS, WRFSBASE, WRGSBASE, loads of segment registers.
    pub segment_base_writes: u64,
    /// WRMSR.
    pub msr_writes: u64,
    /// CLI and STI.
    pub interrupt_flag_writes: u64,
    /// With a LOCK prefix, or XCHG with memory, which needs none.
    pub locked: u64,
    /// Serialising instructions (Intel SDM vol. 3, 9.3): CPUID, IRET, INVLPG, INVPCID, WRMSR, loads of descriptor
    /// tables, MOV to control and debug registers; page-table loads among them.
    pub serialising: u64,
    /// LFENCE, SFENCE and MFENCE.
    pub fences: u64,
    /// INVLPG and INVPCID.
    pub invalidations: u64,
    /// RDTSC and RDTSCP.
    pub clock_reads: u64,
    /// INT.
    #[serde(default, skip_serializing_if = "is_none")]
    pub software_interrupts: u64,
    /// SYSENTER.
    #[serde(default, skip_serializing_if = "is_none")]
    pub sysenters: u64,
}

/// Kinds that 64-bit programs do not have are left out of their records.
fn is_none(count: &u64) -> bool {
    *count == 0
}

impl Kinds {
    /// The kinds of one instruction.
    pub fn of(instruction: &Instruction) -> Kinds {
        let mnemonic = instruction.mnemonic();
        let one = |is_so: bool| u64::from(is_so);
        let is_move_to = |is_kind: fn(Register) -> bool| {
            mnemonic == Mnemonic::Mov
                && instruction.op0_kind() == OpKind::Register
                && is_kind(instruction.op0_register())
        };
        let is_control_move = is_move_to(|register| register.is_cr() && register != Register::CR8);
        let is_exchange = mnemonic == Mnemonic::Xchg
            && (instruction.op0_kind() == OpKind::Memory || instruction.op1_kind() == OpKind::Memory);
        let is_interrupt_return = matches!(mnemonic, Mnemonic::Iret | Mnemonic::Iretd | Mnemonic::Iretq);
        let is_invalidation = matches!(mnemonic, Mnemonic::Invlpg | Mnemonic::Invpcid);
        let is_serialising = is_control_move
            || is_interrupt_return
            || is_invalidation
            || is_move_to(Register::is_dr)
            || matches!(
                mnemonic,
                Mnemonic::Cpuid
                    | Mnemonic::Wrmsr
                    | Mnemonic::Lgdt
                    | Mnemonic::Lidt
                    | Mnemonic::Lldt
                    | Mnemonic::Ltr
                    | Mnemonic::Wbinvd
                    | Mnemonic::Invd
                    | Mnemonic::Serialize
            );
        Kinds {
            page_table_loads: one(is_move_to(|register| register == Register::CR3)),
            system_calls: one(mnemonic == Mnemonic::Syscall),
            system_returns: one(matches!(mnemonic, Mnemonic::Sysret | Mnemonic::Sysretq)),
            interrupt_returns: one(is_interrupt_return),
            segment_base_writes: one(matches!(
                mnemonic,
                Mnemonic::Swapgs | Mnemonic::Wrgsbase | Mnemonic::Wrfsbase
            ) || is_move_to(Register::is_segment_register)),
            msr_writes: one(mnemonic == Mnemonic::Wrmsr),
            interrupt_flag_writes: one(matches!(mnemonic, Mnemonic::Cli | Mnemonic::Sti)),
            locked: one(instruction.has_lock_prefix() || is_exchange),
            serialising: one(is_serialising),
            fences: one(matches!(mnemonic, Mnemonic::Lfence | Mnemonic::Sfence | Mnemonic::Mfence)),
            invalidations: one(is_invalidation),
            clock_reads: one(matches!(mnemonic, Mnemonic::Rdtsc | Mnemonic::Rdtscp)),
            software_interrupts: one(mnemonic == Mnemonic::Int),
            sysenters: one(mnemonic == Mnemonic::Sysenter),
        }
    }

    /// Name and number of each kind, in the order of the fields.
    pub fn named(&self) -> [(&'static str, u64); 14] {
        [
            ("page-table loads", self.page_table_loads),
            ("SYSCALL", self.system_calls),
            ("SYSRET", self.system_returns),
            ("IRET", self.interrupt_returns),
            ("segment-base writes", self.segment_base_writes),
            ("WRMSR", self.msr_writes),
            ("CLI, STI", self.interrupt_flag_writes),
            ("locked instructions", self.locked),
            ("serialising instructions", self.serialising),
            ("fences", self.fences),
            ("INVLPG, INVPCID", self.invalidations),
            ("RDTSC", self.clock_reads),
            ("INT", self.software_interrupts),
            ("SYSENTER", self.sysenters),
        ]
    }
}

impl AddAssign for Kinds {
    fn add_assign(&mut self, other: Kinds) {
        let Kinds {
            page_table_loads,
            system_calls,
            system_returns,
            interrupt_returns,
            segment_base_writes,
            msr_writes,
            interrupt_flag_writes,
            locked,
            serialising,
            fences,
            invalidations,
            clock_reads,
            software_interrupts,
            sysenters,
        } = other;
        self.page_table_loads += page_table_loads;
        self.system_calls += system_calls;
        self.system_returns += system_returns;
        self.interrupt_returns += interrupt_returns;
        self.segment_base_writes += segment_base_writes;
        self.msr_writes += msr_writes;
        self.interrupt_flag_writes += interrupt_flag_writes;
        self.locked += locked;
        self.serialising += serialising;
        self.fences += fences;
        self.invalidations += invalidations;
        self.clock_reads += clock_reads;
        self.software_interrupts += software_interrupts;
        self.sysenters += sysenters;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lens::trace::decode::{Mode, decode};

    /// Kinds that the instruction counts in.
    fn kinds(code: &[u8]) -> Vec<&'static str> {
        let kinds = Kinds::of(&decode(code, 0, Mode::Bits64).unwrap());
        kinds.named().into_iter().filter(|(_, count)| *count == 1).map(|(name, _)| name).collect()
    }

    #[test]
    fn instructions_have_their_kinds() {
        let cases: [(&[u8], &[&str]); 18] = [
            (&[0x90], &[]),
            (&[0x0f, 0x22, 0xd8], &["page-table loads", "serialising instructions"]),
            (&[0x0f, 0x20, 0xd8], &[]), // mov rax, cr3
            (&[0x0f, 0x22, 0xe0], &["serialising instructions"]),
            (&[0x44, 0x0f, 0x22, 0xc0], &[]), // mov cr8, rax
            (&[0x0f, 0x05], &["SYSCALL"]),
            (&[0x48, 0x0f, 0x07], &["SYSRET"]),
            (&[0x48, 0xcf], &["IRET", "serialising instructions"]),
            (&[0x0f, 0x01, 0xf8], &["segment-base writes"]), // swapgs
            (&[0xf3, 0x48, 0x0f, 0xae, 0xd8], &["segment-base writes"]), // wrgsbase rax
            (&[0x0f, 0x30], &["WRMSR", "serialising instructions"]),
            (&[0xfa], &["CLI, STI"]),
            (&[0xf0, 0x48, 0xff, 0x00], &["locked instructions"]),
            (&[0x48, 0x87, 0x00], &["locked instructions"]), // xchg rax, [rax]
            (&[0x0f, 0x01, 0x38], &["serialising instructions", "INVLPG, INVPCID"]),
            (&[0x0f, 0xae, 0xe8], &["fences"]),
            (&[0xcd, 0x40], &["INT"]),
            (&[0x0f, 0x34], &["SYSENTER"]),
        ];
        for (code, expected) in cases {
            assert_eq!(kinds(code), expected, "{code:x?}");
        }
    }

    #[test]
    fn a_sum_has_every_kind() {
        let one = Kinds { page_table_loads: 1, clock_reads: 2, ..Kinds::default() };
        let mut sum = one;
        sum += one;
        assert_eq!(sum, Kinds { page_table_loads: 2, clock_reads: 4, ..Kinds::default() });
    }
}
