//! One instruction, before it runs: where it can lead, and which memory it will touch. Pure functions of the
//! instruction, the registers and a way to read memory.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, MemorySize, Mnemonic,
    OpAccess, OpKind, Register,
};
use kvm_bindings::kvm_regs;

use crate::lens::trace::implicit;
use crate::lens::trace::repeat::is_repeated;
use crate::tlb::stream::AccessKind;

/// DF in RFLAGS: string instructions go downwards.
const DIRECTION_FLAG: u64 = 1 << 10;

/// How the processor reads code: by L in the descriptor of CS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// 64-bit mode: FS and GS alone have a base.
    #[default]
    Bits64,
    /// Compatibility mode with operands and addresses of 32 bits: every segment has its base.
    Bits32,
}

impl Mode {
    const fn bits(self) -> u32 {
        match self {
            Mode::Bits64 => 64,
            Mode::Bits32 => 32,
        }
    }

    /// A linear address: in compatibility mode sums of base and offset wrap at 4 GiB.
    const fn linear(self, address: u64) -> u64 {
        match self {
            Mode::Bits64 => address,
            Mode::Bits32 => address & 0xffff_ffff,
        }
    }
}

/// The registers that addresses are made of.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registers {
    /// General registers, RIP, RFLAGS.
    pub general: kvm_regs,
    /// How code is read.
    pub mode: Mode,
    /// Base addresses of the segments.
    pub bases: SegmentBases,
}

/// Base addresses of the segments, as their registers hold them.
#[derive(Clone, Copy, Debug, Default)]
pub struct SegmentBases {
    /// Those of CS, SS, DS and ES count in compatibility mode only.
    pub cs: u64,
    /// See [`SegmentBases::cs`].
    pub ss: u64,
    /// See [`SegmentBases::cs`].
    pub ds: u64,
    /// See [`SegmentBases::cs`].
    pub es: u64,
    /// Those of FS and GS count in both modes.
    pub fs: u64,
    /// See [`SegmentBases::fs`].
    pub gs: u64,
}

/// Where the processor goes on its own account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gates {
    /// IA32_LSTAR: where SYSCALL leads.
    pub system_call: u64,
    /// IA32_CSTAR: where SYSCALL leads from compatibility mode.
    pub system_call_32: u64,
    /// IA32_SYSENTER_EIP: where SYSENTER leads.
    pub sysenter: u64,
    /// Base of the interrupt descriptor table.
    pub interrupts: u64,
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
    /// The processor makes the access on its own account, with the kernel's privilege: to descriptors, and to the stack
    /// that a gate leads to.
    pub is_implicit: bool,
}

/// The instruction at the start of `bytes`, whose linear address is `address`; `None` when there is none.
pub fn decode(bytes: &[u8], address: u64, mode: Mode) -> Option<Instruction> {
    let instruction = Decoder::with_ip(mode.bits(), bytes, address, DecoderOptions::NONE).decode();
    (!instruction.is_invalid()).then_some(instruction)
}

