//! A 64-bit atomic number in every program.
//!
//! For a 32-bit target without SSE the compiler moves 64 bits at once through the floating-point unit, which servers do not
//! have. CMPXCHG8B, which every 32-bit CPU since the Pentium has, needs none.

#![allow(
    unsafe_code,
    reason = "memory that another thread reads, where the processor has no such instruction"
)]

#[cfg(not(target_arch = "x86"))]
pub use core::sync::atomic::AtomicU64;
#[cfg(target_arch = "x86")]
pub use narrow::AtomicU64;

pub use core::sync::atomic::{AtomicBool, Ordering};

#[cfg(target_arch = "x86")]
mod narrow {
    use core::arch::asm;
    use core::cell::UnsafeCell;
    use core::sync::atomic::Ordering;

    /// As the one of `core`, as far as servers use it. Every operation is sequentially consistent, whatever is asked for.
    #[repr(C, align(8))]
    pub struct AtomicU64(UnsafeCell<u64>);

    // SAFETY: every access is one locked instruction.
    unsafe impl Sync for AtomicU64 {}

    impl AtomicU64 {
        /// A number.
        pub const fn new(value: u64) -> AtomicU64 {
            AtomicU64(UnsafeCell::new(value))
        }

        /// Replaces `old` by `new` if it is `old`; returns what it was.
        fn exchange_if(&self, old: u64, new: u64) -> u64 {
            let (low, high): (u32, u32);
            // SAFETY: the cell is valid and aligned. EBX cannot be named, so it is exchanged.
            unsafe {
                asm!(
                    "xchg ebx, {new_low}",
                    "lock cmpxchg8b qword ptr [edi]",
                    "mov ebx, {new_low}",
                    new_low = inout(reg) new as u32 => _,
                    in("edi") self.0.get(),
                    inout("eax") old as u32 => low,
                    inout("edx") (old >> 32) as u32 => high,
                    in("ecx") (new >> 32) as u32,
                    options(nostack)
                );
            }
            u64::from(high) << 32 | u64::from(low)
        }

        /// Replaces the number by `change` of it; returns what it was.
        fn change(&self, change: impl Fn(u64) -> u64) -> u64 {
            let mut old = self.load(Ordering::SeqCst);
            loop {
                let seen = self.exchange_if(old, change(old));
                if seen == old {
                    return old;
                }
                old = seen;
            }
        }

        /// The number.
        pub fn load(&self, _: Ordering) -> u64 {
            self.exchange_if(0, 0)
        }

        /// Sets it.
        pub fn store(&self, value: u64, _: Ordering) {
            self.change(|_| value);
        }

        /// Adds to it; returns what it was.
        pub fn fetch_add(&self, amount: u64, _: Ordering) -> u64 {
            self.change(|value| value.wrapping_add(amount))
        }

        /// Makes it at most `value`; returns what it was.
        pub fn fetch_min(&self, value: u64, _: Ordering) -> u64 {
            self.change(|old| old.min(value))
        }

        /// Makes it at least `value`; returns what it was.
        pub fn fetch_max(&self, value: u64, _: Ordering) -> u64 {
            self.change(|old| old.max(value))
        }
    }
}
