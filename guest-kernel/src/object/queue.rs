//! Threads in a row, linked through the threads themselves: a doubly linked queue, and a singly linked stack.
//!
//! A thread is in at most one of them at a time: a run queue, the receivers of an endpoint (a stack), or its senders.
//! Every operation takes the same few instructions however many threads there are.

use core::cell::Cell;

use crate::object::thread::Thread;

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
        self.remove(thread);
        Some(thread)
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

/// A stack of threads. All zero is an empty one. The fast path pushes and pops in two instructions each; what it does not
/// need, a link back, there is not: to take somebody out of the middle takes a walk.
#[derive(Default)]
#[repr(C)]
pub struct Stack {
    top: Cell<Option<&'static Thread>>,
}

impl Stack {
    /// Offset of the address of the topmost thread, null if there is none, for assembly.
    pub const TOP_OFFSET: usize = core::mem::offset_of!(Stack, top);

    /// The topmost thread, which stays there.
    #[inline]
    pub fn top(&self) -> Option<&'static Thread> {
        self.top.get()
    }

    /// Puts a thread that is in no queue and no stack on top.
    #[inline]
    pub fn push(&self, thread: &'static Thread) {
        thread.links.next.set(self.top.replace(Some(thread)));
    }

    /// Takes off `thread`, which is the topmost one.
    #[inline]
    pub fn take_off(&self, thread: &'static Thread) {
        self.top.set(thread.links.next.get());
    }

    /// Takes the topmost thread off.
    pub fn pop(&self) -> Option<&'static Thread> {
        let thread = self.top.get()?;
        self.take_off(thread);
        Some(thread)
    }

    /// Takes out `thread`, wherever it is; true if it was there. Takes as long as there are threads above it: only for
    /// operations that have nothing to do with IPC.
    pub fn remove(&self, thread: &'static Thread) -> bool {
        let mut link = &self.top;
        while let Some(other) = link.get() {
            if core::ptr::eq(other, thread) {
                link.set(thread.links.next.get());
                return true;
            }
            link = &other.links.next;
        }
        false
    }

    /// Forgets all threads.
    pub fn clear(&self) {
        self.top.set(None);
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

    proptest! {
        /// The stack behaves as a `Vec` does.
        #[test]
        fn behaves_as_a_stack(operations in proptest::collection::vec((0_u8..8, 0_usize..8), 0..200)) {
            let threads: Vec<&'static Thread> = (0..8).map(|_| thread()).collect();
            let stack = Stack::default();
            let mut model: Vec<usize> = Vec::new();
            for (operation, index) in operations {
                match operation {
                    0..=4 if !model.contains(&index) => { stack.push(threads[index]); model.push(index); }
                    5 | 6 => prop_assert!(same(stack.pop(), model.pop().map(|index| threads[index]))),
                    7 if index == 0 => { stack.clear(); model.clear(); }
                    7 => {
                        let position = model.iter().position(|&other| other == index);
                        prop_assert_eq!(stack.remove(threads[index]), position.is_some());
                        position.map(|position| model.remove(position));
                    }
                    _ => {}
                }
                prop_assert!(same(stack.top(), model.last().map(|&index| threads[index])));
            }
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
