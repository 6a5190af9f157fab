//! What a stretch of a trace touches: bytes and cache lines of code, cache lines of data, pages.
//!
//! Bytes and lines are told apart by physical address, as caches do: the kernel interface page of two servers is the
//! same. Pages are told apart by virtual address and page table, as TLBs do.

use std::collections::BTreeMap;
use std::ops::Range;

use rangemap::RangeSet;
use serde::{Deserialize, Serialize};

use crate::lens::trace::recording::Step;
use crate::tlb::stream::{AccessKind, PageSize};

/// Bytes of a cache line on every x86-64 processor so far.
pub const LINE_SIZE: u64 = 64;

/// What was touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Footprint {
    /// By the kernel's own code.
    pub kernel: Lines,
    /// By the programs and stubs of all servers, the client among them.
    pub servers: Lines,
    /// Distinct pages, by what they are used for and how they are mapped.
    pub pages: Vec<PageCount>,
}

/// Distinct bytes and lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lines {
    /// Bytes of the instructions executed.
    pub code_bytes: u64,
    /// 64-byte lines that hold them.
    pub code_lines: u64,
    /// 64-byte lines of data read or written.
    pub data_lines: u64,
}

/// Distinct pages of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PageCount {
    /// What they are.
    #[serde(flatten)]
    pub class: PageClass,
    /// How many.
    pub count: u64,
}

/// A kind of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PageClass {
    /// For code, or for data.
    pub usage: Usage,
    /// Whether ring 3 may use them.
    pub user: bool,
    /// The same in every space.
    pub global: bool,
    /// Their size.
    pub size: PageSize,
}

/// What a page is used for. One page may be used for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Usage {
    /// Instructions are fetched from it.
    Code,
    /// It is read or written.
    Data,
}

impl Footprint {
    /// Pages of all kinds.
    pub fn page_count(&self) -> u64 {
        self.pages.iter().map(|pages| pages.count).sum()
    }
}

/// Collects what steps touch.
#[derive(Debug, Default)]
pub struct Collector {
    kernel: Sets,
    servers: Sets,
    /// Numbers of pages by kind and page table.
    pages: BTreeMap<(PageClass, u64), RangeSet<u64>>,
}

#[derive(Debug, Default)]
struct Sets {
    code_bytes: RangeSet<u64>,
    data_lines: RangeSet<u64>,
}

impl Collector {
    /// Adds the accesses of a step of the kernel's own code, or of a server's.
    pub fn add(&mut self, step: &Step, is_kernel: bool) {
        let sets = if is_kernel { &mut self.kernel } else { &mut self.servers };
        for memory in &step.accesses {
            let access = &memory.access;
            if memory.size_bytes == 0 {
                continue;
            }
            let last = memory.size_bytes - 1;
            let bytes = memory.physical..memory.physical + memory.size_bytes;
            let usage = match access.kind {
                AccessKind::Fetch => {
                    sets.code_bytes.insert(bytes);
                    Usage::Code
                }
                AccessKind::Read | AccessKind::Write => {
                    sets.data_lines.insert(lines(&bytes));
                    Usage::Data
                }
            };
            let global = memory.page_table == 0;
            let class = PageClass { usage, user: memory.user_page, global, size: access.page_size };
            let page = |address| access.page_size.page_number(address);
            let pages = page(access.address)..page(access.address.saturating_add(last)) + 1;
            self.pages.entry((class, memory.page_table)).or_default().insert(pages);
        }
    }

    /// The numbers.
    pub fn footprint(&self) -> Footprint {
        let mut pages = BTreeMap::new();
        for ((class, _), numbers) in &self.pages {
            *pages.entry(*class).or_insert(0) += count(numbers);
        }
        Footprint {
            kernel: self.kernel.lines(),
            servers: self.servers.lines(),
            pages: pages.into_iter().map(|(class, count)| PageCount { class, count }).collect(),
        }
    }
}

impl Sets {
    fn lines(&self) -> Lines {
        let code_lines: RangeSet<u64> = self.code_bytes.iter().map(lines).collect();
        Lines {
            code_bytes: count(&self.code_bytes),
            code_lines: count(&code_lines),
            data_lines: count(&self.data_lines),
        }
    }
}

/// The lines that hold these bytes, of which there is at least one.
fn lines(bytes: &Range<u64>) -> Range<u64> {
    bytes.start / LINE_SIZE..(bytes.end - 1) / LINE_SIZE + 1
}

/// How many numbers the set holds.
fn count(set: &RangeSet<u64>) -> u64 {
    set.iter().map(|range| range.end - range.start).sum()
}
