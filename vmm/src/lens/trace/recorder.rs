//! Steps vCPU 0 from the first mark to the second and records each instruction.
//!
//! **How a step is made.** Before each instruction the recorder knows the registers, decodes, and works out where the
//! instruction can lead ([`successors`]). It then asks KVM for a single step *and* for breakpoints at those places, so that
//! either finds the next instruction; where they do not agree with what was worked out, there is a gap. What loses a
//! step, and what is done about it (each was seen on one of the three KVMs that the tests run on):
//!
//! * SYSCALL: whether it traps is decided by the flags it leaves (Xen's XSA-204), and IA32_FMASK clears TF. The recorder
//!   takes TF out of the mask between the marks, sets a breakpoint at IA32_LSTAR, and removes TF from R11 behind it.
//! * SYSRET, IRETQ to ring 3, STI: which step is lost differs between all three. INT from ring 3: it clears TF, and on kvm_amd
//!   inside QEMU no breakpoint finds its handler. The recorder executes them itself ([`by_hand`]): it sets registers and
//!   stack as the instruction would, so that there is nothing to lose.
//! * Ring 3 where KVM emulates ring 0: neither step nor breakpoint works, and a trap by TF goes to the guest. The
//!   recorder sets TF itself and a breakpoint at the guest's handler of debug exceptions, and returns to ring 3 in the
//!   guest's place before the handler's first instruction has run.
//! * There, SWAPGS loses the step, and a SYSCALL arrives at the handler of page faults: breakpoints find both.
//! * Interrupts are blocked by KVM (KVM_GUESTDBG_BLOCKIRQ).
//!
//! All addresses are linear: in compatibility mode RIP is an offset in CS.

use abi::address::KERNEL_IMAGE_BASE;
use abi::port::doorbell;
use abi::region::START_INFO_OFFSET;
use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic};
use kvm_bindings::kvm_regs;

use crate::lens::trace::access::{
    Accesses, PAGE_TABLE_ADDRESS, code_address, cr4, read_word, region_of, registers,
};
use crate::lens::trace::by_hand::{self, frame_from_user};
use crate::lens::trace::decode::{self, Gates, Operand, Registers, successors};
use crate::lens::trace::effect;
use crate::lens::trace::gap::Gap;
use crate::lens::trace::implicit::{self, Tables};
use crate::lens::trace::recording::{INSTRUCTION_SIZE_MAX, Recording, Region, Step};
use crate::lens::trace::repeat::{Repeated, is_repeated};
use crate::machine::MachineError;
use crate::machine::debug::{CpuState, MSR_CSTAR, MSR_FMASK, MSR_LSTAR, MSR_SYSENTER_EIP, TRAP_FLAG};
use crate::machine::memory::GuestMemory;
use crate::machine::observe::Observer;
use crate::machine::vcpu::Vcpu;
use crate::machine::walk;
use crate::tlb::stream::AccessKind;

/// Most instructions of a trace: a quarter of a GiB of records, besides those of the pages that they touch
/// ([`crate::lens::trace::access::PAGES_MAX`]).
const STEPS_MAX: usize = 1 << 20;

const DEBUG_VECTOR: u8 = 1;
const PAGE_FAULT_VECTOR: u8 = 14;

/// How far the trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// The first mark has not come.
    Waiting,
    /// The first mark is here, its instruction not complete.
    Starting,
    Stepping,
    /// The second mark is here; the vCPU stops so many more times before it is let go.
    Ending(u8),
    Over,
}

/// Stops behind the second mark: one completes its instruction, and one takes the trap that some KVMs leave pending
/// behind it, which would otherwise go to the guest.
const STOPS_AT_END: u8 = 2;

/// The instruction that the vCPU executes now.
#[derive(Clone, Debug)]
struct Pending {
    instruction: Instruction,
    successors: Vec<u64>,
}

/// Records a guest; see the module.
pub(crate) struct Recorder {
    memory: Option<GuestMemory>,
    progress: Progress,
    pending: Option<Pending>,
    /// The vCPU has once stopped at the pending instruction without executing it.
    has_retried: bool,
    gates: Gates,
    /// IA32_FMASK as the guest has it.
    flag_mask: u64,
    factory: InstructionInfoFactory,
    /// The state before the last instruction recorded, if that is a repeated one.
    repeating: Option<CpuState>,
    accesses: Accesses,
    recording: Recording,
    gap: Option<Gap>,
}

