//! What the compiler calls to move memory: the 32-bit target expects it in a C library.

#![expect(unsafe_code, reason = "functions that the compiler calls by name")]

use core::arch::asm;

/// Copies `count` bytes between two places that do not overlap.
///
/// # Safety
/// Both must be valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise; the direction flag is clear. ESI cannot be named, so it is exchanged.
    unsafe {
        asm!(
            "xchg esi, {from}",
            "rep movsb",
            "mov esi, {from}",
            from = inout(reg) from => _,
            inout("ecx") count => _,
            inout("edi") to => _,
            options(nostack, preserves_flags)
        );
    }
    to
}

/// Copies `count` bytes between two places that may overlap.
///
/// # Safety
/// Both must be valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // SAFETY: the caller's promise; upwards, nothing is overwritten before it is read.
        return unsafe { memcpy(to, from, count) };
    }
    for index in (0..count).rev() {
        // SAFETY: the caller's promise.
        unsafe { to.add(index).write_volatile(from.add(index).read_volatile()) };
    }
    to
}

/// Fills `count` bytes.
///
/// # Safety
/// They must be valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise; the direction flag is clear.
    unsafe {
        asm!(
            "rep stosb",
            in("al") value as u8,
            inout("ecx") count => _,
            inout("edi") to => _,
            options(nostack, preserves_flags)
        );
    }
    to
}

/// Compares `count` bytes: below, at or above 0 as the first place is below, the same as or above the second.
///
/// # Safety
/// Both must be valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    for index in 0..count {
        // SAFETY: the caller's promise.
        let (one, other) = unsafe { (one.add(index).read_volatile(), other.add(index).read_volatile()) };
        if one != other {
            return i32::from(one) - i32::from(other);
        }
    }
    0
}

/// Compares `count` bytes: 0 if they are the same.
///
/// # Safety
/// Both must be valid.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(one: *const u8, other: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(one, other, count) }
}
