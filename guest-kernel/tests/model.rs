//! The files that CPUs share without locks, run by a model checker: every order in which a few CPUs can take their steps, and every
//! value that a weakly ordered memory lets them see, up to a bound of preemptions.
//!
//! The files are those of the kernel, with the checker's atomics in place of the machine's. A CPU is a thread of the model; what it
//! owns is a cell whose every access the checker watches; an interrupt is a flag that stays up until it is taken, so that two may
//! be one, and HLT is a wait for it. A CPU that sleeps for ever is a deadlock that the checker reports.

#[path = "../src/sync/mailbox.rs"]
mod mailbox;
#[path = "../src/sync/notice.rs"]
mod notice;
#[path = "../src/sync/rendezvous.rs"]
mod rendezvous;

/// The checker's atomics.
mod atomic {
    pub use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};
}

use std::cell::Cell;

use loom::cell::UnsafeCell;
use loom::sync::Notify;
use loom::thread;

use atomic::AtomicPtr;
use mailbox::{Linked, Mailbox};
use notice::Notice;
use rendezvous::{Attendance, Participant, Rendezvous};

/// Runs all executions of `model` in which CPUs are preempted at most so many times other than where they wait.
fn check(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 20_000;
    builder.check(model);
}

fn leak<T>(value: T) -> &'static T {
    Box::leak(Box::new(value))
}

/// An object with a number, which only its owner may touch.
struct Numbered {
    link: AtomicPtr<Numbered>,
    number: UnsafeCell<u64>,
}

// SAFETY: the checker watches the cell.
unsafe impl Sync for Numbered {}

impl Linked for Numbered {
    fn link(&self) -> &AtomicPtr<Numbered> {
        &self.link
    }
}

impl Numbered {
    fn new(number: u64) -> &'static Numbered {
        leak(Numbered { link: AtomicPtr::default(), number: UnsafeCell::new(number) })
    }

    fn get(&self) -> u64 {
        // SAFETY: the checker fails if another CPU may write at the same time.
        self.number.with(|number| unsafe { *number })
    }

    fn set(&self, value: u64) {
        // SAFETY: the checker fails if another CPU may read or write at the same time.
        self.number.with_mut(|number| unsafe { *number = value });
    }
}

/// Whom they are for.
#[derive(Default)]
struct Addressee {
    arrivals: Mailbox<Numbered>,
    interrupt: Interrupt,
}

/// A pending interrupt.
struct Interrupt(Notify);

impl Default for Interrupt {
    fn default() -> Self {
        Interrupt(Notify::new())
    }
}

impl Addressee {
    /// As `Cpu::with_cpu` does.
    fn post(&self, object: &'static Numbered) {
        if self.arrivals.post(object) {
            self.interrupt.0.notify();
        }
    }

    /// As `Cpu::run_next` does: looks, and halts if there is nothing.
    fn collect(&self) -> Vec<&'static Numbered> {
        loop {
            let arrivals: Vec<_> = self.arrivals.collect().collect();
            if !arrivals.is_empty() {
                return arrivals;
            }
            self.interrupt.0.wait();
        }
    }
}

/// Two CPUs post to one that halts whenever it finds nothing: each object comes once, those of one sender in their order, with
/// all that was written to them.
#[test]
fn no_object_is_lost_or_doubled_or_sleeps() {
    check(2, || {
        let addressee = leak(Addressee::default());
        let sender = |numbers: &'static [u64]| {
            thread::spawn(move || {
                for &number in numbers {
                    let object = Numbered::new(0);
                    object.set(number);
                    addressee.post(object);
                }
            })
        };
        let senders = [sender(&[10, 11]), sender(&[20, 21])];
        let mut seen = Vec::new();
        while seen.len() < 4 {
            seen.extend(addressee.collect().into_iter().map(Numbered::get));
        }
        for sender in senders {
            sender.join().unwrap();
        }
        assert!(addressee.arrivals.is_empty());
        let of = |first: u64| seen.iter().copied().filter(|number| number / 10 == first).collect::<Vec<_>>();
        assert_eq!((of(1), of(2)), (vec![10, 11], vec![20, 21]), "{seen:?}");
    });
}

