//! What only a hostile 32-bit program does. The 64-bit builds do nothing in their place.

#![allow(unsafe_code, reason = "it breaks rules on purpose, in programs for 32 bits")]

/// Jumps to the 64-bit code segment; an invalid opcode if it gets there.
pub fn enter_64_bit_code() {
    // SAFETY: stops this server either way.
    #[cfg(target_arch = "x86")]
    unsafe {
        core::arch::asm!(
            "call 2f",
            "ud2", // the target: its address is on the stack
            "2:",
            "pop eax",
            "push {selector}",
            "push eax",
            "jmp fword ptr [esp]",
            selector = const abi::boot::USER_CODE_SELECTOR,
            options(noreturn)
        );
    }
}

/// Enters the kernel by SYSENTER with the trap flag set.
pub fn step_into_kernel() {
    // SAFETY: stops this server: by the debug exception, or because the CPU or the plan has no SYSENTER.
    #[cfg(target_arch = "x86")]
    unsafe {
        core::arch::asm!(
            "mov eax, {number}",
            "mov ecx, esp",
            "pushfd",
            "or dword ptr [esp], {trap_flag}",
            "popfd",
            "sysenter",
            number = const abi::call::number::NULL,
            trap_flag = const 1 << 8,
            options(noreturn)
        );
    }
}
