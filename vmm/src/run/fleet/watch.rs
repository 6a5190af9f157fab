//! Many guests at once: started together, measured together, and each one's end noted.

use std::io;
use std::time::{Duration, Instant};

use vmm_sys_util::epoll::{ControlOperation, Epoll, EpollEvent, EventSet};

use super::barrier::Barrier;
use super::cgroup::{Cgroups, QuotaError};
use super::check::Check;
use super::launch::{Process, Remains};
use super::memory;
use super::message::{self, DONE, Frames, GO, Notice, Order};
use super::programs::Programs;
use crate::lens::LensRequest;
use crate::machine::StopFlag;
use crate::machine::clock::now_ns;
use crate::machine::guest::{GuestConfig, Pin};
use crate::machine::host_limits;
use crate::machine::stillness::{Stillness, TICK};
use crate::record::density::MemoryFigures;
use crate::record::quota::Quotas;
use crate::reduce::guest::{Ended, Guest, Lost, Times};

/// Beyond its deadline, a guest's process may take so long between two signs of life.
const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes read at once.
const PIECE: usize = 64 << 10;

/// How guests run at once.
#[derive(Debug)]
pub struct Fleet<'a> {
    /// What each guest may take of the host.
    pub quotas: Option<&'a Quotas>,
    /// Ends all guests.
    pub stop: &'a StopFlag,
}

