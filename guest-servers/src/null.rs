//! Answers every call at once with an empty message.
#![no_std]
#![no_main]

use rt::{Message, Start, reply_and_wait, wait};

rt::server!(serve);

fn serve(_start: Start) -> ! {
    let _ = wait();
    loop {
        let _ = reply_and_wait(Message::EMPTY);
    }
}
