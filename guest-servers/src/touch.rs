//! Touches pages of its working set for every call: a server with a working set.
#![no_std]
#![no_main]

use abi::program::touch;
use rt::memory::working_set;
use rt::{Message, Start, reply_and_wait, wait};

rt::server!(serve);

fn serve(start: Start) -> ! {
    let pages = working_set(&start);
    let count = start.argument(touch::PAGES) as usize;
    let _ = wait();
    loop {
        rt::memory::touch(pages, count);
        let _ = reply_and_wait(Message::EMPTY);
    }
}
