//! From the plan to running servers.

use core::fmt::{self, Write as _};

use abi::address::HOME_COUNT;
use abi::boot::{BootInfo, flag};
use abi::call::number;
use abi::flush::FlushReport;
use abi::plan::{PlanRight, PlanServer, server_flag};
use abi::region::START_INFO_OFFSET;
use abi::report::feature;

use super::handover;
use super::load::Loader;
use super::plan::{self, StartError, is_driver, is_migratable, placement_of};
use super::region::SharedPages;
use super::spaces::Spaces;
use crate::arch::{self, Ring3State};
use crate::cpu::Cpu;
use crate::cpu::kernel::{Cpus, Kernel, Settings};
use crate::cpu::world::Alone;
use crate::lifecycle::{policy, start_stop};
use crate::measure::report::ReportWriter;
use crate::memory::slot::FreeSlots;
use crate::memory::small_slot::SmallSlots;
use crate::memory::{Memory, OutOfMemory};
use crate::object::endpoint::{Endpoint, Right, Rights};
use crate::object::server::Server;
use crate::object::thread::Thread;
use crate::smp::flush;

/// What the ways into the kernel, which are above all else, give to those who prepare them.
#[derive(Clone, Copy)]
pub struct Entries {
    /// Addresses of the entry stubs that programs in the kernel jump to, by system call.
    pub entry_stubs: fn() -> [u64; number::COUNT as usize],
    /// Address of the code that takes 32-bit threads to ring 3 with all registers.
    pub way_to_ring_3: u64,
    /// Finds out about segments in compatibility mode. Returns bits of [`feature`].
    pub probe_segments: fn(&Cpu, &Memory) -> Result<u64, OutOfMemory>,
    /// The CPU with an index.
    pub cpu: fn(u32) -> &'static Cpu,
}

/// The features to use of those detected: PCIDs only if the plan asks for them.
pub fn choose_features(boot: &BootInfo, detected: u64) -> u64 {
    if handover::plan(boot).0.flags & abi::plan::flag::PCID != 0 {
        detected
    } else {
        detected & !feature::PCID
    }
}

/// Length of a time slice.
pub fn time_slice_microseconds(boot: &BootInfo) -> u64 {
    abi::plan::flag::time_slice_microseconds_of(handover::plan(boot).0.flags)
}

/// Whether the plan has 32-bit programs that can be had at all.
pub fn has_32_bit_programs(boot: &BootInfo, features: u64) -> bool {
    let (plan, servers, _) = handover::plan(boot);
    plan::Compatibility::of(plan, servers, features).is_ok_and(|compatibility| compatibility.gate.is_some())
}

/// Loads all servers of the plan, with all their threads, none of which runs yet.
pub fn load(
    boot: &'static BootInfo,
    cpu: &'static Cpu,
    report: ReportWriter,
    features: u64,
    entries: Entries,
) -> Result<(), StartError> {
    let (plan, servers, rights) = handover::plan(boot);
    let use_pcid = plan.flags & abi::plan::flag::PCID != 0;
    if use_pcid && features & feature::PCID == 0 {
        return Err(StartError::NoPcid);
    }
    let no_memory = |_: OutOfMemory| StartError::OutOfMemory { server: 0 };
    let memory = Memory::make(boot.free_memory).map_err(no_memory)?;
    let has_steal_time = features & feature::STEAL_TIME != 0;
    let compatibility = plan::Compatibility::of(plan, servers, features)?;
    let pages = SharedPages::new(
        memory,
        boot.cpu_count,
        has_steal_time,
        compatibility.gate,
        &(entries.entry_stubs)(),
    )
    .map_err(no_memory)?;
    arch::set_interface_pages(pages.user_interface, pages.kernel_interface);
    let home_count =
        servers.iter().filter(|plan| is_migratable(plan) && !placement_of(plan).is_32_bit()).count();
    if home_count > HOME_COUNT {
        return Err(StartError::Plan { server: 0, reason: "more than 255 servers may migrate" });
    }
    arch::add_homes(home_count, memory).map_err(no_memory)?;
    if servers.iter().filter(|plan| is_driver(plan)).count() > 1 {
        return Err(StartError::Plan { server: 0, reason: "more than one server drives the case" });
    }
    let has_driver = servers.iter().any(is_driver);
    let pmu = arch::Pmu::new(&boot.pmu);
    let slot_count = abi::plan::flag::kernel_slots_of(plan.flags);
    let slots = FreeSlots::make(slot_count, memory).map_err(no_memory)?;
    let flush = find_flush_threshold(plan.flags, features, &slots, memory).map_err(no_memory)?;
    let features =
        find_segments(cpu, &compatibility, features, report, memory, entries).map_err(no_memory)?;
    compatibility.check(features)?;
    report.set_flush(&flush);
    let settings = Settings {
        has_driver,
        flush_threshold_pages: flush.threshold_pages,
        has_pcids: use_pcid,
        has_time_slices: plan.flags & abi::plan::flag::NO_TIME_SLICES == 0,
        when_proved_stable: policy::promote_soon,
    };
    let cpus = memory
        .objects(boot.cpu_count as usize, |index| Ok((entries.cpu)(index as u32)))
        .map_err(no_memory)?;
    let kernel = Kernel::new(report, settings, pmu, Cpus::new(cpus));
    let kernel = memory.object(kernel).map_err(no_memory)?;
    cpu.set_kernel(kernel);

    let modules = handover::modules(boot);
    let loader = Loader {
        boot,
        plan: servers,
        modules,
        images: memory.zeroed(modules.len()).map_err(no_memory)?,
        memory,
        pages,
        slots,
        small_slots: match compatibility.gate {
            Some(_) => SmallSlots::make(memory).map_err(no_memory)?,
            None => SmallSlots::none(),
        },
        may_run_64_bit_in_user: compatibility.may_run_64_bit_in_user,
        spaces: Spaces::new(memory, servers.len(), home_count, use_pcid).map_err(no_memory)?,
    };
    let loader = memory.object(loader).map_err(no_memory)?;
    let created = create_all(loader)?;
    kernel.set_loaded(created, loader);
    for (server, plan) in created.iter().zip(servers) {
        make_endpoints(memory, server, plan).map_err(out_of_memory_at(server))?;
    }
    for (server, plan) in created.iter().zip(servers) {
        server.set_rights(resolve_rights(memory, created, plan, rights, server)?);
        let threads = make_threads(memory, server, plan, entries).map_err(out_of_memory_at(server))?;
        server.set_threads(threads);
    }
    if boot.flags & flag::VERBOSE != 0 {
        describe(created, features);
    }
    Ok(())
}

