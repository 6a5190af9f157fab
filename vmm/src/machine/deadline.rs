//! When a guest has had its time.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A deadline that stands still while the guest is held up by others.
#[derive(Debug)]
pub(crate) struct Deadline {
    limit: Option<Duration>,
    /// `None` before the first instruction and while the guest is held.
    until: Mutex<Option<Instant>>,
}

impl Deadline {
    /// `None`: never.
    pub(crate) fn new(limit: Option<Duration>) -> Deadline {
        Deadline { limit, until: Mutex::new(None) }
    }

    /// The time that the guest is given; zero where it is not limited.
    pub(crate) fn limit(&self) -> Duration {
        self.limit.unwrap_or_default()
    }

    /// The whole time begins now, or again.
    pub(crate) fn begin(&self, now: Instant) {
        // A time beyond what the clock can tell is never.
        *self.lock() = self.limit.and_then(|limit| now.checked_add(limit));
    }

    /// No time passes for the guest until the next [`Deadline::begin`].
    pub(crate) fn hold(&self) {
        *self.lock() = None;
    }

    /// So much time was not the guest's.
    pub(crate) fn move_by(&self, time: Duration) {
        let mut until = self.lock();
        *until = until.and_then(|until| until.checked_add(time));
    }

    /// When to look at [`Deadline::has_passed`] next; `None`: never. A guest that is held has at least its whole time left.
    pub(crate) fn next_look(&self, now: Instant) -> Option<Instant> {
        let limit = self.limit?;
        self.lock().or_else(|| now.checked_add(limit))
    }

    /// Whether the guest has had its time.
    pub(crate) fn has_passed(&self, now: Instant) -> bool {
        self.lock().is_some_and(|until| now >= until)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_that_is_held_loses_no_time() {
        let deadline = Deadline::new(Some(Duration::from_secs(10)));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        deadline.begin(start);
        assert_eq!(deadline.next_look(start), Some(after(10)));
        assert!(!deadline.has_passed(after(9)) && deadline.has_passed(after(10)));
        deadline.hold();
        assert!(!deadline.has_passed(after(1000)));
        assert_eq!(deadline.next_look(after(50)), Some(after(60)), "it could go on at once");
        deadline.begin(after(55));
        assert!(!deadline.has_passed(after(64)) && deadline.has_passed(after(65)));
    }

    #[test]
    fn time_that_was_not_the_guests_moves_it() {
        let deadline = Deadline::new(Some(Duration::from_secs(10)));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        deadline.begin(start);
        deadline.move_by(Duration::from_secs(3600));
        assert!(!deadline.has_passed(after(3609)) && deadline.has_passed(after(3610)));
        assert_eq!(deadline.next_look(start), Some(after(3610)));
    }

    #[test]
    fn without_a_limit_it_never_passes() {
        let deadline = Deadline::new(None);
        deadline.begin(Instant::now());
        assert_eq!(deadline.next_look(Instant::now()), None);
        assert!(!deadline.has_passed(Instant::now() + Duration::from_secs(1 << 30)));
        let endless = Deadline::new(Some(Duration::MAX));
        endless.begin(Instant::now());
        assert!(!endless.has_passed(Instant::now()) && endless.next_look(Instant::now()).is_none());
    }
}
