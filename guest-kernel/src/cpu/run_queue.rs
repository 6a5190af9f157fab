//! The run queue of one CPU: the highest priority first, round robin within a priority.
//!
//! A bit per priority tells which queues hold a thread, so that finding the next thread takes the same few instructions
//! with three threads and with 30,080.

use core::cell::Cell;

use crate::object::queue::Queue;
use crate::object::thread::{PRIORITY_COUNT, Thread};

/// Threads that could run. The running thread is not among them. All zero is an empty queue, and no time slice.
#[repr(C)]
pub struct RunQueue {
    /// [`RunQueue::occupied`], shifted right by one while a time slice is running: what [`RunQueue::has_none_due_before`]
    /// compares with.
    pressure: Cell<u64>,
    /// Bit p is set exactly when `queues[p]` holds a thread.
    occupied: Cell<u64>,
    /// Whether a time slice is running: others of its priority wait until the timer ends it, or, in a plan without time slices,
    /// until the thread blocks.
    time_slice: Cell<bool>,
    queues: [Queue; PRIORITY_COUNT],
}

impl Default for RunQueue {
    fn default() -> Self {
        Self {
            pressure: Cell::new(0),
            occupied: Cell::new(0),
            time_slice: Cell::new(false),
            queues: core::array::from_fn(|_| Queue::default()),
        }
    }
}

impl RunQueue {
    /// Bit p is set exactly when a thread of priority p is ready.
    #[inline]
    pub fn occupied(&self) -> u64 {
        self.occupied.get()
    }

    /// Whether `thread` may run next without a look at the queues: nobody ready has a higher priority, and one of the same
    /// priority will get its time slice, because one is running.
    ///
    /// That is `occupied < 2^priority` without a time slice, `occupied < 2^(priority + 1)` with one: one comparison on
    /// the fast path.
    #[inline]
    pub fn has_none_due_before(&self, thread: &Thread) -> bool {
        self.pressure.get() < thread.priority_bit()
    }

    /// Whether a time slice is running.
    pub fn has_time_slice(&self) -> bool {
        self.time_slice.get()
    }

    /// Notes that a time slice is running, or not any more; returns whether one was.
    pub fn set_time_slice(&self, runs: bool) -> bool {
        let ran = self.time_slice.replace(runs);
        self.set_occupied(self.occupied.get());
        ran
    }

    fn set_occupied(&self, occupied: u64) {
        self.occupied.set(occupied);
        self.pressure.set(occupied >> u32::from(self.time_slice.get()));
    }

    /// Makes a thread ready, behind the others of its priority.
    pub fn push_back(&self, thread: &'static Thread) {
        self.queues[thread.priority()].push_back(thread);
        self.mark_ready(thread);
    }

    /// Makes a thread ready, before the others of its priority: one that was interrupted, not one that gave way.
    pub fn push_front(&self, thread: &'static Thread) {
        self.queues[thread.priority()].push_front(thread);
        self.mark_ready(thread);
    }

    /// Takes out the first thread of the highest priority.
    pub fn pop(&self) -> Option<&'static Thread> {
        let highest = self.occupied.get().checked_ilog2()? as usize;
        let thread = self.queues[highest].pop_front();
        self.clear_if_empty(highest);
        thread
    }

    /// Takes out a thread that is ready.
    pub fn remove(&self, thread: &'static Thread) {
        self.queues[thread.priority()].remove(thread);
        self.clear_if_empty(thread.priority());
    }

    fn mark_ready(&self, thread: &'static Thread) {
        thread.set_ready();
        self.set_occupied(self.occupied.get() | thread.priority_bit());
    }

    fn clear_if_empty(&self, priority: usize) {
        if self.queues[priority].is_empty() {
            self.set_occupied(self.occupied.get() & !(1 << priority));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::thread_of_priority;

    proptest! {
        /// Against a plain list: the first of the highest priority comes out, and the bits tell the truth.
        #[test]
        fn takes_the_first_of_the_highest_priority(
            operations in proptest::collection::vec((0_u8..4, 0_usize..12), 0..200)
        ) {
            let threads: Vec<_> = (0..12).map(|index| thread_of_priority([0, 7, 7, 63, 63, 20][index % 6])).collect();
            let ready = RunQueue::default();
            let mut model: Vec<usize> = Vec::new();
            for (operation, index) in operations {
                let position = model.iter().position(|&other| other == index);
                match (operation, position) {
                    (0, None) => { ready.push_back(threads[index]); model.push(index); }
                    (1, None) => { ready.push_front(threads[index]); model.insert(0, index); }
                    (2, Some(position)) => { ready.remove(threads[index]); model.remove(position); }
                    (3, _) => {
                        let highest = model.iter().map(|&index| threads[index].priority()).max();
                        let expected = model.iter().position(|&index| Some(threads[index].priority()) == highest);
                        let expected = expected.map(|position| threads[model.remove(position)]);
                        let popped = ready.pop();
                        prop_assert_eq!(popped.map(core::ptr::from_ref), expected.map(core::ptr::from_ref));
                    }
                    _ => {}
                }
                ready.set_time_slice(index % 2 == 0);
                let bits = model.iter().fold(0_u64, |bits, &index| bits | 1 << threads[index].priority());
                prop_assert_eq!(ready.occupied(), bits);
                for thread in &threads {
                    let rivals = bits >> thread.priority();
                    let expected = rivals == 0 || rivals == 1 && ready.has_time_slice();
                    prop_assert_eq!(ready.has_none_due_before(thread), expected);
                }
            }
        }
    }
}
