//! What one guest is given and what comes back: the contract between the machine model and those who use it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use abi::flush::FlushReport;
use abi::plan::{PlanRight, PlanServer};
use abi::pmu::PmuReport;
use abi::report::{Counters, CpuReport, Fault, Registers};
use serde::{Deserialize, Serialize};

use crate::machine::content::Content;
use crate::machine::record;

/// One ELF file for the guest.
#[derive(Clone, Debug, Default)]
pub struct Elf {
    /// File name without directory.
    pub name: String,
    /// Its bytes.
    pub bytes: Content,
}

/// Everything that one boot needs. On its way to another process it leaves the programs behind: they travel apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuestConfig {
    /// The kernel.
    #[serde(skip)]
    pub kernel: Elf,
    /// Server programs; [`PlanServer::module`] indexes them.
    #[serde(skip)]
    pub modules: Vec<Elf>,
    /// Servers to start, in order. At most one carries [`abi::plan::server_flag::DRIVER`].
    #[serde(with = "record::many")]
    pub servers: Vec<PlanServer>,
    /// Their rights; [`PlanServer::first_right`] indexes them.
    #[serde(with = "record::many")]
    pub rights: Vec<PlanRight>,
    /// [`abi::plan::flag`] bits.
    pub plan_flags: u64,
    /// Number of vCPUs, at least 1.
    pub vcpus: u32,
    /// Guest memory, bytes.
    pub memory_bytes: u64,
    /// What that memory is made of.
    pub huge_pages: HugePages,
    /// Features ([`abi::report::feature`]) that the guest's CPUID does not tell, though the host has them: `X2APIC`, `TSC_DEADLINE`.
    #[serde(default)]
    pub withheld_features: u64,
    /// Room for samples, in samples of 8 bytes.
    pub sample_capacity: u64,
    /// Host CPUs for the vCPU threads.
    pub pin: Pin,
    /// The guest is stopped after this time, counted from its first instruction. `None`: never.
    pub deadline: Option<Duration>,
    /// Where the guest's serial console goes.
    pub console: Console,
    /// The kernel tells on its console what it does.
    pub verbose: bool,
}

/// Pages of the host that guest memory is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HugePages {
    /// Pages of 4 KiB, or as the host's setting for all programs has it.
    #[default]
    No,
    /// Pages of 2 MiB where the host finds some free when the guest touches its memory (MADV_HUGEPAGE).
    Transparent,
    /// Pages of 2 MiB out of those that the host has set aside (`vm.nr_hugepages`), all of them taken when the guest is made.
    Reserved,
}

impl HugePages {
    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            HugePages::No => "no",
            HugePages::Transparent => "transparent",
            HugePages::Reserved => "reserved",
        }
    }

    pub(crate) fn is_default(&self) -> bool {
        *self == HugePages::No
    }
}

/// Which host CPUs the vCPU threads run on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Pin {
    /// Wherever the host's scheduler puts them.
    #[default]
    None,
    /// vCPU n on the n-th CPU that this process may use, round robin.
    Auto,
    /// vCPU n on the n-th CPU of this list, round robin.
    List(Vec<usize>),
}

impl fmt::Display for Pin {
    /// As on the command line; `none` where nothing is pinned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pin::None => f.write_str("none"),
            Pin::Auto => f.write_str("auto"),
            Pin::List(cpus) => f.write_str(&cpus.iter().map(usize::to_string).collect::<Vec<_>>().join(",")),
        }
    }
}

/// Where the guest's serial console goes. What the guest printed is kept in [`GuestRun::console`] in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Console {
    /// Nowhere.
    #[default]
    Capture,
    /// To this process's standard output, as it comes.
    Stdout,
}

/// How a guest ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The driver ended the case with this status; 0 is success.
    Finished {
        /// Exit status of the driver.
        status: u32,
    },
    /// The kernel could not start the plan.
    Refused {
        /// What the kernel said.
        message: String,
    },
    /// The server that drives the case died; the first fault of [`GuestRun::faults`] that names it says how.
    DriverDied,
    /// Every thread waits for ever.
    Deadlock,
    /// The kernel panicked.
    Panic {
        /// What the kernel said, with file and line.
        message: String,
        /// Where.
        last_words: LastWords,
    },
    /// Triple fault, or any other KVM_EXIT_SHUTDOWN.
    TripleFault {
        /// Where.
        last_words: LastWords,
    },
    /// KVM_EXIT_INTERNAL_ERROR, KVM_EXIT_FAIL_ENTRY: KVM could not go on.
    KvmError {
        /// KVM's own numbers, in words, with the decoded instruction where KVM tells its bytes.
        reason: String,
        /// Where.
        last_words: LastWords,
    },
    /// The deadline passed.
    Hang {
        /// The deadline.
        deadline: Duration,
        /// Where every vCPU was at that time.
        last_words: LastWords,
    },
    /// An exit that this machine model does not have (memory-mapped I/O where nothing is, …).
    UnexpectedExit {
        /// Which.
        reason: String,
        /// Where.
        last_words: LastWords,
    },
    /// The guest lied: a code at the exit port, or a report, that no kernel of this build writes.
    Corrupt {
        /// What was wrong.
        reason: String,
    },
    /// The user stopped it (Ctrl-C).
    Interrupted,
}

