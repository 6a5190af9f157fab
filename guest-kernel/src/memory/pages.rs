//! Which pages of a region are mapped.

use core::cell::Cell;

/// Pages in a row of a region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PageRange {
    /// Offset of the first one in the region, bytes.
    pub offset: u64,
    /// Their number.
    pub count: u64,
}

/// The pages of a region that are mapped, in a list of fixed size.
#[derive(Default)]
pub struct PageRanges {
    ranges: &'static [Cell<PageRange>],
    count: Cell<usize>,
}

impl PageRanges {
    /// No pages yet, and space for as many ranges.
    pub fn new(ranges: &'static [Cell<PageRange>]) -> PageRanges {
        PageRanges { ranges, count: Cell::new(0) }
    }

    /// Adds a range; false if there is no space for it.
    #[must_use]
    pub fn add(&self, range: PageRange) -> bool {
        let place = self.ranges.get(self.count.get());
        if let Some(place) = place {
            place.set(range);
            self.count.set(self.count.get() + 1);
        }
        place.is_some()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count.get() == 0
    }

    /// The ranges.
    pub fn iter(&self) -> impl Iterator<Item = PageRange> + '_ {
        self.ranges[..self.count.get()].iter().map(Cell::get)
    }

    /// Number of pages.
    pub fn page_count(&self) -> u64 {
        self.iter().map(|range| range.count).sum()
    }
}
