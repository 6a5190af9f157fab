//! What both sides of a boundary agree on, defined once.
//!
//! There are two boundaries: **host ↔ guest** (boot information, the plan of a case, the report and its samples, I/O
//! ports) and **kernel ↔ server** (system calls, messages, the kernel interface page, the layout of a server's region).
//! Everything that lies in shared memory is `repr(C)`, made of fixed-size integers only (any bit pattern is a valid
//! value, because either side may be hostile), and its size is asserted at compile time.
//!
//! * [`address`]: the guest's virtual address map.
//! * [`boot`]: what the VMM hands to the kernel.
//! * [`placement`]: where servers run.
//! * [`plan`]: which servers to start, where, with which rights.
//! * [`report`]: what the kernel hands back: state, counters, faults, last words, samples.
//! * [`flush`]: the flush threshold that the kernel found, with its evidence.
//! * [`pace`]: how many round trips fill a time.
//! * [`pmu`]: what the guest's performance counters are to count, and what they showed.
//! * [`port`]: the I/O ports of the machine model.
//! * [`call`]: system calls, tags and status codes.
//! * [`region`]: the layout of the 4 GiB region that every server lives in.
//! * [`program`]: the arguments that each server program understands.
//! * [`start`]: how the kernel starts without inkbed's VMM.
//! * [`replay`]: what the programs of a replayed recording are told.
//! * [`workload`]: what the client measures, and its arguments.
#![forbid(unsafe_code)]
#![no_std]

pub mod address;
pub mod boot;
pub mod call;
pub mod flush;
pub mod pace;
pub mod placement;
pub mod plan;
pub mod pmu;
pub mod port;
pub mod program;
pub mod region;
pub mod replay;
pub mod report;
pub mod start;
pub mod workload;

/// Version of every layout in this crate. The kernel refuses to start under a VMM with another one, and the VMM refuses
/// a report that carries another one.
pub const VERSION: u32 = 8;