/// Why there is no guest to tell about.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The program that runs them cannot be the process of a guest.
    #[error(
        "this program does not call `inkbed::run::fleet::serve_if_asked` at its beginning, so no guest can have a process of its own"
    )]
    NotServed,
    /// What runs guests runs one at a time.
    #[error("several guests at once run on KVM only")]
    OneAtATime,
    /// The user stopped them.
    #[error("interrupted")]
    Interrupted,
    /// The quotas cannot be had.
    #[error(transparent)]
    Quota(#[from] QuotaError),
    /// The system refused something that all guests need.
    #[error("cannot {action}")]
    Host {
        /// What was tried, as an infinitive.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

impl Fleet<'_> {
    /// Runs guests that are all alike but for the host CPUs that each runs on, from their start to the last one's end.
    pub fn run(
        &self,
        config: &GuestConfig,
        lenses: &LensRequest,
        pins: &[Pin],
    ) -> Result<Vec<Guest>, FleetError> {
        if !super::serves() {
            return Err(FleetError::NotServed);
        }
        let guests = pins.len() as u32;
        host_limits::allow_open_files(guests);
        let programs = Programs::share(&config.kernel, &config.modules)
            .map_err(host("share the programs between guests"))?;
        let cgroups = self.quotas.map(|quotas| Cgroups::create(quotas, guests)).transpose()?;
        let mut watch = Watch::new(self.stop, guests, config).map_err(host("wait for guests"))?;
        for (index, pin) in (0..guests).zip(pins) {
            let order = Order {
                parent: std::process::id(),
                config: GuestConfig { pin: pin.clone(), ..config.clone() },
                lenses: lenses.clone(),
                kernel: programs.kernel.clone(),
                modules: programs.modules.clone(),
            };
            let enter = |process| cgroups.as_ref().map_or(Ok(()), |cgroups| cgroups.enter(index, process));
            watch.add(Process::start(&order, &programs, enter));
        }
        watch.run_to_the_end()?;
        let mut ended: Vec<Guest> =
            std::mem::take(&mut watch.members).into_iter().map(Member::into_guest).collect();
        if let Some(cgroups) = &cgroups {
            for (index, guest) in ended.iter_mut().enumerate() {
                guest.cgroup = cgroups.used(index as u32);
            }
        }
        Ok(ended)
    }
}

fn host(action: &'static str) -> impl FnOnce(io::Error) -> FleetError {
    move |source| FleetError::Host { action, source }
}

/// A guest that is watched.
struct Member {
    process: Option<Process>,
    frames: Frames,
    check: Check,
    /// When it last gave a sign of life that may come once.
    heard: Instant,
    spawned_ns: u64,
    times: Times,
    memory_ranges: Vec<std::ops::Range<u64>>,
    memory: Option<MemoryFigures>,
    result: Option<Result<Ended, Lost>>,
    remains: Option<Remains>,
}

impl Member {
    fn into_guest(self) -> Guest {
        let remains = self.remains.as_ref();
        let lost = || Lost::Died(remains.map_or_else(|| "its process ended".to_owned(), last_words));
        Guest {
            user_ns: remains.map_or(0, |remains| remains.user_ns),
            system_ns: remains.map_or(0, |remains| remains.system_ns),
            result: self.result.unwrap_or_else(|| Err(lost())),
            times: self.times,
            memory: self.memory,
            cgroup: None,
        }
    }

    fn since_spawn(&self, at_ns: u64) -> Option<u64> {
        at_ns.checked_sub(self.spawned_ns)
    }

    /// Takes a message, and tells what came of it. An error: what cannot be.
    fn take(&mut self, notice: Notice, raw: &[u8]) -> Result<Came, String> {
        self.check.take(&notice, raw.len())?;
        self.heard = Instant::now();
        match notice {
            Notice::Created { at_ns, entered_ns, memory } => {
                self.times.entered_ns = self.since_spawn(entered_ns);
                self.times.created_ns = self.since_spawn(at_ns);
                let range = |(start, size): (u64, u64)| start..start.saturating_add(size);
                self.memory_ranges = memory.into_iter().map(range).collect();
            }
            Notice::Started { at_ns } => self.times.started_ns = self.since_spawn(at_ns),
            Notice::Ready { at_ns, .. } => {
                self.times.ready_ns = self.since_spawn(at_ns);
                return Ok(Came::ToFirstMark);
            }
            Notice::Measured { .. } => return Ok(Came::ToSecondMark),
            Notice::Ended { began_ns, mut run, lenses } => {
                run.samples = message::samples_from_bytes(raw);
                self.times.began_at_ns = began_ns;
                self.result.get_or_insert(Ok(Ended { run: *run, lenses }));
            }
            Notice::Failed { reason } => {
                self.result.get_or_insert(Err(Lost::NotStarted(reason)));
            }
        }
        Ok(if self.check.is_over() { Came::ToItsEnd } else { Came::Nearer })
    }
}

/// Where a guest has come, by its process's last message.
enum Came {
    Nearer,
    ToFirstMark,
    ToSecondMark,
    /// Its process has nothing more to say.
    ToItsEnd,
}

fn lie(reason: &str) -> String {
    format!("its process says what none of this build says: {reason}")
}

/// How a process ended, with the end of what it said.
fn last_words(remains: &Remains) -> String {
    match remains.words.is_empty() {
        true => format!("its process {}", remains.end),
        false => format!("its process {}; it said: {}", remains.end, remains.words),
    }
}

/// All guests of a case, and who waits for them.
struct Watch {
    epoll: Epoll,
    members: Vec<Member>,
    barrier: Barrier,
    config: GuestConfig,
    raw_size_max: u64,
    patience: Duration,
}

/// What the stop flag's events are known by; a member's by its index.
const STOP: u64 = u64::MAX;

impl Watch {
    fn new(stop: &StopFlag, guests: u32, config: &GuestConfig) -> io::Result<Watch> {
        let epoll = Epoll::new()?;
        epoll.ctl(ControlOperation::Add, stop.raw_fd(), EpollEvent::new(EventSet::IN, STOP))?;
        Ok(Watch {
            epoll,
            members: Vec::new(),
            barrier: Barrier::new(guests as usize),
            config: config.clone(),
            raw_size_max: config.sample_capacity.saturating_mul(size_of::<u64>() as u64),
            // Those of an experiment always have a deadline.
            patience: PATIENCE.saturating_add(config.deadline.unwrap_or_default()),
        })
    }

    /// Takes a process that was started, or was not.
    fn add(&mut self, started: io::Result<Process>) {
        let index = self.members.len();
        let watched = started.and_then(|process| {
            let event = EpollEvent::new(EventSet::IN | EventSet::HANG_UP, index as u64);
            self.epoll.ctl(ControlOperation::Add, process.socket(), event)?;
            Ok(process)
        });
        let (process, result) = match watched {
            Ok(process) => (Some(process), None),
            Err(error) => {
                self.barrier.end(index);
                let reason = format!("its process cannot be started: {error}");
                (None, Some(Err(Lost::NotStarted(reason))))
            }
        };
        let process_spawned_ns = process.as_ref().map_or(0, |process| process.spawned_ns);
        self.members.push(Member {
            spawned_ns: process_spawned_ns,
            process,
            frames: Frames::new(self.raw_size_max),
            check: Check::new(&self.config, process_spawned_ns),
            heard: Instant::now(),
            times: Times::default(),
            memory_ranges: Vec::new(),
            memory: None,
            result,
            remains: None,
        });
    }

    fn run_to_the_end(&mut self) -> Result<(), FleetError> {
        let mut stillness = Stillness::new();
        while !self.barrier.is_over() {
            let mut events = [EpollEvent::default(); 64];
            let (before, timeout) = (stillness.before(), self.timeout());
            let waited = self.epoll.wait(timeout.as_millis() as i32 + 1, &mut events);
            // While this process was stopped it could not hear.
            let deaf = stillness.after(before, timeout);
            self.members.iter_mut().for_each(|member| member.heard += deaf);
            let count = match waited {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                result => result.map_err(host("wait for guests"))?,
            };
            for event in &events[..count] {
                if event.data() == STOP {
                    self.kill_all();
                    return Err(FleetError::Interrupted);
                }
                self.listen(event.data() as usize);
            }
            self.give_up_on_the_silent();
            if let Some(waiting) = self.barrier.complete() {
                self.open(&waiting);
            }
            let calling = self.barrier.release();
            self.release(&calling);
        }
        Ok(())
    }

    /// All have measured: those that went on calling need not any more.
    fn release(&mut self, calling: &[usize]) {
        let at_ns = now_ns();
        for index in calling {
            let member = &mut self.members[*index];
            member.heard = Instant::now();
            member.times.called_until_ns = Some(at_ns);
            if let Some(process) = &member.process {
                process.tell(DONE);
            }
        }
    }

    /// Reads what a guest's process says.
    fn listen(&mut self, index: usize) {
        let mut piece = [0; PIECE];
        loop {
            let Some(member) = self.members.get_mut(index) else { return };
            let Some(process) = &member.process else { return };
            match process.read(&mut piece) {
                Ok(0) => return self.bury(index),
                Ok(count) => member.frames.push(&piece[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.bury(index),
            }
            loop {
                match member.frames.next() {
                    Ok(Some((notice, raw))) => match member.take(notice, &raw) {
                        Ok(Came::ToFirstMark) => self.barrier.arrive(index),
                        Ok(Came::ToSecondMark) => self.barrier.measured(index),
                        Ok(Came::ToItsEnd) => return self.bury(index),
                        Ok(Came::Nearer) => {}
                        Err(reason) => return self.lose(index, lie(&reason)),
                    },
                    Ok(None) => break,
                    Err(reason) => return self.lose(index, lie(&reason)),
                }
            }
        }
    }

    /// Kills a guest's process for a reason.
    fn lose(&mut self, index: usize, reason: String) {
        let Some(member) = self.members.get_mut(index) else { return };
        if let Some(process) = &mut member.process {
            process.kill();
        }
        member.result.get_or_insert(Err(Lost::Died(reason)));
        self.bury(index);
    }

    /// A guest's process will say nothing more.
    fn bury(&mut self, index: usize) {
        let Some(member) = self.members.get_mut(index) else { return };
        if let Some(process) = member.process.take() {
            let _ = self.epoll.ctl(ControlOperation::Delete, process.socket(), EpollEvent::default());
            member.remains = Some(process.reap());
        }
        self.barrier.end(index);
    }

    /// All guests that there are wait: this is when their memory can be compared. Then they go on together.
    fn open(&mut self, waiting: &[usize]) {
        for index in waiting {
            let member = &mut self.members[*index];
            let process = member.process.as_ref().map(Process::id);
            member.memory = process.and_then(|process| memory::measure(process, &member.memory_ranges));
        }
        self.barrier.open();
        for index in waiting {
            let member = &mut self.members[*index];
            member.heard = Instant::now();
            member.check.open();
            if let Some(process) = &member.process {
                process.tell(GO);
            }
        }
    }

    fn give_up_on_the_silent(&mut self) {
        let is_silent = |(index, member): &(usize, &Member)| {
            member.process.is_some()
                && !self.barrier.is_waiting(*index)
                && member.heard.elapsed() >= self.patience
        };
        let silent: Vec<usize> =
            self.members.iter().enumerate().filter(is_silent).map(|(index, _)| index).collect();
        for index in silent {
            let reason = format!("its process gave no sign of life for {} s", self.patience.as_secs());
            self.lose(index, reason);
        }
    }

    /// Until the next one could be given up, or it is time to look at the clocks.
    fn timeout(&self) -> Duration {
        let watched = self
            .members
            .iter()
            .enumerate()
            .filter(|(index, member)| member.process.is_some() && !self.barrier.is_waiting(*index));
        let heard = watched.map(|(_, member)| member.heard);
        let left = heard.min().map(|heard| (heard + self.patience).saturating_duration_since(Instant::now()));
        left.unwrap_or_default().min(TICK)
    }

    fn kill_all(&mut self) {
        for member in &mut self.members {
            if let Some(process) = &mut member.process {
                process.kill();
            }
        }
        for member in &mut self.members {
            member.remains = member.process.take().map(Process::reap);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.kill_all();
    }
}

#[cfg(test)]
#[path = "watch_tests.rs"]
mod tests;
