//! Numbers that a machine has one of, set at boot.

#[cfg(target_os = "none")]
pub use of_guest::PerMachine;
#[cfg(not(target_os = "none"))]
pub use of_test::PerMachine;

#[cfg(target_os = "none")]
mod of_guest {
    use core::sync::atomic::{AtomicU64, Ordering};

    /// A number for the whole machine, 0 until it is set.
    pub struct PerMachine(AtomicU64);

    impl PerMachine {
        /// Not set yet.
        pub const fn new() -> PerMachine {
            PerMachine(AtomicU64::new(0))
        }

        /// The number.
        #[inline]
        pub fn get(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }

        /// Sets it.
        pub fn set(&self, value: u64) {
            self.0.store(value, Ordering::Relaxed);
        }
    }
}

/// On the host each test's thread is a machine of its own.
#[cfg(not(target_os = "none"))]
mod of_test {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::ptr;

    thread_local! {
        /// By the address of the number.
        static VALUES: RefCell<BTreeMap<usize, u64>> = const { RefCell::new(BTreeMap::new()) };
    }

    /// A number for the whole machine, 0 until it is set.
    pub struct PerMachine(u8);

    impl PerMachine {
        /// Not set yet.
        pub const fn new() -> PerMachine {
            PerMachine(0)
        }

        fn key(&self) -> usize {
            ptr::from_ref(&self.0).addr()
        }

        /// The number.
        pub fn get(&self) -> u64 {
            VALUES.with_borrow(|values| values.get(&self.key()).copied().unwrap_or(0))
        }

        /// Sets it.
        pub fn set(&self, value: u64) {
            VALUES.with_borrow_mut(|values| values.insert(self.key(), value));
        }
    }
}
