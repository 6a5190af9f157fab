//! Accesses that the processor makes on its own account, with the kernel's privilege: gates and descriptors, the task-state
//! segment, the frame of a software interrupt.

use iced_x86::{Instruction, Mnemonic, OpKind, Register};

use crate::lens::trace::access::gate_target;
use crate::lens::trace::decode::{Operand, Registers};
use crate::tlb::stream::AccessKind;

/// Bytes of a gate of the interrupt descriptor table in long mode (Intel SDM vol. 3, figure 7-8).
const GATE_SIZE: u64 = 16;

/// Bytes of the descriptor of a segment.
const DESCRIPTOR_SIZE: u64 = 8;

/// Bytes of the frame that an interrupt leaves: SS, RSP, RFLAGS, CS, RIP.
const FRAME_SIZE: u64 = 5 * 8;

/// Offset of RSP0 in the task-state segment; IST 1 is at 0x24 (Intel SDM vol. 3, figure 9-11).
const STACK_POINTER_0: u64 = 4;
const INTERRUPT_STACK_0: u64 = 0x1c;

/// Where an interrupt leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gate {
    /// Address of the handler.
    pub target: u64,
    /// Its code segment.
    pub selector: u16,
    /// Interrupts stay on behind it.
    pub keeps_interrupts: bool,
    /// Least privileged ring that INT may name it from.
    privilege: u64,
    /// Index of the interrupt stack, 0 for the stack of the privilege level.
    stack: u64,
}

impl Gate {
    /// Where the task-state segment at `task_state` holds the end of the stack.
    fn stack_pointer(&self, task_state: u64) -> u64 {
        let offset = if self.stack == 0 { STACK_POINTER_0 } else { INTERRUPT_STACK_0 + 8 * self.stack };
        task_state.wrapping_add(offset)
    }

    /// Whether INT in ring 3 leads through it; otherwise it is a general protection exception.
    pub fn is_open_to_ring_3(&self) -> bool {
        self.privilege == 3
    }

    /// Address of the frame that an interrupt through it leaves: SS, RSP, RFLAGS, CS, RIP from its end down.
    pub fn frame(&self, task_state: u64, read_word: &dyn Fn(u64) -> Option<u64>) -> Option<u64> {
        let top = read_word(self.stack_pointer(task_state))?;
        Some((top & !0xf).wrapping_sub(FRAME_SIZE))
    }
}

/// The gate of a vector in the table at `base`. `None`: it cannot be read, is not present, or is no gate of an interrupt.
pub(super) fn gate(base: u64, vector: u8, read_word: &dyn Fn(u64) -> Option<u64>) -> Option<Gate> {
    const PRESENT: u64 = 1 << 47;
    const INTERRUPT_GATE: u64 = 0xe;
    const TRAP_GATE: u64 = 0xf;
    // The tables are where the guest says, which may be anywhere.
    let address = base.wrapping_add(u64::from(vector) * GATE_SIZE);
    let low = read_word(address)?;
    let mut bytes = [0; GATE_SIZE as usize];
    bytes[..8].copy_from_slice(&low.to_le_bytes());
    bytes[8..].copy_from_slice(&read_word(address.wrapping_add(8))?.to_le_bytes());
    // Bit 44 is clear in gates, so it is part of the type here.
    let kind = low >> 40 & 0x1f;
    if low & PRESENT == 0 || ![INTERRUPT_GATE, TRAP_GATE].contains(&kind) {
        return None;
    }
    Some(Gate {
        target: gate_target(&bytes)?,
        selector: (low >> 16) as u16,
        keeps_interrupts: kind == TRAP_GATE,
        privilege: low >> 45 & 3,
        stack: low >> 32 & 7,
    })
}

/// Where the processor's tables are.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tables {
    /// Base of the global descriptor table.
    pub descriptors: u64,
    /// Base of the interrupt descriptor table.
    pub interrupts: u64,
    /// Base of the task-state segment.
    pub task_state: u64,
}

