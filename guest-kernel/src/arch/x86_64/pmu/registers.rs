//! Where the counters' registers are on this CPU, by CPUID alone.
//!
//! Faults tell nothing here: without counters, KVM lets a guest read 0 from some of these registers and drops what is
//! written (pmu.c, `kvm_pmu_is_valid_msr`; x86.c, `kvm_set_msr_common`).

use core::arch::x86_64::{__cpuid, __cpuid_count};

use abi::pmu::{PmuCounter, PmuPlan, amd_version, bank, kind};
use x86_64::registers::model_specific::Msr;

/// Intel SDM vol. 4, table 2-2: IA32_PERFEVTSEL0, IA32_PMC0, IA32_FIXED_CTR0, IA32_FIXED_CTR_CTRL.
const INTEL_SELECTORS: Series = Series { first: 0x186, distance: 1 };
const INTEL_COUNTERS: Series = Series { first: 0xc1, distance: 1 };
const INTEL_FIXED_COUNTERS: Series = Series { first: 0x309, distance: 1 };
const INTEL_FIXED_CONTROL: u32 = 0x38d;
/// IA32_PERF_GLOBAL_STATUS, _CTRL, _OVF_CTRL.
const INTEL_GLOBAL: Global = Global { status: 0x38e, control: 0x38f, clear: 0x390 };

/// AMD APM vol. 2, 13.2.1: PerfEvtSel and PerfCtr of the four old counters, PERF_CTL and PERF_CTR of the six newer.
const AMD_LEGACY_SELECTORS: Series = Series { first: 0xc001_0000, distance: 1 };
const AMD_LEGACY_COUNTERS: Series = Series { first: 0xc001_0004, distance: 1 };
const AMD_CORE_SELECTORS: Series = Series { first: 0xc001_0200, distance: 2 };
const AMD_CORE_COUNTERS: Series = Series { first: 0xc001_0201, distance: 2 };
/// PerfCntrGlobalStatus, PerfCntrGlobalCtl, PerfCntrGlobalStatusClr.
const AMD_GLOBAL: Global = Global { status: 0xc000_0300, control: 0xc000_0301, clear: 0xc000_0302 };
const AMD_LEGACY_COUNT: u32 = 4;
const AMD_CORE_COUNT: u32 = 6;
const AMD_WIDTH: u32 = 48;

/// Registers at equal distances.
#[derive(Clone, Copy)]
struct Series {
    first: u32,
    distance: u32,
}

impl Series {
    fn register(self, index: u32) -> u32 {
        self.first + index * self.distance
    }
}

/// The switch of all counters: bit n for general counter n, bit 32 + n for fixed counter n.
#[derive(Clone, Copy)]
pub struct Global {
    status: u32,
    control: u32,
    clear: u32,
}

/// All registers of this CPU's counters.
#[derive(Clone, Copy)]
pub struct Registers {
    selectors: Series,
    counters: Series,
    general_count: u32,
    fixed_count: u32,
    global: Option<Global>,
    /// Width of the general counters, bits.
    pub width: u32,
    /// Width of the fixed counters, bits; 0 where there are none.
    pub fixed_width: u32,
}

impl Registers {
    /// The registers that `plan` is made for, if this CPU has exactly those.
    pub fn find(plan: &PmuPlan) -> Option<Registers> {
        let (found_kind, version, registers) = Registers::detect()?;
        let indices_exist = plan.counters().iter().all(|counter| registers.has(counter));
        (plan.kind == found_kind && plan.version == version && indices_exist).then_some(registers)
    }

    fn detect() -> Option<(u32, u32, Registers)> {
        let leaf = __cpuid(0);
        let vendor = [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes);
        match vendor.as_flattened() {
            b"GenuineIntel" if leaf.eax >= 0xa => Registers::intel(),
            b"AuthenticAMD" | b"HygonGenuine" => Some(Registers::amd()),
            _ => None,
        }
    }

    /// CPUID leaf 0AH (Intel SDM vol. 2).
    fn intel() -> Option<(u32, u32, Registers)> {
        let leaf = __cpuid_count(0xa, 0);
        let version = leaf.eax & 0xff;
        let has_global = version >= 2;
        let (fixed_count, fixed_width) =
            if has_global { (leaf.edx & 0x1f, leaf.edx >> 5 & 0xff) } else { (0, 0) };
        let registers = Registers {
            selectors: INTEL_SELECTORS,
            counters: INTEL_COUNTERS,
            general_count: leaf.eax >> 8 & 0xff,
            fixed_count,
            global: has_global.then_some(INTEL_GLOBAL),
            width: leaf.eax >> 16 & 0xff,
            fixed_width,
        };
        (version > 0).then_some((kind::INTEL, version, registers))
    }

