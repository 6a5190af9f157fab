//! The arguments that each server program understands: what experiments and programs agree on.

/// Answers every call at once with an empty message. No arguments.
pub const NULL: &str = "null";
/// Returns every message as it came. No arguments.
pub const ECHO: &str = "echo";
/// Touches pages of its working set for every call; see [`touch`].
pub const TOUCH: &str = "touch";
/// Counts its calls; see [`counter`].
pub const COUNTER: &str = "counter";
/// Passes every call on to its own handle 0 and the answer back. No arguments.
pub const RELAY: &str = "relay";
/// Touches pages as `touch` does, calls each of its handles in turn, then answers.
pub const HUB: &str = "hub";
/// Checks its pointers for every call: the answer holds the number of calls, of checks passed (4), and its base address.
/// Hands the number of calls over when it is relocated. Needs a working set of one page.
pub const POINTERS: &str = "pointers";
/// Returns two clock readings: message word 0 when the call arrived, word 1 when it was answered. No arguments.
pub const CLOCK: &str = "clock";
/// Faults, loops or lies when told to; see [`crash`].
pub const CRASH: &str = "crash";
/// Drives the measured loops; see [`crate::workload`].
pub const CLIENT: &str = "client";
/// Plays the scenarios of the test suite and records what it saw as samples; see [`scenario`].
pub const SCENARIO: &str = "scenario";
/// Drives a case of random operations by many threads, and checks each; see [`stress`].
pub const STRESS: &str = "stress";

/// Touches its working set for every call, passes the call on to the next service of its way, then answers: [`crate::replay`].
pub const SERVICE: &str = "service";
/// A process of a replayed recording that is not the first: see [`process`].
pub const PROCESS: &str = "process";

/// All programs, in the order in which they are built.
pub const ALL: [&str; 14] = [
    NULL, ECHO, TOUCH, COUNTER, RELAY, HUB, POINTERS, CLOCK, CRASH, CLIENT, SCENARIO, STRESS, SERVICE,
    PROCESS,
];

/// What the name of a program's 32-bit build has behind that of the program: `null-32`.
pub const SUFFIX_32: &str = "-32";

/// Arguments of `stress`, and whom it expects behind its handles. Handle n leads to server n + 1 of the plan.
pub mod stress {
    /// Seed of the random numbers.
    pub const SEED: usize = 0;
    /// Operations of each thread between the marks.
    pub const OPERATIONS: usize = 1;
    /// CPUs that threads are moved to.
    pub const CPUS: usize = 2;

    /// An `echo` with one thread.
    pub const ECHO: u64 = 0;
    /// An `echo` with a thread on each CPU.
    pub const ECHO_EVERYWHERE: u64 = 1;
    /// A `counter`, which is never stopped.
    pub const COUNTER: u64 = 2;
    /// A `crash`.
    pub const CRASH: u64 = 3;
    /// An `echo` that may not migrate.
    pub const ECHO_FIXED: u64 = 4;
    /// Number of handles.
    pub const HANDLES: u64 = 5;

    /// Status of the case if an operation had a result that it may not have: this plus 256 times the operation plus its
    /// status.
    pub const UNEXPECTED: u64 = 0x1_0000;
    /// Status of the case if the counter has not counted right.
    pub const WRONG_COUNT: u64 = 1;
    /// Status of the case if frames were lost.
    pub const FRAMES_LOST: u64 = 2;
}

/// Arguments of `process`.
pub mod process {
    /// Number of the process in the recording.
    pub const NUMBER: usize = 0;
    /// Bytes of the table ([`crate::replay`]).
    pub const TABLE_BYTES: usize = 1;
}

/// Arguments of `touch`.
pub mod touch {
    /// Pages to touch (one 8-byte read-modify-write each) for every call.
    pub const PAGES: usize = 0;
    /// Not 0: it answers with what it is asked, as `echo` does; else with an empty message.
    pub const ECHO: usize = 1;
}

/// Messages of `counter`.
pub mod counter {
    /// Label: add message word 0 to the count; the answer's word 0 is the new count.
    pub const ADD: u32 = 1;
    /// Label: the answer's word 0 is the count.
    pub const READ: u32 = 2;
}