/// Makes the region of small spaces and finds out about segments, if that is wanted. Returns all features.
fn find_segments(
    cpu: &Cpu,
    compatibility: &plan::Compatibility,
    features: u64,
    report: ReportWriter,
    memory: &Memory,
    entries: Entries,
) -> Result<u64, OutOfMemory> {
    if !compatibility.probe {
        return Ok(features);
    }
    arch::add_small_region(memory)?;
    let features = features | (entries.probe_segments)(cpu, memory)?;
    report.set_features(features);
    Ok(features)
}

/// Makes the server's threads, those of 32-bit programs with their side in ring 3.
fn make_threads(
    memory: &Memory,
    server: &'static Server,
    plan: &PlanServer,
    entries: Entries,
) -> Result<&'static [Thread], OutOfMemory> {
    let thread = |index, ring_3| Ok(Thread::new(server, index as u32, plan.priority as u8, ring_3));
    let count = plan.thread_count as usize;
    if !server.placement().is_32_bit() {
        return memory.objects(count, |index| thread(index, None));
    }
    let sides = memory.objects(count, |_| Ok(Ring3State::new(entries.way_to_ring_3)))?;
    memory.objects(count, |index| thread(index, Some(&sides[index])))
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

fn out_of_memory_at(server: &Server) -> impl Fn(OutOfMemory) -> StartError {
    let server = server.index;
    move |OutOfMemory| StartError::OutOfMemory { server }
}

/// Makes every thread ready on its CPU. All CPUs must be there, and wait.
pub fn launch(alone: &Alone<'_>) {
    let Some(kernel) = alone.cpu().kernel() else { return };
    alone.cpus().for_each(|cpu| cpu.set_kernel(kernel));
    for server in kernel.servers() {
        for thread in server.threads() {
            start_stop::begin(alone.cpu_of(thread), thread);
        }
    }
}

/// Makes the server's endpoints, and their proxies if there are other CPUs.
fn make_endpoints(memory: &Memory, server: &'static Server, plan: &PlanServer) -> Result<(), OutOfMemory> {
    let count = if server.has_thread_endpoints { plan.thread_count } else { server.cpus.count } as usize;
    let both: &[Endpoint] = memory.zeroed(2 * count)?;
    let (endpoints, proxies) = both.split_at(count);
    for (index, (endpoint, proxy)) in endpoints.iter().zip(proxies).enumerate() {
        for either in [endpoint, proxy] {
            either.set_up(server, server.cpu_of_thread(index as u32));
        }
        proxy.lead_to(endpoint);
        if index >= plan.thread_count as usize {
            endpoint.lead_to(&endpoints[index % plan.thread_count as usize]);
        }
    }
    server.set_endpoints(endpoints, proxies);
    Ok(())
}

/// The server's part of the plan's rights, for each of its CPUs.
fn resolve_rights(
    memory: &Memory,
    servers: &'static [Server],
    plan: &PlanServer,
    rights: &[PlanRight],
    server: &Server,
) -> Result<&'static [Rights], StartError> {
    let wrong = StartError::Plan {
        server: server.index,
        reason: "its rights are not in the plan, or lead nowhere, or cannot be dealt out to its CPUs",
    };
    let first = plan.first_right as usize;
    let own =
        first.checked_add(plan.right_count as usize).and_then(|end| rights.get(first..end)).ok_or(wrong)?;
    let leads_somewhere = |right: &PlanRight| {
        let target = servers.get(right.target as usize);
        target.is_some_and(|target| {
            right.thread == 0
                || target.has_thread_endpoints && (right.thread as usize) < target.endpoints().len()
        })
    };
    let cpus = server.cpus.count as usize;
    let are_dealt_out = plan.flags & server_flag::RIGHTS_PER_CPU != 0;
    if !own.iter().all(leads_somewhere) || are_dealt_out && own.len() % cpus != 0 {
        return Err(wrong);
    }
    if own.is_empty() {
        return Ok(&[]);
    }
    let per_cpu = |index: usize| {
        let part = own.len() / cpus;
        let own = if are_dealt_out { &own[index * part..(index + 1) * part] } else { own };
        let cpu = server.cpus.first + index as u32;
        let resolved = memory.objects(own.len(), |index| {
            let right = &own[index];
            let endpoint = servers[right.target as usize].endpoint_for(cpu, right.thread);
            Ok(Right { endpoint, badge: right.badge })
        })?;
        Ok(Rights::of(resolved))
    };
    memory.objects(cpus, per_cpu).map_err(out_of_memory_at(server))
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
            server.placement(),
            server.base(),
            server.base() + START_INFO_OFFSET,
            server.threads().len(),
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