    /// AMD APM vol. 3, CPUID Fn8000_0001_ECX[PerfCtrExtCore] and Fn8000_0022.
    fn amd() -> (u32, u32, Registers) {
        let largest = __cpuid(0x8000_0000).eax;
        let has_core = largest >= 0x8000_0001 && __cpuid(0x8000_0001).ecx & 1 << 23 != 0;
        let monitoring = if largest >= 0x8000_0022 { __cpuid(0x8000_0022) } else { __cpuid(0x8000_0000) };
        let has_version_2 = has_core && largest >= 0x8000_0022 && monitoring.eax & 1 != 0;
        let (selectors, counters) = if has_core {
            (AMD_CORE_SELECTORS, AMD_CORE_COUNTERS)
        } else {
            (AMD_LEGACY_SELECTORS, AMD_LEGACY_COUNTERS)
        };
        let (version, general_count) = match (has_version_2, has_core) {
            (true, _) => (amd_version::PERFMON_V2, monitoring.ebx & 0xf),
            (false, true) => (amd_version::CORE, AMD_CORE_COUNT),
            (false, false) => (amd_version::LEGACY, AMD_LEGACY_COUNT),
        };
        let registers = Registers {
            selectors,
            counters,
            general_count,
            fixed_count: 0,
            global: has_version_2.then_some(AMD_GLOBAL),
            width: AMD_WIDTH,
            fixed_width: 0,
        };
        (kind::AMD, version, registers)
    }

    fn has(&self, counter: &PmuCounter) -> bool {
        match counter.bank {
            bank::GENERAL => counter.index < self.general_count,
            bank::FIXED => counter.index < self.fixed_count,
            _ => false,
        }
    }

    /// Whether one write starts and stops all counters.
    pub fn has_global(&self) -> bool {
        self.global.is_some()
    }

    /// Number of the register that starts a counter: its selector, or the control register of all fixed ones.
    pub fn control_register(&self, counter: &PmuCounter) -> u32 {
        match counter.bank {
            bank::FIXED => INTEL_FIXED_CONTROL,
            _ => self.selectors.register(counter.index),
        }
    }

    fn counter_register(&self, counter: &PmuCounter) -> u32 {
        match counter.bank {
            bank::FIXED => INTEL_FIXED_COUNTERS.register(counter.index),
            _ => self.counters.register(counter.index),
        }
    }

    /// Width of a counter, bits; between 1 and 64 whatever CPUID says.
    pub fn width_of(&self, counter: &PmuCounter) -> u32 {
        let width = if counter.bank == bank::FIXED { self.fixed_width } else { self.width };
        width.clamp(1, 64)
    }

    /// Writes a counter's selector, or the control register of all fixed counters.
    pub fn write_control(&self, counter: &PmuCounter, value: u64) {
        write(self.control_register(counter), value);
    }

    /// Reads it.
    pub fn read_control(&self, counter: &PmuCounter) -> u64 {
        read(self.control_register(counter))
    }

    /// Writes a counter. Intel's general ones take 32 bits and extend their sign.
    pub fn write_counter(&self, counter: &PmuCounter, value: u64) {
        write(self.counter_register(counter), value);
    }

    /// Reads a counter: by RDMSR, because RDPMC costs the same exit under KVM, cannot be handed to the VMM where the
    /// counters are the VMM's own, and gains nothing on a stopped counter.
    pub fn read_counter(&self, counter: &PmuCounter) -> u64 {
        read(self.counter_register(counter))
    }

    /// Lets the counters of `mask` run, where there is a switch for all of them.
    pub fn write_global(&self, mask: u64) {
        if let Some(global) = self.global {
            write(global.control, mask);
        }
    }

    /// Overflow bits, 0 where there are none.
    pub fn global_status(&self) -> u64 {
        self.global.map_or(0, |global| read(global.status))
    }

    /// Clears the overflow bits.
    pub fn clear_global_status(&self) {
        if let Some(global) = self.global {
            write(global.clear, read(global.status));
        }
    }
}

/// The bit of a counter in the global registers.
pub fn global_bit(counter: &PmuCounter) -> u64 {
    match counter.bank {
        bank::FIXED => 1 << 32 << (counter.index & 31),
        _ => 1 << (counter.index & 31),
    }
}

fn write(register: u32, value: u64) {
    // SAFETY: only with registers that `Registers::detect` found by CPUID; counting changes nothing that code depends on.
    unsafe { Msr::new(register).write(value) };
}

fn read(register: u32) -> u64 {
    // SAFETY: as in `write`.
    unsafe { Msr::new(register).read() }
}
