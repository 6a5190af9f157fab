//! The flush threshold: found at boot with its evidence, obeyed by migrations and deaths.

use abi::flush::{DEFAULT_PAGES, FlushReport, source};
use abi::plan::{flag, server_flag, trust};
use abi::program::{self, touch};
use abi::workload::{method, migrate};
use inkbed::machine::guest::GuestRun;

use crate::harness::{Place, Server, client, config, counted, finish_config, server};

const ROUND_TRIPS: u64 = 4;

/// A client that has a hub with this working set, and its partners, move in and out so often.
pub fn migration(pages: u32, partners: u32, how: u64, round_trips: u64) -> Vec<Server> {
    let movable = |program| {
        server(program, Place::User).with(|plan| {
            plan.flags |= server_flag::MIGRATABLE;
            plan.trust_group = trust::CRITICAL_TRUSTED;
        })
    };
    let targets: Vec<u32> = (2..2 + partners).collect();
    let hub = movable(program::HUB).reaching(&targets).with(|plan| {
        plan.working_set_pages = pages;
        plan.arguments[touch::PAGES] = pages.into();
    });
    let arguments = migrate::Arguments { servers: u64::from(partners) + 1, method: how }.encode();
    let driver = client(Place::User, arguments, round_trips);
    let mut servers = vec![driver, hub];
    servers.extend((0..partners).map(|_| movable(program::NULL)));
    servers
}

fn run(servers: &[Server], plan_flags: u64) -> Option<GuestRun> {
    let mut config = config(servers);
    config.plan_flags = plan_flags;
    finish_config(&config)
}

/// A threshold that was measured is what its evidence says; one that could not be measured is the default, without.
#[test]
fn the_threshold_follows_from_its_evidence() {
    let Some(run) = run(&migration(0, 0, method::ONE_BY_ONE, ROUND_TRIPS), 0) else { return };
    let FlushReport { threshold_pages, source, by_page_cycles, full_cycles } = run.flush;
    match source {
        source::MEASURED => {
            assert!(by_page_cycles.iter().chain(&full_cycles).all(|&cycles| cycles > 0));
            let points = abi::flush::POINT_PAGES.into_iter().zip(by_page_cycles.into_iter().zip(full_cycles));
            for (pages, (by_page, full)) in points.filter(|(pages, _)| *pages <= threshold_pages) {
                assert!(by_page <= full, "{pages} pages: {by_page} and {full} cycles");
            }
        }
        source::RING_0_EMULATED | source::CLOCK_COUNTS_INSTRUCTIONS => {
            assert_eq!(threshold_pages, DEFAULT_PAGES);
            assert_eq!((by_page_cycles, full_cycles), Default::default());
        }
        other => panic!("source {other}"),
    }
}

/// A migration out of the kernel takes either as many INVLPGs as it has pages, or one full flush, and the threshold decides.
/// One into it takes nothing: no TLB can hold pages of a space that is not loaded.
#[test]
fn migrations_obey_the_threshold() {
    for pages in [0, 200] {
        let Some(by_page) = run(&migration(pages, 0, method::ONE_BY_ONE, ROUND_TRIPS), flag::FLUSH_BY_PAGE)
        else {
            return;
        };
        let Some(full) = run(&migration(pages, 0, method::ONE_BY_ONE, ROUND_TRIPS), flag::FLUSH_FULL) else {
            return;
        };
        let Some(chosen) = run(&migration(pages, 0, method::ONE_BY_ONE, ROUND_TRIPS), 0) else { return };
        let (moves, loads) = (2 * ROUND_TRIPS, 4 * ROUND_TRIPS);
        let moves_out = ROUND_TRIPS;
        let [by_page, full, counts] = [&by_page, &full, &chosen].map(counted);
        assert_eq!(by_page.invlpg, by_page.pages_remapped / 2);
        assert_eq!(by_page.tlb_full_flushes, loads, "page-table loads only");
        assert_eq!((full.invlpg, full.tlb_full_flushes), (0, loads + moves_out));
        assert_eq!(full.pages_remapped, by_page.pages_remapped);
        let above = counts.pages_remapped / moves > u64::from(chosen.flush.threshold_pages);
        let expected = if above { full } else { by_page };
        assert_eq!((counts.invlpg, counts.tlb_full_flushes), (expected.invlpg, expected.tlb_full_flushes));
    }
}

/// A group of sixteen partners moves as completely as one by one, with one flush for all.
#[test]
fn a_group_takes_one_flush_where_single_migrations_take_one_each() {
    let partners = abi::plan::PARTNERS_MAX as u32;
    let Some(single) = run(&migration(0, partners, method::ONE_BY_ONE, ROUND_TRIPS), flag::FLUSH_FULL) else {
        return;
    };
    let Some(group) = run(&migration(0, partners, method::GROUP, ROUND_TRIPS), flag::FLUSH_FULL) else {
        return;
    };
    let (single, group) = (counted(&single), counted(&group));
    assert_eq!(single.pages_remapped, group.pages_remapped);
    assert_eq!(single.page_table_loads, group.page_table_loads);
    let (moves_out, servers) = (ROUND_TRIPS, u64::from(partners) + 1);
    assert_eq!(single.tlb_full_flushes - single.page_table_loads, moves_out * servers);
    assert_eq!(group.tlb_full_flushes - group.page_table_loads, moves_out);
}
