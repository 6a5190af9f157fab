//! What `client` measures: each workload's number, and the arguments that its two halves agree on.
//!
//! The host half (`vmm/src/workload/NAME.rs`) encodes the arguments, the guest half (`guest-servers/src/client/NAME.rs`) decodes
//! them. Both halves and the entry here have the same name.

use crate::plan::ARGUMENT_COUNT;

/// The arguments of a server, as they stand in its plan.
pub type Arguments = [u64; ARGUMENT_COUNT];

/// The arguments of every workload: what the measured loop is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loop {
    /// Round trips before the first mark.
    pub warm_up: u64,
    /// Round trips to sample; with `measure_ns` the most that there is room for.
    pub round_trips: u64,
    /// How threads that measure on several CPUs begin and end: bits of [`together`].
    pub together: u64,
    /// How long the measured part is to last, ns. The client finds out how many round trips fill it before the first mark
    /// ([`crate::pace`]). 0: as many as `round_trips` says.
    pub measure_ns: u64,
}

/// Place of the workload's number.
const NUMBER: usize = 0;
/// Place of the first of the workload's own arguments.
const OWN: usize = 5;
/// Most arguments of a workload's own.
pub const OWN_COUNT: usize = ARGUMENT_COUNT - OWN;

impl Loop {
    /// Writes them where every workload finds them.
    pub fn put(self, arguments: &mut Arguments) {
        let Loop { warm_up, round_trips, together, measure_ns } = self;
        arguments[NUMBER + 1..OWN].copy_from_slice(&[warm_up, round_trips, together, measure_ns]);
    }

    /// Those of this plan.
    pub fn of(arguments: &Arguments) -> Loop {
        let [_, warm_up, round_trips, together, measure_ns, ..] = *arguments;
        Loop { warm_up, round_trips, together, measure_ns }
    }
}

/// The number of the workload that these arguments are for.
pub fn number(arguments: &Arguments) -> u64 {
    arguments[NUMBER]
}

/// The workload's own arguments, or those of a client in place of `client`.
pub fn own(arguments: &Arguments) -> &[u64] {
    &arguments[OWN..]
}

/// Replaces them; what there is no room for is left out.
pub fn replace_own(arguments: &mut Arguments, own: &[u64]) {
    arguments[OWN..].fill(0);
    for (place, argument) in arguments[OWN..].iter_mut().zip(own) {
        *place = *argument;
    }
}

/// How the threads of `client` that measure on several CPUs begin and end.
pub mod together {
    /// They spin until all are there, and begin at the same moment: for guests whose CPUs all have a CPU of the host. Without it
    /// they halt, and are woken one after the other.
    pub const SPIN: u64 = 1 << 0;
    /// Whoever has finished goes on calling until all have, so that each measures while all others are busy. Those calls are
    /// in no sample and no count. Only where all that a call does happens on the caller's CPU.
    pub const KEEP_CALLING: u64 = 1 << 1;
    /// All of them go on calling behind the second mark for as long as other guests still measure.
    pub const UNTIL_ALL_GUESTS: u64 = 1 << 2;
}

/// How `client` migrates servers: values of [`migrate::Arguments::method`].
pub mod method {
    /// One after the other.
    pub const ONE_BY_ONE: u64 = 0;
    /// Server 1 with its group: one system call, one flush decision for all.
    pub const GROUP: u64 = 1;
    /// One after the other, each to another address ([`crate::call::migrate::RELOCATE`]).
    pub const RELOCATE: u64 = 2;
    /// One after the other, each by being stopped and started again.
    pub const RESTART: u64 = 3;
}

/// Statuses that `client` ends a case with.
pub mod status {
    /// An answer was not what it should be.
    pub const WRONG_ANSWER: u64 = 1;
    /// A system call failed.
    pub const CALL_FAILED: u64 = 2;
    /// The arguments make no sense.
    pub const BAD_ARGUMENT: u64 = 3;
}

