//! Guests in which all vCPUs sleep for ever.
//!
//! A kernel with one CPU sees by itself that nobody is left to run. One with several does not: each CPU waits for an interrupt
//! from another. So the VMM looks now and then at the CPU time of the vCPU threads. When none of them has used any for
//! [`PERIOD`], all vCPUs leave the guest, and each is asked whether anything can ever wake it. Only while all of them are
//! out of the guest are the answers those of one moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// So long no vCPU has used a CPU when they are asked.
pub(crate) const PERIOD: Duration = Duration::from_secs(2);

/// How often the CPU time is looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(1);

/// So long the vCPUs have to leave the guest. Those that do not, because the host has no CPU for them, do not sleep.
const PATIENCE: Duration = Duration::from_secs(1);

/// For how long the CPU time of all vCPUs together has stood still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idleness {
    cpu_ns: u64,
    since: Instant,
}

impl Idleness {
    pub(crate) fn new(now: Instant) -> Idleness {
        Idleness { cpu_ns: 0, since: now }
    }

    /// Takes what the vCPUs have used so far. Whether that has not changed for [`PERIOD`]; then the time begins again.
    pub(crate) fn is_suspicious(&mut self, now: Instant, cpu_ns: u64) -> bool {
        let is_idle = cpu_ns == self.cpu_ns;
        let is_suspicious = is_idle && now.saturating_duration_since(self.since) >= PERIOD;
        if !is_idle || is_suspicious {
            *self = Idleness { cpu_ns, since: now };
        }
        is_suspicious
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// The vCPUs run.
    #[default]
    Running,
    /// They are to leave the guest.
    Gathering,
    /// All of them have, and they answer.
    Asking,
}

#[derive(Debug, Default)]
struct State {
    phase: Phase,
    /// vCPUs that have left the guest.
    gathered: usize,
    /// vCPUs that have answered.
    answered: usize,
    /// Whether one has answered that something can wake it.
    can_wake: bool,
}

/// The meeting of the vCPU threads at which they are asked.
#[derive(Debug, Default)]
pub(crate) struct Roll {
    /// Whether the phase is [`Phase::Gathering`]: what vCPU threads look at before every entry takes no lock.
    is_called: AtomicBool,
    state: Mutex<State>,
    changed: Condvar,
}

impl Roll {
    /// Asks all `vcpus`, which `kick` gets out of the guest. Whether all have answered that they sleep for ever; not so if one of
    /// them does not come.
    pub(crate) fn call(&self, vcpus: usize, kick: impl FnOnce()) -> bool {
        *self.lock() = State { phase: Phase::Gathering, ..State::default() };
        self.is_called.store(true, Ordering::SeqCst);
        kick();
        let deadline = Instant::now() + PATIENCE;
        let mut state = self.wait_until(deadline, |state| state.gathered == vcpus);
        self.is_called.store(false, Ordering::SeqCst);
        if state.gathered == vcpus {
            state.phase = Phase::Asking;
            self.changed.notify_all();
            drop(state);
            state = self.wait_until(deadline + PATIENCE, |state| state.answered == vcpus);
        }
        let all_sleep = state.answered == vcpus && !state.can_wake;
        state.phase = Phase::Running;
        self.changed.notify_all();
        all_sleep
    }

    /// Whether the vCPUs are to [`Roll::attend`].
    pub(crate) fn is_called(&self) -> bool {
        self.is_called.load(Ordering::SeqCst)
    }

    /// Called by the thread of a vCPU that is out of the guest: waits for the others, and tells whether something can wake it.
    pub(crate) fn attend(&self, can_wake: impl FnOnce() -> bool) {
        let mut state = self.lock();
        if state.phase != Phase::Gathering {
            return;
        }
        state.gathered += 1;
        self.changed.notify_all();
        let mut state = self.wait_while(state, Phase::Gathering);
        if state.phase == Phase::Asking {
            drop(state);
            let can_wake = can_wake();
            state = self.lock();
            state.can_wake |= can_wake;
            state.answered += 1;
            self.changed.notify_all();
            drop(self.wait_while(state, Phase::Asking));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(&self, state: MutexGuard<'a, State>, phase: Phase) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, |state| state.phase == phase).unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until(&self, time: Instant, is_so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let left = time.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(self.lock(), left, |state| !is_so(state));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suspicion_takes_a_whole_period_without_any_cpu_time() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut idleness = Idleness::new(start);
        assert!(!idleness.is_suspicious(after(10), 5), "it has run, if only long ago");
        assert!(!idleness.is_suspicious(after(11), 5));
        assert!(!idleness.is_suspicious(after(12), 6), "one nanosecond is enough");
        assert!(!idleness.is_suspicious(after(13), 6));
        assert!(idleness.is_suspicious(after(14), 6));
        assert!(!idleness.is_suspicious(after(15), 6), "the time begins again");
        assert!(idleness.is_suspicious(after(16), 6));
    }

    /// Calls the roll on a thread for each answer; `None` never comes.
    fn call(answers: &[Option<bool>]) -> bool {
        let (roll, is_over) = (Roll::default(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for answer in answers.iter().flatten() {
                let (roll, is_over) = (&roll, &is_over);
                scope.spawn(move || {
                    while !is_over.load(Ordering::SeqCst) {
                        if roll.is_called() {
                            roll.attend(|| *answer);
                        }
                        std::thread::yield_now();
                    }
                });
            }
            let all_sleep = roll.call(answers.len(), || {});
            is_over.store(true, Ordering::SeqCst);
            all_sleep
        })
    }

    #[test]
    fn only_when_nothing_can_wake_any_of_them_do_all_sleep() {
        assert!(call(&[Some(false)]));
        assert!(call(&[Some(false); 4]));
        assert!(!call(&[Some(false), Some(true), Some(false)]));
        assert!(!call(&[Some(true); 2]));
    }

    #[test]
    fn one_that_does_not_come_keeps_nobody_waiting() {
        assert!(!call(&[Some(false), None, Some(false)]));
    }

    #[test]
    fn who_comes_uncalled_goes_on() {
        Roll::default().attend(|| unreachable!("nobody asks"));
    }
}
