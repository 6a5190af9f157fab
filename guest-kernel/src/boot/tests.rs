//! Tests of loading: plans that are started on real page tables, in memory of the test's own.

use std::cell::OnceCell;

use abi::address::{PAGE_SIZE, REGION_SIZE, SLOT_BASE};
use abi::boot::{BOOT_MAGIC, BootInfo, Module, PhysicalRange};
use abi::call::status;
use abi::plan::{Plan, PlanServer, placement, server_flag};
use abi::pmu::PmuPlan;
use abi::region::{KERNEL_INTERFACE_OFFSET, START_INFO_OFFSET, StartInfo};
use proptest::prelude::*;

use super::image::tests::good_file;
use super::plan::StartError;
use super::spaces::Spaces;
use super::start::{self, Entries};
use crate::arch;
use crate::cpu::Cpu;
use crate::cpu::kernel::Kernel;
use crate::cpu::world::Alone;
use crate::lifecycle::start_stop;
use crate::memory::{Memory, Placement};
use crate::object::server::Server;
use crate::smp::world;
use crate::testing::{put, report_for, word_at, zeroed_pages};

/// Offset in the region of the good file's data, whose first word is relocated by [`RELOCATED`].
const DATA: u64 = 0x1000;
const RELOCATED: u64 = 0x1234;
/// The first entry stub of a kernel that is not there.
const FIRST_STUB: u64 = 0xffff_ffff_8000_0000;
/// Pages that are enough for all plans here.
const ENOUGH: usize = 2000;

thread_local! {
    static CPU: OnceCell<&'static Cpu> = const { OnceCell::new() };
}

/// The one CPU of this test.
fn cpu(_index: u32) -> &'static Cpu {
    CPU.with(|cpu| *cpu.get_or_init(|| Box::leak(Box::default())))
}

/// Starts a plan of these servers, without rights, in so many pages of memory.
fn start_in(pages: usize, servers: &[PlanServer]) -> Result<&'static Kernel, StartError> {
    let laid_out = zeroed_pages(20);
    let file = good_file();
    let module = PhysicalRange { start: laid_out.start + PAGE_SIZE, size: file.len() as u64 };
    put(module.start, &file);
    let plan = Plan { server_count: servers.len() as u32, ..Plan::default() };
    let modules = put(put(laid_out.start, &[plan]), servers);
    put(modules, &[Module { file: module, name: [0; 32] }]);
    let free = zeroed_pages(pages);
    let boot: &'static BootInfo = Box::leak(Box::new(BootInfo {
        magic: BOOT_MAGIC,
        version: abi::VERSION,
        cpu_count: 1,
        flags: 0,
        root_table: zeroed_pages(1).start,
        free_memory: [free, PhysicalRange { start: free.start + free.size, size: 0 }],
        modules,
        module_count: 1,
        reserved: 0,
        plan: laid_out.start,
        report: 0,
        cpu_reports: 0,
        samples: PhysicalRange::default(),
        tsc_hz: 0,
        apic_timer_hz: 0,
        pmu: PmuPlan::default(),
    }));
    let report = report_for(1);
    let entries = Entries {
        entry_stubs: || std::array::from_fn(|call| FIRST_STUB + call as u64),
        way_to_ring_3: 0,
        probe_segments: |_, _| Ok(0),
        cpu,
    };
    arch::set_kernel_root(boot.root_table);
    cpu(0).set_up(0, 0);
    start::load(boot, cpu(0), report, 0, entries)?;
    world::stop(cpu(0), start::launch);
    Ok(cpu(0).kernel().unwrap())
}

/// The same, which must go well.
fn started(servers: &[PlanServer]) -> &'static [Server] {
    start_in(ENOUGH, servers).unwrap_or_else(|error| panic!("{error}")).servers()
}

fn in_user() -> PlanServer {
    PlanServer { thread_count: 1, trust_group: 1, working_set_pages: 3, ..PlanServer::default() }
}

