//! From the end of a guest's last vCPU to a typed result.

use std::collections::BTreeMap;

use abi::address::PAGE_SIZE;
use abi::port::exit_code;
use abi::report::{Fault, Registers, state};

use crate::machine::error::MachineError;
use crate::machine::exception;
use crate::machine::exit::End;
use crate::machine::guest::{GuestConfig, GuestRun, LastWords, Outcome, ServerFault};
use crate::machine::last_words::{Coroner, locate_in_program};
use crate::machine::layout::Layout;
use crate::machine::memory::GuestMemory;
use crate::machine::report::{self, Bounds, CheckedReport};
use crate::machine::threads::Stopped;
use crate::machine::vcpu::Vcpu;

/// A guest that does not run any more.
pub(crate) struct Guest<'a> {
    pub config: &'a GuestConfig,
    pub memory: &'a GuestMemory,
    pub layout: &'a Layout,
    pub vcpus: &'a [Vcpu],
}

/// Reads and judges what the guest left behind. Times, statistics and console are the caller's to fill in.
pub(crate) fn collect(guest: &Guest<'_>, end: &Stopped) -> Result<GuestRun, MachineError> {
    let bounds = Bounds {
        sample_capacity: guest.config.sample_capacity,
        servers: guest.config.servers.len(),
        vcpus: guest.config.vcpus,
        frames: guest.config.memory_bytes / PAGE_SIZE,
    };
    let checked = report::check(&report::read(guest.memory, guest.layout)?, bounds);
    let outcome = guest.outcome(end, &checked);
    // A guest that was stopped half-way, or that lies, has no result; what it looked like is in the outcome.
    let report = checked.ok().flatten().unwrap_or_default();
    Ok(GuestRun {
        samples: report::read_samples(guest.memory, guest.layout, &report)?,
        cpus: report::read_cpus(guest.memory, guest.layout, guest.config.vcpus)?,
        faults: report.faults.iter().map(|fault| guest.describe(fault)).collect(),
        state: report.state,
        features: report.features,
        flush: report.flush,
        round_trips: report.round_trips,
        round_trips_announced: None,
        channel_count: report.channel_count.max(1),
        measured_ticks: report.measured_ticks,
        calls_answered_meanwhile: report.calls_answered_meanwhile,
        calls_failed: report.calls_failed,
        frames_in_use: report.frames_in_use,
        outcome,
        pmu: (report.state >= state::MEASURED).then(|| Box::new(report.pmu)),
        kvm_stats: BTreeMap::new(),
        kvm_pages: BTreeMap::new(),
        stood_still_ns: 0,
        ran_elsewhere: false,
        cpu_ns: None,
        run_delay_ns: None,
        console: Vec::new(),
        tsc_hz: 0,
        create_ns: 0,
        boot_ns: None,
        began_at_ns: None,
        measured_ns: None,
    })
}

impl Guest<'_> {
    fn outcome(&self, end: &Stopped, report: &Result<Option<CheckedReport>, String>) -> Outcome {
        let (cpu, end) = match end {
            Stopped::User => return Outcome::Interrupted,
            Stopped::Deadlock => return Outcome::Deadlock,
            Stopped::Deadline(deadline) => {
                return Outcome::Hang { deadline: *deadline, last_words: self.last_words(self.busiest()) };
            }
            Stopped::Vcpu(cpu, end) => (*cpu, end),
        };
        match end {
            End::TripleFault => Outcome::TripleFault { last_words: self.last_words(cpu) },
            End::Kvm(reason) => {
                Outcome::KvmError { reason: reason.clone(), last_words: self.last_words(cpu) }
            }
            End::Unexpected(reason) => {
                Outcome::UnexpectedExit { reason: reason.clone(), last_words: self.last_words(cpu) }
            }
            End::Code(code) => {
                let judged = match report {
                    Ok(report) => self.own_end(cpu, *code, report.as_ref()),
                    Err(reason) => Err(reason.clone()),
                };
                judged.unwrap_or_else(|reason| Outcome::Corrupt { reason })
            }
        }
    }

    /// What the code at the exit port means together with the report; the error is a contradiction.
    fn own_end(&self, cpu: u32, code: u32, report: Option<&CheckedReport>) -> Result<Outcome, String> {
        let message = || report.map_or_else(String::new, |report| report.message.clone());
        let written = || report.ok_or_else(|| "the kernel ended without a report".to_owned());
        match code {
            exit_code::FINISHED => {
                let report = written()?;
                if report.state != state::FINISHED {
                    return Err(format!(
                        "the kernel says that it finished, but its report's state is {}",
                        report.state
                    ));
                }
                Ok(Outcome::Finished { status: report.driver_status })
            }
            exit_code::PANIC => {
                let reported = report.filter(|report| report.last_words != Registers::default());
                let last_words = match reported {
                    Some(report) => self.coroner().last_words(report.last_words_cpu, report.last_words),
                    None => self.last_words(cpu),
                };
                Ok(Outcome::Panic { message: message(), last_words })
            }
            exit_code::REFUSED => Ok(Outcome::Refused { message: message() }),
            exit_code::DRIVER_DIED => written().map(|_| Outcome::DriverDied),
            exit_code::DEADLOCK => written().map(|_| Outcome::Deadlock),
            code => Err(format!("exit code {code:#x}")),
        }
    }

    /// The first vCPU that does not wait in HLT: in a hang it has more to tell than one that does.
    fn busiest(&self) -> u32 {
        self.vcpus.iter().find(|vcpu| !vcpu.is_halted()).map_or(0, |vcpu| vcpu.index)
    }

    fn last_words(&self, cpu: u32) -> LastWords {
        let registers = self.vcpus.get(cpu as usize).map(Vcpu::registers).unwrap_or_default();
        self.coroner().last_words(cpu, registers)
    }

    fn coroner(&self) -> Coroner<'_> {
        Coroner::new(self.memory, &self.config.kernel, &self.config.modules)
    }

    fn describe(&self, fault: &Fault) -> ServerFault {
        let server = self.config.servers.get(fault.server as usize);
        let program = server.and_then(|server| self.config.modules.get(server.module as usize));
        let offset = fault.rip.checked_sub(fault.region_base);
        let in_region = offset.filter(|offset| *offset < abi::address::REGION_SIZE);
        ServerFault {
            fault: *fault,
            program: program.map_or_else(|| format!("server {}", fault.server), |elf| elf.name.clone()),
            description: exception::describe(fault),
            location: match (program, in_region) {
                (Some(program), Some(offset)) => locate_in_program(program, offset),
                _ => format!("{:#x}, outside of its region", fault.rip),
            },
        }
    }
}