/// All linear addresses at which the next instruction can be. Empty: the instruction leads nowhere that could be told
/// beforehand (HLT, far branches, undefined ones).
pub fn successors(
    instruction: &Instruction,
    registers: &Registers,
    gates: &Gates,
    read_word: &dyn Fn(u64) -> Option<u64>,
) -> Vec<u64> {
    let next = instruction.next_ip();
    match instruction.mnemonic() {
        Mnemonic::Syscall => {
            return match registers.mode {
                Mode::Bits64 => vec![gates.system_call, gates.page_fault],
                Mode::Bits32 => vec![gates.system_call_32],
            };
        }
        Mnemonic::Sysenter => return vec![gates.sysenter],
        Mnemonic::Int => {
            return implicit::gate(gates.interrupts, instruction.immediate8(), read_word)
                .map(|gate| gate.target)
                .into_iter()
                .collect();
        }
        Mnemonic::Sysretq => return vec![registers.general.rcx],
        // Where it leads to compatibility mode, the base of CS comes on top: the recorder executes that by hand.
        Mnemonic::Iretq => return read_word(registers.general.rsp).into_iter().collect(),
        Mnemonic::Hlt
        | Mnemonic::Retf
        | Mnemonic::Iretd
        | Mnemonic::Iret
        | Mnemonic::Sysret
        | Mnemonic::Sysexit => {
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
        FlowControl::Return => registers.return_address(read_word).into_iter().collect(),
        FlowControl::IndirectBranch | FlowControl::IndirectCall => {
            indirect_target(instruction, registers, read_word).into_iter().collect()
        }
        FlowControl::Interrupt | FlowControl::XbeginXabortXend | FlowControl::Exception => Vec::new(),
    }
}

fn near_target(instruction: &Instruction) -> Option<u64> {
    let is_near =
        instruction.op_kinds().any(|kind| matches!(kind, OpKind::NearBranch64 | OpKind::NearBranch32));
    is_near.then(|| instruction.near_branch_target())
}

fn indirect_target(
    instruction: &Instruction,
    registers: &Registers,
    read_word: &dyn Fn(u64) -> Option<u64>,
) -> Option<u64> {
    // A far branch through memory changes CS as well.
    if matches!(instruction.memory_size(), MemorySize::SegPtr16 | MemorySize::SegPtr32 | MemorySize::SegPtr64)
    {
        return None;
    }
    let offset = match instruction.op0_kind() {
        OpKind::Register => registers.value(instruction.op0_register())?,
        OpKind::Memory => {
            let address = instruction.virtual_address(0, 0, |register, _, _| registers.value(register))?;
            read_word(registers.mode.linear(address))?
        }
        _ => return None,
    };
    Some(registers.code_address(offset))
}

/// Data accesses that the instruction names. `None`: an address cannot be told from these registers. A repeated string
/// instruction gets all its repetitions, as many as RCX says, as one access.
pub fn operands(
    factory: &mut InstructionInfoFactory,
    instruction: &Instruction,
    registers: &Registers,
) -> Option<Vec<Operand>> {
    let is_repeated = is_repeated(instruction);
    let repetitions = if is_repeated { registers.repetitions() } else { 1 };
    if instruction.mnemonic() == Mnemonic::Int {
        // Its frame goes to the stack that the gate leads to.
        return Some(Vec::new());
    }
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
        let address = registers.mode.linear(address);
        // Of a repeated instruction only the instruction itself knows the size.
        let size =
            memory.memory_size().size().max(instruction.memory_size().size() * usize::from(is_repeated));
        let size_bytes = (size as u64).saturating_mul(repetitions);
        let is_downwards = is_repeated && registers.general.rflags & DIRECTION_FLAG != 0;
        let below = if is_downwards { size_bytes.saturating_sub(size as u64) } else { 0 };
        let address = address.wrapping_sub(below);
        operands.push(Operand { address, size_bytes, kind, is_implicit: false });
    }
    Some(operands)
}

/// Address that the first operand names without touching it (INVLPG).
pub fn named_address(instruction: &Instruction, registers: &Registers) -> Option<u64> {
    instruction.virtual_address(0, 0, |register, _, _| registers.value(register))
}

impl Registers {
    /// The linear address of code at an offset in CS.
    pub fn code_address(&self, offset: u64) -> u64 {
        match self.mode {
            Mode::Bits64 => offset,
            Mode::Bits32 => self.mode.linear(self.bases.cs.wrapping_add(offset)),
        }
    }

    /// How often a repeated instruction is still to be repeated, at most.
    pub fn repetitions(&self) -> u64 {
        self.mode.linear(self.general.rcx)
    }

    /// Where RET leads.
    fn return_address(&self, read_word: &dyn Fn(u64) -> Option<u64>) -> Option<u64> {
        let base = self.segment_base(Register::SS);
        let offset = read_word(self.mode.linear(base.wrapping_add(self.general.rsp)))?;
        Some(self.code_address(offset))
    }

    /// The base that an address in this segment begins at.
    fn segment_base(&self, register: Register) -> u64 {
        match (register, self.mode) {
            (Register::FS, _) => self.bases.fs,
            (Register::GS, _) => self.bases.gs,
            (Register::CS, Mode::Bits32) => self.bases.cs,
            (Register::SS, Mode::Bits32) => self.bases.ss,
            (Register::DS, Mode::Bits32) => self.bases.ds,
            (Register::ES, Mode::Bits32) => self.bases.es,
            _ => 0,
        }
    }

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
            segment if segment.is_segment_register() => self.segment_base(segment),
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

    const GATES: Gates = Gates {
        system_call: 0xa000,
        system_call_32: 0xa100,
        sysenter: 0xa200,
        interrupts: 0,
        page_fault: 0xb000,
        debug: 0xc000,
    };
    const HERE: u64 = 0x1000;

