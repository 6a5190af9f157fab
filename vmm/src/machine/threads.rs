//! One thread per vCPU, and the one that waits for the first of them to end, the deadline or the stop flag.

use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use abi::port::{self, doorbell};
use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};
use vmm_sys_util::eventfd::EventFd;

use crate::machine::deadline::Deadline;
use crate::machine::devices::Devices;
use crate::machine::error::{MachineError, host};
use crate::machine::exit::{self, Event, PortWrite};
use crate::machine::kick::{self, Kickable};
use crate::machine::layout::Layout;
use crate::machine::measure::Measurement;
use crate::machine::memory::GuestMemory;
use crate::machine::observe::Observer;
use crate::machine::pin;
use crate::machine::probe::{Fault, Probe};
use crate::machine::report;
use crate::machine::request::uninterrupted;
use crate::machine::stages::{Role, Stage, Stages};
use crate::machine::standstill::{self, Idleness, Roll};
use crate::machine::stillness::{Stillness, TICK};
use crate::machine::stop::{self, StopFlag};
use crate::machine::vcpu::Vcpu;

/// Stack of a vCPU thread, bytes: its loop is shallow, and there may be a thousand of them.
const STACK_SIZE: usize = 256 << 10;

/// Where a guest's report lies.
#[derive(Clone, Copy)]
pub(crate) struct ReportOf<'a> {
    pub memory: &'a GuestMemory,
    pub layout: &'a Layout,
}

/// What the threads of one guest share with those who started them.
pub(crate) struct Session<'a> {
    pub report: ReportOf<'a>,
    pub devices: Devices,
    pub measurement: Measurement<'a>,
    /// Who looks at the guest.
    pub probe: &'a dyn Probe,
    pub stop: &'a StopFlag,
    /// Counted from the first instruction.
    pub deadline: Deadline,
    /// Host CPU of each vCPU; empty: wherever the scheduler puts them.
    pub cpus: Vec<usize>,
    /// Who watches vCPU 0.
    pub observer: Option<Mutex<&'a mut (dyn Observer + 'a)>>,
    /// Who is told how far the guest is.
    pub stages: Option<&'a dyn Stages>,
    /// Whether the guest is to end when all of its vCPUs sleep for ever.
    pub ends_when_all_sleep: bool,
}

impl Session<'_> {
    /// An access to a register that a probe keeps: no others leave the guest.
    fn access(&self, vcpu: u32, register: u32, value: Option<u64>) -> Result<u64, Fault> {
        self.probe.access(vcpu, register, value, &|| self.measurement.emulated_instructions())
    }

    /// The guest has rung the doorbell, and waits.
    fn ring(&self, vcpu: u32, value: u32) {
        let stage = if self.measurement.is_first(value) { self.stage(value) } else { None };
        // The first mark is taken when it may go on, the second one before anybody hears of it.
        self.reach(stage.filter(|stage| *stage != Stage::Measured));
        self.measurement.ring(vcpu, value);
        self.probe.rung(vcpu, value);
        self.reach(stage.filter(|stage| *stage == Stage::Measured));
    }

    fn reach(&self, stage: Option<Stage>) {
        if let (Some(stage), Some(stages)) = (stage, self.stages) {
            self.deadline.hold();
            stages.reached(stage);
            self.deadline.begin(Instant::now());
        }
    }

    /// Whether the guest is to go on calling. As long as others measure, its deadline does not come nearer: theirs does.
    fn others_measure(&self) -> bool {
        let others = self.stages.is_some_and(|stages| stages.others_measure());
        if others {
            self.deadline.begin(Instant::now());
        }
        others
    }

    /// The stage that a guest has come to that rings for the first time with this value.
    fn stage(&self, value: u32) -> Option<Stage> {
        match value {
            doorbell::STARTED => Some(Stage::Started),
            doorbell::MEASURE_END => Some(Stage::Measured),
            doorbell::MEASURE_BEGIN => {
                let announced = report::read_announced(self.report.memory, self.report.layout);
                Some(Stage::Measuring { round_trips: self.measurement.announce(announced?) })
            }
            _ => None,
        }
    }

    fn confine(&self, role: Role) -> Result<(), MachineError> {
        self.stages.map_or(Ok(()), |stages| stages.confine(role))
    }
}

