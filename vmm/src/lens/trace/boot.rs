//! What the kernel's boot takes: every instruction from the VMM's first to the one that leads to the first server, by function.
//!
//! The vCPU is stepped as for a trace (`super::recorder`), but nothing is kept besides the counts: a boot with many servers is
//! long, and what it touches is not asked for. A repeated string instruction is one.

use std::collections::BTreeMap;

use abi::address::KERNEL_IMAGE_BASE;
use iced_x86::Instruction;

use crate::lens::trace::TraceError;
use crate::lens::trace::access::{code_address, read_word, registers};
use crate::lens::trace::decode::{self, Gates, successors};
use crate::lens::trace::effect;
use crate::lens::trace::gap::Gap;
use crate::lens::trace::recording::INSTRUCTION_SIZE_MAX;
use crate::lens::trace::repeat::is_repeated;
use crate::machine::debug::CpuState;
use crate::machine::guest::{GuestConfig, GuestRun, Outcome};
use crate::machine::memory::GuestMemory;
use crate::machine::observe::Observer;
use crate::machine::symbolise::Symbols;
use crate::machine::vcpu::Vcpu;
use crate::machine::{MachineError, StopFlag, run_observed, walk};

/// A boot of the kernel, counted.
#[derive(Debug)]
pub struct Boot {
    /// The run that was counted. Its times mean nothing.
    pub run: GuestRun,
    /// Instructions of the kernel.
    pub instructions: u64,
    /// The same by function; what the symbols do not name is "kernel".
    pub functions: BTreeMap<String, u64>,
}

/// Boots the guest, which must have one CPU, and counts the kernel's instructions until the first server's first.
pub fn boot(config: &GuestConfig, stop: &StopFlag) -> Result<Boot, TraceError> {
    let mut counter = Counter::default();
    let run = run_observed(config, stop, &mut counter)?;
    if let Some(gap) = counter.gap {
        return Err(gap.into());
    }
    if run.outcome != (Outcome::Finished { status: 0 }) {
        return Err(TraceError::Outcome(Box::new(run.outcome)));
    }
    if !counter.is_over {
        return Err(Gap::NoMarks.into());
    }
    let symbols = Symbols::new(&config.kernel);
    let mut functions = BTreeMap::new();
    for (address, count) in &counter.counts {
        let name = symbols.find(*address).map_or("kernel", |(name, _)| name);
        *functions.entry(name.to_owned()).or_insert(0) += count;
    }
    Ok(Boot { run, instructions: counter.counts.values().sum(), functions })
}

/// The instruction that the vCPU executes now.
#[derive(Debug)]
struct Pending {
    instruction: Instruction,
    successors: Vec<u64>,
    /// The vCPU has once stopped at it without executing it.
    has_retried: bool,
}

/// Counts a guest; see the module.
#[derive(Default)]
struct Counter {
    memory: Option<GuestMemory>,
    is_over: bool,
    pending: Option<Pending>,
    /// Address of the last instruction, if that is a repeated one.
    repeating: Option<u64>,
    /// By address.
    counts: BTreeMap<u64, u64>,
    gap: Option<Gap>,
}

impl Counter {
    /// Counts the instruction that the vCPU is about to execute, and asks KVM to stop behind it; lets the vCPU run freely where it
    /// leaves the kernel.
    fn arm(&mut self, vcpu: &Vcpu) -> Result<(), MachineError> {
        let state = vcpu.state()?;
        if code_address(&state) < KERNEL_IMAGE_BASE {
            return self.end(vcpu);
        }
        let (instruction, successors) = match self.look_at(&state) {
            Ok(found) => found,
            Err(gap) => {
                self.gap = Some(gap);
                return self.end(vcpu);
            }
        };
        let address = instruction.ip();
        if self.repeating != Some(address) {
            *self.counts.entry(address).or_insert(0) += 1;
        }
        self.repeating = is_repeated(&instruction).then_some(address);
        if successors.iter().all(|address| *address < KERNEL_IMAGE_BASE) {
            return self.end(vcpu);
        }
        self.expect(vcpu, Pending { instruction, successors, has_retried: false })
    }

    fn look_at(&self, state: &CpuState) -> Result<(Instruction, Vec<u64>), Gap> {
        let (address, root) = (code_address(state), state.system.cr3);
        let memory = self.memory.as_ref().ok_or(Gap::Unreadable(address))?;
        let registers = registers(state);
        let bytes = walk::read(memory, root, address, INSTRUCTION_SIZE_MAX);
        let instruction = decode::decode(&bytes, address, registers.mode).ok_or(Gap::Unreadable(address))?;
        // Nobody calls the kernel yet, so no gate counts.
        let read = |address| read_word(memory, root, address);
        let successors = successors(&instruction, &registers, &Gates::default(), &read);
        if successors.is_empty() {
            return Err(Gap::CannotFollow { address, mnemonic: instruction.mnemonic() });
        }
        Ok((instruction, successors))
    }

    /// Asks KVM to stop where the instruction leads.
    fn expect(&mut self, vcpu: &Vcpu, pending: Pending) -> Result<(), MachineError> {
        let own = pending.instruction.ip();
        // A breakpoint where the vCPU is would only stop it there.
        let breakpoints: Vec<u64> =
            pending.successors.iter().copied().filter(|address| *address != own).collect();
        vcpu.arm_step(&breakpoints)?;
        self.pending = Some(pending);
        Ok(())
    }

    fn end(&mut self, vcpu: &Vcpu) -> Result<(), MachineError> {
        self.is_over = true;
        vcpu.disarm()
    }
}

impl Observer for Counter {
    fn attach(&mut self, memory: &GuestMemory) {
        self.memory = Some(memory.clone());
    }

    fn before_entry(&mut self, vcpu: &mut Vcpu) -> Result<bool, MachineError> {
        // An instruction that is still pending was interrupted by a signal, or has left the guest: the vCPU is armed for it.
        if !self.is_over && self.pending.is_none() {
            self.arm(vcpu)?;
        }
        Ok(true)
    }

    fn stopped(&mut self, vcpu: &mut Vcpu) -> Result<(), MachineError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let found = code_address(&vcpu.state()?);
        if pending.successors.contains(&found) {
            return Ok(());
        }
        if found == pending.instruction.ip() && !pending.has_retried {
            // A trap was pending from before (on VMX, behind an OUT): the instruction has not run yet.
            return self.expect(vcpu, Pending { has_retried: true, ..pending });
        }
        self.gap = Some(Gap::LostStep {
            number: usize::try_from(self.counts.values().sum::<u64>()).unwrap_or(usize::MAX),
            from: pending.instruction.ip(),
            instruction: effect::disassemble(&pending.instruction),
            expected: pending.successors,
            found,
        });
        self.end(vcpu)
    }

    fn doorbell(&mut self, _: &mut Vcpu, _: u32) -> Result<(), MachineError> {
        Ok(())
    }
}
