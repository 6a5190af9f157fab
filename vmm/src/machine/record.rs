//! Records of the crate `abi` as bytes in guest memory, and as words in messages between processes.

#![expect(unsafe_code, reason = "records as bytes")]

use abi::boot::{BootInfo, Module};
use abi::flush::FlushReport;
use abi::plan::{Plan, PlanRight, PlanServer};
use abi::report::{CpuReport, Fault, Registers, Report};
use abi::start::OwnStart;
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
// SAFETY: Two u64 and two u32, 24 bytes (asserted in abi::start), no padding.
unsafe impl Record for OwnStart {}
// SAFETY: Two u64 and 32 bytes, 48 bytes (asserted in abi::boot), no padding.
unsafe impl Record for Module {}
// SAFETY: Two u32 and a u64, 16 bytes (asserted in abi::plan), no padding.
unsafe impl Record for Plan {}
// SAFETY: An even number of u32 and twelve u64, 160 bytes (asserted in abi::plan), no padding.
unsafe impl Record for PlanServer {}
// SAFETY: Two u32 and a u64, 16 bytes (asserted in abi::plan), no padding.
unsafe impl Record for PlanRight {}
// SAFETY: Every u32 has a neighbour to fill 8 bytes; the size is asserted field by field in abi::report.
unsafe impl Record for Report {}
// SAFETY: Two u32 and two Counters of u64 only, then two u64; the size is asserted in abi::report, no padding.
unsafe impl Record for CpuReport {}
// SAFETY: Two u32 and six u64, 56 bytes (asserted in abi::report), no padding.
unsafe impl Record for Fault {}
// SAFETY: 24 u64, 192 bytes (asserted in abi::report), no padding.
unsafe impl Record for Registers {}
// SAFETY: Only u32, an even number of them (asserted below), no padding.
unsafe impl Record for FlushReport {}

const _: () = assert!(size_of::<FlushReport>().is_multiple_of(8));

/// A record on its way to or from guest memory. (`ByteValued` and the records are both foreign here, hence a type.)
#[repr(transparent)]
#[derive(Clone, Copy)]
pub(crate) struct Shared<T: Record>(pub T);

// SAFETY: `Record` demands what `ByteValued` demands, and the representation is T's own.
unsafe impl<T: Record> ByteValued for Shared<T> {}

fn words<T: Record>(record: T) -> Vec<u64> {
    Shared(record).as_slice().as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect()
}

fn from_words<T: Record>(words: &[u64]) -> Option<T> {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    // The copy is aligned as T wants it.
    let mut shared = std::mem::MaybeUninit::<Shared<T>>::uninit();
    if bytes.len() != size_of::<T>() {
        return None;
    }
    // SAFETY: As many bytes as T has; `Record` promises that any bytes are a value.
    Some(unsafe {
        shared.as_mut_ptr().cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        shared.assume_init().0
    })
}

/// A record as an array of 64-bit words, for `#[serde(with)]`.
pub(crate) mod one {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Record, from_words, words};

    pub(crate) fn serialize<T: Record, S: Serializer>(record: &T, serializer: S) -> Result<S::Ok, S::Error> {
        words(*record).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Record, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
        from_words(&Vec::deserialize(deserializer)?)
            .ok_or_else(|| D::Error::custom("a record of another size"))
    }
}

/// Records as an array of such arrays, for `#[serde(with)]`.
pub(crate) mod many {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Record, from_words, words};

    pub(crate) fn serialize<T: Record, S: Serializer>(
        records: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        records.iter().map(|record| words(*record)).collect::<Vec<_>>().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Record, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let records: Vec<Vec<u64>> = Vec::deserialize(deserializer)?;
        let records: Option<Vec<T>> = records.iter().map(|words| from_words(words)).collect();
        records.ok_or_else(|| D::Error::custom("a record of another size"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_being_words() {
        let fault = Fault { server: 3, vector: 14, error_code: u64::MAX, rip: 1, ..Fault::default() };
        assert_eq!(from_words(&words(fault)), Some(fault));
        assert_eq!(from_words::<Fault>(&[1, 2]), None);
    }
}
