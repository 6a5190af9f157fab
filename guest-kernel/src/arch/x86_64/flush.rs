//! Flushing the TLB, and what it costs on this CPU.

use core::arch::asm;
use core::ptr::with_exposed_provenance;
use core::sync::atomic::{AtomicBool, Ordering};

use abi::address::PAGE_SIZE;
use abi::flush::{FlushReport, POINT_PAGES, WORKING_SET_PAGES};
use x86_64::VirtAddr;
use x86_64::instructions::tlb::{self, InvPcidCommand, Pcid};
use x86_64::registers::control::{Cr4, Cr4Flags};

use super::machine::time_stamp_counter;
use super::paging::{self, Access, Frames, Mapper};
use crate::arch::clock::{ClockKind, is_emulated, judge_clock};
use crate::memory::{Memory, OutOfMemory, PageRanges, Placement};

/// Whether this CPU has INVPCID.
static HAS_INVPCID: AtomicBool = AtomicBool::new(false);

/// Notes whether the CPU has INVPCID.
pub fn set_has_invpcid(has: bool) {
    HAS_INVPCID.store(has, Ordering::Relaxed);
}

/// Has this CPU's TLB forget pages of a region one by one. Returns the number of INVLPGs.
pub fn flush_pages(base: u64, pages: &PageRanges) -> u64 {
    let mut flushed = 0;
    for range in pages.iter() {
        for page in 0..range.count {
            tlb::flush(VirtAddr::new_truncate(base + range.offset + page * PAGE_SIZE));
            flushed += 1;
        }
    }
    flushed
}

/// Has this CPU's TLB forget all that it holds for a PCID that is not loaded.
pub fn flush_pcid(pcid: u64) {
    if HAS_INVPCID.load(Ordering::Relaxed) {
        let pcid = Pcid::new(pcid as u16).unwrap_or(Pcid::new(0).expect("0 is a PCID"));
        // SAFETY: CPUID announces the instruction; the TLB only caches what the page tables say.
        unsafe { tlb::flush_pcid(InvPcidCommand::Single(pcid)) };
    } else {
        flush_all();
    }
}

/// Has this CPU's TLB forget everything, global pages and all PCIDs too (Intel SDM vol. 3, 5.10.4.1): by INVPCID, or by clearing and
/// setting CR4.PGE.
pub fn flush_all() {
    if HAS_INVPCID.load(Ordering::Relaxed) {
        // SAFETY: CPUID announces the instruction; the TLB only caches what the page tables say.
        unsafe { tlb::flush_pcid(InvPcidCommand::All) };
        return;
    }
    let flags = Cr4::read();
    if !flags.contains(Cr4Flags::PAGE_GLOBAL) {
        // Without global pages every load of CR3 flushes all.
        tlb::flush_all();
        return;
    }
    // SAFETY: the flag only says whether the TLB may keep global pages over loads of CR3.
    unsafe {
        Cr4::write(flags - Cr4Flags::PAGE_GLOBAL);
        Cr4::write(flags);
    }
}

/// What the time-stamp counter tells about code in ring 0.
pub fn clock_kind() -> ClockKind {
    const TURNS: u64 = 512;
    const FEW_TURNS: u64 = 32;
    // The first loop brings the code in, and is short: where ring 0 is emulated, that is told by few turns already.
    let _ = cycles_of_loop(FEW_TURNS);
    let least = (0..4).map(|_| cycles_of_loop(FEW_TURNS)).min();
    if least.is_some_and(|least| is_emulated(FEW_TURNS, least)) {
        return ClockKind::EmulatedRing0;
    }
    let (long, short) = (cycles_of_loop(TURNS), cycles_of_loop(TURNS / 2));
    judge_clock(TURNS, long, cycles_of_loop(TURNS), short)
}

/// Cycles of `turns` turns of two instructions. Never inlined: an emulator that translates code as it comes to it would translate
/// each copy, and what that takes is no time of the loop.
#[inline(never)]
fn cycles_of_loop(turns: u64) -> u64 {
    let begin = time_stamp_counter();
    // SAFETY: counts a register down.
    unsafe {
        asm!("2:", "dec {turns}", "jnz 2b", turns = inout(reg) turns => _, options(nomem, nostack));
    }
    time_stamp_counter().wrapping_sub(begin)
}

/// Measures every point, on pages from `base` on, an unused region of the kernel's half.
pub fn measure_flush(base: u64, memory: &Memory, report: &mut FlushReport) -> Result<(), OutOfMemory> {
    /// The least of so many turns: what interrupts a turn only adds to it.
    const TURNS: usize = 5;
    let pages_max = u64::from(POINT_PAGES[POINT_PAGES.len() - 1] + WORKING_SET_PAGES);
    let frame = memory.frame()?;
    let mapper = Mapper::new(paging::kernel_root(), Placement::Kernel, memory);
    for page in 0..pages_max {
        // One frame for all: what is measured are translations, not the cache.
        mapper.map(base + page * PAGE_SIZE, Frames::Shared(frame), 1, Access::READ)?;
    }
    for (index, pages) in POINT_PAGES.into_iter().enumerate() {
        let by_page = || {
            for page in 0..u64::from(pages) {
                tlb::flush(VirtAddr::new_truncate(base + page * PAGE_SIZE));
            }
        };
        let touched = u64::from(pages + WORKING_SET_PAGES);
        let least = |forget: &dyn Fn()| {
            let cycles = (0..TURNS).map(|_| cycles_of_flush(base, touched, forget)).min().unwrap_or(0);
            u32::try_from(cycles).unwrap_or(u32::MAX)
        };
        report.by_page_cycles[index] = least(&by_page);
        report.full_cycles[index] = least(&flush_all);
    }
    let region = paging::detach_region(paging::kernel_root(), base);
    flush_all();
    paging::release_region(region, memory);
    memory.release(frame);
    Ok(())
}

/// Cycles to forget and to touch the first `pages` pages again.
fn cycles_of_flush(base: u64, pages: u64, forget: impl Fn()) -> u64 {
    touch(base, pages);
    let begin = time_stamp_counter();
    forget();
    touch(base, pages);
    time_stamp_counter().wrapping_sub(begin)
}

fn touch(base: u64, pages: u64) {
    for page in 0..pages {
        let address = (base + page * PAGE_SIZE) as usize;
        // SAFETY: `measure_flush` has mapped the page for reading.
        unsafe { with_exposed_provenance::<u8>(address).read_volatile() };
    }
}
