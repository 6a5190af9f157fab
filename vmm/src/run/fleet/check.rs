//! What a guest's process says, against what it was told to do, what this process has seen itself, and how much there can be.
//! Its guest may have taken the process over, so nothing of it is believed that can be checked.

use abi::address::PAGE_SIZE;
use abi::report::{FAULTS_KEPT, state};

use super::message::Notice;
use crate::lens::LensReadings;
use crate::machine::clock::now_ns;
use crate::machine::devices::CONSOLE_SIZE_MAX;
use crate::machine::guest::{GuestConfig, GuestRun, LastWords, Outcome};
use crate::machine::last_words::FRAMES_MAX;
use crate::machine::memory;
use crate::machine::stats;

/// Most bytes of one text: a message, a reason, a symbol's place.
const TEXT_SIZE_MAX: usize = 4096;

/// Most bytes of what the hardware counters showed, as JSON.
const LENSES_SIZE_MAX: usize = 256 << 10;

/// What the host's account of a thread's time may be behind by, ns.
const ACCOUNT_LAG_NS: u64 = 50_000_000;

/// Frequencies of a time-stamp counter that there may be, Hz.
const TSC_HZ: std::ops::RangeInclusive<u64> = 1_000_000..=100_000_000_000;

/// How far a process says that it is. Each stage is reached once, in this order, so that no message buys time for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Ordered,
    Created,
    Started,
    Ready,
    Measured,
    Over,
}

/// Checks the messages of one process.
#[derive(Debug)]
pub(super) struct Check {
    vcpus: u32,
    memory_bytes: u64,
    spawned_ns: u64,
    stage: Stage,
    /// When it was let through the barrier.
    opened_ns: Option<u64>,
    /// Round trips that its guest announced before.
    announced: Option<u64>,
}

impl Check {
    /// Of a process that was started at this time, for this guest.
    pub(super) fn new(config: &GuestConfig, spawned_ns: u64) -> Check {
        let (vcpus, memory_bytes) = (config.vcpus, config.memory_bytes);
        Check { vcpus, memory_bytes, spawned_ns, stage: Stage::default(), opened_ns: None, announced: None }
    }

    /// The process was let through the barrier.
    pub(super) fn open(&mut self) {
        self.opened_ns = Some(now_ns());
    }

    /// Whether the process has said all that it has to say.
    pub(super) fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Takes note of a message with so many raw bytes. An error: what cannot be.
    pub(super) fn take(&mut self, notice: &Notice, raw_size: usize) -> Result<(), String> {
        let (name, next) = match notice {
            Notice::Created { .. } => ("created", Stage::Created),
            Notice::Started { .. } => ("started", Stage::Started),
            Notice::Ready { .. } => ("ready", Stage::Ready),
            Notice::Measured { .. } => ("measured", Stage::Measured),
            Notice::Ended { .. } => ("ended", Stage::Over),
            Notice::Failed { .. } => ("failed", Stage::Over),
        };
        let is_in_turn = next > self.stage && (self.stage >= Stage::Created || next != Stage::Over);
        if !is_in_turn && !matches!(notice, Notice::Failed { .. }) {
            return Err(format!("`{name}` out of turn"));
        }
        if raw_size > 0 && !matches!(notice, Notice::Ended { .. }) {
            return Err(format!("`{name}` with samples"));
        }
        self.stage = next;
        match notice {
            Notice::Created { at_ns, entered_ns, memory } => {
                self.time("entered", *entered_ns)?;
                self.time(name, *at_ns)?;
                self.memory(memory)
            }
            Notice::Started { at_ns } => self.time(name, *at_ns),
            Notice::Ready { at_ns, round_trips } => {
                self.announced = Some(*round_trips);
                self.time(name, *at_ns)
            }
            Notice::Measured { at_ns } => self.time(name, *at_ns),
            Notice::Ended { began_ns, run, lenses } => {
                if !raw_size.is_multiple_of(size_of::<u64>()) {
                    return Err(format!("{raw_size} bytes of samples"));
                }
                began_ns.map_or(Ok(()), |at_ns| self.time("began", at_ns))?;
                self.run(run)?;
                let ended_ns = began_ns.zip(run.measured_ns).map(|(began, took)| began.saturating_add(took));
                ended_ns.map_or(Ok(()), |at_ns| self.time("second mark", at_ns))?;
                sizes(run, lenses)
            }
            Notice::Failed { reason } => text(reason),
        }
    }

    fn time(&self, name: &str, at_ns: u64) -> Result<(), String> {
        let earliest =
            if ["began", "measured"].contains(&name) { self.opened_ns } else { Some(self.spawned_ns) };
        let is_possible = earliest.is_some_and(|earliest| (earliest..=now_ns()).contains(&at_ns));
        if is_possible { Ok(()) } else { Err(format!("the time of `{name}` is {at_ns} ns")) }
    }

