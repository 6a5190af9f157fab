//! Returns every message as it came, after as many turns of a loop as the experiment says.
#![forbid(unsafe_code)]
#![no_std]
#![no_main]

use core::hint::black_box;

use rt::memory::message_buffer;
use rt::{Message, Start, reply_and_wait, wait};

rt::server!(serve);

/// What every thread of the server does.
fn serve(start: Start) -> ! {
    // The first of the experiment's `server_arguments`; there are 12, and those that it leaves out are 0.
    let turns = start.argument(0);
    // Messages of more than four words are in this buffer, from word 4 on. Without it they get an error.
    let _buffer = message_buffer(&start);
    let mut received = wait();
    loop {
        work(turns);
        // The client that measures checks that the answer is its message.
        let answer = received.map_or(Message::EMPTY, |received| received.message);
        received = reply_and_wait(answer);
    }
}

/// What the server does for a call. Put your own work here.
fn work(turns: u64) {
    for turn in 0..turns {
        // Without it the compiler would leave out a loop that does nothing.
        black_box(turn);
    }
}