/// A call and its reply: the same object goes there and back, twice. Whoever has it owns it.
#[test]
fn an_object_that_is_sent_back_is_owned_by_one_cpu_at_a_time() {
    check(2, || {
        let [client, server] = [leak(Addressee::default()), leak(Addressee::default())];
        let serving = thread::spawn(move || {
            let mut served = 0;
            while served < 2 {
                for object in server.collect() {
                    object.set(object.get() + 1);
                    served += 1;
                    client.post(object);
                }
            }
        });
        let call = Numbered::new(0);
        server.post(call);
        let mut answers = 0;
        while answers < 2 {
            for object in client.collect() {
                answers += 1;
                assert_eq!(object.get(), answers);
                if answers < 2 {
                    server.post(object);
                }
            }
        }
        serving.join().unwrap();
    });
}

/// An endpoint's word of notification bits.
#[derive(Default)]
struct Noticed {
    link: AtomicPtr<Noticed>,
    bits: Notice,
}

impl Linked for Noticed {
    fn link(&self) -> &AtomicPtr<Noticed> {
        &self.link
    }
}

/// Two CPUs set bits, one of them twice the same: all arrive, none without having been set, and the word is never in the
/// mailbox twice.
#[test]
fn no_notification_bit_is_lost() {
    check(2, || {
        let word = leak(Noticed::default());
        let mailbox = leak(Mailbox::default());
        let interrupt = leak(Interrupt::default());
        let notify = move |bits| {
            // As `remote::notify` does.
            if word.bits.add(bits) && mailbox.post(word) {
                interrupt.0.notify();
            }
        };
        let senders = [thread::spawn(move || [1, 4].map(notify)), thread::spawn(move || [1, 2].map(notify))];
        let (mut seen, mut ones) = (0, 0);
        while seen != 7 {
            let mut any = false;
            for word in mailbox.collect() {
                any = true;
                let bits = word.bits.take();
                assert_ne!(bits, 0, "posted for nothing");
                ones += bits & 1;
                seen |= bits;
            }
            if !any && seen != 7 {
                interrupt.0.wait();
            }
        }
        for sender in senders {
            sender.join().unwrap();
        }
        // The other bit 0 may still be on its way.
        ones += mailbox.collect().map(|word| word.bits.take()).sum::<u64>();
        assert!((1..=2).contains(&ones), "{ones}");
    });
}

/// A machine of CPUs that stop for each other.
struct Machine {
    rendezvous: Rendezvous,
    cpus: Vec<ModelCpu>,
    /// What all of them use, and one changes.
    shared: UnsafeCell<u64>,
}

// SAFETY: the checker watches the cells.
unsafe impl Sync for Machine {}

#[derive(Default)]
struct ModelCpu {
    interrupt: Interrupt,
    attendance: Attendance,
    /// What it owns: while it runs it writes here.
    own: UnsafeCell<u64>,
    /// Work that it has done for leaders. Only it touches this.
    worked: Cell<u64>,
    /// Work that it has been told to do. Its leader writes, and it reads.
    told: UnsafeCell<u64>,
}

impl ModelCpu {
    /// Rounds that others have led.
    fn rounds(&self) -> u64 {
        // SAFETY: the checker fails if somebody may write at the same time.
        self.own.with(|own| unsafe { *own }) / 100
    }
}

/// A CPU of it.
#[derive(Clone, Copy)]
struct Here {
    machine: &'static Machine,
    index: usize,
}

// SAFETY: of what is not watched by the checker, each CPU touches only its own.
unsafe impl Send for Here {}

impl Here {
    fn cpu(self) -> &'static ModelCpu {
        &self.machine.cpus[self.index]
    }

    /// What a CPU does on the paths that know nothing of others: uses what is shared, changes what is its own.
    fn run(self) {
        self.machine.shared.with(|shared| {
            // SAFETY: the checker fails if somebody may write at the same time.
            let _ = unsafe { *shared };
            // SAFETY: the same.
            self.cpu().own.with_mut(|own| unsafe { *own += 1 });
        });
    }

    /// Stops the world, changes what is shared and what is the others', has them work if `works`, and lets them go.
    fn change(self, works: bool) {
        self.machine.rendezvous.gather(self);
        // SAFETY: the checker fails if somebody may read or write at the same time.
        self.machine.shared.with_mut(|shared| unsafe { *shared += 1 });
        for other in self.peers() {
            // SAFETY: the same.
            other.cpu().own.with_mut(|own| unsafe { *own += 100 });
        }
        if works {
            for other in self.peers() {
                // SAFETY: the same.
                other.cpu().told.with_mut(|told| unsafe { *told += 1 });
            }
            self.machine.rendezvous.have_done(self, |_| true);
        }
        self.machine.rendezvous.release(self);
    }
}

impl Participant for Here {
    type Peer = Here;

