//! Kernel interface pages: the code by which servers enter the kernel, one stub for each system call.

use core::ptr::copy_nonoverlapping;

use abi::address::PAGE_SIZE;
use abi::call::{VECTOR_32, number};
use abi::region::{STUB_SIZE, stub_offset};

use super::per_machine::PerMachine;
use crate::memory::{Memory, OutOfMemory, physical_pointer};

static USER_INTERFACE: PerMachine = PerMachine::new();
static KERNEL_INTERFACE: PerMachine = PerMachine::new();

/// Address of the RET in the kernel interface page of 32-bit programs, where SYSENTER has them go on.
pub const RETURN_OFFSET: u64 = PAGE_SIZE - 16;

/// Notes the frames of the two kernel interface pages of 64-bit programs.
pub fn set_interface_pages(user: u64, kernel: u64) {
    USER_INTERFACE.set(user);
    KERNEL_INTERFACE.set(kernel);
}

/// The frame of the kernel interface page of 64-bit programs in user space.
pub fn user_interface_page() -> u64 {
    USER_INTERFACE.get()
}

/// The frame of the kernel interface page of programs in the kernel.
pub fn kernel_interface_page() -> u64 {
    KERNEL_INTERFACE.get()
}

/// Offset in the kernel interface page of programs in the kernel of the address of the entry stub of a system call.
const fn entry_word_offset(call: u32) -> u64 {
    PAGE_SIZE - 8 * (call as u64 + 1)
}

/// Address of the entry stub that programs in the kernel jump to for a system call.
pub fn entry_stub_of(call: u32) -> u64 {
    let word = physical_pointer(KERNEL_INTERFACE.get() + entry_word_offset(call)).cast::<u64>();
    // SAFETY: an aligned word of the page that `kernel_interface` has filled, and nobody writes to.
    unsafe { word.read() }
}

/// How 32-bit programs enter the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// INT.
    Interrupt,
    /// SYSENTER.
    SysEnter,
    /// SYSCALL.
    SysCall,
}

/// The stubs of all system calls.
type Stubs = [u8; number::COUNT as usize * STUB_SIZE as usize];

/// `mov eax, number; syscall; ret` for every system call.
static USER_STUBS: Stubs = {
    let mut stubs = [0; size_of::<Stubs>()];
    let mut call = 0;
    while call < number::COUNT {
        let stub = stub_offset(call) as usize;
        let next = put(&mut stubs, stub, &mov_number(call));
        put(&mut stubs, next, &[0x0f, 0x05, 0xc3]);
        call += 1;
    }
    stubs
};

/// `mov eax, number; jmp [word]` for every system call, with the addresses of the kernel's entry stubs in the words at the end of
/// the page. The stubs of CALL and REPLY_AND_WAIT serve these alone and need no number.
static KERNEL_STUBS: Stubs = {
    const JMP_SIZE: usize = 6;
    let mut stubs = [0; size_of::<Stubs>()];
    let mut call = 0;
    while call < number::COUNT {
        let mut next = stub_offset(call) as usize;
        if !matches!(call, number::CALL | number::REPLY_AND_WAIT) {
            next = put(&mut stubs, next, &mov_number(call));
        }
        let distance = entry_word_offset(call) as usize - (next + JMP_SIZE);
        let [d0, d1, d2, d3] = (distance as u32).to_le_bytes();
        put(&mut stubs, next, &[0xff, 0x25, d0, d1, d2, d3]);
        call += 1;
    }
    stubs
};

/// `mov eax, number`.
const fn mov_number(call: u32) -> [u8; 5] {
    let [n0, n1, n2, n3] = call.to_le_bytes();
    [0xb8, n0, n1, n2, n3]
}

/// Writes code to stubs; returns where it ends.
const fn put(stubs: &mut Stubs, at: usize, code: &[u8]) -> usize {
    let mut done = 0;
    while done < code.len() {
        stubs[at + done] = code[done];
        done += 1;
    }
    at + done
}

/// The kernel interface page of 64-bit programs in user space.
pub fn user_interface(memory: &Memory) -> Result<u64, OutOfMemory> {
    let page = memory.frame()?;
    write(page, &USER_STUBS);
    Ok(page)
}

/// `mov eax, number` and the way through the gate for every system call, then RET.
pub fn interface_32(memory: &Memory, gate: Gate) -> Result<u64, OutOfMemory> {
    let page = memory.frame()?;
    for call in 0..number::COUNT {
        let rest: &[u8] = match gate {
            Gate::Interrupt => &[0xcd, VECTOR_32, 0xc3], // int; ret
            Gate::SysEnter => &[0x89, 0xe1, 0x0f, 0x34], // mov ecx, esp; sysenter, which goes on at the RET below
            Gate::SysCall => &[0x0f, 0x05, 0xc3],        // syscall; ret
        };
        let number = mov_number(call);
        write(page + stub_offset(call), &number);
        write(page + stub_offset(call) + number.len() as u64, rest);
    }
    write(page + RETURN_OFFSET, &[0xc3]);
    Ok(page)
}

/// The kernel interface page of programs in the kernel, whose entry stubs are these, by system call.
pub fn kernel_interface(
    memory: &Memory,
    entry_stubs: &[u64; number::COUNT as usize],
) -> Result<u64, OutOfMemory> {
    let page = memory.frame()?;
    write(page, &KERNEL_STUBS);
    for (call, stub) in (0..).zip(entry_stubs) {
        write(page + entry_word_offset(call), &stub.to_le_bytes());
    }
    Ok(page)
}

/// Writes to a page.
fn write(address: u64, bytes: &[u8]) {
    // SAFETY: the callers write within frames that they have just taken and not yet given to anybody.
    unsafe { copy_nonoverlapping(bytes.as_ptr(), physical_pointer(address), bytes.len()) };
}
