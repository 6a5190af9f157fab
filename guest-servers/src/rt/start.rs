//! What a thread knows when it starts, and how it ends when it panics.

#![expect(unsafe_code, reason = "the program's entry")]

use core::fmt;
use core::panic::PanicInfo;
use core::ptr::with_exposed_provenance;

use abi::address::REGION_SIZE;
use abi::region::{
    SAMPLES_OFFSET, SAMPLES_OFFSET_32, START_INFO_OFFSET, StartInfo, WORKING_SET_OFFSET,
    working_set_offset_32,
};

use crate::call::{exit, write_console};

/// Status of a server that panicked.
pub const PANIC_STATUS: u64 = 101;

/// Where and which thread this is.
#[derive(Clone, Copy)]
pub struct Start {
    /// Base address of the server's region, as the program sees it: 0 for a 32-bit program.
    pub base: u64,
    /// Number of the thread in the server.
    pub thread: u64,
    /// Index of the CPU that it starts on.
    pub cpu: u64,
}

impl Start {
    /// The first thread of the server that runs this code: a region is aligned to its size, or lies at address 0.
    pub fn of_this_server() -> Start {
        let code = Start::of_this_server as *const () as u64;
        Start { base: code & !(REGION_SIZE - 1), thread: 0, cpu: 0 }
    }

    /// Offset in the region of the working set.
    pub(crate) fn working_set_offset(&self) -> u64 {
        if cfg!(target_arch = "x86") {
            working_set_offset_32(self.info().thread_count)
        } else {
            WORKING_SET_OFFSET
        }
    }

    /// Offset in the region of the samples.
    pub(crate) const fn samples_offset(&self) -> u64 {
        if cfg!(target_arch = "x86") { SAMPLES_OFFSET_32 } else { SAMPLES_OFFSET }
    }

    /// The start information, which never changes.
    pub fn info(&self) -> &'static StartInfo {
        // SAFETY: the kernel has mapped it there for reading, complete and for ever.
        unsafe { &*with_exposed_provenance((self.base + START_INFO_OFFSET) as usize) }
    }

    /// Argument `index` of the plan.
    pub fn argument(&self, index: usize) -> u64 {
        self.info().arguments[index]
    }
}

/// Prints the panic and ends the server.
pub fn panic(info: &PanicInfo<'_>) -> ! {
    // The console never fails.
    let _ = fmt::write(&mut Console, format_args!("server panicked: {info}\n"));
    exit(PANIC_STATUS)
}

struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_console(text.as_bytes());
        Ok(())
    }
}
