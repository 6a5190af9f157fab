//! The kernel's own start, for who starts it otherwise than inkbed's VMM: by its ELF note for PVH, in 32-bit mode without paging.
//!
//! What the VMM would have done, somebody else has done before: memory holds everything that [`abi::boot`] describes, page tables
//! and all, and [`OwnStart`] says where. So the first CPU starts the others and all of them go to 64-bit mode, to the same
//! function as the VMM's vCPUs ([`super::boot::boot`]). Everything here runs at physical addresses, in the first GiB.

use core::arch::{global_asm, naked_asm};
use core::mem::offset_of;

use abi::address::{
    CPU_AREA_BASE, CPU_AREA_STRIDE, KERNEL_IMAGE_BASE, KERNEL_STACK, LOCAL_APIC, PHYSICAL_MAP_BASE,
};
use abi::boot::{BootInfo, KERNEL_CODE_SELECTOR, KERNEL_DATA_SELECTOR};
use abi::port::SERIAL;
use abi::start::{NOTE_OWN_START, OwnStart};

/// Where to go on. Whoever puts the kernel and the rest into memory fills it in.
#[unsafe(link_section = ".data.own_start")]
static OWN_START: OwnStart = OwnStart::EMPTY;

/// Added to an address in the kernel's image it gives the physical one.
const TO_PHYSICAL: u64 = KERNEL_IMAGE_BASE.wrapping_neg();

/// Physical address of the code with which the other CPUs start: a page in the first MiB, which no PC uses for anything by now.
const TRAMPOLINE: u32 = 0x8000;

/// Bytes that are copied there. The last 8 hold where the descriptors are.
const TRAMPOLINE_SIZE: u32 = 64;

/// Physical address of three page tables for the way to 64-bit mode: behind the trampoline.
const TABLES: u32 = 0x9000;

/// Selector of 32-bit code, for the way only.
const CODE_32_SELECTOR: u16 = 0x08;

/// Cycles between the two start-up interrupts: Intel asks for 200 µs, modern processors for nothing (Intel SDM vol. 3, 9.4.4.1).
const BETWEEN_INTERRUPTS_CYCLES: u32 = 1_000_000;

// ELF notes: the entry that QEMU, Firecracker, Cloud Hypervisor and Xen look for, and where `OWN_START` lies.
global_asm!(
    ".pushsection .note.inkbed, \"a\", @note",
    ".balign 4",
    // XEN_ELFNOTE_PHYS32_ENTRY; QEMU reads 8 bytes of it.
    ".long 4, 8, 18",
    ".asciz \"Xen\"",
    ".quad {entry} + {to_physical}",
    ".long 7, 8, {note}",
    ".asciz \"inkbed\"",
    ".balign 4",
    ".quad {own_start} + {to_physical}",
    ".popsection",
    entry = sym own_start,
    own_start = sym OWN_START,
    note = const NOTE_OWN_START,
    to_physical = const TO_PHYSICAL,
);

