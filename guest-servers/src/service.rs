//! A service of a replayed recording: touches its working set, asks the next service of the request's way, answers.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use rt::replay::request;
use rt::{Message, Start, memory, reply_and_wait, wait};

rt::server!(serve);

/// Label of the answer if a service behind this one has failed.
const FAILED: u32 = 1;

fn serve(start: Start) -> ! {
    let pages = memory::working_set(&start);
    let mut received = wait();
    loop {
        memory::touch(pages, pages.len());
        let is_done = received.is_ok_and(|received| request(received.message.words[0]).is_ok());
        received = reply_and_wait(if is_done { Message::EMPTY } else { Message::word(FAILED, 0) });
    }
}