    fn memory(&self, ranges: &[(u64, u64)]) -> Result<(), String> {
        let pieces = memory::pieces(self.memory_bytes);
        let fits = ranges.iter().map(|(_, size)| size).eq(pieces.iter().map(|(_, size)| size));
        if fits { Ok(()) } else { Err("guest memory that was not asked for".to_owned()) }
    }

    /// What a run says of itself that this process knows as well.
    fn run(&self, run: &GuestRun) -> Result<(), String> {
        let vcpus = u64::from(self.vcpus);
        let since = |begin_ns: Option<u64>| begin_ns.map_or(0, |begin_ns| now_ns().saturating_sub(begin_ns));
        let (lived, measured) = (since(Some(self.spawned_ns)), since(self.opened_ns));
        let of_threads = (measured.saturating_add(ACCOUNT_LAG_NS)).saturating_mul(vcpus);
        let times = [
            ("creation", Some(run.create_ns), lived),
            ("start", run.boot_ns, lived),
            ("measured part", run.measured_ns, measured),
            ("CPU time", run.cpu_ns, of_threads),
            ("wait for a CPU", run.run_delay_ns, of_threads),
        ];
        for (what, claimed, most) in times {
            if claimed.is_some_and(|claimed| claimed > most) {
                return Err(format!("its {what} took {} ns", claimed.unwrap_or_default()));
            }
        }
        if run.tsc_hz != 0 && !TSC_HZ.contains(&run.tsc_hz) {
            return Err(format!("a time-stamp counter of {} Hz", run.tsc_hz));
        }
        if run.cpus.len() as u64 != vcpus {
            return Err(format!("counters of {} CPUs of {vcpus}", run.cpus.len()));
        }
        if run.round_trips_announced != self.announced {
            let told =
                |count: Option<u64>| count.map_or_else(|| "none".to_owned(), |count| count.to_string());
            let (now, before) = (told(run.round_trips_announced), told(self.announced));
            return Err(format!("round trips announced: {now}, before: {before}"));
        }
        if run.frames_in_use > self.memory_bytes / PAGE_SIZE {
            return Err(format!("{} frames in use", run.frames_in_use));
        }
        if run.state > state::FINISHED {
            return Err(format!("state {}", run.state));
        }
        if run.outcome == Outcome::Interrupted {
            return Err("that the user stopped it".to_owned());
        }
        let cpu = last_words(&run.outcome).map(|last_words| last_words.cpu);
        cpu.filter(|cpu| u64::from(*cpu) >= vcpus)
            .map_or(Ok(()), |cpu| Err(format!("last words of CPU {cpu}")))
    }
}

fn last_words(outcome: &Outcome) -> Option<&LastWords> {
    match outcome {
        Outcome::Panic { last_words, .. }
        | Outcome::TripleFault { last_words }
        | Outcome::KvmError { last_words, .. }
        | Outcome::Hang { last_words, .. }
        | Outcome::UnexpectedExit { last_words, .. } => Some(last_words),
        _ => None,
    }
}

/// Whether there is no more of anything than there can be.
fn sizes(run: &GuestRun, lenses: &LensReadings) -> Result<(), String> {
    if run.console.len() > CONSOLE_SIZE_MAX {
        return Err(format!("{} bytes of console", run.console.len()));
    }
    if run.faults.len() > FAULTS_KEPT {
        return Err(format!("{} faults", run.faults.len()));
    }
    for fault in &run.faults {
        [&fault.program, &fault.description, &fault.location].into_iter().try_for_each(|part| text(part))?;
    }
    match &run.outcome {
        Outcome::Refused { message: words }
        | Outcome::Panic { message: words, .. }
        | Outcome::KvmError { reason: words, .. }
        | Outcome::UnexpectedExit { reason: words, .. }
        | Outcome::Corrupt { reason: words } => text(words)?,
        _ => {}
    }
    let backtrace = last_words(&run.outcome).map_or(&[][..], |last_words| &last_words.backtrace);
    if backtrace.len() > FRAMES_MAX {
        return Err(format!("a backtrace of {} frames", backtrace.len()));
    }
    backtrace.iter().try_for_each(|frame| text(frame))?;
    let statistics = run.kvm_stats.len().max(run.kvm_pages.len());
    if statistics > stats::STATISTICS_MAX {
        return Err(format!("{statistics} statistics of KVM"));
    }
    let mut names = run.kvm_stats.keys().chain(run.kvm_pages.keys());
    if !names.all(|name| stats::is_name(name)) {
        return Err("a statistic that KVM cannot have".to_owned());
    }
    let size = serde_json::to_vec(lenses).map_or(usize::MAX, |json| json.len());
    if size > LENSES_SIZE_MAX { Err(format!("{size} bytes of hardware counters")) } else { Ok(()) }
}

fn text(words: &str) -> Result<(), String> {
    if words.len() > TEXT_SIZE_MAX { Err(format!("a text of {} bytes", words.len())) } else { Ok(()) }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
