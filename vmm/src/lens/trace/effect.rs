//! What an instruction does to the TLB beyond its accesses, and its text.

use iced_x86::{Formatter, Instruction, Mnemonic, NasmFormatter, OpKind, Register};

use crate::lens::trace::access::cr4;
use crate::lens::trace::decode::{Registers, named_address};
use crate::tlb::stream::{Event, InvalidatePcidKind};

/// The event that an instruction with these registers is for the TLB; `control` is CR4 before it.
pub(super) fn on_tlb(
    instruction: &Instruction,
    registers: &Registers,
    control: u64,
    read_word: &dyn Fn(u64) -> Option<u64>,
) -> Option<Event> {
    let register = |operand| {
        let is_register = instruction.op_kind(operand) == OpKind::Register;
        is_register.then(|| registers.value(instruction.op_register(operand))).flatten()
    };
    match instruction.mnemonic() {
        Mnemonic::Mov if instruction.op0_kind() == OpKind::Register => match instruction.op0_register() {
            Register::CR3 => Some(Event::LoadPageTable { value: register(1)? }),
            Register::CR4 => {
                let changed = register(1)? ^ control;
                if changed & cr4::PCIDS != 0 {
                    Some(Event::PcidsEnabled(control & cr4::PCIDS == 0))
                } else {
                    (changed & cr4::GLOBAL_PAGES != 0).then_some(Event::FlushAll { global_too: true })
                }
            }
            _ => None,
        },
        Mnemonic::Invlpg => Some(Event::InvalidatePage { address: named_address(instruction, registers)? }),
        Mnemonic::Invpcid => {
            let descriptor = instruction.virtual_address(1, 0, |register, _, _| registers.value(register))?;
            Some(Event::InvalidatePcid {
                kind: InvalidatePcidKind::from_operand(register(0)?)?,
                pcid: (read_word(descriptor)? & 0xfff) as u16,
                address: read_word(descriptor.wrapping_add(8))?,
            })
        }
        _ => None,
    }
}

/// The instruction's text.
pub(super) fn disassemble(instruction: &Instruction) -> String {
    let mut text = String::new();
    NasmFormatter::new().format(instruction, &mut text);
    text
}
