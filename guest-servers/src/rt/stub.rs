//! The one way into the kernel: a call of a stub of the kernel interface page.
//!
//! The page lies at a fixed distance from the program (`abi::region`), and the linker script gives every stub an
//! address in it, so a call is one instruction with a relative address: no table, no relocation, no difference between
//! placements. What the stub does is the kernel's affair. How arguments and results travel differs between 64-bit and 32-bit
//! programs (`abi::call`).

/// The arguments of a system call and its results.
#[derive(Clone, Copy, Debug, Default)]
pub struct Registers {
    /// Status, out only.
    pub rax: u64,
    /// Handle or first argument; badge.
    pub rdi: u64,
    /// Tag or second argument; tag.
    pub rsi: u64,
    /// Message words 0 to 3.
    pub words: [u64; 4],
}

#[cfg(target_arch = "x86")]
#[path = "stub_32.rs"]
mod width;
#[cfg(not(target_arch = "x86"))]
#[path = "stub_64.rs"]
mod width;

pub use width::{raw_system_call, system_call};
