//! The plan as the VMM has laid it out, and what is wrong with it.

use core::fmt;
use core::ptr::with_exposed_provenance;
use core::slice;

use abi::boot::BootInfo;
use abi::plan::{PRIORITY_MAX, Plan, PlanRight, PlanServer, placement, server_flag, trust};
use abi::region::{STACK_PAGES_MAX, THREADS_MAX, WORKING_SET_PAGES_MAX};

use crate::arch;
use crate::image::ImageError;
use crate::server::{Placement, Shape, Spread};
use crate::trust::may_run;

/// Why the plan cannot be started. `server` is its index in the plan.
#[derive(Clone, Copy, Debug)]
pub enum StartError {
    /// The plan itself makes no sense.
    Plan {
        /// Which server.
        server: u32,
        /// What is wrong.
        reason: &'static str,
    },
    /// The program cannot be loaded.
    Image {
        /// Which server.
        server: u32,
        /// What is wrong.
        error: ImageError,
    },
    /// Memory is used up.
    OutOfMemory {
        /// Which server.
        server: u32,
    },
    /// PCIDs were asked for, and the CPU has none.
    NoPcid,
}

impl fmt::Display for StartError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Plan { server, reason } => write!(formatter, "server {server} of the plan: {reason}"),
            StartError::Image { server, error } => {
                write!(formatter, "the program of server {server} cannot be loaded: {error}")
            }
            StartError::OutOfMemory { server } => {
                write!(
                    formatter,
                    "guest memory is used up at server {server}; give the guest more (--memory)"
                )
            }
            StartError::NoPcid => formatter.write_str("the plan asks for PCIDs, and this CPU has none"),
        }
    }
}

/// The plan, its servers and its rights.
pub fn read(boot: &BootInfo) -> (&'static Plan, &'static [PlanServer], &'static [PlanRight]) {
    let address = arch::physical_pointer(boot.plan).expose_provenance();
    // SAFETY: the VMM has laid the three out there, one behind the other, and nobody writes to them.
    unsafe {
        let plan: &Plan = &*with_exposed_provenance(address);
        let servers = address + size_of::<Plan>();
        let rights = servers + plan.server_count as usize * size_of::<PlanServer>();
        (
            plan,
            slice::from_raw_parts(with_exposed_provenance(servers), plan.server_count as usize),
            slice::from_raw_parts(with_exposed_provenance(rights), plan.right_count as usize),
        )
    }
}

/// Whether the server drives the case.
pub fn is_driver(plan: &PlanServer) -> bool {
    plan.flags & server_flag::DRIVER != 0
}

/// Whether the server may migrate.
pub fn is_migratable(plan: &PlanServer) -> bool {
    plan.flags & server_flag::MIGRATABLE != 0
}

/// Where the server is to run.
pub fn placement_of(plan: &PlanServer) -> Placement {
    if plan.placement == placement::KERNEL { Placement::Kernel } else { Placement::User }
}

/// The CPUs that the server's threads are spread over.
pub fn cpus_of(plan: &PlanServer) -> Spread {
    Spread { first: plan.first_cpu, count: plan.cpu_count.max(1) }
}

/// What never changes about the server.
pub fn shape_of(plan: &PlanServer) -> Shape {
    Shape {
        is_driver: is_driver(plan),
        cpus: cpus_of(plan),
        thread_endpoints: plan.flags & server_flag::THREAD_ENDPOINTS != 0,
    }
}

/// What the VMM should have made sure of, for a machine of `cpu_count` CPUs.
pub fn check(plan: &PlanServer, cpu_count: u32) -> Result<(), &'static str> {
    if plan.placement > placement::KERNEL {
        return Err("there is no such placement");
    }
    if !(trust::CRITICAL_TRUSTED..=trust::NONCRITICAL_UNTRUSTED).contains(&plan.trust_group) {
        return Err("there is no such trust group");
    }
    if !may_run(plan.trust_group, placement_of(plan)) {
        return Err("only trust group 1 (critical and trusted) may run in the kernel");
    }
    if !(1..=THREADS_MAX).contains(&plan.thread_count) {
        return Err("its number of threads is out of range");
    }
    if plan.priority > PRIORITY_MAX {
        return Err("its priority is out of range");
    }
    if plan.working_set_pages > WORKING_SET_PAGES_MAX {
        return Err("its working set is too large");
    }
    let cpus = cpus_of(plan);
    if u64::from(cpus.first) + u64::from(cpus.count) > u64::from(cpu_count) {
        return Err("it is spread over more CPUs than there are");
    }
    if u64::from(plan.stack_pages) > STACK_PAGES_MAX {
        return Err("its stacks are too large");
    }
    if plan.promote_after != 0 && cpus.count > 1 {
        return Err("it cannot prove stable: nobody counts its messages on several CPUs");
    }
    if plan.promote_after != 0 && !(is_migratable(plan) && may_run(plan.trust_group, Placement::Kernel)) {
        return Err("it cannot prove stable: it may not migrate, or is not in trust group 1");
    }
    if plan.demote_after != 0 && is_driver(plan) {
        return Err("it drives the case, which ends with its first fault");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let good = PlanServer { thread_count: 1, trust_group: 4, ..PlanServer::default() };
        assert_eq!(check(&good, 2), Ok(()));
        assert_eq!(check(&PlanServer { placement: placement::KERNEL, trust_group: 1, ..good }, 2), Ok(()));
        let in_kernel = PlanServer { placement: placement::KERNEL, ..good };
        let wrong = [
            PlanServer { placement: u32::MAX, ..good },
            PlanServer { trust_group: 0, ..good },
            PlanServer { trust_group: 5, ..good },
            PlanServer { trust_group: 2, ..in_kernel },
            PlanServer { trust_group: 3, ..in_kernel },
            PlanServer { trust_group: 4, ..in_kernel },
            PlanServer { thread_count: 0, ..good },
            PlanServer { first_cpu: 2, ..good },
            PlanServer { first_cpu: 1, cpu_count: 2, ..good },
            PlanServer { first_cpu: u32::MAX, cpu_count: u32::MAX, ..good },
            PlanServer { stack_pages: 5, ..good },
            PlanServer { thread_count: THREADS_MAX + 1, ..good },
            PlanServer { priority: PRIORITY_MAX + 1, ..good },
            PlanServer { working_set_pages: WORKING_SET_PAGES_MAX + 1, ..good },
            PlanServer { promote_after: 1, trust_group: 1, ..good },
            PlanServer { promote_after: 1, flags: server_flag::MIGRATABLE, trust_group: 3, ..good },
            PlanServer { demote_after: 1, flags: server_flag::DRIVER, ..good },
        ];
        for plan in wrong {
            assert!(check(&plan, 2).is_err(), "{plan:?}");
        }
    }
}
