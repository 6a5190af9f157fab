//! Passes every call on to its handle 0, and the answer back.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use rt::{Message, Start, call, reply_and_wait, wait};

rt::server!(serve);

fn serve(start: Start) -> ! {
    let _ = rt::memory::message_buffer(&start);
    let mut received = wait();
    loop {
        let question = received.map_or(Message::EMPTY, |received| received.message);
        let answer = call(0, question).map_or(Message::EMPTY, |received| received.message);
        received = reply_and_wait(answer);
    }
}
