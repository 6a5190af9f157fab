//! The two marks around the measured part. The threads of a driver that measure together wait at each for each other; the
//! last one to come makes the mark. Where each CPU of the guest has one of the host they wait for the first one themselves,
//! because waking them takes longer than many a measured part. The part of each may end before the second mark: its CPU
//! counts up to there.

use abi::call::{Tag, status};
use abi::port::{OTHERS_MEASURE, doorbell};

use crate::arch;
use crate::cpu::Cpu;
use crate::cpu::kernel::Kernel;
use crate::lifecycle::start_stop::Regions;
use crate::measure::report::Measured;
use crate::object::thread::{State, Thread};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use crate::sync::mailbox::Mailbox;

/// Most samples per round trip that a driver may announce.
const CHANNEL_COUNT_MAX: u64 = 16;

/// Where the driver's threads wait for each other.
#[derive(Default)]
pub struct Marks {
    waiting: Mailbox<Thread>,
    arrived: AtomicU32,
    /// Threads that measure together, as the first mark said.
    parties: AtomicU32,
    /// Round trips, and message words 0 to 2 of `MEASURE_END`, of all of them.
    sums: [AtomicU64; 4],
}

impl Marks {
    /// Whether the current thread, whose results are set, is the last one to come. If not it waits, and is out of reach.
    fn is_last(&self, thread: &'static Thread) -> bool {
        let parties = self.parties.load(Ordering::Relaxed);
        if parties <= 1 {
            return true;
        }
        thread.state.set(State::AtMark);
        // Whether it is the first does not matter: nobody sleeps on this mailbox.
        let _ = self.waiting.post(thread);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 < parties {
            return false;
        }
        self.arrived.store(0, Ordering::Relaxed);
        true
    }

    /// Lets all go on after the mark. Returns the thread that runs next.
    fn go_on(&self, cpu: &'static Cpu, thread: &'static Thread) -> &'static Thread {
        if thread.state.get() == State::Running {
            // It measures alone.
            return thread;
        }
        for thread in self.waiting.collect() {
            cpu.make_ready(thread);
        }
        cpu.run_next()
    }

    /// What all of them have measured.
    fn take_sums(&self, channel_count: u32) -> Measured {
        let [round_trips, sample_count, calls_answered_meanwhile, calls_failed] =
            self.sums.each_ref().map(|sum| sum.swap(0, Ordering::Relaxed));
        Measured { round_trips, channel_count, sample_count, calls_answered_meanwhile, calls_failed }
    }
}

/// `MEASURE_BEGIN` of the current thread, of so many that measure together; the `others_wait` by themselves or come here.
/// Returns the thread that runs next.
pub fn begin(cpu: &'static Cpu, thread: &'static Thread, parties: u64, others_wait: bool) -> &'static Thread {
    let Some(kernel) = cpu.kernel.get().filter(|_| thread.server.is_driver) else {
        thread.set_error(status::NOT_PERMITTED);
        return thread;
    };
    if parties > thread.server.threads.get().len() as u64 {
        thread.set_error(status::BAD_ARGUMENT);
        return thread;
    }
    thread.set_results(status::OK, 0, Tag(0));
    let round_trips = thread.context.words[0].get();
    // All of them say the same.
    kernel.marks.parties.store(parties as u32, Ordering::Relaxed);
    if !others_wait && !kernel.marks.is_last(thread) {
        return cpu.run_next_instead_of(thread);
    }
    kernel.pmu.prepare();
    // Starting up has left a time slice behind that nobody needs: it would end in the middle of a sample.
    cpu.stop_unneeded_timer(thread);
    cpu.borrowed_turn.forget();
    // The VMM reads it when the doorbell rings.
    kernel.report.announce(round_trips.saturating_mul(parties.max(1)));
    arch::ring_doorbell(doorbell::MEASURE_BEGIN);
    let frames_in_use = kernel.regions.get().map_or(0, Regions::frames_in_use);
    kernel.report.measure_begin(kernel.cpus, arch::time_stamp_counter(), frames_in_use);
    kernel.pmu.start();
    kernel.marks.go_on(cpu, thread)
}

/// `PART_MEASURED` of the current thread. Returns the result.
pub fn part_measured(cpu: &Cpu, thread: &Thread, began_tsc: u64, ended_tsc: u64) -> u64 {
    let Some(kernel) = cpu.kernel.get().filter(|_| thread.server.is_driver) else {
        return status::NOT_PERMITTED;
    };
    kernel.report.part_measured(cpu, began_tsc, ended_tsc);
    if thread.context.words[0].get() == 1 {
        kernel.report.note_end(cpu);
        arch::ring_doorbell(doorbell::PART_MEASURED);
    }
    status::OK
}

/// `OTHERS_MEASURE` of the current thread. Returns the result.
pub fn others_measure(cpu: &Cpu, thread: &Thread) -> u64 {
    if cpu.kernel.get().is_none() || !thread.server.is_driver {
        return status::NOT_PERMITTED;
    }
    thread.context.words[0].set((arch::read_doorbell() == OTHERS_MEASURE).into());
    status::OK
}

/// `MEASURE_END` of the current thread. Returns the thread that runs next.
pub fn end(
    cpu: &'static Cpu,
    thread: &'static Thread,
    round_trips: u64,
    channel_count: u64,
) -> &'static Thread {
    let Some(kernel) = cpu.kernel.get().filter(|_| thread.server.is_driver) else {
        thread.set_error(status::NOT_PERMITTED);
        return thread;
    };
    if !(1..=CHANNEL_COUNT_MAX).contains(&channel_count) {
        thread.set_error(status::BAD_ARGUMENT);
        return thread;
    }
    let tsc = arch::time_stamp_counter();
    let [samples, answered, failed, _] = thread.context.words.each_ref().map(|word| word.get());
    for (sum, own) in kernel.marks.sums.iter().zip([round_trips, samples, answered, failed]) {
        sum.fetch_add(own, Ordering::Relaxed);
    }
    thread.set_results(status::OK, 0, Tag(0));
    if !kernel.marks.is_last(thread) {
        return cpu.run_next_instead_of(thread);
    }
    finish_measuring(kernel, tsc, channel_count as u32);
    kernel.marks.go_on(cpu, thread)
}

fn finish_measuring(kernel: &Kernel, tsc: u64, channel_count: u32) {
    kernel.pmu.stop();
    kernel.report.measure_end(kernel.cpus, tsc, &kernel.marks.take_sums(channel_count));
    arch::ring_doorbell(doorbell::MEASURE_END);
    kernel.report.set_pmu(&kernel.pmu.finish());
}