/// Messages of `crash`: labels that say what to do. Any other label is answered with an empty message.
pub mod crash {
    /// Reads address 0 of its own region minus 4096: a page fault.
    pub const PAGE_FAULT: u32 = 1;
    /// Executes UD2: an invalid opcode.
    pub const INVALID_OPCODE: u32 = 2;
    /// Writes to its own code.
    pub const WRITE_CODE: u32 = 3;
    /// Recurses until the guard page below its stack.
    pub const STACK_OVERFLOW: u32 = 4;
    /// Panics.
    pub const PANIC: u32 = 5;
    /// Reads kernel memory: fatal for a user server, harmless for one in the kernel.
    pub const READ_KERNEL: u32 = 6;
    /// Executes HLT: a general protection fault in ring 3.
    pub const PRIVILEGED: u32 = 7;
    /// Never answers, never stops.
    pub const SPIN: u32 = 8;
    /// Waits for the next message without answering.
    pub const NO_REPLY: u32 = 9;
    /// Ends itself with status 77.
    pub const EXIT: u32 = 10;
    /// In the kernel only: writes garbage to this CPU's record, which it finds through GS, so that the kernel's own
    /// code faults at the next system call. What a trusted server can do if it should not have been trusted.
    pub const CORRUPT_KERNEL: u32 = 11;
    /// Reads the address in message word 0; the answer's word 0 is what it found, if it lives.
    pub const READ_ADDRESS: u32 = 12;
    /// Loads 1 into a floating-point register: there are none for servers, so a device-not-available fault.
    pub const FLOATING_POINT: u32 = 13;
    /// Writes 0 to the address in message word 0; answers if it lives.
    pub const WRITE_ADDRESS: u32 = 14;
    /// Does every system call that only the driver may do. The answer's word 0 is how many were refused with
    /// [`crate::call::status::NOT_PERMITTED`], word 1 how many there are.
    pub const PRIVILEGED_CALLS: u32 = 15;
    /// As a 32-bit program: jumps to the 64-bit code segment, where no limit would hold. A general protection fault, because it is
    /// not there; else an invalid opcode behind the jump.
    pub const ENTER_64_BIT_CODE: u32 = 16;
    /// As a 32-bit program: executes SYSENTER with the trap flag set, so that the debug exception comes in the kernel.
    pub const STEP_INTO_KERNEL: u32 = 17;
    /// Calls handle 0. In a direct entry this is a fault, as are the next two.
    pub const CALL: u32 = 18;
    /// Calls handle 0 in the transfer mode `direct`.
    pub const CALL_DIRECT: u32 = 19;
    /// Answers with an empty message, and waits for the next one.
    pub const REPLY_AND_WAIT: u32 = 20;
}

/// Arguments of `scenario`: what the test suite has it do. What it saw goes to the samples, as each scenario defines.
pub mod scenario {
    /// One of the numbers below.
    pub const NUMBER: usize = 0;
    /// Argument of the scenario.
    pub const PARAMETER: usize = 1;

