//! One instruction, before it runs: where it can lead, and which memory it will touch. Pure functions of the
//! instruction, the registers and a way to read memory.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind,
    Register,
};
use kvm_bindings::kvm_regs;

use crate::lens::stream::AccessKind;

/// The registers that addresses are made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registers {
    /// General registers, RIP, RFLAGS.
    pub general: kvm_regs,
    /// Base addresses of the segments FS and GS; those of the others are 0 in 64-bit mode.
    pub fs_base: u64,
    /// See [`Registers::fs_base`].
    pub gs_base: u64,
}

/// Where the processor goes on its own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// IA32_LSTAR: where SYSCALL leads.
    pub system_call: u64,
    /// Handler of page faults: where SYSCALL leads on a KVM that emulates ring 0.
    pub page_fault: u64,
    /// Handler of debug exceptions.
    pub debug: u64,
}

/// Data that an instruction will touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// Virtual address.
    pub address: u64,
    /// Bytes.
    pub size_bytes: u64,
    /// Read, or written (also).
    pub kind: AccessKind,
}

/// The instruction at the start of `bytes`; `None` when there is none.
pub fn decode(bytes: &[u8], address: u64) -> Option<Instruction> {
    let instruction = Decoder::with_ip(64, bytes, address, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// All addresses at which the next instruction can be. Empty: the instruction leads nowhere that could be told
/// beforehand (software interrupts, HLT, undefined ones).
pub fn successors(
    instruction: &Instruction,
    registers: &Registers,
    gates: &Gates,
    read_word: &dyn Fn(u64) -> Option<u64>,
) -> Vec<u64> {
    let next = instruction.next_ip();
    let word = |address| read_word(address).into_iter().collect();
    match instruction.mnemonic() {
        Mnemonic::Syscall => return vec![gates.system_call, gates.page_fault],
        Mnemonic::Sysretq => return vec![registers.general.rcx],
        Mnemonic::Iretq => return word(registers.general.rsp),
        Mnemonic::Hlt | Mnemonic::Iretd | Mnemonic::Iret | Mnemonic::Sysret | Mnemonic::Sysexit => {
            return Vec::new();
        }
        _ => {}
    }
    match instruction.flow_control() {
        FlowControl::Next if is_repeated(instruction) => vec![next, instruction.ip()],
        FlowControl::Next => vec![next],
        FlowControl::UnconditionalBranch | FlowControl::Call => {
            near_target(instruction).into_iter().collect()
        }
        FlowControl::ConditionalBranch => near_target(instruction).into_iter().chain([next]).collect(),
        FlowControl::Return => word(registers.general.rsp),
        FlowControl::IndirectBranch | FlowControl::IndirectCall => {
            indirect_target(instruction, registers, read_word).into_iter().collect()
        }
        FlowControl::Interrupt | FlowControl::XbeginXabortXend | FlowControl::Exception => Vec::new(),
    }
}

/// Whether it is a string instruction with a repeat prefix: a trap flag stops it after each repetition.
pub fn is_repeated(instruction: &Instruction) -> bool {
    instruction.is_string_instruction()
        && (instruction.has_rep_prefix() || instruction.has_repe_prefix() || instruction.has_repne_prefix())
}

fn near_target(instruction: &Instruction) -> Option<u64> {
    let is_near = instruction.op_kinds().any(|kind| kind == OpKind::NearBranch64);
    is_near.then(|| instruction.near_branch_target())
}

fn indirect_target(
    instruction: &Instruction,
    registers: &Registers,
    read_word: &dyn Fn(u64) -> Option<u64>,
) -> Option<u64> {
    match instruction.op0_kind() {
        OpKind::Register => registers.value(instruction.op0_register()),
        OpKind::Memory => {
            let address = instruction.virtual_address(0, 0, |register, _, _| registers.value(register))?;
            read_word(address)
        }
        _ => None,
    }
}

/// Data accesses of the instruction. `None`: an address cannot be told from these registers. A repeated string
/// instruction, upwards, gets all its repetitions as one access.
pub fn operands(
    factory: &mut InstructionInfoFactory,
    instruction: &Instruction,
    registers: &Registers,
) -> Option<Vec<Operand>> {
    let repetitions = if is_repeated(instruction) { registers.general.rcx } else { 1 };
    let info = factory.info(instruction);
    let mut operands = Vec::new();
    for memory in info.used_memory() {
        let kind = match memory.access() {
            OpAccess::Read | OpAccess::CondRead => AccessKind::Read,
            OpAccess::Write | OpAccess::CondWrite | OpAccess::ReadWrite | OpAccess::ReadCondWrite => {
                AccessKind::Write
            }
            _ => continue,
        };
        let address = memory.virtual_address(0, |register, _, _| registers.value(register))?;
        let size_bytes = (memory.memory_size().size() as u64).saturating_mul(repetitions);
        operands.push(Operand { address, size_bytes, kind });
    }
    Some(operands)
}

/// Address that the first operand names without touching it (INVLPG).
pub fn named_address(instruction: &Instruction, registers: &Registers) -> Option<u64> {
    instruction.virtual_address(0, 0, |register, _, _| registers.value(register))
}

impl Registers {
    /// Value of a general or segment register, as far as it takes part in addresses and branches.
    pub fn value(&self, register: Register) -> Option<u64> {
        let general = &self.general;
        let full = match register.full_register() {
            Register::RAX => general.rax,
            Register::RCX => general.rcx,
            Register::RDX => general.rdx,
            Register::RBX => general.rbx,
            Register::RSP => general.rsp,
            Register::RBP => general.rbp,
            Register::RSI => general.rsi,
            Register::RDI => general.rdi,
            Register::R8 => general.r8,
            Register::R9 => general.r9,
            Register::R10 => general.r10,
            Register::R11 => general.r11,
            Register::R12 => general.r12,
            Register::R13 => general.r13,
            Register::R14 => general.r14,
            Register::R15 => general.r15,
            Register::CS | Register::DS | Register::ES | Register::SS => 0,
            Register::FS => self.fs_base,
            Register::GS => self.gs_base,
            _ => return None,
        };
        match register.size() {
            8 => Some(full),
            4 if register.is_gpr32() => Some(full & 0xffff_ffff),
            _ if register.is_segment_register() => Some(full),
            _ => None,
        }
    }
}
