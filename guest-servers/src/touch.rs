//! Touches pages of its working set for every call: a server with a working set.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use abi::program::touch;
use rt::memory::working_set;
use rt::{Message, Start, reply_and_wait, wait};

rt::server!(serve);

/// The direct entry.
extern "C" fn answer(_badge: u64, _tag: u64) -> u64 {
    let start = Start::of_this_server();
    rt::memory::touch(working_set(&start), start.argument(touch::PAGES) as usize);
    Message::EMPTY.tag.0
}

fn serve(start: Start) -> ! {
    rt::call::set_direct_entry(answer);
    let pages = working_set(&start);
    let count = start.argument(touch::PAGES) as usize;
    let _ = wait();
    loop {
        rt::memory::touch(pages, count);
        let _ = reply_and_wait(Message::EMPTY);
    }
}
