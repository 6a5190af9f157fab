//! How guests ended, as records and in words.

use std::collections::BTreeMap;
use std::fmt;

use abi::report::{NO_VECTOR, Registers};
use serde::{Deserialize, Serialize};

use crate::machine::guest::{LastWords, Outcome, ServerFault};
use crate::printable::line;

/// [`Outcome`] as `results.json` has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[allow(missing_docs)] // The fields are those of `Outcome`.
pub enum OutcomeRecord {
    /// See [`Outcome::Finished`], and so on.
    Finished {
        status: u32,
    },
    Refused {
        message: String,
    },
    /// It ended as if all were done, but has measured less than it was asked to.
    Incomplete {
        round_trips: u64,
        asked: u64,
    },
    DriverDied,
    Deadlock,
    Panic {
        message: String,
        last_words: LastWordsRecord,
    },
    TripleFault {
        last_words: LastWordsRecord,
    },
    KvmError {
        reason: String,
        last_words: LastWordsRecord,
    },
    Hang {
        deadline_seconds: f64,
        last_words: LastWordsRecord,
    },
    UnexpectedExit {
        reason: String,
        last_words: LastWordsRecord,
    },
    Corrupt {
        reason: String,
    },
    Interrupted,
    /// The guest's process died.
    Lost {
        reason: String,
    },
    /// The guest could not be started at all.
    NotStarted {
        reason: String,
    },
}

/// Where a guest was when it died.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWordsRecord {
    /// Which vCPU.
    pub cpu: u32,
    /// Vector of the exception that led there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vector: Option<u64>,
    /// Registers by name, hexadecimal: JSON numbers cannot hold 64 bits.
    pub registers: BTreeMap<String, String>,
    /// Innermost first.
    pub backtrace: Vec<String>,
}

/// A server's death.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFaultRecord {
    /// Its program.
    pub program: String,
    /// What happened.
    pub description: String,
    /// Where.
    pub location: String,
}

impl OutcomeRecord {
    /// Whether the case was measured to its end.
    pub fn is_success(&self) -> bool {
        *self == OutcomeRecord::Finished { status: 0 }
    }

    /// The registers and the way there, if the guest left them.
    pub fn last_words(&self) -> Option<&LastWordsRecord> {
        match self {
            OutcomeRecord::Panic { last_words, .. }
            | OutcomeRecord::TripleFault { last_words }
            | OutcomeRecord::KvmError { last_words, .. }
            | OutcomeRecord::Hang { last_words, .. }
            | OutcomeRecord::UnexpectedExit { last_words, .. } => Some(last_words),
            _ => None,
        }
    }
}

impl From<&Outcome> for OutcomeRecord {
    fn from(outcome: &Outcome) -> OutcomeRecord {
        match outcome {
            Outcome::Finished { status } => OutcomeRecord::Finished { status: *status },
            Outcome::Refused { message } => OutcomeRecord::Refused { message: message.clone() },
            Outcome::DriverDied => OutcomeRecord::DriverDied,
            Outcome::Deadlock => OutcomeRecord::Deadlock,
            Outcome::Panic { message, last_words } => {
                OutcomeRecord::Panic { message: message.clone(), last_words: last_words.into() }
            }
            Outcome::TripleFault { last_words } => {
                OutcomeRecord::TripleFault { last_words: last_words.into() }
            }
            Outcome::KvmError { reason, last_words } => {
                OutcomeRecord::KvmError { reason: reason.clone(), last_words: last_words.into() }
            }
            Outcome::Hang { deadline, last_words } => OutcomeRecord::Hang {
                deadline_seconds: deadline.as_secs_f64(),
                last_words: last_words.into(),
            },
            Outcome::UnexpectedExit { reason, last_words } => {
                OutcomeRecord::UnexpectedExit { reason: reason.clone(), last_words: last_words.into() }
            }
            Outcome::Corrupt { reason } => OutcomeRecord::Corrupt { reason: reason.clone() },
            Outcome::Interrupted => OutcomeRecord::Interrupted,
        }
    }
}

impl From<&LastWords> for LastWordsRecord {
    fn from(last_words: &LastWords) -> LastWordsRecord {
        let registers = &last_words.registers;
        let named = GENERAL_NAMES.into_iter().zip(registers.general).chain(other_registers(registers));
        LastWordsRecord {
            cpu: last_words.cpu,
            vector: Some(registers.vector).filter(|vector| *vector != NO_VECTOR),
            registers: named.map(|(name, value)| (name.to_owned(), format!("{value:#x}"))).collect(),
            backtrace: last_words.backtrace.clone(),
        }
    }
}

impl From<&ServerFault> for ServerFaultRecord {
    fn from(fault: &ServerFault) -> ServerFaultRecord {
        ServerFaultRecord {
            program: fault.program.clone(),
            description: fault.description.clone(),
            location: fault.location.clone(),
        }
    }
}

/// Names of [`Registers::general`].
const GENERAL_NAMES: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