impl Recorder {
    pub(crate) fn new() -> Recorder {
        Recorder {
            memory: None,
            progress: Progress::Waiting,
            pending: None,
            has_retried: false,
            gates: Gates::default(),
            flag_mask: 0,
            factory: InstructionInfoFactory::new(),
            repeating: None,
            accesses: Accesses::default(),
            recording: Recording::default(),
            gap: None,
        }
    }

    /// What was recorded, if it is without a gap.
    pub(crate) fn finish(self) -> Result<Recording, Gap> {
        match (self.gap, self.progress, &self.pending) {
            (Some(gap), _, _) => Err(gap),
            (None, Progress::Over, _) => Ok(self.recording),
            (None, Progress::Stepping, Some(pending)) => Err(never_stopped(pending, &self.recording)),
            (None, _, _) => Err(Gap::NoMarks),
        }
    }

    /// Whether there will be no trace, and the guest has run on without being stepped.
    pub(crate) fn has_given_up(&self) -> bool {
        self.gap.is_some()
    }

    fn memory(&self) -> Result<&GuestMemory, MachineError> {
        self.memory.as_ref().ok_or(MachineError::Internal("a guest runs before its recorder has its memory"))
    }

    fn start(&mut self, vcpu: &mut Vcpu) -> Result<(), MachineError> {
        complete_port_write(vcpu);
        let state = vcpu.state()?;
        let memory = self.memory()?;
        let interrupts = state.system.idt.base;
        let read = |address| read_word(memory, state.system.cr3, address);
        let gate = |vector| {
            implicit::gate(interrupts, vector, &read).map_or_else(Default::default, |gate| gate.target)
        };
        let system_call = vcpu.read_msr(MSR_LSTAR)?;
        self.gates = Gates {
            system_call,
            system_call_32: vcpu.read_msr(MSR_CSTAR)?,
            sysenter: vcpu.read_msr(MSR_SYSENTER_EIP)?,
            interrupts,
            page_fault: gate(PAGE_FAULT_VECTOR),
            debug: gate(DEBUG_VECTOR),
        };
        self.flag_mask = vcpu.read_msr(MSR_FMASK)?;
        vcpu.write_msr(MSR_FMASK, self.flag_mask & !TRAP_FLAG)?;
        self.recording.system_call_entry = system_call;
        self.recording.cpu_record = state.system.gs.base;
        self.recording.has_pcids = state.system.cr4 & cr4::PCIDS != 0;
        self.progress = Progress::Stepping;
        Ok(())
    }

    fn end(&mut self, vcpu: &mut Vcpu) -> Result<(), MachineError> {
        self.progress = Progress::Over;
        vcpu.write_msr(MSR_FMASK, self.flag_mask)?;
        vcpu.disarm()
    }

    /// Gives up: the guest runs on to its end, but there will be no trace.
    fn give_up(&mut self, vcpu: &mut Vcpu, gap: Gap) -> Result<(), MachineError> {
        self.gap.get_or_insert(gap);
        self.end(vcpu)
    }

    /// Records the instruction that the vCPU is about to execute, and asks KVM to stop behind it; or executes it
    /// by hand, with nothing pending then.
    fn arm(&mut self, vcpu: &mut Vcpu) -> Result<(), MachineError> {
        let state = vcpu.state()?;
        let memory = self.memory()?.clone();
        let (instruction, successors) = match self.record(&memory, &state) {
            Ok(recorded) => recorded,
            Err(gap) => return self.give_up(vcpu, gap),
        };
        if by_hand::execute(vcpu, &instruction, &state, &memory)? {
            return Ok(());
        }
        self.has_retried = false;
        self.expect(vcpu, &state, Pending { instruction, successors })
    }

    /// Asks KVM to stop where the instruction leads.
    fn expect(&mut self, vcpu: &Vcpu, state: &CpuState, pending: Pending) -> Result<(), MachineError> {
        let Pending { instruction, successors } = &pending;
        let handlers = [self.gates.debug, self.gates.page_fault];
        let unexpected = handlers.iter().filter(|address| !successors.contains(address));
        // A breakpoint where the vCPU is would only stop it there.
        let breakpoints: Vec<u64> = successors
            .iter()
            .chain(unexpected)
            .copied()
            .filter(|address| *address != instruction.ip())
            .collect();
        vcpu.arm_step(&breakpoints)?;
        let keeps_flag = matches!(instruction.mnemonic(), Mnemonic::Syscall | Mnemonic::Sysenter);
        if state.ring() == 3 && !keeps_flag {
            let general = kvm_regs { rflags: state.general.rflags | TRAP_FLAG, ..state.general };
            vcpu.set_general(&general)?;
        }
        self.pending = Some(pending);
        Ok(())
    }