    /// Calls handle 0 (`echo`) with every length from 0 to 512 words; sample n is 1 if the answer of n words was right.
    pub const ECHO_ALL_SIZES: u64 = 0;
    /// Calls handles 0 to 3 with only the first one given, then a huge handle; the samples are the statuses.
    pub const RIGHTS: u64 = 1;
    /// Calls handle 0 (`crash`) with label PARAMETER, then once more; the samples are the statuses. Then calls
    /// handle 1 (`echo`) and records that status too.
    pub const CRASH: u64 = 2;
    /// As [`CRASH`], in the transfer mode `direct`.
    pub const CRASH_DIRECT: u64 = 13;
    /// Adds 1, 2, … 100 to handle 0 (`counter`) and reads it; sample 0 is the answer.
    pub const COUNT: u64 = 3;
    /// Sends bad tags, unregistered and impossible buffers; the samples are the statuses.
    pub const BAD_MESSAGES: u64 = 4;
    /// Notifies itself (handle 0) with bits 1 and 4, waits; the samples are status, tag, bits.
    pub const NOTIFY: u64 = 5;
    /// Calls the system calls with numbers past the last one; the samples are the statuses.
    pub const BAD_NUMBERS: u64 = 6;
    /// Spins without a system call for PARAMETER million loop turns: only the timer can stop it.
    pub const SPIN: u64 = 7;
    /// Sends (not calls) 1, 2, … 100 to handle 0 (`counter`), then reads it; sample 0 is the answer.
    pub const SEND: u64 = 8;
    /// Spins without a system call for PARAMETER million cycles of the time-stamp counter.
    pub const SPIN_CYCLES: u64 = 9;
    /// Calls a handle to itself: a call that can never be answered. The case ends as a deadlock.
    pub const DEADLOCK: u64 = 10;
    /// Ends the case while claiming PARAMETER samples.
    pub const LIE: u64 = 11;
    /// Makes PARAMETER calls to handle 0 while being preempted, with sums that go on over them; records 1 if all were
    /// right.
    pub const REGISTERS: u64 = 12;
    /// PARAMETER times: adds 1 to handle 0 (`counter`, server 1), then migrates it to the other placement. Samples: the
    /// count at the end, successful migrations.
    pub const MIGRATE_COUNTER: u64 = 14;
    /// PARAMETER times: lets the others run for a while, then migrates server 1 to the other placement. Sample:
    /// successful migrations.
    pub const MIGRATE_BUSY: u64 = 15;
    /// Migrates server 1 into the kernel, has handle 0 (`crash`, server 2) read the address PARAMETER, migrates server 1
    /// out, has it read again. Samples: the statuses of the two reads.
    pub const MIGRATE_AND_READ: u64 = 16;
    /// Calls handle 0 five times, migrates server 1 with its group into the kernel, calls handle 0 again. Samples: status
    /// of the migration, servers moved, pages, INVLPGs, full flushes, status of the last call.
    pub const MIGRATE_GROUP: u64 = 17;
    /// Migrations that must be refused; the samples are the statuses: a server that may not migrate, one that does not
    /// exist, oneself, unknown bits, demotion into the kernel, then server 1: demotion (done), and back into the kernel.
    pub const MIGRATE_REFUSED: u64 = 18;
    /// PARAMETER times: adds 1 to handle 0 (`counter`, server 1), stops it, sees that a call fails, starts it in the other
    /// placement. Samples: frames in use after the first turn in each placement (2), after the last one in each (2), turns
    /// in which all was as it should be, the count at the end.
    pub const RESTART: u64 = 19;
    /// Stops and starts that must be refused; the samples are the statuses: starting server 1, which runs; stopping oneself,
    /// nobody; starting in no placement; stopping server 1 (done), again; starting it in the kernel (server 1 is untrusted);
    /// starting it in user space (done); a call to handle 0, which leads to it (done).
    pub const RESTART_REFUSED: u64 = 20;
    /// PARAMETER times: calls handle 0 (`pointers`, server 1), then relocates it to the other placement. Samples:
    /// relocations done, answers in which all was right at another address than before, the count at the end.
    pub const RELOCATE: u64 = 21;
    /// Relocations that must be refused; the samples are the statuses, each followed by that of a call to the server: server
    /// 1 to where it is, with its group, into the kernel (it is untrusted); server 2, which is busy, until a deadline (no
    /// call); server 3, for whose copy there is no memory, and the same while it has a message that it has not answered, with
    /// no time left; server 4, which may migrate in place, and the driver itself (no calls).
    pub const RELOCATE_REFUSED: u64 = 22;
    /// PARAMETER times: has handle 0 (`crash`, server 1) fault, then calls it again. Then starts it in the kernel, in user
    /// space, and calls it. Samples: the statuses of all of these.
    pub const CRASH_AGAIN: u64 = 23;
    /// As [`CRASH_AGAIN`], with the faults in the transfer mode `direct`.
    pub const CRASH_AGAIN_DIRECT: u64 = 24;
    /// Relocates server 1 into user space if PARAMETER is not 0, which fails for want of memory; then stops it. Samples: the
    /// statuses.
    pub const STOP_AFTER_RELOCATION: u64 = 25;
    /// PARAMETER times: waits until the other threads of the driver, which call handle 0 (`counter`, server 1) all the while,
    /// have had another answer, then migrates it to the other placement. Samples: migrations, the count at the end, answers
    /// of all threads, answers that were not higher than the one before, calls that failed.
    pub const MIGRATE_UNDER_CALLS: u64 = 26;
    /// As [`MIGRATE_AND_READ`], with writes.
    pub const MIGRATE_AND_WRITE: u64 = 27;
    /// Has handle 0 (`crash`, server 2) read the address PARAMETER, stops server 1, has it read again. Samples: the statuses of
    /// the three.
    pub const STOP_AND_READ: u64 = 28;
    /// With all slots of the kernel taken, the last one by server 1: relocates server 2 (handle 1), calls it, stops it, starts
    /// it in the kernel, in user space, calls it; stops server 1, relocates server 2, calls it. Samples: the statuses.
    pub const SLOTS_TAKEN: u64 = 29;
    /// PARAMETER times: migrates server 1 into the kernel and out, stops and starts it; relocates server 2 into the kernel and
    /// out. Samples: frames in use after the first start and after the last one, turns in which all was done.
    pub const LEAK: u64 = 30;
    /// Calls handle 0 (`crash`) with [`super::crash::PRIVILEGED_CALLS`]. Samples: the two words of the answer.
    pub const PRIVILEGED_CALLS: u64 = 31;
    /// PARAMETER times: adds 1 to handle 0 (`counter`, server 1, one thread on CPU 0 or 1), then moves its thread to the other
    /// CPU. Samples: the count at the end, moves done, then the statuses of moves that must be refused: to a CPU that the
    /// server is not spread over, of a thread that it does not have, of a server that there is not, of oneself.
    pub const MOVE_THREAD: u64 = 32;
}
