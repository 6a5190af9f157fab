//! Answers every call at once with an empty message.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use rt::{Message, Start, reply_and_wait, wait};

rt::server!(serve);

/// The direct entry: an empty message.
extern "C" fn answer(_badge: u64, _tag: u64) -> u64 {
    Message::EMPTY.tag.0
}

fn serve(_start: Start) -> ! {
    rt::call::set_direct_entry(answer);
    let _ = wait();
    loop {
        let _ = reply_and_wait(Message::EMPTY);
    }
}
