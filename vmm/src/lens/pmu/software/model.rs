//! Registers that behave as the manuals, and KVM where it differs, say. No guest needed.

use abi::pmu::selector;

use crate::lens::pmu::event::Event;
use crate::lens::pmu::program::FIXED;
use crate::lens::pmu::shape::{Counters, Shape};
use crate::lens::pmu::software::Defect;
use crate::lens::pmu::table::{EventTable, ProcessorEvent, for_shape};
use crate::machine::probe::Fault;

/// What the guest has executed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Instructions in ring 0.
    pub kernel: u64,
    /// Instructions in ring 3.
    pub user: u64,
}

/// Bits that a selector may not have on Intel: the upper half and AnyThread (Linux, vmx/pmu_intel.c, `reserved_bits`).
const INTEL_RESERVED: u64 = 0xffff_ffff_0020_0000;
/// Bits that AMD's selectors drop (svm/pmu.c).
const AMD_DROPPED: u64 = 0xffff_fff0_0028_0000;
/// Bits that select the event, not when and whether it is counted.
const EVENT_BITS: u64 = 0x0000_000f_ff00_ffff;
/// A fixed counter's control field: ring 0, ring 3, interrupt.
const FIXED_KERNEL: u64 = 1;
const FIXED_USER: u64 = 2;
const FIXED_ALLOWED: u64 = 0xb;

/// What a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Register {
    Selector(usize),
    Counter(usize),
    Fixed(usize),
    FixedControl,
    GlobalStatus,
    GlobalControl,
    GlobalClear,
}

/// The counters of one CPU.
#[derive(Clone, Debug)]
pub struct Model {
    counters: Counters,
    table: &'static EventTable,
    width: u32,
    selectors: Vec<u64>,
    values: Vec<u64>,
    fixed: Vec<u64>,
    fixed_control: u64,
    global_control: u64,
    global_status: u64,
    defect: Option<Defect>,
}

impl Model {
    /// The counters of `shape`, as after a reset: all general ones enabled in the global switch, no fixed one.
    pub fn new(shape: &Shape, defect: Option<Defect>) -> Model {
        let general = shape.general as usize;
        Model {
            counters: shape.counters,
            table: for_shape(shape),
            width: shape.width,
            selectors: vec![0; general],
            values: vec![0; general],
            fixed: vec![0; shape.fixed as usize],
            fixed_control: 0,
            global_control: (1 << general) - 1,
            global_status: 0,
            defect,
        }
    }

    pub(crate) fn set_defect(&mut self, defect: Defect) {
        self.defect = Some(defect);
    }

    fn is_intel(&self) -> bool {
        matches!(self.counters, Counters::Intel { .. })
    }

    fn has_global(&self) -> bool {
        match self.counters {
            Counters::Intel { version, .. } => version >= 2,
            Counters::AmdPerfmonV2 => true,
            Counters::AmdLegacy | Counters::AmdCore => false,
        }
    }

    fn mask(&self) -> u64 {
        u64::MAX >> (64 - self.width)
    }

    fn global_bits(&self) -> u64 {
        let (general, fixed) = (self.values.len(), self.fixed.len());
        ((1 << general) - 1) | (((1 << fixed) - 1) << 32)
    }

    /// Intel SDM vol. 4, table 2-2; AMD APM vol. 2, 13.2.1.
    fn decode(&self, register: u32) -> Result<Register, Fault> {
        let general = self.values.len() as u32;
        let has_core = matches!(self.counters, Counters::AmdCore | Counters::AmdPerfmonV2);
        let found = match register {
            0x186..=0x18d if self.is_intel() => index(register - 0x186, general).map(Register::Selector),
            0xc1..=0xc8 if self.is_intel() => index(register - 0xc1, general).map(Register::Counter),
            0x309..=0x30c if self.is_intel() => {
                index(register - 0x309, self.fixed.len() as u32).map(Register::Fixed)
            }
            0x38d if self.is_intel() && self.has_global() => Some(Register::FixedControl),
            0x38e if self.is_intel() && self.has_global() => Some(Register::GlobalStatus),
            0x38f if self.is_intel() && self.has_global() => Some(Register::GlobalControl),
            0x390 if self.is_intel() && self.has_global() => Some(Register::GlobalClear),
            0xc001_0000..=0xc001_0003 if !self.is_intel() => {
                index(register - 0xc001_0000, general).map(Register::Selector)
            }
            0xc001_0004..=0xc001_0007 if !self.is_intel() => {
                index(register - 0xc001_0004, general).map(Register::Counter)
            }
            0xc001_0200..=0xc001_020f if has_core => {
                let number = register - 0xc001_0200;
                let kind = if number.is_multiple_of(2) { Register::Selector } else { Register::Counter };
                index(number / 2, general).map(kind)
            }
            0xc000_0300 if self.counters == Counters::AmdPerfmonV2 => Some(Register::GlobalStatus),
            0xc000_0301 if self.counters == Counters::AmdPerfmonV2 => Some(Register::GlobalControl),
            0xc000_0302 if self.counters == Counters::AmdPerfmonV2 => Some(Register::GlobalClear),
            _ => None,
        };
        found.ok_or(Fault)
    }