/// Where a guest was when it died, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastWords {
    /// Which vCPU.
    pub cpu: u32,
    /// Its registers.
    #[serde(with = "record::one")]
    pub registers: Registers,
    /// Innermost first: address with symbol and offset (`ipc::slow::call+0x1c`), or the bare address.
    pub backtrace: Vec<String>,
}

/// What one guest leaves behind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GuestRun {
    /// How it ended.
    pub outcome: Outcome,
    /// One of [`abi::report::state`]; 0 when the guest never wrote a valid report.
    pub state: u32,
    /// [`abi::report::feature`] bits.
    pub features: u64,
    /// The kernel's flush threshold, with its evidence.
    #[serde(with = "record::one")]
    pub flush: FlushReport,
    /// Round trips between the marks, as the driver counts them.
    pub round_trips: u64,
    /// Round trips that it announced at its first mark, read at that very time.
    #[serde(default)]
    pub round_trips_announced: Option<u64>,
    /// Samples per round trip, at least 1.
    pub channel_count: u32,
    /// Raw samples, [`abi::report::SAMPLE_DISTURBED`] included; never more than fit in the region.
    #[serde(skip)]
    pub samples: Vec<u64>,
    /// Ticks of the guest's time-stamp counter between the marks.
    pub measured_ticks: u64,
    /// Calls of others that were answered while the driver had servers moved, between the marks.
    pub calls_answered_meanwhile: u64,
    /// Calls of others that failed, between the marks.
    pub calls_failed: u64,
    /// Frames (4 KiB) of the guest's memory that were in use at the first mark, page tables and all.
    pub frames_in_use: u64,
    /// One per vCPU.
    #[serde(with = "record::many")]
    pub cpus: Vec<CpuReport>,
    /// Servers that died, oldest first, at most [`abi::report::FAULTS_KEPT`].
    pub faults: Vec<ServerFault>,
    /// What the kernel reports of its performance counters, unchecked; `None` for a case that did not come to its second mark.
    #[serde(skip)]
    pub pmu: Option<Box<PmuReport>>,
    /// KVM's statistics of all vCPUs and the VM between the marks: name to difference (cumulative ones only).
    pub kvm_stats: BTreeMap<String, u64>,
    /// Pages of each size by which KVM maps guest memory at the second mark: `pages_4k`, `pages_2m`, `pages_1g`, where it tells.
    #[serde(default)]
    pub kvm_pages: BTreeMap<String, u64>,
    /// Time between the marks that vCPU threads had a CPU (`/proc/…/schedstat`), ns.
    pub cpu_ns: Option<u64>,
    /// Time between the marks that a vCPU thread was runnable but had no CPU (`/proc/…/schedstat`), ns.
    pub run_delay_ns: Option<u64>,
    /// What the guest printed, at most 1 MiB.
    pub console: Vec<u8>,
    /// Frequency of the guest's time-stamp counter, Hz.
    pub tsc_hz: u64,
    /// Another machine than this VMM ran it: nobody looked at its marks, so what is to be seen there is absent.
    #[serde(default)]
    pub ran_elsewhere: bool,
    /// Wall time from the start of the VMM's work to the vCPUs' first entry, ns.
    pub create_ns: u64,
    /// Time in which the process that ran it was stopped, or the host suspended, ns. It moved the deadline; of other times it is a
    /// part.
    #[serde(default)]
    pub stood_still_ns: u64,
    /// Wall time from the first entry to the [`abi::port::doorbell::STARTED`] doorbell, ns.
    pub boot_ns: Option<u64>,
    /// When it passed its first mark, ns of CLOCK_MONOTONIC, the clock that all processes of a host share.
    #[serde(skip)]
    pub began_at_ns: Option<u64>,
    /// Wall time between the marks, ns.
    pub measured_ns: Option<u64>,
}

impl GuestRun {
    /// What the kernel counted between the marks, on all CPUs.
    pub fn counted(&self) -> Counters {
        self.cpus.iter().fold(Counters::default(), |sum, cpu| sum.plus(&cpu.counted()))
    }
}

/// A server's death, with what the VMM can add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerFault {
    /// What the kernel reported.
    #[serde(with = "record::one")]
    pub fault: Fault,
    /// Name of the program.
    pub program: String,
    /// `#PF page fault at 0x…, reading …` and the like, for people.
    pub description: String,
    /// RIP as symbol and offset in the program's ELF.
    pub location: String,
}
