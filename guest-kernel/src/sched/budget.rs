//! How much time a thread may use: so much in every window of one period, wherever the window begins.
//!
//! This is a sporadic server's account. Time that is used comes back one period after it began to be used. What has come back is
//! noticed only when somebody looks at the account. So nothing has to happen at that moment, however many accounts it is one for.

/// Parts of a budget that come back at moments of their own. Beyond these, two parts come back together, at the later moment.
pub const REFILL_COUNT: usize = 8;

/// A part of the budget that comes back.
#[derive(Clone, Copy, Debug, Default)]
struct Refill {
    at: u64,
    amount: u64,
}

/// The account of one budget. All times are of one clock, in its ticks. Each operation takes at most [`REFILL_COUNT`] turns of a loop.
#[derive(Clone, Debug)]
pub struct Budget {
    period: u64,
    /// What may be used at once.
    available: u64,
    /// What comes back, the earliest first: a ring.
    refills: [Refill; REFILL_COUNT],
    first: usize,
    count: usize,
}

impl Budget {
    /// The account of `budget` in every `period`. None if that is nothing, or more than all the time there is.
    #[must_use]
    pub fn new(budget: u64, period: u64) -> Option<Budget> {
        let is_possible = 0 < budget && budget <= period;
        is_possible.then(|| Budget {
            period,
            available: budget,
            refills: [Refill::default(); REFILL_COUNT],
            first: 0,
            count: 0,
        })
    }

    /// What may be used from `now` on without a pause.
    pub fn available(&mut self, now: u64) -> u64 {
        while let Some(refill) = self.next_refill().filter(|refill| refill.at <= now) {
            self.available += refill.amount;
            self.first = (self.first + 1) % REFILL_COUNT;
            self.count -= 1;
        }
        self.available
    }

    /// When more will be available than is now. None if all of the budget is.
    #[must_use]
    pub fn next_refill_at(&self) -> Option<u64> {
        self.next_refill().map(|refill| refill.at)
    }

    /// Time has been used from `start` on without a pause. Returns how much of it was not available, and so has not been noted.
    #[must_use]
    pub fn charge(&mut self, start: u64, duration: u64) -> u64 {
        let used = duration.min(self.available(start));
        self.available -= used;
        if used > 0 {
            self.give_back(Refill { at: start.saturating_add(self.period), amount: used });
        }
        duration - used
    }

    fn next_refill(&self) -> Option<Refill> {
        (self.count > 0).then(|| self.refills[self.first])
    }

    /// Has a part come back after all others.
    fn give_back(&mut self, refill: Refill) {
        if self.count < REFILL_COUNT {
            self.refills[(self.first + self.count) % REFILL_COUNT] = refill;
            self.count += 1;
        } else {
            let last = &mut self.refills[(self.first + REFILL_COUNT - 1) % REFILL_COUNT];
            *last = Refill { at: refill.at, amount: last.amount + refill.amount };
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_budget_is_part_of_its_period() {
        assert!(
            Budget::new(0, 10).is_none() && Budget::new(11, 10).is_none() && Budget::new(10, 10).is_some()
        );
    }

    #[test]
    fn time_comes_back_a_period_after_it_began_to_be_used() {
        let mut budget = Budget::new(5, 20).unwrap();
        assert_eq!(budget.charge(3, 4), 0);
        assert_eq!((budget.available(22), budget.next_refill_at()), (1, Some(23)));
        assert_eq!((budget.available(23), budget.next_refill_at()), (5, None));
        assert_eq!(budget.charge(30, 7), 2);
        assert_eq!(budget.available(49), 0);
    }

    proptest! {
        /// Against a list of all ticks: no window of one period has more use than the budget, and none of it is
        /// lost, though parts are put together.
        #[test]
        fn no_window_has_more_than_the_budget(
            (period, budget) in (1_u64..60).prop_flat_map(|period| (Just(period), 1..=period)),
            wishes in proptest::collection::vec((0_u64..12, 1_u64..12), 1..120),
        ) {
            let mut account = Budget::new(budget, period).unwrap();
            let (mut now, mut ticks) = (0_u64, Vec::new());
            for (pause, wish) in wishes {
                now += pause;
                ticks.resize(now as usize, 0_u64);
                let available = account.available(now);
                let used = wish.min(available);
                prop_assert_eq!(account.charge(now, wish), wish - used);
                now += used;
                ticks.resize(now as usize, 1_u64);

                let in_refills: u64 = (0..account.count)
                    .map(|place| account.refills[(account.first + place) % REFILL_COUNT].amount)
                    .sum();
                prop_assert_eq!(account.available + in_refills, budget);
            }
            for window in ticks.windows(period as usize) {
                prop_assert!(window.iter().sum::<u64>() <= budget);
            }
            prop_assert_eq!(account.available(now + period), budget);
        }
    }
}