    /// RDMSR.
    pub fn read(&self, register: u32) -> Result<u64, Fault> {
        let decoded = self.decode(register)?;
        if self.defect == Some(Defect::Deaf) {
            return Ok(0);
        }
        Ok(match decoded {
            Register::Selector(index) => self.selectors[index],
            Register::Counter(index) => self.values[index],
            Register::Fixed(index) => self.fixed[index],
            Register::FixedControl => self.fixed_control,
            Register::GlobalStatus => self.global_status,
            Register::GlobalControl => self.global_control,
            Register::GlobalClear => 0,
        })
    }

    /// WRMSR. Intel faults on reserved bits and read-only registers, AMD drops them (svm/pmu.c).
    pub fn write(&mut self, register: u32, value: u64) -> Result<(), Fault> {
        let reserved = match self.decode(register)? {
            Register::Selector(_) if self.is_intel() => INTEL_RESERVED,
            Register::Fixed(_) => !self.mask(),
            Register::FixedControl => !self.fixed_control_bits(),
            Register::GlobalControl | Register::GlobalClear if self.is_intel() => !self.global_bits(),
            Register::GlobalStatus if self.is_intel() => u64::MAX,
            _ => 0,
        };
        if value & reserved != 0 || (reserved == u64::MAX) {
            return Err(Fault);
        }
        let global_bits = self.global_bits();
        let kept = if self.defect == Some(Defect::Narrow) { self.mask() >> 16 } else { self.mask() };
        let never_stops = self.defect == Some(Defect::NeverStops);
        match self.decode(register)? {
            Register::Selector(index) if never_stops && self.selectors[index] & selector::ENABLE != 0 => {}
            Register::Selector(index) if self.is_intel() => self.selectors[index] = value,
            Register::Selector(index) => self.selectors[index] = value & !AMD_DROPPED,
            // Intel extends the sign of 32 bits.
            Register::Counter(index) if self.is_intel() => {
                self.values[index] = i64::from(value as u32 as i32) as u64 & kept;
            }
            Register::Counter(index) => self.values[index] = value & kept,
            Register::Fixed(index) => self.fixed[index] = value & kept,
            Register::FixedControl => self.fixed_control = value,
            Register::GlobalStatus => {}
            Register::GlobalControl => self.global_control = value & global_bits,
            Register::GlobalClear => self.global_status &= !value,
        }
        Ok(())
    }

    fn fixed_control_bits(&self) -> u64 {
        (0..self.fixed.len()).fold(0, |bits, index| bits | FIXED_ALLOWED << (4 * index))
    }

    /// The guest has done some work: counts it where a counter is on for it.
    pub fn advance(&mut self, work: Work) {
        if matches!(self.defect, Some(Defect::Stuck | Defect::Deaf)) {
            return;
        }
        let is_on = |bit: u64| !self.has_global() || self.global_control & bit != 0;
        let mut counts = Vec::new();
        for (index, &chosen) in self.selectors.iter().enumerate() {
            if chosen & selector::ENABLE != 0 && is_on(1 << index) {
                let at = |bit| chosen & bit != 0;
                let instructions = seen(work, at(selector::KERNEL), at(selector::USER));
                counts.push((Register::Counter(index), instructions * self.weight(chosen), 1 << index));
            }
        }
        for index in 0..self.fixed.len() {
            let field = self.fixed_control >> (4 * index);
            if is_on(1 << 32 << index) {
                let instructions = seen(work, field & FIXED_KERNEL != 0, field & FIXED_USER != 0);
                let event_weight = FIXED.get(index).map_or(0, |event| weight(*event));
                counts.push((Register::Fixed(index), instructions * event_weight, 1 << 32 << index));
            }
        }
        for (register, count, overflow) in counts {
            self.add(register, count, overflow);
        }
    }

    fn add(&mut self, register: Register, count: u64, overflow: u64) {
        let count = if self.defect == Some(Defect::Overcounts) { count + count / 4 } else { count };
        let mask = self.mask();
        let value = match register {
            Register::Counter(index) => &mut self.values[index],
            Register::Fixed(index) => &mut self.fixed[index],
            _ => return,
        };
        let sum = u128::from(*value) + u128::from(count);
        *value = sum as u64 & mask;
        if sum > u128::from(mask) && self.has_global() {
            self.global_status |= overflow;
        }
    }

    /// How often an event happens per instruction: 0 for what this processor does not have.
    fn weight(&self, chosen: u64) -> u64 {
        let is_it = |(_, event): &(&Event, &ProcessorEvent)| event.selector.0 == chosen & EVENT_BITS;
        self.table.events.iter().find(is_it).map_or(0, |(event, _)| weight(*event))
    }
}

fn index(number: u32, count: u32) -> Option<usize> {
    (number < count).then_some(number as usize)
}

fn seen(work: Work, kernel: bool, user: bool) -> u64 {
    u64::from(kernel) * work.kernel + u64::from(user) * work.user
}

/// Events per instruction in this model: a number of its own for each, so that no two can be mistaken.
pub fn weight(event: Event) -> u64 {
    match event {
        Event::Instructions => 1,
        Event::Cycles => 3,
        other => 10 + u64::from(other.number()),
    }
}
