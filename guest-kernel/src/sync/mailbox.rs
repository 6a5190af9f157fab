//! A mailbox: objects from any CPU for one CPU, without locks.
//!
//! They are linked through a field of their own, so posting never needs memory and never fails. Whoever posts an object gives it
//! away; the CPU that collects it owns it from then on. The queue is a stack that is taken as a whole and read backwards: one
//! compare-and-swap to post, one exchange to collect, however many CPUs and objects there are.
//!
//! This file and [`super::rendezvous`] know no other part of the kernel, so that a model checker can run them with its own
//! atomics (`tests/model.rs`).

use core::ptr;

use super::atomic::{AtomicPtr, Ordering};

/// What can be posted.
pub trait Linked: Sized + 'static {
    /// The link that belongs to whoever has posted the object, and to the mailbox that it is in.
    fn link(&self) -> &AtomicPtr<Self>;
}

/// Objects that a CPU has not collected yet. All zero is an empty mailbox.
#[repr(transparent)]
pub struct Mailbox<T: Linked> {
    /// The last object posted; each one's link leads to the one posted before it.
    last: AtomicPtr<T>,
}

impl<T: Linked> Default for Mailbox<T> {
    fn default() -> Self {
        Mailbox { last: AtomicPtr::default() }
    }
}

impl<T: Linked> Mailbox<T> {
    /// Posts `object`, which must be in no mailbox. True if the mailbox was empty: then its CPU has to be told.
    #[must_use]
    pub fn post(&self, object: &'static T) -> bool {
        let new = ptr::from_ref(object).cast_mut();
        let mut last = self.last.load(Ordering::Relaxed);
        loop {
            object.link().store(last, Ordering::Relaxed);
            // Release: who collects sees all that was written to the object, and all objects behind it.
            match self.last.compare_exchange_weak(last, new, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return last.is_null(),
                Err(current) => last = current,
            }
        }
    }

    /// Whether nothing is there. Only a hint, unless nobody can post.
    pub fn is_empty(&self) -> bool {
        self.last.load(Ordering::Relaxed).is_null()
    }

    /// Takes all objects, the first posted first.
    pub fn collect(&self) -> Collected<T> {
        if self.is_empty() {
            return Collected { first: ptr::null_mut() };
        }
        let mut rest = self.last.swap(ptr::null_mut(), Ordering::Acquire);
        let mut first = ptr::null_mut();
        while let Some(object) = object_at(rest) {
            rest = object.link().load(Ordering::Relaxed);
            object.link().store(first, Ordering::Relaxed);
            first = ptr::from_ref(object).cast_mut();
        }
        Collected { first }
    }
}

/// Objects taken from a mailbox. Each may be posted again as soon as it has come out.
pub struct Collected<T: Linked> {
    first: *mut T,
}

impl<T: Linked> Iterator for Collected<T> {
    type Item = &'static T;

    fn next(&mut self) -> Option<&'static T> {
        let object = object_at(self.first)?;
        self.first = object.link().load(Ordering::Relaxed);
        Some(object)
    }
}

/// The object behind a link.
fn object_at<T: Linked>(link: *mut T) -> Option<&'static T> {
    // SAFETY: links come from `Mailbox::post`, which got a reference that is good for ever.
    unsafe { link.cast_const().as_ref() }
}
