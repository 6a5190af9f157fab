//! The runtime of all servers: start-up, system calls, start information, panic.
//!
//! A server is a file with a `fn serve(start: Start) -> !` and one line, `rt::server!(serve);`. It is compiled twice, as a
//! 64-bit program for the placements `user` and `kernel`, as a 32-bit one for `small` and `large`: it reaches the kernel only
//! through the stubs of its kernel interface page (`stub`). What differs between the two is in this runtime.
#![deny(unsafe_code)]
#![no_std]

pub mod atomic;
pub mod call;
pub mod clock;
pub mod hostile;
pub mod memory;
pub mod place;
pub mod replay;
pub mod start;
#[cfg(target_arch = "x86")]
mod string_32;
mod stub;

pub use abi::call::Tag;
pub use call::{Error, Message, Received, call, notify, reply_and_wait, send, wait, yield_now};
pub use start::Start;

/// Makes `fn(Start) -> !` what every thread of the server starts with.
#[macro_export]
macro_rules! server {
    ($serve:path) => {
        /// Every thread of the server starts here; see `abi::region::StartInfo`.
        #[cfg(not(target_arch = "x86"))]
        #[unsafe(no_mangle)]
        extern "C" fn inkbed_start(base: u64, thread: u64, cpu: u64) -> ! {
            $serve($crate::Start { base, thread, cpu })
        }

        /// The same, where the region begins at address 0.
        #[cfg(target_arch = "x86")]
        #[unsafe(no_mangle)]
        extern "fastcall" fn inkbed_start(thread: u32, cpu: u32) -> ! {
            $serve($crate::Start { base: 0, thread: thread.into(), cpu: cpu.into() })
        }

        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::start::panic(info)
        }
    };
}
