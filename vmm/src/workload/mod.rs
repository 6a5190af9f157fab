//! What a case can measure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a case measures; see [`abi::program::workload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Two clock reads with nothing between them.
    Empty,
    /// The system call that does nothing.
    NullSystemCall,
    /// One call and its answer.
    Call,
    /// One call and its answer, with a clock reading in the server: both directions apart.
    Directions,
    /// Client → relay → server and back.
    Relay,
    /// The client calls the server, then the server serves another client's space.
    Alternate,
    /// Client and server touch pages of their own between two calls.
    Touch,
    /// A call through a chain of servers, the first of which have moved into the kernel.
    Chain,
    /// A server and its partners move into the kernel and out again while a client calls.
    Migrate,
    /// The same, while a second thread of the client calls all the while.
    MigrateUnderLoad,
    /// One of many servers is stopped, started again and called.
    Slots,
    /// A server faults and is called again.
    Faults,
    /// Clients on all CPUs call at the same time.
    Scaling,
    /// Clients on all CPUs call handlers in turn.
    HandlerCall,
    /// The same, but they notify handlers of higher priority.
    HandlerWakeUp,
    /// One handler faults, and all the others are called.
    HandlerFault,
    /// A server reads what is not its own.
    Reach,
}

impl Workload {
    /// All of them, in the order in which reports show them.
    pub const ALL: [Workload; 17] = [
        Workload::Empty,
        Workload::NullSystemCall,
        Workload::Call,
        Workload::Directions,
        Workload::Relay,
        Workload::Alternate,
        Workload::Touch,
        Workload::Chain,
        Workload::Migrate,
        Workload::MigrateUnderLoad,
        Workload::Slots,
        Workload::Faults,
        Workload::Scaling,
        Workload::HandlerCall,
        Workload::HandlerWakeUp,
        Workload::HandlerFault,
        Workload::Reach,
    ];

    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Workload::Empty => "empty",
            Workload::NullSystemCall => "null_system_call",
            Workload::Call => "call",
            Workload::Directions => "directions",
            Workload::Relay => "relay",
            Workload::Alternate => "alternate",
            Workload::Touch => "touch",
            Workload::Chain => "chain",
            Workload::Migrate => "migrate",
            Workload::MigrateUnderLoad => "migrate_under_load",
            Workload::Slots => "slots",
            Workload::Faults => "faults",
            Workload::Scaling => "scaling",
            Workload::HandlerCall => "handler_call",
            Workload::HandlerWakeUp => "handler_wake_up",
            Workload::HandlerFault => "handler_fault",
            Workload::Reach => "reach",
        }
    }

    /// One line for people.
    pub const fn describe(self) -> &'static str {
        match self {
            Workload::Empty => "two clock reads with nothing between them",
            Workload::NullSystemCall => "into the kernel and out again",
            Workload::Call => "one call and its answer",
            Workload::Directions => "one call, timed in both directions",
            Workload::Relay => "client → relay → server and back",
            Workload::Alternate => "client A calls the server, then client B does, and A waits for B",
            Workload::Touch => "client and server touch pages, one call between",
            Workload::Chain => "a call through a chain of servers that move into the kernel one by one",
            Workload::Migrate => {
                "servers move into the kernel, or a small space, and out again while a client calls"
            }
            Workload::MigrateUnderLoad => "servers move in and out while another thread calls all the while",
            Workload::Slots => "one of many servers is stopped, started again and called",
            Workload::Faults => "a server faults under a call and is called again",
            Workload::Scaling => "clients on all CPUs call at the same time",
            Workload::HandlerCall => "a client on each CPU calls the handlers there in turn",
            Workload::HandlerWakeUp => "a client on each CPU wakes the handlers there in turn",
            Workload::HandlerFault => "one handler faults, then all others are called",
            Workload::Reach => "a server reads what is not its own",
        }
    }

    /// One of [`abi::program::workload`].
    pub const fn abi(self) -> u64 {
        match self {
            Workload::Empty => abi::program::workload::EMPTY,
            Workload::NullSystemCall => abi::program::workload::NULL_SYSTEM_CALL,
            // The client is the same; it does not know who answers.
            Workload::Call | Workload::Relay | Workload::Chain | Workload::Scaling => {
                abi::program::workload::CALL
            }
            Workload::Directions => abi::program::workload::DIRECTIONS,
            Workload::Alternate => abi::program::workload::ALTERNATE,
            Workload::Touch => abi::program::workload::TOUCH_AND_CALL,
            Workload::Migrate => abi::program::workload::MIGRATE,
            Workload::MigrateUnderLoad => abi::program::workload::MIGRATE_UNDER_LOAD,
            Workload::Slots => abi::program::workload::RESTART,
            Workload::Faults => abi::program::workload::FAULT,
            Workload::HandlerCall => abi::program::workload::CALL_IN_TURN,
            Workload::HandlerWakeUp => abi::program::workload::WAKE_UP,
            Workload::HandlerFault => abi::program::workload::FAULT_OF_ONE,
            Workload::Reach => abi::program::workload::REACH,
        }
    }

    /// Names of the samples that each round trip leaves, in the order in which the client writes them.
    pub const fn channels(self) -> &'static [&'static str] {
        match self {
            Workload::Empty => &["empty_pair"],
            Workload::NullSystemCall => &["system_call"],
            Workload::Directions => &["round_trip", "client_to_server", "server_to_client"],
            Workload::Slots => &["stop", "start", "first_call", "call"],
            Workload::Faults => &["until_error", "until_answer", "call"],
            Workload::MigrateUnderLoad => &["move_in", "gap_in", "move_out", "gap_out"],
            Workload::Migrate => {
                &["call_in_user", "move_in", "gap_in", "call_in_kernel", "move_out", "gap_out"]
            }
            Workload::HandlerWakeUp => &["wake_up"],
            Workload::HandlerFault => &["until_error"],
            Workload::Reach => &["until_end"],
            Workload::Call
            | Workload::Relay
            | Workload::Alternate
            | Workload::Touch
            | Workload::Chain
            | Workload::Scaling
            | Workload::HandlerCall => &["round_trip"],
        }
    }

    /// Whether a server takes part whose placement is chosen.
    pub const fn has_server(self) -> bool {
        !matches!(self, Workload::Empty | Workload::NullSystemCall) && !self.has_moving_servers()
    }

    /// Whether the number of servers is chosen.
    pub const fn has_many_servers(self) -> bool {
        matches!(self, Workload::Chain | Workload::Slots)
    }

    /// Whether servers take part that migrate.
    pub const fn has_moving_servers(self) -> bool {
        matches!(self, Workload::Chain) || self.migrates()
    }

    /// Whether servers migrate in every round trip.
    pub const fn migrates(self) -> bool {
        matches!(self, Workload::Migrate | Workload::MigrateUnderLoad)
    }

    /// Whether handlers take part.
    pub const fn has_handlers(self) -> bool {
        matches!(self, Workload::HandlerCall | Workload::HandlerWakeUp | Workload::HandlerFault)
    }

    /// Whether a thread of the client measures on each CPU.
    pub const fn measures_on_all_cpus(self) -> bool {
        matches!(self, Workload::Scaling | Workload::HandlerCall | Workload::HandlerWakeUp)
    }

    /// Whether a thread may wait by spinning, and lets others run when the timer ends its time slice. In all others threads only
    /// wait for each other's messages, and a timer interrupt would disturb what is measured.
    pub const fn has_time_slices(self) -> bool {
        matches!(self, Workload::MigrateUnderLoad) || self.measures_on_all_cpus()
    }

    /// Whether it can be measured only once in a guest.
    pub const fn is_measured_once(self) -> bool {
        matches!(self, Workload::HandlerFault | Workload::Reach)
    }

    /// Whether servers fault.
    pub const fn has_fault(self) -> bool {
        matches!(self, Workload::Faults | Workload::HandlerFault)
    }

    /// Whether a third program takes part: the relay, or the other client.
    pub const fn has_third(self) -> bool {
        matches!(self, Workload::Relay | Workload::Alternate)
    }

    /// Whether the message has a length to choose.
    pub const fn has_words(self) -> bool {
        matches!(self, Workload::Call | Workload::Relay)
    }

    /// Whether pages are touched.
    pub const fn has_pages(self) -> bool {
        matches!(self, Workload::Touch)
    }

    /// Whether its programs can be those for 32 bits.
    pub const fn exists_in_32_bits(self) -> bool {
        !matches!(self, Workload::Scaling) && !self.has_handlers()
    }

    /// Whether the transfer mode can be chosen.
    pub const fn has_transfer(self) -> bool {
        matches!(self, Workload::Call | Workload::Touch)
    }

    /// Whether client and server may share a space.
    pub const fn may_share_space(self) -> bool {
        matches!(self, Workload::Call | Workload::Directions | Workload::Touch)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_files() {
        for workload in Workload::ALL {
            assert_eq!(serde_json::to_value(workload).unwrap(), workload.name());
        }
    }
}