    fn registers() -> Registers {
        let general =
            kvm_regs { rax: 0x50, rcx: 3, rdx: 0x100, rsp: 0x2000, rsi: 0x3000, ..Default::default() };
        Registers {
            general,
            mode: Mode::Bits64,
            bases: SegmentBases { gs: 0x7_0000, ..SegmentBases::default() },
        }
    }

    /// A program whose segments begin at 0xa000_0000.
    fn registers_32() -> Registers {
        let base = 0xa000_0000;
        let bases = SegmentBases { cs: base, ss: base, ds: base, es: base, fs: 0, gs: 0 };
        // The upper halves of the registers are none of its business.
        let mut general = registers().general;
        (general.rdx, general.rsp) = (0xdead_0000_0100, 0xdead_0000_2000);
        Registers { general, mode: Mode::Bits32, bases }
    }

    /// Where the code leads, with a memory in which every word holds twice its address.
    fn leads_to(code: &[u8]) -> Vec<u64> {
        let instruction = decode(code, HERE, Mode::Bits64).unwrap();
        successors(&instruction, &registers(), &GATES, &|address| Some(2 * address))
    }

    /// The same for 32-bit code, in a memory in which the low half of every word is 0x44.
    fn leads_to_32(code: &[u8]) -> Vec<u64> {
        let instruction = decode(code, 0xa000_1000, Mode::Bits32).unwrap();
        successors(&instruction, &registers_32(), &GATES, &|_| Some(0xffff_0000_0000_0044))
    }

    fn touches(code: &[u8]) -> Vec<(u64, u64, AccessKind)> {
        touches_with(code, &registers())
    }

    fn touches_with(code: &[u8], registers: &Registers) -> Vec<(u64, u64, AccessKind)> {
        let instruction = decode(code, HERE, registers.mode).unwrap();
        let mut factory = InstructionInfoFactory::new();
        let operands = operands(&mut factory, &instruction, registers).unwrap();
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
        for code in [&[0xf4][..], &[0xcc], &[0x0f, 0x0b], &[0x0f, 0x07], &[0xff, 0x28]] {
            assert_eq!(leads_to(code), Vec::<u64>::new(), "{code:x?}");
        }
        assert!(decode(&[], HERE, Mode::Bits64).is_none());
        assert!(decode(&[0x06], HERE, Mode::Bits64).is_none(), "push es is gone in 64-bit mode");
        let unreadable = decode(&[0xc3], HERE, Mode::Bits64).unwrap();
        assert!(successors(&unreadable, &registers(), &GATES, &|_| None).is_empty());
    }

    #[test]
    fn in_compatibility_mode_offsets_are_in_their_segments() {
        use AccessKind::{Read, Write};
        let here = 0xa000_1000;
        assert_eq!(leads_to_32(&[0x48]), [here + 1], "dec eax, which in 64-bit mode is a prefix");
        assert_eq!(leads_to_32(&[0xe8, 0, 1, 0, 0]), [here + 0x105], "call");
        assert_eq!(leads_to_32(&[0xff, 0xe2]), [0xa000_0100], "jmp edx");
        assert_eq!(leads_to_32(&[0xff, 0x22]), [0xa000_0044], "jmp [edx]");
        assert_eq!(leads_to_32(&[0xc3]), [0xa000_0044], "ret");
        assert_eq!(leads_to_32(&[0x0f, 0x05]), [GATES.system_call_32], "syscall");
        assert_eq!(leads_to_32(&[0x0f, 0x34]), [GATES.sysenter], "sysenter");
        assert_eq!(leads_to_32(&[0xcb]), Vec::<u64>::new(), "retf");
        let touches = |code: &[u8]| touches_with(code, &registers_32());
        assert_eq!(touches(&[0x8b, 0x42, 0x20]), [(0xa000_0120, 4, Read)], "mov eax, [edx+20h]");
        assert_eq!(touches(&[0x8b, 0x05, 0, 0, 0, 0x60]), [(0, 4, Read)], "mov eax, [60000000h] wraps");
        assert_eq!(touches(&[0x50]), [(0xa000_1ffc, 4, Write)], "push eax");
        assert_eq!(touches(&[0xc3]), [(0xa000_2000, 4, Read)], "ret");
        assert_eq!(touches(&[0xcd, 0x40]), [], "int leaves its frame elsewhere");
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
        let mut downwards = registers();
        downwards.general.rflags |= DIRECTION_FLAG;
        let copied = touches_with(&[0xf3, 0x48, 0xa5], &downwards);
        assert!(copied.contains(&(0x3000 - 16, 24, Read)), "the same downwards: {copied:x?}");
    }
}
