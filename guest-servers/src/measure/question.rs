//! A message that is sent, and what its answer must be.

use core::cell::Cell;

use abi::call::{REGISTER_WORDS, Tag};
use abi::workload::status;
use rt::memory::message_buffer;
use rt::{Message, Received, Start};

use crate::measure::Failure;

/// A message of the length that the case asks for, and what the answer to it must be.
pub struct Question {
    /// What to send.
    pub message: Message,
    buffer: Option<&'static [Cell<u64>]>,
}

impl Question {
    /// The question with so many words.
    pub fn new(start: &Start, words: u64) -> Result<Question, Failure> {
        let tag = Tag::new(0, u16::try_from(words).map_err(|_| Failure(status::BAD_ARGUMENT))?);
        if !tag.is_sendable() {
            return Err(Failure(status::BAD_ARGUMENT));
        }
        let mut buffer = None;
        if words > REGISTER_WORDS {
            let page: &'static [Cell<u64>] = message_buffer(start)?;
            for (index, word) in page.iter().enumerate() {
                word.set(pattern(index as u64));
            }
            buffer = page.get(..words as usize);
        }
        Ok(Question { message: Message { tag, words: [0, 1, 2, 3].map(pattern) }, buffer })
    }

    /// The answer must be the question: its length, its first words, its last one. (The test suite checks every word;
    /// here that would evict what is measured.)
    pub fn check(&self, answer: Received) -> Result<(), Failure> {
        let words = self.message.tag.words();
        let short = words.min(REGISTER_WORDS) as usize;
        let last_is_right = match self.buffer {
            Some(buffer) => buffer.last().is_none_or(|word| word.get() == pattern(words - 1)),
            None => true,
        };
        let same = answer.message.tag == self.message.tag
            && (0..short).all(|index| answer.message.words[index] == self.message.words[index])
            && last_is_right;
        if same { Ok(()) } else { Err(Failure(status::WRONG_ANSWER)) }
    }
}

/// What message word `index` holds.
fn pattern(index: u64) -> u64 {
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1b
}
