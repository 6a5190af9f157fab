//! Objects for tests of the portable logic.

use std::alloc::{Layout, alloc_zeroed};
use std::mem::MaybeUninit;
use std::ptr;

use abi::address::PAGE_SIZE;
use abi::boot::PhysicalRange;
use abi::plan::{PlanServer, trust};
use abi::pmu::PmuPlan;
use abi::report::{CpuReport, Report};

use crate::arch::Pmu;
use crate::cpu::Cpu;
use crate::cpu::kernel::{Cpus, Kernel, Settings};
use crate::lifecycle::policy;
use crate::measure::report::ReportWriter;
use crate::memory::{PageRanges, Placement, physical_pointer};
use crate::object::endpoint::{Endpoint, Right};
use crate::object::server::{Location, Server, Spread, Traits};
use crate::object::space::Space;
use crate::object::thread::Thread;
use crate::object::trust::Policy;

/// Messages after which a server has proved stable.
const PROMOTE_AFTER: u32 = 3;

/// A user server with one thread of this priority in a space of its own.
pub fn thread_of_priority(priority: u8) -> &'static Thread {
    server(Placement::User, priority)
}

/// The same, of any priority.
pub fn thread() -> &'static Thread {
    thread_of_priority(10)
}

/// A server with one thread.
pub fn server(placement: Placement, priority: u8) -> &'static Thread {
    let space = (placement == Placement::User)
        .then(|| -> &'static Space { Box::leak(Box::new(Space::new(0x1000, 0, false))) });
    server_in(placement, space, priority)
}

/// A server with one thread in a given space.
pub fn server_in(placement: Placement, space: Option<&'static Space>, priority: u8) -> &'static Thread {
    server_on(placement, space, priority, 0)
}

/// A server with one thread on the CPU with this index.
pub fn server_on(
    placement: Placement,
    space: Option<&'static Space>,
    priority: u8,
    cpu: u32,
) -> &'static Thread {
    let traits = Traits {
        is_driver: false,
        cpus: Spread { first: cpu, count: 1 },
        thread_endpoints: false,
        slot_mib: 0,
    };
    let location = Location { placement, base: 1 << 32, space };
    let policy = Policy::new(&PlanServer { promote_after: PROMOTE_AFTER, ..PlanServer::default() });
    let group = trust::NONCRITICAL_UNTRUSTED;
    let server = Server::new(0, location, PageRanges::default(), space, traits, group, policy);
    let server: &'static Server = Box::leak(Box::new(server));
    let [endpoint, proxy]: &'static [[Endpoint; 1]; 2] = Box::leak(Box::default());
    for either in [&endpoint[0], &proxy[0]] {
        either.set_up(server, cpu);
    }
    proxy[0].lead_to(&endpoint[0]);
    server.set_endpoints(endpoint, proxy);
    server.set_threads(Box::leak(Box::new([Thread::new(server, 0, priority, None)])));
    &server.threads()[0]
}

/// Gives `from` the right to reach the servers of `targets`, as handles 0, 1, …, with badges 100, 101, …
pub fn give_rights(from: &Thread, targets: &[&'static Thread]) {
    let rights: Vec<Right> = targets
        .iter()
        .zip(100..)
        .map(|(target, badge)| Right { endpoint: target.server.endpoint_for(from.cpu(), 0), badge })
        .collect();
    from.rights.set(rights.leak());
}

/// The only CPU of a kernel, on which `running` runs, its space resident.
pub fn cpu_running(running: &'static Thread) -> &'static Cpu {
    cpu_running_in(running, settings())
}

/// The same in a kernel with these settings.
pub fn cpu_running_in(running: &'static Thread, settings: Settings) -> &'static Cpu {
    let cpu: &'static Cpu = Box::leak(Box::new(Cpu::running(running)));
    cpu.set_kernel(kernel_with(settings, Box::leak(Box::new([cpu]))));
    cpu
}

/// The CPUs of a kernel, with a thread of lower priority than all others running and one ready on each.
pub fn cpus(count: u32) -> Vec<&'static Cpu> {
    let idle = |index| server_on(Placement::Kernel, None, 0, index);
    let all: Vec<&'static Cpu> = (0..count)
        .map(|index| {
            let cpu: &'static Cpu = Box::leak(Box::new(Cpu::running(idle(index))));
            cpu.set_up(index, 0);
            cpu.set_apic_id(100 + index);
            cpu.ready().push_back(idle(index));
            cpu
        })
        .collect();
    let kernel = kernel(all.clone().leak());
    all.iter().for_each(|cpu| cpu.set_kernel(kernel));
    all
}

/// A kernel with these CPUs, without plan and driver.
pub fn kernel(cpus: &'static [&'static Cpu]) -> &'static Kernel {
    kernel_with(settings(), cpus)
}

/// What the kernels of tests are told, if nothing else.
pub fn settings() -> Settings {
    Settings {
        has_driver: false,
        flush_threshold_pages: abi::flush::DEFAULT_PAGES,
        has_pcids: false,
        has_time_slices: true,
        when_proved_stable: policy::promote_soon,
    }
}

fn kernel_with(settings: Settings, cpus: &'static [&'static Cpu]) -> &'static Kernel {
    let pmu = Pmu::new(&PmuPlan::default());
    Box::leak(Box::new(Kernel::new(report_for(cpus.len()), settings, pmu, Cpus::new(cpus))))
}

/// The writer of a report that nobody reads.
pub fn report_for(cpu_count: usize) -> ReportWriter {
    let report: *mut Report = Box::leak(Box::new(MaybeUninit::zeroed())).as_mut_ptr();
    let cpu_reports = Box::leak(vec![CpuReport::default(); cpu_count].into_boxed_slice()).as_mut_ptr();
    let (report, cpu_reports) = (report.expose_provenance(), cpu_reports.expose_provenance());
    // SAFETY: both have just been made, are zero, and used by nobody else.
    unsafe { ReportWriter::new(report as u64, cpu_reports as u64, cpu_count as u32) }
}

/// Has `thread` wait for messages, as if it had called WAIT.
pub fn wait(thread: &'static Thread) {
    thread.receive();
}

/// Memory of so many pages, all zero and nobody else's, by its address.
pub fn zeroed_pages(count: usize) -> PhysicalRange {
    let layout = Layout::from_size_align(count * PAGE_SIZE as usize, PAGE_SIZE as usize).unwrap();
    // SAFETY: the size is not zero in any test.
    let start = unsafe { alloc_zeroed(layout) }.expose_provenance() as u64;
    assert_ne!(start, 0);
    PhysicalRange { start, size: layout.size() as u64 }
}

/// Values one behind the other in memory that is nobody else's, from an address on.
pub fn put<T: Copy>(address: u64, values: &[T]) -> u64 {
    // SAFETY: tests give addresses in memory of `zeroed_pages` that is large enough and aligned for it.
    unsafe { ptr::copy_nonoverlapping(values.as_ptr(), physical_pointer(address).cast(), values.len()) };
    address + size_of_val(values) as u64
}

/// The word at an address in such memory.
pub fn word_at(address: u64) -> u64 {
    // SAFETY: tests give addresses in memory of `zeroed_pages`.
    unsafe { physical_pointer(address).cast::<u64>().read() }
}
