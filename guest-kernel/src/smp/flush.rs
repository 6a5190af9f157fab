//! Having the TLB forget pages: page by page up to the flush threshold, all at once above it.
//!
//! What several CPUs may hold is forgotten by all of those that do, before anybody can use the memory behind it again.
//!
//! The threshold is found at boot, on this CPU ([`find_threshold`]). Where the clock does not tell time it would mean
//! nothing, and a stated default takes its place.

use abi::flush::{DEFAULT_PAGES, FlushReport, POINT_COUNT, POINT_PAGES, source};
use abi::plan::flag;

use super::world;
use crate::arch;
use crate::arch::clock::ClockKind;
use crate::cpu::Cpu;
use crate::cpu::tlb::{Flushed, Forget, Reach};
use crate::cpu::world::Alone;
use crate::object::server::Server;

/// Has the TLBs of all CPUs that may hold them forget the regions of `servers`, which have `pages` pages together: one
/// decision for all. Returns what this CPU's TLB took.
///
/// INVLPG takes translations of global pages from all processor contexts, but the way to them, which paging-structure caches
/// keep for each PCID, from the loaded one only (Intel SDM vol. 3, 5.10.4.1). With PCIDs, what every space had therefore takes
/// a full flush: the tables on that way may become somebody else's memory.
pub fn regions(
    alone: &Alone<'_>,
    servers: impl Iterator<Item = (&'static Server, Reach)>,
    pages: u64,
) -> Flushed {
    let cpu = alone.cpu();
    let has_pcids = cpu.kernel().is_some_and(|kernel| kernel.settings.has_pcids);
    let mut forget = Forget { everything: pages > threshold(cpu), ..Forget::default() };
    for (place, region) in forget.regions.iter_mut().zip(servers) {
        match region.1 {
            Reach::Space(space) => space.set_stale(),
            Reach::Everywhere => forget.everything |= has_pcids,
        }
        *place = Some(region);
    }
    world::shoot_down(alone, forget, |cpu| forget.concerns(cpu));
    if forget.concerns(cpu) { forget.forget_on(cpu) } else { Flushed::default() }
}

/// Has the TLBs of all CPUs forget everything.
pub fn everything(alone: &Alone<'_>) {
    let forget = Forget { everything: true, ..Forget::default() };
    world::shoot_down(alone, forget, |_| true);
    forget.forget_on(alone.cpu());
}

/// Up to this number of pages a flush goes page by page.
pub fn threshold(cpu: &Cpu) -> u64 {
    cpu.kernel().map_or(DEFAULT_PAGES, |kernel| kernel.settings.flush_threshold_pages).into()
}

/// The threshold of this CPU, with what it follows from. `measure` fills in the cycles of every point.
pub fn find_threshold(plan_flags: u64, measure: impl FnOnce(&mut FlushReport)) -> FlushReport {
    let fixed = |source, threshold_pages| FlushReport { threshold_pages, source, ..FlushReport::default() };
    if plan_flags & flag::FLUSH_FULL != 0 {
        return fixed(source::PLAN_FULL, 0);
    }
    if plan_flags & flag::FLUSH_BY_PAGE != 0 {
        return fixed(source::PLAN_BY_PAGE, u32::MAX);
    }
    match arch::clock_kind() {
        ClockKind::Instructions => fixed(source::CLOCK_COUNTS_INSTRUCTIONS, DEFAULT_PAGES),
        ClockKind::EmulatedRing0 => fixed(source::RING_0_EMULATED, DEFAULT_PAGES),
        ClockKind::Time => {
            let mut report = fixed(source::MEASURED, 0);
            measure(&mut report);
            report.threshold_pages = break_even(&report.by_page_cycles, &report.full_cycles);
            report
        }
    }
}

/// The number of pages where the two curves cross: between the last point up to which page by page is never dearer, and
/// the next one.
fn break_even(by_page: &[u32; POINT_COUNT], full: &[u32; POINT_COUNT]) -> u32 {
    let dearer = by_page.iter().zip(full).position(|(by_page, full)| by_page > full);
    let Some(above) = dearer else { return POINT_PAGES[POINT_COUNT - 1] };
    let Some(below) = above.checked_sub(1) else { return 0 };
    let (gain, loss) = (u64::from(full[below] - by_page[below]), u64::from(by_page[above] - full[above]));
    let distance = u64::from(POINT_PAGES[above] - POINT_PAGES[below]);
    POINT_PAGES[below] + (distance * gain / (gain + loss)) as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arch::{Action, take_actions};
    use crate::memory::Placement;
    use crate::object::space::{PRESERVE_TLB, Space};
    use crate::testing::{cpu_running, server_in, thread};

    /// By page `invlpg` cycles a page; in full `flush` cycles.
    fn curves(invlpg: u32, flush: u32) -> ([u32; POINT_COUNT], [u32; POINT_COUNT]) {
        (POINT_PAGES.map(|pages| 1000 + pages * invlpg), [1000 + flush; POINT_COUNT])
    }

    proptest! {
        /// Straight lines cross where arithmetic says.
        #[test]
        fn the_threshold_is_where_the_curves_cross(invlpg in 1_u32..1000, flush in 0_u32..100_000) {
            let (by_page, full) = curves(invlpg, flush);
            let expected = match flush / invlpg {
                0 => 0,
                pages => pages.min(512),
            };
            prop_assert_eq!(break_even(&by_page, &full), expected);
        }

        /// Whatever was measured: page by page never where a point at or below the threshold says it is dearer.
        #[test]
        fn no_point_up_to_the_threshold_is_dearer(by_page: [u32; POINT_COUNT], full: [u32; POINT_COUNT]) {
            let threshold = break_even(&by_page, &full);
            for (index, pages) in POINT_PAGES.into_iter().enumerate().filter(|(_, pages)| *pages <= threshold) {
                prop_assert!(by_page[index] <= full[index], "{} pages", pages);
            }
        }
    }

    /// What is taken out of a space is forgotten at once where the space is loaded, and else when it is loaded next, whatever
    /// the TLB keeps for its PCID; what was the kernel's is forgotten at once everywhere.
    #[test]
    fn nothing_that_was_taken_away_is_used_again() {
        let space: &'static Space = Box::leak(Box::new(Space::new(0x5000, 0, true)));
        let server = server_in(Placement::User, Some(space), 10).server;
        let forget = |cpu, reach| {
            space.take_load_value();
            assert_ne!(space.take_load_value() & PRESERVE_TLB, 0, "nothing is stale");
            take_actions();
            world::stop(cpu, |alone| regions(alone, core::iter::once((server, reach)), 1));
            take_actions()
        };
        let (inside, outside) = (cpu_running(&server.threads()[0]), cpu_running(thread()));
        assert_eq!(forget(inside, Reach::Space(space)), [Action::FlushPages(server.base())]);
        assert_eq!(forget(outside, Reach::Space(space)), []);
        assert_eq!(space.take_load_value() & PRESERVE_TLB, 0, "the next load flushes");
        for cpu in [inside, outside] {
            assert_eq!(forget(cpu, Reach::Everywhere), [Action::FlushPages(server.base())]);
        }
    }

    #[test]
    fn the_plan_may_decide() {
        let never = |_: &mut FlushReport| panic!("nothing to measure");
        assert_eq!(find_threshold(flag::FLUSH_FULL, never).threshold_pages, 0);
        assert_eq!(find_threshold(flag::FLUSH_BY_PAGE, never).threshold_pages, u32::MAX);
    }
}