fn other_registers(registers: &Registers) -> [(&'static str, u64); 7] {
    [
        ("rip", registers.rip),
        ("rflags", registers.rflags),
        ("cs", registers.cs),
        ("ss", registers.ss),
        ("cr2", registers.cr2),
        ("cr3", registers.cr3),
        ("error_code", registers.error_code),
    ]
}

impl fmt::Display for OutcomeRecord {
    /// One line, without the last words.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OutcomeRecord::Finished { status: 0 } => formatter.write_str("finished"),
            OutcomeRecord::Finished { status } => {
                write!(
                    formatter,
                    "the client ended the case with status {status}: {}",
                    client_status(*status)
                )
            }
            OutcomeRecord::Refused { message } => {
                write!(formatter, "the kernel refused the plan: {}", line(message))
            }
            OutcomeRecord::Incomplete { round_trips, asked } => {
                write!(formatter, "the guest ended after {round_trips} of {asked} round trips")
            }
            OutcomeRecord::DriverDied => formatter.write_str("the client died"),
            OutcomeRecord::Deadlock => formatter.write_str("deadlock: every thread waits for ever"),
            OutcomeRecord::Panic { message, .. } => write!(formatter, "kernel panic: {}", line(message)),
            OutcomeRecord::TripleFault { .. } => formatter.write_str("triple fault"),
            OutcomeRecord::KvmError { reason, .. } => {
                write!(formatter, "KVM could not go on: {}", line(reason))
            }
            OutcomeRecord::Hang { deadline_seconds, .. } => {
                write!(formatter, "hang: the deadline of {deadline_seconds} s passed")
            }
            OutcomeRecord::UnexpectedExit { reason, .. } => {
                write!(formatter, "unexpected exit: {}", line(reason))
            }
            OutcomeRecord::Corrupt { reason } => {
                write!(formatter, "the guest wrote what no kernel writes: {}", line(reason))
            }
            OutcomeRecord::Interrupted => formatter.write_str("interrupted"),
            OutcomeRecord::Lost { reason } => formatter.write_str(&line(reason)),
            OutcomeRecord::NotStarted { reason } => {
                write!(formatter, "could not be started: {}", line(reason))
            }
        }
    }
}

fn client_status(status: u32) -> &'static str {
    match u64::from(status) {
        abi::workload::status::WRONG_ANSWER => "an answer was not what it should be",
        abi::workload::status::CALL_FAILED => "a system call failed",
        abi::workload::status::BAD_ARGUMENT => "its arguments make no sense",
        _ => "as the program defines it",
    }
}

impl fmt::Display for ServerFaultRecord {
    /// One line.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [&self.program, &self.description, &self.location].map(|part| line(part));
        write!(formatter, "{} died: {} at {}", parts[0], parts[1], parts[2])
    }
}

impl fmt::Display for LastWordsRecord {
    /// Registers four to a line, then the backtrace.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "on vCPU {}", self.cpu)?;
        if let Some(vector) = self.vector {
            write!(formatter, ", exception {vector}")?;
        }
        let names = GENERAL_NAMES.iter().chain(&["rip", "rflags", "cs", "ss", "cr2", "cr3", "error_code"]);
        let known = names.filter_map(|name| Some((*name, self.registers.get(*name)?)));
        for (index, (name, value)) in known.enumerate() {
            let separator = if index % 4 == 0 { "\n  " } else { "  " };
            write!(formatter, "{separator}{name:>6} {:<18}", line(value))?;
        }
        for (depth, frame) in self.backtrace.iter().enumerate() {
            write!(formatter, "\n  #{depth} {}", line(frame))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_outcome_survives_the_file() {
        let last_words =
            LastWords { cpu: 1, backtrace: vec!["ipc::call+0x1c".to_owned()], ..LastWords::default() };
        let outcomes = [
            Outcome::Finished { status: 2 },
            Outcome::DriverDied,
            Outcome::Panic { message: "index".to_owned(), last_words: last_words.clone() },
            Outcome::Hang { deadline: Duration::from_millis(1500), last_words },
            Outcome::Interrupted,
        ];
        for outcome in outcomes {
            let record = OutcomeRecord::from(&outcome);
            let text = serde_json::to_string(&record).unwrap();
            assert_eq!(serde_json::from_str::<OutcomeRecord>(&text).unwrap(), record, "{text}");
            assert!(!record.is_success());
            assert!(!record.to_string().is_empty());
        }
        assert!(OutcomeRecord::Finished { status: 0 }.is_success());
    }

    #[test]
    fn last_words_show_registers_and_the_way_there() {
        let mut last_words =
            LastWords { backtrace: vec!["a".to_owned(), "b".to_owned()], ..LastWords::default() };
        last_words.registers.rip = 0xffff_ffff_8000_1234;
        last_words.registers.vector = 14;
        let text = LastWordsRecord::from(&last_words).to_string();
        assert!(text.starts_with("on vCPU 0, exception 14\n"), "{text}");
        assert!(text.contains("rip 0xffffffff80001234") && text.ends_with("  #0 a\n  #1 b"), "{text}");
    }
}
