//! Tells when a call arrived and when its answer left, for the cost of each direction.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use abi::call::Tag;
use rt::clock::now;
use rt::{Message, Start, reply_and_wait, wait};

rt::server!(serve);

fn serve(_start: Start) -> ! {
    let _ = wait();
    loop {
        let arrived = now();
        let answered = now();
        let _ = reply_and_wait(Message { tag: Tag::new(0, 2), words: [arrived, answered, 0, 0] });
    }
}