/// Declares the workloads: `number name { arguments }`. The `$` is for the macro that this one makes.
macro_rules! workloads {
    (($dollar:tt) $( $(#[$about:meta])* $number:literal $module:ident { $( $(#[$what:meta])* $argument:ident ),* } )*) => {
        $(
            $(#[$about])*
            pub mod $module {
                /// Which workload this is.
                pub const NUMBER: u64 = $number;

                /// What both halves agree on.
                #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
                pub struct Arguments { $( $(#[$what])* pub $argument: u64 ),* }

                impl Arguments {
                    /// As they stand in the plan, with those of the loop still to be put.
                    pub fn encode(self) -> super::Arguments {
                        let own: &[u64] = &[$( self.$argument ),*];
                        const NAMES: &[&str] = &[$( stringify!($argument) ),*];
                        const { assert!(super::OWN + NAMES.len() <= super::ARGUMENT_COUNT) };
                        let mut arguments: super::Arguments = Default::default();
                        arguments[super::NUMBER] = NUMBER;
                        arguments[super::OWN..][..own.len()].copy_from_slice(own);
                        arguments
                    }

                    /// Those of a plan.
                    #[allow(unused_mut, unused_variables, reason = "some workloads have none")]
                    pub fn decode(arguments: &super::Arguments) -> Arguments {
                        let mut own = arguments[super::OWN..].iter().copied();
                        Arguments { $( $argument: own.next().unwrap_or(0) ),* }
                    }
                }
            }
        )*

        /// Hands the names of all workloads to a macro.
        #[macro_export]
        macro_rules! for_each_workload {
            ($dollar callback:ident) => { $dollar callback! { $( $module )* } };
        }
    };
}

// One sample to a round trip unless it says otherwise. Handle 0 is the server to call.
workloads! { ($)
    /// Two clock reads with nothing between them.
    0 empty {}
    /// One [`crate::call::number::NULL`] system call.
    1 null_system_call {}
    /// One call; the sample ends when the answer is back. `relay` and `scaling` are the same to the client.
    2 call {
        /// Words of the message and of the answer.
        words,
        /// Not 0: by [`crate::call::number::CALL_DIRECT`].
        direct
    }
    /// One call to `clock`. Three samples: the whole round trip, client to server, server to client.
    3 directions {}
    /// One call to handle 0, then one to handle 1, which is a `relay` in a space of its own to the same server as
    /// handle 0: the server serves this client, then the other space. The sample spans both calls.
    4 alternate {
        /// Words of the message and of the answer.
        words
    }
    /// Touches pages of its own, then calls; the sample spans both. The server's pages are the server's affair.
    5 touch {
        /// Pages of its own working set.
        pages,
        /// Not 0: by [`crate::call::number::CALL_DIRECT`], without words.
        direct,
        /// Words of the message and of the answer.
        words
    }
    /// Calls handle 0; moves the servers into the kernel; calls twice; moves them out; calls. Six samples: a call before, the move
    /// in, the gap from the last answer before to the first one after it, a call after; the move out, its gap.
    6 migrate {
        /// Servers 1 to this one move.
        servers,
        /// One of [`super::method`].
        method
    }
    /// Of the servers, which handles 0 on lead to, each round trip takes the next one: stops it, starts it again, calls it twice.
    /// Four samples.
    7 slots {
        /// Servers 1 to this one.
        servers,
        /// Where to start them: one of [`crate::plan::placement`].
        placement
    }
    /// Has handle 0 (`crash`, server 1) fault; calls it, and if it is still dead starts it in the placement, or where its trust
    /// group allows it; calls it again. Three samples: until the error, until the next answer, a call.
    8 faults {
        /// One of [`crate::program::crash`].
        fault,
        /// One of [`crate::plan::placement`].
        placement
    }
    /// As [`migrate`], while a second thread of the client calls handle 0 all the while. Four samples: the move in, the longest
    /// time between two answers of the second thread around it; the move out, the same around that.
    9 migrate_under_load {
        /// Servers 1 to this one move.
        servers,
        /// One of [`super::method`].
        method
    }
    /// Each round trip calls the next one of the handles.
    10 handler_call {
        /// Number of handles.
        handlers
    }
    /// Each round trip notifies the next one of the handles; where a thread of higher priority waits there, the sample ends when
    /// that waits again.
    11 handler_wake_up {
        /// Number of handles.
        handlers
    }
    /// Has handle 0 (`crash`) fault, then calls all other handles once, and reports how many answered and how many failed. The
    /// sample ends with the error of the first. For one round trip.
    12 handler_fault {
        /// Number of handles.
        handlers,
        /// One of [`crate::program::crash`].
        fault
    }
    /// Has handle 0 (`crash`) read an address, and reports a call answered if it got what lies there, else a call failed. The
    /// sample ends with the answer or the error. For one round trip.
    13 reach {
        /// The address.
        address,
        /// What lies there; 0 for anything.
        expected
    }
    /// Moves servers into the kernel before the warm-up. Then each round trip is an empty call, as in [`call`].
    14 chain {
        /// Servers 1 to this one move.
        moved
    }
    /// Each round trip makes all requests of a recording, in their order: see [`crate::replay`].
    15 replay {
        /// Bytes of the table.
        table_bytes
    }
}