    fn index(self) -> u32 {
        self.index as u32
    }

    fn attendance(&self) -> &Attendance {
        &self.cpu().attendance
    }

    fn peers(self) -> impl Iterator<Item = Here> {
        let all = (0..self.machine.cpus.len()).map(move |index| Here { index, ..self });
        all.filter(move |other| other.index != self.index)
    }

    fn peer(self, index: u32) -> Option<Here> {
        self.machine.cpus.get(index as usize).map(|_| Here { index: index as usize, ..self })
    }

    fn attendance_of(peer: &Here) -> &Attendance {
        &peer.cpu().attendance
    }

    fn interrupt(self, peer: Here) {
        peer.cpu().interrupt.0.notify();
    }

    fn interrupt_self(self) {
        self.cpu().interrupt.0.notify();
    }

    fn wait_for_interrupt(self) {
        self.cpu().interrupt.0.wait();
    }

    fn stop_if_called(self) -> bool {
        self.machine.rendezvous.stop_if_called(self)
    }

    fn work(self) {
        let worked = self.cpu().worked.get() + 1;
        self.cpu().worked.set(worked);
        // SAFETY: the checker fails if the leader may write at the same time.
        self.cpu().told.with(|told| assert_eq!(unsafe { *told }, worked, "done without having been told"));
    }

    fn give_away(self) {}

    fn take_back(self) {}
}

/// A machine with so many CPUs.
fn machine(count: usize) -> &'static Machine {
    let cpus = (0..count).map(|_| ModelCpu::default()).collect();
    leak(Machine { rendezvous: Rendezvous::default(), cpus, shared: UnsafeCell::new(0) })
}

fn cpus(count: usize) -> impl Iterator<Item = Here> {
    let machine = machine(count);
    (0..count).map(move |index| Here { machine, index })
}

/// Takes what all of it comes to: `changes` changes, each of all others' own.
fn assert_changed(here: Here, changes: u64) {
    // SAFETY: all other threads have ended.
    assert_eq!(here.machine.shared.with(|shared| unsafe { *shared }), changes);
    let owns: u64 = here.machine.cpus.iter().map(ModelCpu::rounds).sum();
    assert_eq!(owns, changes * (here.machine.cpus.len() as u64 - 1));
}

/// One leads two others, and has them work: nobody else runs meanwhile, and all are released.
#[test]
fn nobody_runs_while_one_leads() {
    check(1, || {
        let [first, second, third] = cpus(3).collect::<Vec<_>>()[..] else { unreachable!() };
        let others = [second, third].map(|other| thread::spawn(move || serve_rounds(other, 1)));
        first.run();
        first.change(true);
        first.run();
        for other in others {
            other.join().unwrap();
        }
        assert_changed(first, 1);
        assert!([second, third].iter().all(|other| other.cpu().worked.get() == 1));
    });
}

/// Serves so many rounds, and runs between any two of them, however soon the next one is called.
fn serve_rounds(here: Here, rounds: u64) {
    while here.cpu().rounds() < rounds {
        here.run();
        // A program goes on until an interrupt comes; the handler attends once, as `Cpu::interrupted` does.
        here.wait_for_interrupt();
        let before = here.cpu().rounds();
        here.stop_if_called();
        assert!(here.cpu().rounds() <= before + 1, "released, it was made to stop again at once");
    }
    here.run();
}

/// Two want to lead at once, while a third one runs: both get their turn, one after the other, and the third one takes part in
/// both rounds.
#[test]
fn two_leaders_take_turns() {
    check(0, || {
        let [first, second, third] = cpus(3).collect::<Vec<_>>()[..] else { unreachable!() };
        let leads = thread::spawn(move || {
            second.change(false);
            serve_rounds(second, 1);
        });
        let serves = thread::spawn(move || serve_rounds(third, 2));
        first.change(false);
        serve_rounds(first, 1);
        leads.join().unwrap();
        serves.join().unwrap();
        assert_changed(first, 2);
    });
}

/// One leads again and again, another one once, with work: a CPU that is slow to leave one round takes part in the next.
#[test]
fn rounds_follow_each_other() {
    check(1, || {
        let [first, second] = cpus(2).collect::<Vec<_>>()[..] else { unreachable!() };
        let other = thread::spawn(move || {
            second.change(true);
            serve_rounds(second, 2);
        });
        first.change(false);
        first.change(false);
        serve_rounds(first, 1);
        other.join().unwrap();
        assert_changed(first, 3);
    });
}
