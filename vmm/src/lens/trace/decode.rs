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
    let is_repeated = is_repeated(instruction);
    let repetitions = if is_repeated { registers.general.rcx } else { 1 };
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
        // Of a repeated instruction only the instruction itself knows the size.
        let size =
            memory.memory_size().size().max(instruction.memory_size().size() * usize::from(is_repeated));
        let size_bytes = (size as u64).saturating_mul(repetitions);
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

#[cfg(test)]
mod tests {
    use super::*;

    const GATES: Gates = Gates { system_call: 0xa000, page_fault: 0xb000, debug: 0xc000 };
    const HERE: u64 = 0x1000;

    fn registers() -> Registers {
        let general =
            kvm_regs { rax: 0x50, rcx: 3, rdx: 0x100, rsp: 0x2000, rsi: 0x3000, ..Default::default() };
        Registers { general, fs_base: 0, gs_base: 0x7_0000 }
    }

    /// Where the code leads, with a memory in which every word holds twice its address.
    fn leads_to(code: &[u8]) -> Vec<u64> {
        let instruction = decode(code, HERE).unwrap();
        successors(&instruction, &registers(), &GATES, &|address| Some(2 * address))
    }

    fn touches(code: &[u8]) -> Vec<(u64, u64, AccessKind)> {
        let instruction = decode(code, HERE).unwrap();
        let mut factory = InstructionInfoFactory::new();
        let operands = operands(&mut factory, &instruction, &registers()).unwrap();
        operands.iter().map(|operand| (operand.address, operand.size_bytes, operand.kind)).collect()
    }

    #[test]
    fn every_way_on_is_known_beforehand() {
        assert_eq!(leads_to(&[0x90]), [HERE + 1], "nop");
        assert_eq!(leads_to(&[0x74, 0x10]), [HERE + 0x12, HERE + 2], "je");
        assert_eq!(leads_to(&[0xeb, 0xfe]), [HERE], "jmp to itself");
        assert_eq!(leads_to(&[0xe8, 0, 1, 0, 0]), [HERE + 0x105], "call");
        assert_eq!(leads_to(&[0xff, 0xe0]), [0x50], "jmp rax");
        assert_eq!(leads_to(&[0xff, 0x20]), [0xa0], "jmp [rax]");
        assert_eq!(leads_to(&[0xff, 0x25, 0, 0, 0, 0]), [2 * (HERE + 6)], "jmp [rip]");
        assert_eq!(leads_to(&[0x41, 0xff, 0xd2]), [0], "call r10");
        assert_eq!(leads_to(&[0xc3]), [0x4000], "ret");
        assert_eq!(leads_to(&[0x48, 0xcf]), [0x4000], "iretq");
        assert_eq!(leads_to(&[0x0f, 0x05]), [GATES.system_call, GATES.page_fault], "syscall");
        assert_eq!(leads_to(&[0x48, 0x0f, 0x07]), [3], "sysretq goes to rcx");
        assert_eq!(leads_to(&[0xf3, 0x48, 0xa5]), [HERE + 3, HERE], "rep movsq stops after each repetition");
        assert_eq!(leads_to(&[0x48, 0xa5]), [HERE + 2], "movsq");
    }

    #[test]
    fn what_cannot_be_followed_leads_nowhere() {
        for code in [&[0xf4][..], &[0xcc], &[0xcd, 0x80], &[0x0f, 0x0b], &[0x0f, 0x07]] {
            assert_eq!(leads_to(code), Vec::<u64>::new(), "{code:x?}");
        }
        assert!(decode(&[], HERE).is_none());
        assert!(decode(&[0x06], HERE).is_none(), "push es is gone in 64-bit mode");
        let unreadable = decode(&[0xc3], HERE).unwrap();
        assert!(successors(&unreadable, &registers(), &GATES, &|_| None).is_empty());
    }

    #[test]
    fn operands_have_address_size_and_kind() {
        use AccessKind::{Read, Write};
        assert_eq!(touches(&[0x90]), []);
        assert_eq!(touches(&[0x48, 0x8b, 0x42, 0x20]), [(0x120, 8, Read)], "mov rax, [rdx+20h]");
        assert_eq!(touches(&[0x80, 0x7a, 0x01, 0x00]), [(0x101, 1, Read)], "cmp byte [rdx+1], 0");
        assert_eq!(touches(&[0x48, 0xff, 0x02]), [(0x100, 8, Write)], "inc qword [rdx]");
        assert_eq!(touches(&[0x50]), [(0x1ff8, 8, Write)], "push rax");
        assert_eq!(touches(&[0xc3]), [(0x2000, 8, Read)], "ret");
        assert_eq!(touches(&[0x48, 0x8d, 0x02]), [], "lea touches nothing");
        assert_eq!(touches(&[0x0f, 0x01, 0x3a]), [], "invlpg neither");
        let current = [0x65, 0x48, 0x8b, 0x14, 0x25, 8, 0, 0, 0];
        assert_eq!(touches(&current), [(0x7_0008, 8, Read)], "mov rdx, gs:[8]");
        let mut copied = touches(&[0xf3, 0x48, 0xa5]);
        copied.sort_by_key(|(address, ..)| *address);
        assert_eq!(copied, [(0, 24, Write), (0x3000, 24, Read)], "rep movsq, three times");
    }
}
