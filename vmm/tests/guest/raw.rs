//! Servers of a few instructions, written by the test: what no compiler would emit.

use abi::plan::placement;
use abi::region::{KERNEL_INTERFACE_OFFSET, stub_offset};
use iced_x86::code_asm::*;
use inkbed::machine::guest::{Elf, GuestConfig};

use crate::harness::{Place, Server};

/// What writes instructions.
pub type Assembled = Result<(), IcedError>;

/// Where a raw server's code lies in its region; its entry.
pub const CODE: u64 = 0x1000;
/// Where its zeroed data lie.
pub const DATA: u64 = 0x2_0000;
/// Bytes of its data.
pub const DATA_SIZE: u64 = 0x4000;

/// The code that `write` emits, in 64- or 32-bit mode.
pub fn assemble(bits: u32, write: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Vec<u8> {
    let mut assembler = CodeAssembler::new(bits).unwrap();
    write(&mut assembler).unwrap();
    assembler.assemble(CODE).unwrap()
}

/// Calls the stub of a system call, which works in every placement.
pub fn call_stub(a: &mut CodeAssembler, call: u32) -> Assembled {
    a.call(KERNEL_INTERFACE_OFFSET + stub_offset(call))
}

/// Has server `index` of the guest run this code.
pub fn set_code(config: &mut GuestConfig, index: usize, code: &[u8]) {
    let server = &mut config.servers[index];
    let is_32_bit = matches!(server.placement, placement::SMALL | placement::LARGE);
    server.module = config.modules.len() as u32;
    config.modules.push(Elf { name: "raw".to_owned(), bytes: program(code, is_32_bit).into() });
}

/// A server whose code comes by [`set_code`].
pub fn raw(place: Place) -> Server {
    crate::harness::server(abi::program::NULL, place)
}

/// An ELF file with one segment of code and one of zeroed data.
fn program(code: &[u8], is_32_bit: bool) -> Vec<u8> {
    let half = |value: u64| value.to_le_bytes()[..2].to_vec();
    let word = |value: u64| value.to_le_bytes()[..4].to_vec();
    let address = |value: u64| value.to_le_bytes()[..if is_32_bit { 4 } else { 8 }].to_vec();
    let (class, kind, machine) = if is_32_bit { (1, 2, 3) } else { (2, 3, 62) };
    let (header_size, segment_header_size) = if is_32_bit { (52, 32) } else { (64, 56) };
    let mut file = vec![0x7f, b'E', b'L', b'F', class, 1, 1];
    file.resize(16, 0);
    file.extend([half(kind), half(machine), word(1)].concat());
    file.extend([address(CODE), address(header_size), address(0), word(0)].concat());
    file.extend([header_size, segment_header_size, 2, 0, 0, 0].map(half).concat());
    let (loadable, size) = (word(1), code.len() as u64);
    let (read_execute, read_write) = (word(5), word(6));
    for (flags, offset, place, in_file, in_memory) in
        [(read_execute, CODE, CODE, size, size), (read_write, 0, DATA, 0, DATA_SIZE)]
    {
        let places = [offset, place, place, in_file, in_memory].map(address).concat();
        let parts = if is_32_bit { [&loadable, &places, &flags] } else { [&loadable, &flags, &places] };
        file.extend(parts.into_iter().flatten());
        file.extend(address(0x1000));
    }
    file.resize(CODE as usize, 0);
    file.extend(code);
    file
}
