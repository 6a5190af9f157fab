//! What is counted.

use serde::{Deserialize, Serialize};

/// Counts of the accesses of one side, instructions or data, with one privilege.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideCounts {
    /// Accesses, each within one page.
    pub accesses: u64,
    /// Not in the level-1 arrays.
    pub first_level_misses: u64,
    /// Not in level 2 either, where it holds such pages.
    pub second_level_misses: u64,
    /// Page walks.
    pub walks: u64,
    /// Page-table entries that the walks read from memory.
    pub walk_references: u64,
    /// Walks for a translation that was there until a flush took it away.
    pub flush_refills: u64,
}

/// Counts of the accesses with one privilege.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivilegeCounts {
    /// Fetches.
    pub instruction: SideCounts,
    /// Reads and writes.
    pub data: SideCounts,
}

/// Counts of a round trip.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Accesses with user privilege.
    pub user: PrivilegeCounts,
    /// Accesses with supervisor privilege.
    pub kernel: PrivilegeCounts,
    /// Loads of CR3.
    pub page_table_loads: u64,
    /// Operations, page-table loads among them, that invalidate more than one page.
    pub flushes: u64,
    /// Operations that invalidate one page.
    pub page_invalidations: u64,
    /// TLB entries that any of those took away; a page in two arrays is two.
    pub entries_dropped: u64,
}

/// Makes one figure of several.
type Reduction = fn(Vec<u64>) -> u64;

impl SideCounts {
    fn reduce(all: &[SideCounts], reduction: Reduction) -> SideCounts {
        let of = |field: fn(&SideCounts) -> u64| reduction(all.iter().map(field).collect());
        SideCounts {
            accesses: of(|counts| counts.accesses),
            first_level_misses: of(|counts| counts.first_level_misses),
            second_level_misses: of(|counts| counts.second_level_misses),
            walks: of(|counts| counts.walks),
            walk_references: of(|counts| counts.walk_references),
            flush_refills: of(|counts| counts.flush_refills),
        }
    }
}

impl Counts {
    fn reduce(all: &[Counts], reduction: Reduction) -> Counts {
        let of = |field: fn(&Counts) -> u64| reduction(all.iter().map(field).collect());
        let side = |field: fn(&Counts) -> SideCounts| {
            SideCounts::reduce(&all.iter().map(field).collect::<Vec<_>>(), reduction)
        };
        Counts {
            user: PrivilegeCounts {
                instruction: side(|counts| counts.user.instruction),
                data: side(|counts| counts.user.data),
            },
            kernel: PrivilegeCounts {
                instruction: side(|counts| counts.kernel.instruction),
                data: side(|counts| counts.kernel.data),
            },
            page_table_loads: of(|counts| counts.page_table_loads),
            flushes: of(|counts| counts.flushes),
            page_invalidations: of(|counts| counts.page_invalidations),
            entries_dropped: of(|counts| counts.entries_dropped),
        }
    }

    /// The median of each count by itself, the lower one of two. `None` of nothing.
    pub fn median(all: &[Counts]) -> Option<Counts> {
        (!all.is_empty()).then(|| {
            Counts::reduce(all, |mut values| {
                values.sort_unstable();
                values[(values.len() - 1) / 2]
            })
        })
    }

    /// Fetches, with any privilege.
    pub fn instruction(&self) -> SideCounts {
        SideCounts::reduce(&[self.user.instruction, self.kernel.instruction], |values| values.iter().sum())
    }

    /// Reads and writes, with any privilege.
    pub fn data(&self) -> SideCounts {
        SideCounts::reduce(&[self.user.data, self.kernel.data], |values| values.iter().sum())
    }

    /// All accesses.
    pub fn total(&self) -> SideCounts {
        SideCounts::reduce(&[self.instruction(), self.data()], |values| values.iter().sum())
    }
}
