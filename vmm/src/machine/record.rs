//! Records of the crate `abi` as bytes in guest memory.

use abi::boot::{BootInfo, Module};
use abi::plan::{Plan, PlanRight, PlanServer};
use abi::report::{CpuReport, Report};
use vm_memory::ByteValued;

/// A record that lies in guest memory.
///
/// # Safety
/// `repr(C)`, made of fixed-size integers and such records only, without padding: any bytes are a valid value, and every
/// byte of a value is initialised. `abi` asserts the sizes that make this so.
pub(crate) unsafe trait Record: Copy + Send + Sync + 'static {}

// SAFETY: Seventeen 8-byte fields' worth of integers, then a PmuPlan, whose u32 come in pairs; the sizes are asserted in
// abi::boot and abi::pmu, no padding.
unsafe impl Record for BootInfo {}
// SAFETY: Two u64 and 32 bytes, 48 bytes (asserted in abi::boot), no padding.
unsafe impl Record for Module {}
// SAFETY: Two u32 and a u64, 16 bytes (asserted in abi::plan), no padding.
unsafe impl Record for Plan {}
// SAFETY: Ten u32 and eight u64, 104 bytes (asserted in abi::plan), no padding.
unsafe impl Record for PlanServer {}
// SAFETY: Two u32 and a u64, 16 bytes (asserted in abi::plan), no padding.
unsafe impl Record for PlanRight {}
// SAFETY: Every u32 has a neighbour to fill 8 bytes; the size is asserted field by field in abi::report.
unsafe impl Record for Report {}
// SAFETY: Two u32 and 24 u64, 200 bytes (asserted in abi::report), no padding.
unsafe impl Record for CpuReport {}

/// A record on its way to or from guest memory. (`ByteValued` and the records are both foreign here, hence a type.)
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Shared<T: Record>(pub T);

// SAFETY: `Record` demands what `ByteValued` demands, and the representation is T's own.
unsafe impl<T: Record> ByteValued for Shared<T> {}
