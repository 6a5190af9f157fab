//! The two marks around the measured part. The threads of a driver that measure together wait at each for each other; the
//! last one to come makes the mark. Where each CPU of the guest has one of the host they wait for the first one themselves,
//! because waking them takes longer than many a measured part. The part of each may end before the second mark: its CPU
//! counts up to there.

use abi::call::{Tag, status};
use abi::port::{OTHERS_MEASURE, doorbell};

use crate::arch;
use crate::cpu::Cpu;
use crate::cpu::kernel::Kernel;
use crate::cpu::port::CpuPort;
use crate::measure::marks::Marks;
use crate::object::thread::Thread;
use crate::sched;

/// Most samples per round trip that a driver may announce.
const CHANNEL_COUNT_MAX: u64 = 16;

/// Lets all go on after the mark. Returns the thread that runs next.
fn go_on(marks: &Marks, cpu: &'static Cpu, thread: &'static Thread) -> &'static Thread {
    if thread.is_running() {
        // It measures alone.
        return thread;
    }
    for thread in marks.take_waiting() {
        cpu.make_ready(thread);
    }
    sched::run_next(cpu)
}

/// `MEASURE_BEGIN` of the current thread, of so many that measure together; the `others_wait` by themselves or come here.
/// Returns the thread that runs next.
pub fn begin(cpu: &'static Cpu, thread: &'static Thread, threads: u64, others_wait: bool) -> &'static Thread {
    let Some(kernel) = cpu.kernel().filter(|_| thread.server.is_driver) else {
        thread.set_error(status::NOT_PERMITTED);
        return thread;
    };
    if threads > thread.server.threads().len() as u64 {
        thread.set_error(status::BAD_ARGUMENT);
        return thread;
    }
    thread.set_results(status::OK, 0, Tag(0));
    let round_trips = thread.context.words[0].get();
    kernel.marks.set_threads(threads as u32);
    if !others_wait && !kernel.marks.is_last(thread) {
        return sched::run_next_instead_of(cpu, thread);
    }
    kernel.pmu.prepare();
    // Starting up has left a time slice behind that nobody needs: it would end in the middle of a sample.
    cpu.stop_unneeded_timer(thread);
    cpu.borrowed_turn().forget();
    // The VMM reads it when the doorbell rings.
    kernel.report.announce(round_trips.saturating_mul(threads.max(1)));
    arch::ring_doorbell(doorbell::MEASURE_BEGIN);
    let counters = kernel.cpus.ports().map(CpuPort::counters);
    kernel.report.measure_begin(counters, arch::time_stamp_counter(), cpu.frames_in_use());
    kernel.pmu.start();
    go_on(&kernel.marks, cpu, thread)
}

/// `PART_MEASURED` of the current thread. Returns the result.
pub fn part_measured(cpu: &Cpu, thread: &Thread, began_tsc: u64, ended_tsc: u64) -> u64 {
    let Some(kernel) = cpu.kernel().filter(|_| thread.server.is_driver) else {
        return status::NOT_PERMITTED;
    };
    kernel.report.part_measured(cpu.index(), began_tsc, ended_tsc);
    if thread.context.words[0].get() == 1 {
        note_end(kernel, cpu.port());
        arch::ring_doorbell(doorbell::PART_MEASURED);
    }
    status::OK
}

/// `OTHERS_MEASURE` of the current thread. Returns the result.
pub fn others_measure(cpu: &Cpu, thread: &Thread) -> u64 {
    if cpu.kernel().is_none() || !thread.server.is_driver {
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
    let Some(kernel) = cpu.kernel().filter(|_| thread.server.is_driver) else {
        thread.set_error(status::NOT_PERMITTED);
        return thread;
    };
    if !(1..=CHANNEL_COUNT_MAX).contains(&channel_count) {
        thread.set_error(status::BAD_ARGUMENT);
        return thread;
    }
    let tsc = arch::time_stamp_counter();
    let [samples, answered, failed, _] = thread.context.words.each_ref().map(|word| word.get());
    kernel.marks.add([round_trips, samples, answered, failed]);
    thread.set_results(status::OK, 0, Tag(0));
    if !kernel.marks.is_last(thread) {
        return sched::run_next_instead_of(cpu, thread);
    }
    finish_measuring(kernel, tsc, channel_count as u32);
    go_on(&kernel.marks, cpu, thread)
}

fn finish_measuring(kernel: &Kernel, tsc: u64, channel_count: u32) {
    kernel.pmu.stop();
    kernel.cpus.ports().for_each(|port| note_end(kernel, port));
    kernel.report.measure_end(tsc, &kernel.marks.take_sums(channel_count));
    arch::ring_doorbell(doorbell::MEASURE_END);
    kernel.report.set_pmu(&kernel.pmu.finish());
}

/// Notes what a CPU has counted up to the end of the measured part, unless that has been noted.
fn note_end(kernel: &Kernel, port: &CpuPort) {
    if port.is_end_to_be_noted() {
        kernel.report.note_end(port.index(), &port.counters());
    }
}
