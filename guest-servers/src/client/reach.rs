//! The server reads an address: whether it got what lies there.

use abi::call::Tag;
use abi::program::crash;
use abi::workload::reach::Arguments;
use rt::clock::{StealTime, sample};
use rt::{Message, Start, call};

use crate::load::LOAD;
use crate::measure::{Failure, measure};

pub fn run(start: &Start, steal_time: &StealTime, arguments: Arguments) -> Result<(), Failure> {
    let message = Message { tag: Tag::new(crash::READ_ADDRESS, 1), words: [arguments.address, 0, 0, 0] };
    let expected = arguments.expected;
    measure(start, || {
        let (until_end, answer) = sample(steal_time, || call(0, message));
        LOAD.note(answer.is_ok_and(|answer| expected == 0 || answer.message.words[0] == expected));
        Ok([until_end])
    })
}
