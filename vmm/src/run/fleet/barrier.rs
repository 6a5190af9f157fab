//! When all guests may go on: pure bookkeeping of who is where.

/// How far a guest is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// On its way to its first mark.
    Starting,
    /// It waits there.
    Ready,
    /// It has gone on.
    Measuring,
    /// It has measured, and goes on calling for the others' sake.
    Measured,
    /// It knows that all have measured.
    Released,
    /// It has ended, well or badly.
    Ended,
}

/// The barrier before the first mark of all guests, and the one that ends what they do behind their second.
#[derive(Clone, Debug)]
pub(super) struct Barrier {
    phases: Vec<Phase>,
}

impl Barrier {
    pub(super) fn new(guests: usize) -> Barrier {
        Barrier { phases: vec![Phase::Starting; guests] }
    }

    /// A guest has come to its mark. Only one that was on its way can; anything else changes nothing.
    pub(super) fn arrive(&mut self, guest: usize) {
        if let Some(phase @ Phase::Starting) = self.phases.get_mut(guest) {
            *phase = Phase::Ready;
        }
    }

    /// A guest has ended, wherever it was: nobody waits for it any more.
    pub(super) fn end(&mut self, guest: usize) {
        if let Some(phase) = self.phases.get_mut(guest) {
            *phase = Phase::Ended;
        }
    }

    /// The guests that wait, once there is nobody left to wait for.
    pub(super) fn complete(&self) -> Option<Vec<usize>> {
        if self.phases.contains(&Phase::Starting) {
            return None;
        }
        let waiting = self.phases.iter().enumerate().filter(|(_, phase)| **phase == Phase::Ready);
        let waiting: Vec<usize> = waiting.map(|(guest, _)| guest).collect();
        (!waiting.is_empty()).then_some(waiting)
    }

    /// Those that wait go on.
    pub(super) fn open(&mut self) {
        self.phases
            .iter_mut()
            .filter(|phase| **phase == Phase::Ready)
            .for_each(|phase| *phase = Phase::Measuring);
    }

    /// A guest that measured has come to its second mark.
    pub(super) fn measured(&mut self, guest: usize) {
        if let Some(phase @ Phase::Measuring) = self.phases.get_mut(guest) {
            *phase = Phase::Measured;
        }
    }

    /// The guests that go on calling, once there is nobody left who measures. Each is named once.
    pub(super) fn release(&mut self) -> Vec<usize> {
        let is_awaited = |phase| matches!(phase, Phase::Starting | Phase::Ready | Phase::Measuring);
        if self.phases.iter().copied().any(is_awaited) {
            return Vec::new();
        }
        let calling = self.phases.iter_mut().enumerate().filter(|(_, phase)| **phase == Phase::Measured);
        calling
            .map(|(guest, phase)| {
                *phase = Phase::Released;
                guest
            })
            .collect()
    }

    /// Whether a guest waits for others.
    pub(super) fn is_waiting(&self, guest: usize) -> bool {
        matches!(self.phases.get(guest), Some(Phase::Ready | Phase::Measured))
    }

    /// Whether all guests have ended.
    pub(super) fn is_over(&self) -> bool {
        self.phases.iter().all(|phase| *phase == Phase::Ended)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_opens_for_the_last_and_not_before() {
        let mut barrier = Barrier::new(3);
        barrier.arrive(0);
        barrier.arrive(2);
        assert_eq!(barrier.complete(), None);
        barrier.arrive(1);
        assert_eq!(barrier.complete(), Some(vec![0, 1, 2]));
        barrier.open();
        assert_eq!(barrier.complete(), None, "it opens once");
    }

    #[test]
    fn nobody_waits_for_the_dead() {
        let mut barrier = Barrier::new(3);
        barrier.arrive(0);
        barrier.end(1);
        assert_eq!(barrier.complete(), None);
        barrier.end(2);
        assert_eq!(barrier.complete(), Some(vec![0]));
        barrier.open();
        barrier.end(0);
        assert!(barrier.is_over() && barrier.complete().is_none());
    }

    #[test]
    fn whoever_has_measured_is_released_with_the_last() {
        let mut barrier = Barrier::new(4);
        (0..3).for_each(|guest| barrier.arrive(guest));
        barrier.measured(0);
        assert!(barrier.release().is_empty() && barrier.is_waiting(0), "it waits at its first mark");
        barrier.end(3);
        barrier.open();
        barrier.measured(0);
        barrier.measured(1);
        assert!(barrier.release().is_empty(), "one still measures");
        barrier.measured(2);
        assert_eq!(barrier.release(), [0, 1, 2]);
        assert!(barrier.release().is_empty() && !barrier.is_waiting(0), "once");
        let mut barrier = Barrier::new(2);
        (0..2).for_each(|guest| barrier.arrive(guest));
        barrier.open();
        barrier.measured(0);
        barrier.end(1);
        assert_eq!(barrier.release(), [0], "nobody goes on for the dead");
    }

    proptest! {
        /// Whatever happens in whatever order: once every guest has arrived or ended, exactly those that wait go on.
        #[test]
        fn every_order_of_events_ends_well(events in proptest::collection::vec((0usize..4, any::<bool>()), 0..40)) {
            let mut barrier = Barrier::new(4);
            let mut gone = Vec::new();
            for (guest, ends) in events.into_iter().chain((0..4).map(|guest| (guest, false))) {
                if ends { barrier.end(guest) } else { barrier.arrive(guest) }
                if let Some(waiting) = barrier.complete() {
                    prop_assert!(waiting.iter().all(|guest| barrier.is_waiting(*guest)));
                    gone.extend(waiting);
                    barrier.open();
                }
            }
            let unique: std::collections::BTreeSet<_> = gone.iter().collect();
            prop_assert_eq!(unique.len(), gone.len(), "nobody goes twice");
            (0..4).for_each(|guest| barrier.end(guest));
            prop_assert!(barrier.is_over());
        }
    }
}