/// The implicit accesses of an instruction. SYSCALL, SYSRET and SYSENTER make none: their segments are fixed.
pub(super) fn operands(
    instruction: &Instruction,
    registers: &Registers,
    tables: &Tables,
    read_word: &dyn Fn(u64) -> Option<u64>,
) -> Vec<Operand> {
    let read =
        |address, size_bytes| Operand { address, size_bytes, kind: AccessKind::Read, is_implicit: true };
    let descriptor = |selector: u64| {
        // A null selector loads nothing.
        (selector & !3 != 0).then(|| read(tables.descriptors.wrapping_add(selector & !7), DESCRIPTOR_SIZE))
    };
    let stack_word = |index: u64| read_word(registers.general.rsp.wrapping_add(8 * index));
    match instruction.mnemonic() {
        Mnemonic::Int => {
            let vector = instruction.immediate8();
            let Some(gate) = gate(tables.interrupts, vector, read_word) else { return Vec::new() };
            let entry = tables.interrupts.wrapping_add(u64::from(vector) * GATE_SIZE);
            let mut operands = vec![read(entry, GATE_SIZE)];
            operands.extend(descriptor(gate.selector.into()));
            operands.push(read(gate.stack_pointer(tables.task_state), 8));
            let frame = gate.frame(tables.task_state, read_word);
            operands
                .extend(frame.map(|frame| Operand { kind: AccessKind::Write, ..read(frame, FRAME_SIZE) }));
            operands
        }
        Mnemonic::Iretq => {
            [1, 4].into_iter().filter_map(|word| descriptor(stack_word(word)? & 0xffff)).collect()
        }
        Mnemonic::Mov if is_segment_load(instruction) => {
            let selector = match instruction.op1_kind() {
                OpKind::Register => registers.value(instruction.op1_register().full_register()),
                OpKind::Memory => instruction
                    .virtual_address(1, 0, |register, _, _| registers.value(register))
                    .and_then(read_word),
                _ => None,
            };
            selector.and_then(|selector| descriptor(selector & 0xffff)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

fn is_segment_load(instruction: &Instruction) -> bool {
    instruction.op0_kind() == OpKind::Register
        && instruction.op0_register().is_segment_register()
        && instruction.op0_register() != Register::CS
}

#[cfg(test)]
mod tests {
    use kvm_bindings::kvm_regs;

    use super::*;
    use crate::lens::trace::decode::{Mode, decode};

    const TABLES: Tables = Tables { descriptors: 0x1_0000, interrupts: 0x2_0000, task_state: 0x3_0000 };

    /// Memory with a gate for vector 0x40 on the stack of the privilege level, one for 0x41 on the first interrupt stack,
    /// and a frame at the stack pointer.
    fn word(address: u64) -> Option<u64> {
        Some(match address {
            0x2_0400 => 0x8000_ee00_0010_1234,
            0x2_0410 => 0x8000_ee01_0010_1234,
            0x2_0408 | 0x2_0418 | 0x2_0428 | 0x2_0438 | 0x2_0448 => 0xffff_ffff,
            // For the processor's own use, not present, a call gate.
            0x2_0420 => 0x8000_8e00_0010_1234,
            0x2_0430 => 0x8000_6e00_0010_1234,
            0x2_0440 => 0x8000_ec00_0010_1234,
            0x3_0004 => 0x9_0008,
            0x3_0024 => 0xa_0000,
            0x5_0008 => 0x23,
            0x5_0020 => 0x2b,
            0x6_0000 => 0xffff_0030,
            _ => 0,
        })
    }

    fn accesses(code: &[u8], mode: Mode) -> Vec<(u64, u64, AccessKind)> {
        let general = kvm_regs { rsp: 0x5_0000, rax: 0x6_0000, rdx: 0x4b, ..Default::default() };
        let registers = Registers { general, mode, ..Registers::default() };
        let operands = operands(&decode(code, 0, mode).unwrap(), &registers, &TABLES, &word);
        assert!(operands.iter().all(|operand| operand.is_implicit));
        operands.iter().map(|operand| (operand.address, operand.size_bytes, operand.kind)).collect()
    }

    #[test]
    fn an_interrupt_reads_gate_descriptor_and_stack_and_leaves_a_frame() {
        use AccessKind::{Read, Write};
        assert_eq!(gate(0x2_0000, 0x40, &word).unwrap().target, 0xffff_ffff_8000_1234);
        let expected =
            [(0x2_0400, 16, Read), (0x1_0010, 8, Read), (0x3_0004, 8, Read), (0x9_0000 - 40, 40, Write)];
        assert_eq!(accesses(&[0xcd, 0x40], Mode::Bits32), expected);
        let on_own_stack = accesses(&[0xcd, 0x41], Mode::Bits32);
        assert_eq!(on_own_stack[2..], [(0x3_0024, 8, Read), (0xa_0000 - 40, 40, Write)]);
    }

    #[test]
    fn only_gates_that_are_there_and_open_lead_out_of_ring_3() {
        let is_open = |vector| gate(0x2_0000, vector, &word).map(|gate| gate.is_open_to_ring_3());
        assert_eq!([0x40, 0x41, 0x42].map(is_open), [Some(true), Some(true), Some(false)]);
        assert_eq!([0x43, 0x44, 0x45].map(is_open), [None; 3], "absent, of another kind, empty");
    }

    /// The bases are the guest's.
    #[test]
    fn tables_at_the_end_of_the_address_space_wrap_around() {
        let wild = Tables { descriptors: u64::MAX, interrupts: u64::MAX, task_state: u64::MAX };
        let open = |_: u64| Some(0x8000_ee07_fff8_1234);
        let registers = Registers { mode: Mode::Bits32, ..Registers::default() };
        let interrupt = decode(&[0xcd, 0xff], 0, Mode::Bits32).unwrap();
        assert_eq!(operands(&interrupt, &registers, &wild, &open).len(), 4);
    }

    #[test]
    fn loads_of_segments_read_their_descriptors() {
        use AccessKind::Read;
        assert_eq!(
            accesses(&[0x48, 0xcf], Mode::Bits64),
            [(0x1_0020, 8, Read), (0x1_0028, 8, Read)],
            "iretq"
        );
        assert_eq!(accesses(&[0x8e, 0xda], Mode::Bits64), [(0x1_0048, 8, Read)], "mov ds, edx");
        assert_eq!(accesses(&[0x8e, 0x18], Mode::Bits64), [(0x1_0030, 8, Read)], "mov ds, [rax]");
        assert_eq!(accesses(&[0x8e, 0xd9], Mode::Bits64), [], "mov ds, ecx: null");
        assert_eq!(accesses(&[0x0f, 0x05], Mode::Bits64), [], "syscall");
    }
}
