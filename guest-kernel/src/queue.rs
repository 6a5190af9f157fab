//! A doubly linked queue of threads, linked through the threads themselves.
//!
//! A thread is in at most one queue at a time: a ready queue, the receivers of an endpoint, or its senders. Every
//! operation takes the same few instructions however many threads there are.

use core::cell::Cell;

use crate::thread::Thread;

/// The links of a thread in the queue that it is in.
#[derive(Default)]
pub struct Links {
    next: Cell<Option<&'static Thread>>,
    previous: Cell<Option<&'static Thread>>,
}

/// The queue's two ends. All zero is an empty queue.
#[derive(Default)]
#[repr(C)]
pub struct Queue {
    head: Cell<Option<&'static Thread>>,
    tail: Cell<Option<&'static Thread>>,
}

impl Queue {
    /// Offset of the address of the first thread, null if there is none, for assembly.
    pub const HEAD_OFFSET: usize = core::mem::offset_of!(Queue, head);

    /// Whether no thread is queued.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.head.get().is_none()
    }

    /// The first thread, which stays queued.
    #[inline]
    pub fn front(&self) -> Option<&'static Thread> {
        self.head.get()
    }

    /// Adds a thread that is in no queue as the first one.
    #[inline]
    pub fn push_front(&self, thread: &'static Thread) {
        let links = &thread.links;
        links.previous.set(None);
        links.next.set(self.head.get());
        match self.head.replace(Some(thread)) {
            Some(old) => old.links.previous.set(Some(thread)),
            None => self.tail.set(Some(thread)),
        }
    }

    /// Adds a thread that is in no queue as the last one.
    #[inline]
    pub fn push_back(&self, thread: &'static Thread) {
        let links = &thread.links;
        links.next.set(None);
        links.previous.set(self.tail.get());
        match self.tail.replace(Some(thread)) {
            Some(old) => old.links.next.set(Some(thread)),
            None => self.head.set(Some(thread)),
        }
    }

    /// Takes the first thread out.
    #[inline]
    pub fn pop_front(&self) -> Option<&'static Thread> {
        let thread = self.head.get()?;
        self.remove_front(thread);
        Some(thread)
    }

    /// Takes out `thread`, which is the first one.
    #[inline]
    pub fn remove_front(&self, thread: &'static Thread) {
        let next = thread.links.next.get();
        self.head.set(next);
        match next {
            Some(next) => next.links.previous.set(None),
            None => self.tail.set(None),
        }
    }

    /// Takes out `thread`, which is somewhere in this queue.
    pub fn remove(&self, thread: &'static Thread) {
        let (previous, next) = (thread.links.previous.get(), thread.links.next.get());
        match previous {
            Some(previous) => previous.links.next.set(next),
            None => self.head.set(next),
        }
        match next {
            Some(next) => next.links.previous.set(previous),
            None => self.tail.set(previous),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::testing::thread;

    proptest! {
        /// The queue behaves as a `VecDeque` does, whatever is done to it.
        #[test]
        fn behaves_as_a_deque(operations in proptest::collection::vec((0_u8..5, 0_usize..8), 0..200)) {
            let threads: Vec<&'static Thread> = (0..8).map(|_| thread()).collect();
            let queue = Queue::default();
            let mut model: VecDeque<usize> = VecDeque::new();
            for (operation, index) in operations {
                let queued = model.iter().position(|&other| other == index);
                match (operation, queued) {
                    (0, None) => { queue.push_front(threads[index]); model.push_front(index); }
                    (1, None) => { queue.push_back(threads[index]); model.push_back(index); }
                    (2, Some(position)) => { queue.remove(threads[index]); model.remove(position); }
                    (3, _) => {
                        let popped = queue.pop_front();
                        let expected = model.pop_front().map(|index| threads[index]);
                        prop_assert!(same(popped, expected));
                    }
                    _ => {}
                }
                prop_assert_eq!(queue.is_empty(), model.is_empty());
                prop_assert!(same(queue.front(), model.front().map(|&index| threads[index])));
            }
            for index in model {
                prop_assert!(same(queue.pop_front(), Some(threads[index])));
            }
            prop_assert!(queue.pop_front().is_none());
        }
    }

    fn same(left: Option<&'static Thread>, right: Option<&'static Thread>) -> bool {
        match (left, right) {
            (Some(left), Some(right)) => core::ptr::eq(left, right),
            (None, None) => true,
            _ => false,
        }
    }
}
