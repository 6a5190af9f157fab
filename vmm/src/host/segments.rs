//! Whether segments have bases and limits in compatibility mode here, and which gates lead out of it: what programs for 32
//! bits, and so small spaces, need.
//!
//! The processors that KVM runs on all have them. What is between may not: an emulator of ring 0 that loads no such
//! descriptor, an emulator of the processor that checks no limit. So the guest's kernel tries it in ring 3, and this
//! asks it.

use abi::report::feature;
use serde::Serialize;

/// What the guest's kernel has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentFacts {
    /// A segment's base is added to addresses.
    pub bases: bool,
    /// An address beyond a segment's limit is an exception.
    pub limits: bool,
    /// SYSENTER enters the kernel from compatibility mode.
    pub sysenter: bool,
    /// SYSCALL does.
    pub syscall: bool,
}

impl SegmentFacts {
    /// From the features of a guest that has looked.
    pub fn from_features(features: u64) -> SegmentFacts {
        let has = |bit| features & bit != 0;
        SegmentFacts {
            bases: has(feature::SEGMENT_BASES),
            limits: has(feature::SEGMENT_LIMITS),
            sysenter: has(feature::SYSENTER_32),
            syscall: has(feature::SYSCALL_32),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_become_facts() {
        let facts = SegmentFacts::from_features(feature::SEGMENT_BASES | feature::SYSCALL_32 | feature::PCID);
        assert_eq!(facts, SegmentFacts { bases: true, limits: false, sysenter: false, syscall: true });
    }
}
