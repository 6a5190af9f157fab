//! The runtime of all servers: start-up, system calls, start information, panic.
//!
//! A server is a file with a `fn serve(start: Start) -> !` and one line, `rt::server!(serve);`. It is compiled once, for
//! every placement: it reaches the kernel only through the stubs of its kernel interface page ([`stub`]).
#![no_std]

pub mod call;
pub mod clock;
pub mod memory;
pub mod start;
mod stub;

pub use abi::call::Tag;
pub use call::{Error, Message, Received, call, notify, reply_and_wait, send, wait, yield_now};
pub use start::Start;

/// Makes `fn(Start) -> !` what every thread of the server starts with.
#[macro_export]
macro_rules! server {
    ($serve:path) => {
        /// Every thread of the server starts here; see `abi::region::StartInfo`.
        #[unsafe(no_mangle)]
        extern "sysv64" fn inkbed_start(base: u64, thread: u64, cpu: u64) -> ! {
            $serve($crate::Start { base, thread, cpu })
        }

        #[panic_handler]
        fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
            $crate::start::panic(info)
        }
    };
}
