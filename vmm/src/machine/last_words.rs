//! Where a guest was when it ended: registers, and the chain of stack frames as symbols.
//!
//! The guest may have left anything: the chain is followed through its page tables by bounds-checked reads, upwards
//! only, and not for ever.

use abi::address::{KERNEL_IMAGE_BASE, REGION_SIZE, SLOT_BASE, SLOT_COUNT};
use abi::region::{IMAGE_SIZE_MAX, KERNEL_INTERFACE_OFFSET, START_INFO_OFFSET, STUB_SIZE};
use abi::report::Registers;

use crate::machine::guest::{Elf, LastWords};
use crate::machine::memory::GuestMemory;
use crate::machine::symbolise::Symbols;
use crate::machine::walk;

/// Most frames of a backtrace.
pub(crate) const FRAMES_MAX: usize = 64;

/// Bytes of code by which a server's program is recognised.
const SIGNATURE_SIZE: usize = 32;

/// Index of RBP in [`Registers::general`].
const RBP: usize = 5;

/// Turns addresses of one guest into names.
pub(crate) struct Coroner<'a> {
    memory: &'a GuestMemory,
    modules: &'a [Elf],
    kernel: Symbols,
}

impl<'a> Coroner<'a> {
    pub(crate) fn new(memory: &'a GuestMemory, kernel: &Elf, modules: &'a [Elf]) -> Coroner<'a> {
        Coroner { memory, modules, kernel: Symbols::new(kernel) }
    }

    /// The last words of a CPU with these registers.
    pub(crate) fn last_words(&self, cpu: u32, registers: Registers) -> LastWords {
        let root = registers.cr3;
        let mut backtrace = vec![self.name(root, registers.rip, registers.rip)];
        let mut frame = registers.general[RBP];
        while backtrace.len() < FRAMES_MAX {
            // [RBP] is the caller's RBP, [RBP + 8] the return address: System V ABI for AMD64, 3.2.2.
            let above = frame.wrapping_add(8);
            let next = walk::read_word(self.memory, root, frame);
            let (Some(next), Some(address)) = (next, walk::read_word(self.memory, root, above)) else {
                break;
            };
            if address == 0 {
                break;
            }
            // The call is before the return address: a call at a function's end returns behind the function.
            backtrace.push(self.name(root, address, address.wrapping_sub(1)));
            if next <= frame {
                break;
            }
            frame = next;
        }
        LastWords { cpu, registers, backtrace }
    }

    /// Names `address` after the symbol in which `inside` lies.
    fn name(&self, root: u64, address: u64, inside: u64) -> String {
        let symbol = if inside >= KERNEL_IMAGE_BASE {
            self.kernel.locate(inside)
        } else {
            self.locate_in_server(root, inside)
        };
        symbol.map_or_else(|| format!("{address:#x}"), |symbol| format!("{address:#x} {symbol}"))
    }

    /// A server's region does not tell whose it is, but its code does.
    fn locate_in_server(&self, root: u64, address: u64) -> Option<String> {
        let slots = SLOT_BASE..SLOT_BASE + SLOT_COUNT as u64 * REGION_SIZE;
        let is_region = slots.contains(&address) || address < 1 << 47;
        let offset = address % REGION_SIZE;
        if !is_region {
            return None;
        }
        if (KERNEL_INTERFACE_OFFSET..START_INFO_OFFSET).contains(&offset) {
            return Some(stub_name(offset));
        }
        if offset >= IMAGE_SIZE_MAX {
            return None;
        }
        let code = walk::read(self.memory, root, address, SIGNATURE_SIZE);
        let mut programs =
            self.modules.iter().filter(|elf| code_at(elf, offset, code.len()) == Some(&code[..]));
        let program = programs.next().filter(|_| code.len() == SIGNATURE_SIZE)?;
        // Code that two programs share at the same place tells nothing.
        if programs.next().is_some_and(|other| other.bytes != program.bytes) {
            return None;
        }
        Some(locate_in_program(program, offset))
    }
}

/// Where in a server's program an offset of its region lies, for people.
pub(crate) fn locate_in_program(program: &Elf, offset: u64) -> String {
    if (KERNEL_INTERFACE_OFFSET..START_INFO_OFFSET).contains(&offset) {
        return format!("{} in its {}", program.name, stub_name(offset));
    }
    let symbol = Symbols::new(program).locate(offset).unwrap_or_else(|| format!("{offset:#x}"));
    format!("{}: {symbol}", program.name)
}

fn stub_name(offset: u64) -> String {
    format!("kernel interface page, stub {}", (offset - KERNEL_INTERFACE_OFFSET) / STUB_SIZE)
}

/// The bytes that a file has for a range of virtual addresses of one segment.
fn code_at(elf: &Elf, address: u64, size: usize) -> Option<&[u8]> {
    use object::{Object, ObjectSegment};
    let file = object::File::parse(&elf.bytes[..]).ok()?;
    file.segments().find_map(|segment| segment.data_range(address, size as u64).ok().flatten())
}
