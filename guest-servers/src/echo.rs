//! Returns every message as it came: the words in registers stay there, the others stay in the message buffer.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use rt::{Message, Start, reply_and_wait, wait};

rt::server!(serve);

/// The direct entry: the words stay in their registers.
extern "C" fn answer(_badge: u64, tag: u64) -> u64 {
    tag
}

fn serve(start: Start) -> ! {
    rt::call::set_direct_entry(answer);
    // Without a buffer long messages get an error, short ones are served all the same.
    let _ = rt::memory::message_buffer(&start);
    let mut received = wait();
    loop {
        let answer = received.map_or(Message::EMPTY, |received| received.message);
        received = reply_and_wait(answer);
    }
}