/// What stopped the vCPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stopped {
    /// This vCPU ended the guest.
    Vcpu(u32, exit::End),
    /// The deadline passed.
    Deadline(Duration),
    /// The stop flag was raised.
    User,
    /// All vCPUs sleep, and nothing can wake any of them.
    Deadlock,
}

/// The guest behind its last instruction.
pub(crate) struct Finished {
    pub end: Stopped,
    /// In the order of their index.
    pub vcpus: Vec<Vcpu>,
    pub first_entry: Instant,
    /// Time in which this process was stopped, or the host suspended.
    pub stood_still: Duration,
}

/// What only the threads of one guest share.
struct Shared<'a, 'session> {
    session: &'a Session<'session>,
    gate: Gate,
    stopping: AtomicBool,
    roll: Roll,
    ended: Mutex<Option<Stopped>>,
    /// Raised when a thread has ended the guest, or itself.
    wake: EventFd,
}

/// Where the vCPU threads wait until all of them exist.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.opened.notify_all();
    }

    fn wait(&self) {
        let closed = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        let opened = self.opened.wait_while(closed, |is_open| !*is_open);
        drop(opened.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Wakes the waiting thread when a vCPU thread ends, even by a panic.
struct WakeOnDrop<'a>(&'a EventFd);

impl Drop for WakeOnDrop<'_> {
    fn drop(&mut self) {
        // Fails only when the counter is full, and then the waiter is awake.
        let _ = self.0.write(1);
    }
}

impl Shared<'_, '_> {
    /// Waits for the guest's end, and looks now and then whether it can still come.
    fn wait(
        &self,
        waiter: &Waiter,
        vcpus: usize,
        start: Instant,
        stillness: &mut Stillness,
    ) -> Result<Woken, MachineError> {
        let Session { deadline, measurement, ends_when_all_sleep, .. } = self.session;
        // Without the host's word on CPU time the deadline has to do.
        let is_watched = *ends_when_all_sleep && measurement.cpu_ns().is_some();
        let mut idleness = is_watched.then(|| Idleness::new(start));
        loop {
            if let Some(woken) = waiter.wait(deadline, idleness.map(|_| standstill::LOOK), stillness)? {
                return Ok(woken);
            }
            let cpu_ns = measurement.cpu_ns().unwrap_or_default();
            if idleness.as_mut().is_some_and(|idleness| idleness.is_suspicious(Instant::now(), cpu_ns))
                && self.roll.call(vcpus, || measurement.threads().for_each(kick::kick))
            {
                return Ok(Woken::AllSleep);
            }
        }
    }
}