    fn record(&mut self, memory: &GuestMemory, state: &CpuState) -> Result<(Instruction, Vec<u64>), Gap> {
        let registers = registers(state);
        let address = code_address(state);
        let root = state.system.cr3;
        let bytes = walk::read(memory, root, address, INSTRUCTION_SIZE_MAX);
        let instruction = decode::decode(&bytes, address, registers.mode).ok_or(Gap::Unreadable(address))?;
        let read_word = |address| read_word(memory, root, address);
        let successors = successors(&instruction, &registers, &self.gates, &read_word);
        if successors.is_empty() {
            return Err(Gap::CannotFollow { address, mnemonic: instruction.mnemonic() });
        }
        let is_next_repetition = is_repeated(&instruction)
            && self.recording.steps.last().is_some_and(|step| step.address == address);
        if is_next_repetition {
            return Ok((instruction, successors));
        }
        self.end_repetition(memory, &registers)?;
        if self.recording.steps.len() >= STEPS_MAX {
            return Err(Gap::TooLong(STEPS_MAX));
        }
        let region = self.note_region(memory, state, address)?;

        let fetch = Operand {
            address,
            size_bytes: instruction.len() as u64,
            kind: AccessKind::Fetch,
            is_implicit: false,
        };
        let mut operands = vec![fetch];
        let is_repeated = is_repeated(&instruction);
        if !is_repeated {
            operands.extend(self.operands(&instruction, &registers)?);
            let tables = Tables {
                descriptors: state.system.gdt.base,
                interrupts: state.system.idt.base,
                task_state: state.system.tr.base,
            };
            operands.extend(implicit::operands(&instruction, &registers, &tables, &read_word));
        }
        let mut accesses = Vec::new();
        self.accesses
            .add(&mut accesses, memory, state, &operands)
            .map_err(|most| too_much(&instruction, most))?;
        let mut code = [0; INSTRUCTION_SIZE_MAX];
        code[..instruction.len()].copy_from_slice(&bytes[..instruction.len()]);
        self.recording.steps.push(Step {
            address,
            mode: registers.mode,
            region,
            bytes: code,
            length: instruction.len() as u8,
            ring: state.ring(),
            page_table: root & PAGE_TABLE_ADDRESS,
            accesses,
            event: effect::on_tlb(&instruction, &registers, state.system.cr4, &read_word),
            repeated: Repeated::default(),
        });
        self.repeating = is_repeated.then_some(*state);
        Ok((instruction, successors))
    }

    fn operands(&mut self, instruction: &Instruction, registers: &Registers) -> Result<Vec<Operand>, Gap> {
        let (address, mnemonic) = (instruction.ip(), instruction.mnemonic());
        decode::operands(&mut self.factory, instruction, registers)
            .ok_or(Gap::CannotFollow { address, mnemonic })
    }

    /// The last instruction recorded is over, and these are the registers behind it. If it was a repeated one, what it has touched
    /// is known only now.
    fn end_repetition(&mut self, memory: &GuestMemory, behind: &Registers) -> Result<(), Gap> {
        let Some(before) = self.repeating.take() else { return Ok(()) };
        let Some(instruction) = self.recording.steps.last().and_then(Step::instruction) else {
            return Ok(());
        };
        let mut registers = registers(&before);
        let (first, last) = (registers.repetitions(), behind.repetitions());
        let repeated = Repeated::between(&instruction, first, last, behind.general.rflags);
        registers.general.rcx = repeated.repetitions;
        let operands = self.operands(&instruction, &registers)?;
        let Some(step) = self.recording.steps.last_mut() else { return Ok(()) };
        step.repeated = repeated;
        let added = self.accesses.add(&mut step.accesses, memory, &before, &operands);
        added.map_err(|most| too_much(&instruction, most))
    }

    /// Finds out which server's code this is. Every region tells it in its start information.
    fn note_region(&mut self, memory: &GuestMemory, state: &CpuState, address: u64) -> Result<Region, Gap> {
        let region = region_of(address, state);
        if address >= KERNEL_IMAGE_BASE || self.recording.regions.contains_key(&region) {
            return Ok(region);
        }
        const SERVER_OFFSET: u64 = std::mem::offset_of!(abi::region::StartInfo, server) as u64;
        let place = region.base + START_INFO_OFFSET + SERVER_OFFSET;
        let bytes = walk::read(memory, state.system.cr3, place, 4);
        let server = bytes.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
        self.recording.regions.insert(region, server.ok_or(Gap::Stray(address))?);
        Ok(region)
    }

