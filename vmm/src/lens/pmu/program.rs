//! Fits events to the counters that there are.

use std::borrow::Cow;

use abi::pmu::{COUNTERS_MAX, PmuCounter, PmuPlan, amd_version, bank, fixed_control, kind, selector};
use serde::{Deserialize, Serialize};

use crate::lens::pmu::event::{BY_IMPORTANCE, Event};
use crate::lens::pmu::shape::{Counters, Shape};
use crate::lens::pmu::table::{EventTable, Selector, for_shape};

/// At which privilege levels of the guest is counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Privilege {
    /// At all.
    #[default]
    All,
    /// Level 0 only: kernel and servers in its space.
    Kernel,
    /// Other levels only.
    User,
}

/// What the guest's kernel is told, and what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// For the kernel.
    pub plan: PmuPlan,
    /// Event of each counter of the plan.
    pub events: Vec<Event>,
    /// What was not to be had.
    pub left_out: Vec<LeftOut>,
    /// Where the selectors are from.
    pub table: &'static EventTable,
}

/// An event that is not counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Which.
    pub event: Event,
    /// Why.
    pub reason: Cow<'static, str>,
}

/// Ice Lake and newer count TLB events on the first four general counters only; others do not mind.
const GENERAL_MAX: u32 = 4;
/// Intel's fixed counters (Intel SDM vol. 3, table 21-2).
pub(crate) const FIXED: [Event; 3] = [Event::Instructions, Event::Cycles, Event::ReferenceCycles];
/// Retired instructions, on every processor.
const INSTRUCTIONS: u64 = 0xc0;
/// Bits of EBX in leaf 0AH.
const MISSING_CYCLES: u32 = 1 << 0;
const MISSING_INSTRUCTIONS: u32 = 1 << 1;

/// Gives the most important events a counter each. `reserved` general counters are left to others: a counter that Linux
/// has taken for itself, as for the NMI watchdog, fails silently in the guest.
pub fn program(shape: &Shape, privilege: Privilege, reserved: u32) -> Program {
    let table = for_shape(shape);
    let (kind, version) = match shape.counters {
        Counters::Intel { version, .. } => (kind::INTEL, version),
        Counters::AmdLegacy => (kind::AMD, amd_version::LEGACY),
        Counters::AmdCore => (kind::AMD, amd_version::CORE),
        Counters::AmdPerfmonV2 => (kind::AMD, amd_version::PERFMON_V2),
    };
    let is_intel = kind == kind::INTEL;
    let usable = if is_intel { shape.general.min(GENERAL_MAX) } else { shape.general };
    let usable = usable.min(shape.general.saturating_sub(reserved));
    let mut program = Program {
        plan: PmuPlan { kind, version, ..PmuPlan::default() },
        events: Vec::new(),
        left_out: Vec::new(),
        table,
    };
    program.plan.instructions_selector = INSTRUCTIONS | level_bits(Privilege::All) | selector::ENABLE;
    let mut next_general = 0;
    for event in BY_IMPORTANCE {
        let fixed = FIXED.iter().take(shape.fixed as usize).position(|other| *other == event);
        let counter = match (fixed, table.selector(event)) {
            _ if program.events.len() == COUNTERS_MAX => Err("no counter is left"),
            (Some(index), _) => Ok(fixed_counter(event, index as u32, privilege)),
            (None, None) => Err("this processor does not count it"),
            (None, Some(_)) if is_missing(shape, event) => Err("CPUID says that it is not counted here"),
            (None, Some(_)) if next_general == usable => Err("no counter is left"),
            (None, Some(selector)) => {
                next_general += 1;
                Ok(general_counter(event, selector, next_general - 1, privilege))
            }
        };
        match counter {
            Ok(counter) => {
                program.plan.counters[program.events.len()] = counter;
                program.events.push(event);
            }
            Err(reason) => program.left_out.push(LeftOut { event, reason: Cow::Borrowed(reason) }),
        }
    }
    program.plan.counter_count = program.events.len() as u32;
    program
}

fn is_missing(shape: &Shape, event: Event) -> bool {
    let Counters::Intel { missing_events, .. } = shape.counters else { return false };
    match event {
        Event::Cycles => missing_events & MISSING_CYCLES != 0,
        Event::Instructions => missing_events & MISSING_INSTRUCTIONS != 0,
        _ => false,
    }
}

fn level_bits(privilege: Privilege) -> u64 {
    match privilege {
        Privilege::All => selector::USER | selector::KERNEL,
        Privilege::Kernel => selector::KERNEL,
        Privilege::User => selector::USER,
    }
}

fn general_counter(event: Event, counted: Selector, index: u32, privilege: Privilege) -> PmuCounter {
    let selector = counted.0 | level_bits(privilege) | selector::ENABLE;
    PmuCounter { selector, bank: bank::GENERAL, index, event: event.number(), reserved: 0 }
}

fn fixed_counter(event: Event, index: u32, privilege: Privilege) -> PmuCounter {
    let selector = match privilege {
        Privilege::All => fixed_control::KERNEL | fixed_control::USER,
        Privilege::Kernel => fixed_control::KERNEL,
        Privilege::User => fixed_control::USER,
    };
    PmuCounter { selector, bank: bank::FIXED, index, event: event.number(), reserved: 0 }
}
