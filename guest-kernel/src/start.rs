//! From the plan to running servers.

use core::cell::Cell;
use core::fmt::{self, Write as _};

use abi::address::{HOME_COUNT, SLOT_COUNT};
use abi::boot::{BootInfo, flag};
use abi::flush::FlushReport;
use abi::plan::{PlanRight, PlanServer};
use abi::region::{START_INFO_OFFSET, stack_end};
use abi::report::feature;

use crate::arch;
use crate::cpu::Cpu;
use crate::endpoint::Right;
use crate::flush;
use crate::kernel::Kernel;
use crate::load::Loader;
use crate::memory::{Memory, OutOfMemory};
use crate::plan::{self, StartError, is_driver, is_migratable};
use crate::region::SharedPages;
use crate::report::ReportWriter;
use crate::server::Server;
use crate::slot::FreeSlots;
use crate::spaces::Spaces;
use crate::thread::Thread;

/// The features to use of those detected: PCIDs only if the plan asks for them.
pub fn choose_features(boot: &BootInfo, detected: u64) -> u64 {
    if plan::read(boot).0.flags & abi::plan::flag::PCID != 0 { detected } else { detected & !feature::PCID }
}

/// Loads all servers of the plan and makes their threads ready on `cpu`.
pub fn start(
    boot: &'static BootInfo,
    cpu: &'static Cpu,
    report: ReportWriter,
    features: u64,
) -> Result<(), StartError> {
    let (plan, servers, rights) = plan::read(boot);
    let use_pcid = plan.flags & abi::plan::flag::PCID != 0;
    if use_pcid && features & feature::PCID == 0 {
        return Err(StartError::NoPcid);
    }
    let no_memory = |_: OutOfMemory| StartError::OutOfMemory { server: 0 };
    let memory = Memory::make(boot.free_memory).map_err(no_memory)?;
    let pages = SharedPages::new(memory, features & feature::STEAL_TIME != 0).map_err(no_memory)?;
    arch::set_interface_pages(pages.user_interface, pages.kernel_interface);
    let home_count = servers.iter().filter(|plan| is_migratable(plan)).count();
    if home_count > HOME_COUNT {
        return Err(StartError::Plan { server: 0, reason: "more than 255 servers may migrate" });
    }
    arch::add_homes(home_count, memory).map_err(no_memory)?;
    if let Some(frame) = pages.steal_time {
        arch::enable_steal_time(frame);
    }
    if servers.iter().filter(|plan| is_driver(plan)).count() > 1 {
        return Err(StartError::Plan { server: 0, reason: "more than one server drives the case" });
    }
    let has_driver = servers.iter().any(is_driver);
    let pmu = arch::Pmu::new(&boot.pmu);
    let slots = FreeSlots::new(memory.zeroed_words(SLOT_COUNT).map_err(no_memory)?);
    let flush = find_flush_threshold(plan.flags, features, &slots, memory).map_err(no_memory)?;
    report.set_flush(&flush);
    let kernel = Kernel {
        report,
        servers: Cell::new(&[]),
        regions: Cell::new(None),
        has_driver: Cell::new(has_driver),
        has_pcids: use_pcid,
        flush_threshold_pages: flush.threshold_pages,
        pmu,
    };
    cpu.kernel.set(Some(memory.object(kernel).map_err(no_memory)?));

    let loader = Loader {
        boot,
        plan: servers,
        memory,
        pages,
        slots,
        spaces: Spaces::new(memory, servers.len(), home_count, use_pcid).map_err(no_memory)?,
    };
    let loader = memory.object(loader).map_err(no_memory)?;
    let created = create_all(loader)?;
    if let Some(kernel) = cpu.kernel.get() {
        kernel.servers.set(created);
        kernel.regions.set(Some(loader));
    }
    for (server, plan) in created.iter().zip(servers) {
        let rights = resolve_rights(memory, created, plan, rights, server.index)?;
        server.rights.set(rights);
        server.endpoint.server.set(Some(server));
    }
    for (server, plan) in created.iter().zip(servers) {
        start_threads(memory, cpu, server, plan)?;
    }
    if boot.flags & flag::VERBOSE != 0 {
        describe(created, features);
    }
    Ok(())
}

/// The flush threshold of this CPU, measured in a slot that nobody has yet.
fn find_flush_threshold(
    plan_flags: u64,
    features: u64,
    slots: &FreeSlots,
    memory: &Memory,
) -> Result<FlushReport, OutOfMemory> {
    arch::set_has_invpcid(features & feature::INVPCID != 0);
    let mut measured = Ok(());
    let found = flush::find_threshold(plan_flags, |report| {
        if let Some(base) = slots.take() {
            measured = arch::measure_flush(base, memory, report);
            slots.give_back(base);
        }
    });
    measured.map(|()| found)
}

fn create_all(loader: &Loader) -> Result<&'static [Server], StartError> {
    let mut failure = None;
    let created = loader.memory.objects(loader.plan.len(), |index| {
        loader.create(index as u32).map_err(|error| {
            failure = Some(error);
            OutOfMemory
        })
    });
    created.map_err(|OutOfMemory| failure.unwrap_or(StartError::OutOfMemory { server: 0 }))
}

/// The server's part of the plan's rights, with the endpoints that they lead to.
fn resolve_rights(
    memory: &Memory,
    servers: &'static [Server],
    plan: &PlanServer,
    rights: &[PlanRight],
    index: u32,
) -> Result<&'static [Right], StartError> {
    let wrong = StartError::Plan { server: index, reason: "its rights are not in the plan, or lead nowhere" };
    let first = plan.first_right as usize;
    let own =
        first.checked_add(plan.right_count as usize).and_then(|end| rights.get(first..end)).ok_or(wrong)?;
    if own.iter().any(|right| right.target as usize >= servers.len()) {
        return Err(wrong);
    }
    let resolved = memory.objects(own.len(), |index| {
        Ok(Right { endpoint: &servers[own[index].target as usize].endpoint, badge: own[index].badge })
    });
    resolved.map_err(|OutOfMemory| StartError::OutOfMemory { server: index })
}

/// Makes the server's threads, ready to run at its entry.
fn start_threads(
    memory: &Memory,
    cpu: &'static Cpu,
    server: &'static Server,
    plan: &PlanServer,
) -> Result<(), StartError> {
    let threads =
        memory.objects(plan.thread_count as usize, |_| Ok(Thread::new(server, plan.priority as u8)));
    let threads = threads.map_err(|OutOfMemory| StartError::OutOfMemory { server: server.index })?;
    server.threads.set(threads);
    for (index, thread) in threads.iter().enumerate() {
        thread.begin(stack_end(server.base.get(), index as u32) - 8, index as u32);
        cpu.make_ready(thread);
    }
    Ok(())
}

/// Says on the console what runs where.
fn describe(servers: &[Server], features: u64) {
    let mut console = Console;
    // The console never fails.
    let _ = writeln!(console, "inkbed kernel: features {features:#x}, {} servers", servers.len());
    for server in servers {
        let _ = writeln!(
            console,
            "  server {}: {:?}, region {:#x}, start information at {:#x}, {} threads",
            server.index,
            server.placement.get(),
            server.base.get(),
            server.base.get() + START_INFO_OFFSET,
            server.threads.get().len(),
        );
    }
}

/// The serial console, for `write!`.
struct Console;

impl fmt::Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        arch::write_console(text.as_bytes());
        Ok(())
    }
}