    /// Undoes the exception, where a trap in ring 3 went to the guest's handler: the vCPU is before the handler's first
    /// instruction, with the exception's frame on its stack.
    fn leave_debug_handler(&self, vcpu: &Vcpu, state: CpuState) -> Result<CpuState, MachineError> {
        let Some(user) = frame_from_user(&state, self.memory()?) else { return Ok(state) };
        vcpu.enter(&user)?;
        Ok(user)
    }
}

impl Observer for Recorder {
    fn attach(&mut self, memory: &GuestMemory) {
        self.memory = Some(memory.clone());
    }

    fn before_entry(&mut self, vcpu: &mut Vcpu) -> Result<bool, MachineError> {
        if self.progress == Progress::Starting {
            self.start(vcpu)?;
        }
        if matches!(self.progress, Progress::Ending(stops) if stops < STOPS_AT_END) {
            vcpu.arm_step(&[])?;
        }
        // An instruction that is still pending was interrupted by a signal: the vCPU is armed for it.
        if self.progress == Progress::Stepping && self.pending.is_none() {
            self.arm(vcpu)?;
        }
        // Behind each instruction done by hand somebody may want to stop the guest.
        Ok(self.progress != Progress::Stepping || self.pending.is_some())
    }

    fn stopped(&mut self, vcpu: &mut Vcpu) -> Result<(), MachineError> {
        match self.progress {
            Progress::Ending(1) => return self.end(vcpu),
            Progress::Ending(stops) => self.progress = Progress::Ending(stops.saturating_sub(1)),
            _ => {}
        }
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let mut state = vcpu.state()?;
        let is_expected = |state: &CpuState| pending.successors.contains(&code_address(state));
        if code_address(&state) == self.gates.debug && !is_expected(&state) {
            state = self.leave_debug_handler(vcpu, state)?;
        }
        if pending.instruction.mnemonic() == Mnemonic::Syscall {
            state.general.r11 &= !TRAP_FLAG;
            vcpu.set_general(&state.general)?;
        }
        if is_expected(&state) {
            return Ok(());
        }
        if code_address(&state) == pending.instruction.ip() && !self.has_retried {
            // A trap was pending from before (on VMX, behind an OUT): the instruction has not run yet.
            self.has_retried = true;
            return self.expect(vcpu, &state, pending);
        }
        let gap = Gap::LostStep {
            number: self.recording.steps.len(),
            from: pending.instruction.ip(),
            instruction: effect::disassemble(&pending.instruction),
            expected: pending.successors,
            found: code_address(&state),
        };
        self.give_up(vcpu, gap)
    }

    fn doorbell(&mut self, vcpu: &mut Vcpu, value: u32) -> Result<(), MachineError> {
        match (self.progress, value) {
            (Progress::Waiting, doorbell::MEASURE_BEGIN) => self.progress = Progress::Starting,
            // Where several CPUs measure, the part of this one ends before the second mark, which another one may make.
            (Progress::Stepping, doorbell::MEASURE_END | doorbell::PART_MEASURED) => {
                // The mark's own instruction, or the vCPU has run away.
                match self.pending.take() {
                    Some(pending) if pending.instruction.mnemonic() != Mnemonic::Out => {
                        let gap = never_stopped(&pending, &self.recording);
                        self.give_up(vcpu, gap)?;
                    }
                    _ => self.progress = Progress::Ending(STOPS_AT_END),
                }
            }
            _ => {}
        }
        Ok(())
    }
}

fn too_much(instruction: &Instruction, most: u64) -> Gap {
    Gap::TooMuch { address: instruction.ip(), instruction: effect::disassemble(instruction), most }
}

fn never_stopped(pending: &Pending, recording: &Recording) -> Gap {
    Gap::NeverStopped {
        number: recording.steps.len(),
        from: pending.instruction.ip(),
        instruction: effect::disassemble(&pending.instruction),
        expected: pending.successors.clone(),
    }
}

/// Completes an OUT, which otherwise happens at the next KVM_RUN (api.rst, kvm_run: `immediate_exit`). A kick that this
/// overwrites is not lost: the vCPU stops after its next instruction, and its thread looks whether it is to stop.
fn complete_port_write(vcpu: &mut Vcpu) {
    vcpu.fd.set_kvm_immediate_exit(1);
    // Returns EINTR.
    let _ = vcpu.fd.run();
    vcpu.fd.set_kvm_immediate_exit(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recorder_without_marks_has_no_trace() {
        assert_eq!(Recorder::new().finish().unwrap_err(), Gap::NoMarks);
    }
}