fn in_kernel() -> PlanServer {
    PlanServer { placement: placement::KERNEL, ..in_user() }
}

fn stop<T>(change: impl FnOnce(&Alone<'_>) -> T) -> T {
    world::stop(cpu(0), change)
}

/// Checks that the good file's program is mapped at its server's base, with the kernel's pages, in the right page table.
fn check_region(server: &'static Server) {
    let (root, base) = (server.root(), server.base());
    let data = arch::writable_frame(root, base + DATA).expect("data may be written");
    assert_eq!(word_at(data), base + RELOCATED, "relocated to where it is");
    assert!(arch::frame_of(root, base).is_some() && arch::writable_frame(root, base).is_none(), "text");
    let info = arch::frame_of(root, base + START_INFO_OFFSET).unwrap();
    assert_eq!(word_at(info + std::mem::offset_of!(StartInfo, server) as u64) as u32, server.index);
    let interface = arch::frame_of(root, base + KERNEL_INTERFACE_OFFSET).unwrap();
    let first_stub = word_at(interface + PAGE_SIZE - 8);
    assert_eq!(first_stub == FIRST_STUB, server.placement() == Placement::Kernel, "stubs of its placement");
}

#[test]
fn every_server_of_a_plan_is_loaded_where_it_belongs_and_its_threads_are_ready() {
    let home = PlanServer { flags: server_flag::MIGRATABLE, ..in_user() };
    let own_space = PlanServer { space: 1, ..in_user() };
    let servers = started(&[in_user(), own_space, in_kernel(), home, in_kernel(), in_user()]);
    servers.iter().for_each(check_region);
    let space = |index: usize| servers[index].space().map(|space| space.root);
    assert!(space(0) == space(5) && space(0) != space(1) && space(3) != space(0));
    assert!(servers[0].base() != 0 && servers[5].base() > servers[0].base());
    assert_eq!((space(2), servers[2].base()), (None, SLOT_BASE));
    assert_ne!(servers[4].base(), servers[2].base());
    let ready = std::iter::from_fn(|| cpu(0).ready().pop());
    assert_eq!(ready.map(|thread| thread.server.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn what_a_server_had_comes_back_when_it_stops_and_is_had_again_when_it_starts() {
    for plan in [in_user(), in_kernel(), PlanServer { flags: server_flag::MIGRATABLE, ..in_user() }] {
        let servers = started(&[in_user(), plan]);
        let (server, other) = (&servers[1], &servers[0]);
        let (frames, place) = (cpu(0).frames_in_use(), (server.root(), server.base()));
        stop(|alone| start_stop::stop(alone, server)).unwrap();
        assert_eq!(arch::frame_of(place.0, place.1), None, "out of reach");
        let without = cpu(0).frames_in_use();
        assert!(without < frames);
        check_region(other);
        for _ in 0..3 {
            stop(|alone| start_stop::start(alone, server, server.placement())).unwrap();
            assert_eq!((cpu(0).frames_in_use(), (server.root(), server.base())), (frames, place));
            check_region(server);
            stop(|alone| start_stop::stop(alone, server)).unwrap();
            assert_eq!(cpu(0).frames_in_use(), without);
        }
    }
}

#[test]
fn a_server_that_is_relocated_takes_its_state_along() {
    let servers = started(&[in_user(), in_user()]);
    let server = &servers[1];
    let wait = || {
        for thread in std::iter::from_fn(|| cpu(0).ready().pop()).filter(|thread| thread.server.index == 1) {
            thread.receive();
        }
    };
    let mut frames = Vec::new();
    for (turn, target) in [Placement::Kernel, Placement::User].into_iter().cycle().take(6).enumerate() {
        wait();
        let (root, base) = (server.root(), server.base());
        let data = arch::writable_frame(root, base + DATA).unwrap();
        put(data + 64, &[turn as u64]);
        server.set_state(DATA + 64, 8);
        stop(|alone| start_stop::relocate(alone, server, target)).unwrap();
        assert_eq!(server.placement(), target);
        check_region(server);
        assert_eq!(arch::frame_of(root, base), None, "the old region is gone");
        let data = arch::writable_frame(server.root(), server.base() + DATA).unwrap();
        assert_eq!(word_at(data + 64), turn as u64);
        frames.push(cpu(0).frames_in_use());
    }
    assert_eq!(frames[2..4], frames[4..6], "nothing leaks");
    check_region(&servers[0]);
}

#[test]
fn a_state_that_is_not_all_there_leaves_the_server_where_it_is() {
    let servers = started(&[in_user()]);
    let server = &servers[0];
    cpu(0).ready().pop().unwrap().receive();
    // The first relocation leaves a table behind that the kernel's slots share.
    let relocate = || stop(|alone| start_stop::relocate(alone, server, Placement::Kernel));
    server.set_state(DATA, 3 * PAGE_SIZE);
    assert_eq!(relocate(), Err(status::BAD_ARGUMENT));
    let (frames, place) = (cpu(0).frames_in_use(), (server.root(), server.base()));
    assert_eq!(relocate(), Err(status::BAD_ARGUMENT));
    assert_eq!((cpu(0).frames_in_use(), (server.root(), server.base())), (frames, place));
    assert_eq!(server.placement(), Placement::User);
    check_region(server);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// However little memory there is: the plan starts, or is refused because of that.
    #[test]
    fn too_little_memory_is_refused_with_the_reason(pages in 1_usize..160, kernel: bool) {
        let plan = if kernel { in_kernel() } else { in_user() };
        match start_in(pages, &[plan, plan, plan]) {
            Ok(kernel) => kernel.servers().iter().for_each(check_region),
            Err(StartError::OutOfMemory { server }) => prop_assert!(server < 3),
            Err(error) => prop_assert!(false, "{}", error),
        }
        // The next plan of this test's CPU begins with an empty queue.
        while cpu(0).ready().pop().is_some() {}
    }

    /// A server that finds too little memory where it is to go stays where it is, and nothing leaks.
    #[test]
    fn a_relocation_without_memory_leaves_the_server_where_it_is(pages in 30_usize..120) {
        let started = start_in(pages, &[in_user()]);
        let threads = std::iter::from_fn(|| cpu(0).ready().pop()).collect::<Vec<_>>();
        if let Ok(kernel) = started {
            let server = &kernel.servers()[0];
            threads.iter().for_each(|thread| thread.receive());
            let relocate = || stop(|alone| start_stop::relocate(alone, server, Placement::Kernel));
            // The first try may leave a table behind that the kernel's slots share.
            if relocate() == Err(status::EXHAUSTED) {
                let (frames, place) = (cpu(0).frames_in_use(), (server.root(), server.base()));
                prop_assert_eq!(relocate(), Err(status::EXHAUSTED));
                prop_assert_eq!((cpu(0).frames_in_use(), (server.root(), server.base())), (frames, place));
                prop_assert_eq!(server.placement(), Placement::User);
            }
            check_region(server);
            while cpu(0).ready().pop().is_some() {}
        }
    }
}

#[test]
fn regions_of_a_space_never_overlap_and_the_lowest_addresses_stay_free() {
    let memory = Memory::new([zeroed_pages(100), PhysicalRange::default()]);
    arch::set_kernel_root(zeroed_pages(1).start);
    let spaces = Spaces::new(&memory, 2, 0, false).unwrap_or_else(|_| panic!("there is memory"));
    let take = |number| spaces.take_region(number, &memory).unwrap_or_else(|_| panic!("there is memory"));
    let regions: Vec<_> = (0..5).map(|_| take(0).unwrap()).collect();
    for (index, (space, base)) in regions.iter().enumerate() {
        assert_eq!((space.root, *base), (regions[0].0.root, (index as u64 + 1) * REGION_SIZE));
    }
    assert_eq!(take(1).unwrap().1, REGION_SIZE);
    assert!(take(2).is_none(), "there is no such space");
}
