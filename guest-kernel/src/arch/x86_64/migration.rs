//! What migration in place means for page tables, return addresses and the TLB.

use core::ptr::with_exposed_provenance;

use abi::address::{KERNEL_IMAGE_BASE, PHYSICAL_MAP_BASE};
use abi::call::number;
use abi::region::{KERNEL_INTERFACE_OFFSET, STUB_SIZE, stub_offset};

use super::paging::Home;
use super::{interface, paging};
use crate::arch::context::{Context, RFLAGS_INTERRUPTS_ON};
use crate::memory::{PageRanges, Placement};

/// Offset in a `user` stub of SYSCALL.
const STUB_CALL_OFFSET: u64 = 5;
/// Offset in a `user` stub of the return.
const STUB_RETURN_OFFSET: u64 = 7;

/// Lowest address of the kernel's half.
const FIRST_KERNEL_ADDRESS: u64 = PHYSICAL_MAP_BASE;

/// Flags that a program may have set for itself: carry, parity, adjust, zero, sign, direction, overflow.
const PROGRAM_FLAGS: u64 = 0xcd5;

/// Turns the privilege of the region at `base`, a server's home: its pages, the entries that reach them, and its kernel interface page. The
/// TLB is the caller's affair. Returns the number of pages.
pub fn change_region_privilege(home: Home, base: u64, ranges: &PageRanges, target: Placement) -> u64 {
    let (shared, own) = (paging::shared_home_table(base), home.own_level3);
    let page = base + KERNEL_INTERFACE_OFFSET;
    match target {
        Placement::Kernel => {
            let pages = paging::set_region_privilege(own, base, ranges, false);
            paging::replace_frame(own, page, interface::kernel_interface_page());
            paging::move_region(own, shared, base);
            let _ = paging::set_home_table(home.root, base, shared, false);
            pages
        }
        Placement::User => {
            let pages = paging::set_region_privilege(shared, base, ranges, true);
            paging::replace_frame(shared, page, interface::user_interface_page());
            paging::move_region(shared, own, base);
            let _ = paging::set_home_table(home.root, base, own, true);
            pages
        }
        // No 64-bit server is ever moved there.
        _ => unreachable!(),
    }
}

/// Moves the pages of a 32-bit server between its own space and the slot of `size` bytes at `slot`, where `target` says. The TLB
/// is the caller's affair. Returns the number of pages.
pub fn move_slot(home: Home, slot: u64, size: u64, ranges: &PageRanges, target: Placement) -> u64 {
    let (large, small) = ((home.root, 0), (paging::kernel_root(), slot));
    let (from, to) = if target == Placement::Small { (large, small) } else { (small, large) };
    paging::move_slot(from, to, size, ranges)
}

/// A thread that waits in a system call: its return address is on top of its stack in every placement. Into the kernel
/// there is nothing to do; into user space SYSRET needs an instruction that takes it from there.
pub fn move_call_return(base: u64, context: &Context, target: Placement) {
    if target == Placement::User {
        let stub = base + KERNEL_INTERFACE_OFFSET + stub_offset(number::CALL);
        context.rip.set(stub + STUB_RETURN_OFFSET);
    }
}

/// A thread that was interrupted goes on at the same address, with some exceptions where the code differs between
/// placements: within a stub, from where it starts again; at the return of a `user` stub; at CLI, the first instruction of
/// the kernel's entry stubs, where interrupts are still on; and at RET, the last instruction of the kernel's exits, where they
/// are on again (the interrupt shadow of STI does not survive everywhere).
pub fn move_interrupted(home: Home, base: u64, context: &Context, target: Placement) {
    context.rflags.set(context.rflags.get() & PROGRAM_FLAGS | RFLAGS_INTERRUPTS_ON);
    let rip = context.rip.get();
    let interface = base + KERNEL_INTERFACE_OFFSET;
    match target {
        Placement::Kernel => {
            match offset_in_stub(rip, interface) {
                Some(STUB_CALL_OFFSET) => context.rip.set(rip - STUB_CALL_OFFSET),
                Some(STUB_RETURN_OFFSET) => do_return(context, paging::kernel_root()),
                // It has jumped to the kernel's code, where ring 3 faults. Ring 0 must fault, too.
                None if rip >= FIRST_KERNEL_ADDRESS => context.rip.set(0),
                _ => {}
            }
        }
        Placement::User if rip >= KERNEL_IMAGE_BASE => match kernel_code_byte(rip) {
            CLI => context.rip.set(interface + stub_offset(number_at_entry(rip, context.rax.get()))),
            RET => do_return(context, home.root),
            opcode => unreachable!("a server was interrupted in the kernel's code at {rip:#x} ({opcode:#x})"),
        },
        Placement::User => {
            let offset = offset_in_stub(rip, interface).unwrap_or(0);
            context.rip.set(rip - offset);
        }
        _ => {}
    }
}

/// How far into a stub of the kernel interface page an address is.
fn offset_in_stub(address: u64, interface: u64) -> Option<u64> {
    let offset = address.wrapping_sub(interface);
    (offset < stub_offset(number::COUNT)).then_some(offset % STUB_SIZE)
}

/// Opcode of CLI.
const CLI: u8 = 0xfa;
/// Opcode of a near return.
const RET: u8 = 0xc3;

/// The number of the system call at whose entry stub a thread was interrupted, at address `stub` with `rax` in RAX.
fn number_at_entry(stub: u64, rax: u64) -> u32 {
    let is_stub_of = |call: &u32| interface::entry_stub_of(*call) == stub;
    [number::CALL, number::REPLY_AND_WAIT].into_iter().find(is_stub_of).unwrap_or(rax as u32)
}

/// What a near return would do to an interrupted thread, whose stack is mapped under `root`.
fn do_return(context: &Context, root: u64) {
    // Without a stack the thread will fault at address 0, as it would have at its return.
    context.rip.set(paging::read_word(root, context.rsp.get()).unwrap_or(0));
    context.rsp.set(context.rsp.get() + 8);
}

/// A byte of the kernel's own code.
fn kernel_code_byte(address: u64) -> u8 {
    // SAFETY: a thread was interrupted at this address in ring 0, so there is code.
    unsafe { with_exposed_provenance::<u8>(address as usize).read_volatile() }
}
