//! Time in which this process stood still: it was stopped (Ctrl-Z) or frozen, or its host was suspended. That time is nobody's,
//! least of all the guest's. A process that wants a CPU and gets none does not stand still: the host is busy.

#![expect(unsafe_code, reason = "system calls")]

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// How long somebody who watches for it may wait at a time.
pub(crate) const TICK: Duration = Duration::from_millis(500);

/// A delay that a busy host explains.
const SLACK: Duration = Duration::from_secs(1);

/// Watches the clocks from wait to wait.
#[derive(Debug)]
pub(crate) struct Stillness {
    stopped: Duration,
    /// Time that the host had been suspended for when the watch began.
    suspended_before: Duration,
    /// How the thread that watches fares with the host's scheduler. Opened once: later it may have no right to.
    schedule: Option<File>,
}

/// The clocks before a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    time: Instant,
    cpu: Duration,
    /// Time that the thread that watches had wanted a CPU.
    starved: Duration,
}

impl Stillness {
    pub(crate) fn new() -> Stillness {
        let schedule = File::open("/proc/thread-self/schedstat").ok();
        Stillness { stopped: Duration::ZERO, suspended_before: suspended(), schedule }
    }

    /// The clocks, before a wait of the thread that made this.
    pub(crate) fn before(&self) -> Before {
        let (cpu, starved) = (clock(libc::CLOCK_PROCESS_CPUTIME_ID), self.starved());
        Before { time: Instant::now(), cpu, starved }
    }

    /// The second number of schedstat (Documentation/scheduler/sched-stats.rst); none where the host does not tell.
    fn starved(&self) -> Duration {
        let read = || {
            let mut text = [0; 80];
            let length = self.schedule.as_ref()?.read_at(&mut text, 0).ok()?;
            std::str::from_utf8(&text[..length]).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
        };
        Duration::from_nanos(read().unwrap_or(0))
    }

    /// Called after a wait that was to take at most `planned`: for how long this process stood still meanwhile.
    pub(crate) fn after(&mut self, before: Before, planned: Duration) -> Duration {
        let cpu = clock(libc::CLOCK_PROCESS_CPUTIME_ID).saturating_sub(before.cpu);
        let starved = self.starved().saturating_sub(before.starved);
        let stopped = stood_still(before.time.elapsed(), planned, cpu.saturating_add(starved));
        self.stopped += stopped;
        stopped
    }

    /// All time so far in which this process was stopped or its host was suspended. Deadlines are of a clock that does not count the
    /// latter (CLOCK_MONOTONIC).
    pub(crate) fn total(&self) -> Duration {
        self.stopped + suspended().saturating_sub(self.suspended_before)
    }
}

/// A process that uses CPUs, or waits for one, does not stand still, however late the one is who watches.
fn stood_still(waited: Duration, planned: Duration, busy: Duration) -> Duration {
    let still = waited.saturating_sub(planned).saturating_sub(busy);
    if still >= SLACK { still } else { Duration::ZERO }
}

/// Time that the host has been suspended for since it started.
fn suspended() -> Duration {
    // The first clock is read first, so that the difference is never too large.
    let since_start = clock(libc::CLOCK_BOOTTIME);
    since_start.saturating_sub(clock(libc::CLOCK_MONOTONIC))
}

fn clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: The kernel writes to `time`, which is ours. These clocks are there on every Linux, so the call cannot fail.
    unsafe { libc::clock_gettime(clock, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_wait_without_work_is_standing_still() {
        let seconds = Duration::from_secs_f64;
        let still = |waited, planned, busy| stood_still(seconds(waited), seconds(planned), seconds(busy));
        assert_eq!(still(0.5, 0.5, 0.0), Duration::ZERO);
        assert_eq!(still(1.4, 0.5, 0.0), Duration::ZERO, "a busy host");
        assert_eq!(still(60.5, 0.5, 0.0), seconds(60.0));
        assert_eq!(still(10.5, 0.5, 9.5), Duration::ZERO, "the guest has run all the while");
        assert_eq!(still(80.5, 0.5, 79.7), Duration::ZERO, "it wanted a CPU and got none");
        assert_eq!(still(10.5, 0.5, 640.0), Duration::ZERO, "on many CPUs");
    }

    #[test]
    fn a_watch_begins_with_nothing() {
        let mut stillness = Stillness::new();
        let before = stillness.before();
        assert_eq!(stillness.after(before, Duration::from_secs(3600)), Duration::ZERO);
        assert!(stillness.total() < SLACK, "whatever the host has slept before");
    }

    /// Two threads that want one CPU: what one of them waits for it is known, and grows.
    #[test]
    fn a_thread_that_wants_a_cpu_is_starved_and_not_stopped() {
        let cpu = crate::machine::allowed_cpus().unwrap()[0];
        let is_over = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                crate::machine::pin::pin_this_thread(cpu).unwrap();
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            crate::machine::pin::pin_this_thread(cpu).unwrap();
            let stillness = Stillness::new();
            let starved = stillness.before().starved;
            if stillness.schedule.is_some() {
                while stillness.before().starved == starved {
                    std::hint::spin_loop();
                }
            }
            is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    }
}