/// Runs the vCPUs until the guest ends in one way or another.
pub(crate) fn run(session: &Session<'_>, vcpus: Vec<Vcpu>) -> Result<Finished, MachineError> {
    let shared = Shared {
        session,
        gate: Gate::default(),
        stopping: AtomicBool::new(false),
        roll: Roll::default(),
        ended: Mutex::new(None),
        wake: stop::new_event()?,
    };
    let waiter = Waiter::new(&shared.wake, session.stop)?;
    let count = vcpus.len();
    thread::scope(|scope| {
        let mut handles = Vec::new();
        let mut failure = None;
        for vcpu in vcpus {
            let builder = thread::Builder::new().name(format!("vcpu{}", vcpu.index)).stack_size(STACK_SIZE);
            match builder.spawn_scoped(scope, || run_vcpu(&shared, vcpu)) {
                Ok(handle) => handles.push(handle),
                Err(source) => {
                    failure = Some(MachineError::Host { action: "start a thread for every vCPU", source });
                    shared.stopping.store(true, Ordering::SeqCst);
                    break;
                }
            }
        }
        let mut stillness = Stillness::new();
        if let Err(error) = session.confine(Role::Waiter) {
            failure = failure.or(Some(error));
            shared.stopping.store(true, Ordering::SeqCst);
        }
        let first_entry = Instant::now();
        session.deadline.begin(first_entry);
        shared.gate.open();
        let waited = shared.wait(&waiter, count, first_entry, &mut stillness);
        shared.stopping.store(true, Ordering::SeqCst);
        session.devices.release();
        // A thread that has not told its number yet sees `stopping` before it enters the guest.
        session.measurement.threads().for_each(kick::kick);

        let mut vcpus = Vec::new();
        for handle in handles {
            match handle.join() {
                Ok(Ok(vcpu)) => vcpus.push(vcpu),
                Ok(Err(error)) => failure = failure.or(Some(error)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        if let Some(error) = failure {
            return Err(error);
        }
        let ended = shared.ended.lock().unwrap_or_else(PoisonError::into_inner).take();
        // A guest that ended itself while the deadline passed has ended itself.
        let end = match (ended, waited?) {
            (Some(end), _) => end,
            (None, Woken::StopFlag) => Stopped::User,
            (None, Woken::AllSleep) => Stopped::Deadlock,
            (None, _) => Stopped::Deadline(session.deadline.limit()),
        };
        Ok(Finished { end, vcpus, first_entry, stood_still: stillness.total() })
    })
}

/// The thread of one vCPU. Gives the vCPU back, so that its last state can be read.
fn run_vcpu(shared: &Shared<'_, '_>, mut vcpu: Vcpu) -> Result<Vcpu, MachineError> {
    let _wake = WakeOnDrop(&shared.wake);
    let index = vcpu.index;
    if let Some(cpu) = shared.session.cpus.get(index as usize) {
        pin::pin_this_thread(*cpu)?;
    }
    let kickable = Kickable::new(&mut vcpu)?;
    shared.session.measurement.set_this_thread(index);
    shared.session.probe.thread_begins();
    shared.session.confine(Role::Vcpu)?;
    shared.gate.wait();
    while !shared.stopping.load(Ordering::SeqCst) {
        if shared.roll.is_called() {
            shared.roll.attend(|| vcpu.can_wake());
            continue;
        }
        if let Some(end) = step(shared.session, &mut vcpu) {
            let mut ended = shared.ended.lock().unwrap_or_else(PoisonError::into_inner);
            ended.get_or_insert(Stopped::Vcpu(index, end));
            break;
        }
    }
    drop(kickable);
    Ok(vcpu)
}

/// Runs the guest up to its next exit and does what the exit asks for.
fn step(session: &Session<'_>, vcpu: &mut Vcpu) -> Option<exit::End> {
    let index = vcpu.index;
    let mut may_run = true;
    let ask = |observer: &mut dyn Observer, vcpu: &mut Vcpu| {
        may_run = observer.before_entry(vcpu)?;
        Ok(())
    };
    if let Some(end) = observe(session, vcpu, ask) {
        return Some(end);
    }
    if !may_run {
        return None;
    }
    let event = match vcpu.fd.run() {
        Ok(exit) => exit::decode(exit),
        // A signal: the caller looks what is wanted. One that comes from now on sets the flag again.
        Err(error) if matches!(error.errno(), libc::EINTR | libc::EAGAIN) => {
            vcpu.fd.set_kvm_immediate_exit(0);
            return None;
        }
        Err(error) => return Some(exit::End::Kvm(format!("KVM_RUN failed: {error}"))),
    };
    match event {
        Event::Write(PortWrite::Serial { register, bytes }) => session.devices.serial_write(register, bytes),
        Event::Write(PortWrite::Doorbell(value)) => {
            session.ring(index, value);
            return observe(session, vcpu, |observer, vcpu| observer.doorbell(vcpu, value));
        }
        Event::RegisterRead { register, value, error } => match session.access(index, register, None) {
            Ok(read) => (*value, *error) = (read, 0),
            Err(Fault) => *error = 1,
        },
        Event::RegisterWrite { register, value, error } => {
            *error = session.access(index, register, Some(value)).is_err().into();
        }
        Event::DebugStop => return observe(session, vcpu, |observer, vcpu| observer.stopped(vcpu)),
        Event::Write(PortWrite::Exit(code)) => return Some(exit::End::Code(code)),
        Event::Write(PortWrite::Nothing) | Event::Continue => {}
        Event::SerialRead { register, data } => session.devices.serial_read(register, data),
        Event::OthersMeasure(data) => {
            let answer = if session.others_measure() { port::OTHERS_MEASURE } else { 0 };
            data.iter_mut().zip(answer.to_le_bytes().into_iter().cycle()).for_each(|(to, from)| *to = from);
        }
        Event::OtherRead(data) => data.fill(0xff),
        Event::End(end) => return Some(with_details(end, vcpu)),
    }
    None
}

/// Lets the observer of this vCPU, if it has one, do something. Its failure ends the guest.
fn observe(
    session: &Session<'_>,
    vcpu: &mut Vcpu,
    action: impl FnOnce(&mut dyn Observer, &mut Vcpu) -> Result<(), MachineError>,
) -> Option<exit::End> {
    let observer = session.observer.as_ref().filter(|_| vcpu.index == 0)?;
    let mut observer = observer.lock().unwrap_or_else(PoisonError::into_inner);
    action(&mut **observer, vcpu).err().map(|error| exit::End::Kvm(error.to_string()))
}

/// KVM's details of an internal error, which lie beside the exit.
fn with_details(end: exit::End, vcpu: &mut Vcpu) -> exit::End {
    let rip = uninterrupted(|| vcpu.fd.get_regs()).map_or(0, |registers| registers.rip);
    exit::internal_error(vcpu.fd.get_kvm_run(), rip).map_or(end, exit::End::Kvm)
}

/// Waits on the events without polling.
struct Waiter {
    epoll: Epoll,
}

/// What the waiter was woken by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    Vcpu = 0,
    StopFlag = 1,
    Deadline = 2,
    AllSleep = 3,
}

impl Waiter {
    fn new(wake: &EventFd, stop: &StopFlag) -> Result<Waiter, MachineError> {
        let epoll = Epoll::new().map_err(host("wait for events"))?;
        for (fd, woken) in [(wake.as_raw_fd(), Woken::Vcpu), (stop.raw_fd(), Woken::StopFlag)] {
            let event = EpollEvent::new(EventSet::IN, woken as u64);
            epoll.ctl(ControlOperation::Add, fd, event).map_err(host("wait for events"))?;
        }
        Ok(Waiter { epoll })
    }

    /// `None`: none of the events came within the time `longest`.
    fn wait(
        &self,
        deadline: &Deadline,
        longest: Option<Duration>,
        stillness: &mut Stillness,
    ) -> Result<Option<Woken>, MachineError> {
        let until = longest.map(|longest| Instant::now() + longest);
        loop {
            let mut event = [EpollEvent::default()];
            let now = Instant::now();
            let next_look = deadline.next_look(now).into_iter().chain(until).min();
            let timeout = next_look.map_or(TICK, |time| time.saturating_duration_since(now).min(TICK));
            let before = stillness.before();
            let waited = self.epoll.wait(timeout_ms(timeout), &mut event);
            deadline.move_by(stillness.after(before, timeout));
            let count = match waited {
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                result => result.map_err(host("wait for events"))?,
            };
            if count > 0 {
                let is_vcpu = event[0].data() == Woken::Vcpu as u64;
                return Ok(Some(if is_vcpu { Woken::Vcpu } else { Woken::StopFlag }));
            }
            if deadline.has_passed(Instant::now()) {
                return Ok(Some(Woken::Deadline));
            }
            if until.is_some_and(|until| Instant::now() >= until) {
                return Ok(None);
            }
        }
    }
}

/// Rounded up, so that the time has come when the wait is over.
fn timeout_ms(time: Duration) -> i32 {
    i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX)
}
