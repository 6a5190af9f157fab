//! Touches pages of its working set for every call: a server with a working set.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use abi::program::touch;
use rt::memory::{WorkingSet, working_set};
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
    if start.argument(touch::ECHO) != 0 {
        echo(&start, pages, count);
    }
    let _ = wait();
    loop {
        rt::memory::touch(pages, count);
        let _ = reply_and_wait(Message::EMPTY);
    }
}

/// Returns every message as it came.
fn echo(start: &Start, pages: &WorkingSet, count: usize) -> ! {
    // Without a buffer long messages get an error, short ones are served all the same.
    let _ = rt::memory::message_buffer(start);
    let mut received = wait();
    loop {
        rt::memory::touch(pages, count);
        let answer = received.map_or(Message::EMPTY, |received| received.message);
        received = reply_and_wait(answer);
    }
}
