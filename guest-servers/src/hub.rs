//! Touches pages of its working set, calls each of its handles in turn, and answers: a server with partners.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use abi::program::touch::PAGES;
use rt::memory::{touch, working_set};
use rt::{Message, Start, call, reply_and_wait, wait};

rt::server!(serve);

fn serve(start: Start) -> ! {
    let pages = working_set(&start);
    let count = start.argument(PAGES) as usize;
    let partners = u64::from(start.info().right_count);
    let mut received = wait();
    loop {
        let question = received.map_or(Message::EMPTY, |received| received.message);
        touch(pages, count);
        let all_answered = (0..partners).all(|handle| call(handle, Message::EMPTY).is_ok());
        // A client that checks its answer sees that somebody did not answer.
        received = reply_and_wait(if all_answered { question } else { Message::word(0, u64::MAX) });
    }
}
