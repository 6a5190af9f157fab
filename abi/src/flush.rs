//! The flush threshold: the number of pages above which a full flush of the TLB beats INVLPG page by page, and what the
//! kernel measured to find it.

/// Pages of each measured point.
pub const POINT_PAGES: [u32; POINT_COUNT] = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];

/// Number of measured points.
pub const POINT_COUNT: usize = 10;

/// Pages besides those to be forgotten that are in use, so that a full flush has a price: as many as the first-level data
/// TLB of most CPUs has entries for small pages.
pub const WORKING_SET_PAGES: u32 = 64;

/// The threshold where it cannot be measured: Linux's default (arch/x86/mm/tlb.c, `tlb_single_page_flush_ceiling`), which
/// its authors chose on hardware so that page-by-page flushes stay below 3 µs.
pub const DEFAULT_PAGES: u32 = 33;

/// How the kernel came by its threshold: values of [`FlushReport::source`].
pub mod source {
    /// It did not come that far.
    pub const UNKNOWN: u32 = 0;
    /// It measured it on this CPU.
    pub const MEASURED: u32 = 1;
    /// [`super::DEFAULT_PAGES`]: ring 0 is emulated here, so cycles tell about the emulator.
    pub const RING_0_EMULATED: u32 = 2;
    /// [`super::DEFAULT_PAGES`]: the clock counts instructions, for which a TLB miss costs nothing.
    pub const CLOCK_COUNTS_INSTRUCTIONS: u32 = 3;
    /// The plan says: always a full flush ([`crate::plan::flag::FLUSH_FULL`]).
    pub const PLAN_FULL: u32 = 4;
    /// The plan says: always page by page ([`crate::plan::flag::FLUSH_BY_PAGE`]).
    pub const PLAN_BY_PAGE: u32 = 5;
    /// The last value.
    pub const LAST: u32 = PLAN_BY_PAGE;
}

/// The threshold with its evidence.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlushReport {
    /// Up to this number of pages the kernel flushes page by page.
    pub threshold_pages: u32,
    /// One of [`source`].
    pub source: u32,
    /// For each of [`POINT_PAGES`]: the least cycles that it took to forget the pages one by one and to touch them and the
    /// working set again. 0 where nothing was measured.
    pub by_page_cycles: [u32; POINT_COUNT],
    /// The same with a full flush.
    pub full_cycles: [u32; POINT_COUNT],
}

const _: () = assert!(size_of::<FlushReport>() == 88);
