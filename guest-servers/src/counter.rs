//! Counts: the simplest server with a state to lose.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use abi::program::counter::{ADD, READ};
use rt::{Message, Start, reply_and_wait, wait};

rt::server!(serve);

fn serve(_start: Start) -> ! {
    let mut count = 0_u64;
    let mut received = wait();
    loop {
        let answer = match received {
            Ok(received) if received.message.tag.label() == ADD => {
                count = count.wrapping_add(received.message.words[0]);
                Message::word(ADD, count)
            }
            Ok(received) if received.message.tag.label() == READ => Message::word(READ, count),
            _ => Message::EMPTY,
        };
        received = reply_and_wait(answer);
    }
}