/// Entry of the first CPU: 32-bit mode, no paging, flat segments, interrupts off (PVH: xen/include/public/arch-x86/hvm/start_info.h).
/// Prototype: none, it does not return. Registers: none is used. Stack: none.
#[unsafe(naked)]
unsafe extern "sysv64" fn own_start() {
    naked_asm!(
        ".code32",
        "cli",
        "cld",
        // A PC's interrupt controllers have nothing to say.
        "mov al, 0xff",
        "out 0x21, al",
        "out 0xa1, al",
        // Alone, the kernel has nothing to run: it says so on the serial console.
        "cmp dword ptr [{own} + {to_physical} + {root_table}], 0",
        "jne 3f",
        "lea esi, [18f + {to_physical}]",
        "mov dx, {serial}",
        "2:",
        "lodsb",
        "test al, al",
        "jz 4f",
        "out dx, al",
        "jmp 2b",
        "4:",
        "hlt",
        "jmp 4b",
        "3:",
        // Page tables: the first GiB one to one, and the kernel's half.
        "xor eax, eax",
        "mov edi, {tables}",
        "mov ecx, 3 * 1024",
        "rep stosd",
        "mov dword ptr [{tables}], {tables} + 0x1003",
        "mov dword ptr [{tables} + 0x1000], {tables} + 0x2003",
        "mov eax, 0x83", // present, writable, 2 MiB
        "mov edi, {tables} + 0x2000",
        "5:",
        "mov [edi], eax",
        "add edi, 8",
        "add eax, 0x200000",
        "cmp edi, {tables} + 0x3000",
        "jb 5b",
        "mov esi, [{own} + {to_physical} + {root_table}]",
        "add esi, 2048",
        "mov edi, {tables} + 2048",
        "mov ecx, 512",
        "rep movsd",
        // The other CPUs, if there are any: INIT and two start-up interrupts to all but this one.
        "cmp dword ptr [{own} + {to_physical} + {cpu_count}], 1",
        "jbe 7f",
        "lea esi, [25f + {to_physical}]",
        "mov edi, {trampoline}",
        "mov ecx, {trampoline_size}",
        "rep movsb",
        "mov dword ptr [{command}], 0xc4500",
        "mov dword ptr [{command}], 0xc4600 + ({trampoline} >> 12)",
        "rdtsc",
        "mov esi, eax",
        "6:",
        "pause",
        "rdtsc",
        "sub eax, esi",
        "cmp eax, {between}",
        "jb 6b",
        "mov dword ptr [{command}], 0xc4600 + ({trampoline} >> 12)",
        "7:",
        "xor esi, esi",
        // All CPUs; ESI = index.
        "8:",
        "lgdt [9f + {to_physical}]",
        "mov eax, 0xa0", // PAE, PGE
        "mov cr4, eax",
        "mov eax, {tables}",
        "mov cr3, eax",
        "mov ecx, 0xc0000080", // EFER
        "mov eax, 0x901",      // NXE, LME, SCE
        "xor edx, edx",
        "wrmsr",
        "mov eax, 0x80050033", // PG, AM, WP, NE, ET, MP, PE
        "mov cr0, eax",
        ".byte 0xea", // jmp far
        ".long 22f + {to_physical}",
        ".word {code}",
        // The trampoline: a CPU's first instructions, in real mode, at another address.
        ".code16",
        "25:",
        "cli",
        "cld",
        "xor ax, ax",
        "mov ds, ax",
        "lgdt [{trampoline} + {trampoline_size} - 8]",
        "mov eax, cr0",
        "or al, 1",
        "mov cr0, eax",
        ".byte 0x66, 0xea", // jmp far, with an offset of 32 bits
        ".long 21f + {to_physical}",
        ".word {code_32}",
        ".org 25b + {trampoline_size} - 8",
        ".word 20f - 19f - 1",
        ".long 19f + {to_physical}",
        ".org 25b + {trampoline_size}",
        ".code32",
        "21:",
        "mov eax, {data}",
        "mov ds, eax",
        "mov es, eax",
        "mov ss, eax",
        "mov esi, 1",
        "lock xadd [{own} + {to_physical} + {started}], esi",
        "inc esi",
        "jmp 8b",
        "9:",
        ".word 20f - 19f - 1",
        ".long 19f + {to_physical}",
        "18:",
        ".asciz \"inkbed's kernel was started without programs. `inkbed run --machine qemu` starts it with them.\\n\"",
        // Descriptors, marked as accessed: none, 32-bit code, the kernel's code, the kernel's data.
        ".balign 8",
        "19:",
        ".quad 0, 0x00cf9b000000ffff, 0x00af9b000000ffff, 0x00cf93000000ffff",
        "20:",
        ".code64",
        "22:",
        "mov eax, {data}",
        "mov ds, eax",
        "mov es, eax",
        "mov fs, eax",
        "mov gs, eax",
        "mov ss, eax",
        "lea rax, [rip + 23f]",
        "movabs rcx, {image}",
        "add rax, rcx",
        "jmp rax",
        // From here on at the kernel's own address, so that the lower half can go.
        "23:",
        "mov rax, [rip + {own} + {root_table}]",
        "mov cr3, rax",
        "movabs rdi, {physical_map}",
        "add rdi, [rip + {own} + {boot_info}]",
        "mov eax, esi",
        "imul rax, rax, {stride}",
        "movabs rsp, {stack}",
        "add rsp, rax",
        "xor ebp, ebp",
        "jmp {start}",
        own = sym OWN_START,
        root_table = const offset_of!(OwnStart, root_table),
        boot_info = const offset_of!(OwnStart, boot_info),
        cpu_count = const offset_of!(OwnStart, cpu_count),
        started = const offset_of!(OwnStart, started),
        to_physical = const TO_PHYSICAL,
        serial = const SERIAL,
        tables = const TABLES,
        trampoline = const TRAMPOLINE,
        trampoline_size = const TRAMPOLINE_SIZE,
        image = const KERNEL_IMAGE_BASE,
        between = const BETWEEN_INTERRUPTS_CYCLES,
        command = const LOCAL_APIC + 0x300,
        code = const KERNEL_CODE_SELECTOR,
        data = const KERNEL_DATA_SELECTOR,
        code_32 = const CODE_32_SELECTOR,
        physical_map = const PHYSICAL_MAP_BASE,
        stride = const CPU_AREA_STRIDE,
        stack = const CPU_AREA_BASE + KERNEL_STACK.offset + KERNEL_STACK.size - 8,
        start = sym start,
    )
}

/// Where both ways meet.
///
/// # Safety
/// Only from [`own_start`], with the state that [`abi::boot`] describes.
unsafe extern "sysv64" fn start(boot: &'static BootInfo, cpu: u32) -> ! {
    // SAFETY: the caller's promise.
    unsafe { super::boot::boot(boot, cpu) }
}
