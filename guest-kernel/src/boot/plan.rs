//! The plan as the VMM has laid it out, and what is wrong with it.

use core::fmt;

use abi::address::SMALL_SLOT_SIZES;
use abi::plan::{PRIORITY_MAX, Plan, PlanServer, flag, placement, server_flag, trust};
use abi::region::{SAMPLES_OFFSET_32, STACK_PAGES_MAX, THREADS_MAX, WORKING_SET_PAGES_MAX, size_32};
use abi::report::feature;

use crate::arch::Gate;
use crate::boot::image::ImageError;
use crate::memory::{Placement, small_slot};
use crate::object::server::{Spread, Traits};
use crate::object::trust::may_run;

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
    /// The plan has 32-bit servers, and segments have no bases in compatibility mode here.
    NoSegments,
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
            StartError::NoSegments => formatter.write_str(
                "the plan has 32-bit servers, and this machine ignores or refuses the bases of their segments (found out in \
                 ring 3 at boot)",
            ),
            StartError::NoPcid => formatter.write_str("the plan asks for PCIDs, and this CPU has none"),
        }
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
    Placement::of_number(plan.placement.into()).unwrap_or(Placement::User)
}

/// Whether the server may ever be in a small space.
fn may_be_small(plan: &PlanServer) -> bool {
    plan.placement == placement::SMALL || plan.placement == placement::LARGE && is_migratable(plan)
}

/// Bytes of the slot that a 32-bit server gets whenever it is in the region of small spaces; 0 if it never is.
fn slot_size(plan: &PlanServer) -> Result<u64, &'static str> {
    if !may_be_small(plan) {
        return Ok(0);
    }
    let needed = size_32(plan.thread_count, plan.working_set_pages);
    if plan.small_slot_mib == 0 {
        return small_slot::size_for(needed)
            .ok_or("it is larger than the largest slot for small spaces, 64 MiB");
    }
    let size = u64::from(plan.small_slot_mib) << 20;
    if !SMALL_SLOT_SIZES.contains(&size) {
        return Err("slots for small spaces have 2, 4, 8, 16, 32 or 64 MiB");
    }
    if needed > size { Err("it does not fit in the slot that the plan gives it") } else { Ok(size) }
}

/// What a plan asks of compatibility mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compatibility {
    /// How 32-bit programs enter the kernel; `None` if there are none.
    pub gate: Option<Gate>,
    /// Whether 64-bit programs may be in user space: not beside small spaces, unless the plan wants that.
    pub may_run_64_bit_in_user: bool,
    /// Whether to find out about segments, and to have a region of small spaces.
    pub probe: bool,
}

impl Compatibility {
    /// What the plan asks for. `features` are those of [`feature`] that CPUID tells.
    pub fn of(plan: &Plan, servers: &[PlanServer], features: u64) -> Result<Compatibility, StartError> {
        let is_32_bit = |server: &&PlanServer| placement_of(server).is_32_bit();
        let wrong = |server: usize, reason| StartError::Plan { server: server as u32, reason };
        let runs_in_user = |server: &PlanServer| {
            !is_32_bit(&server) && (server.placement == placement::USER || is_migratable(server))
        };
        let user = servers.iter().position(runs_in_user);
        let wants = |bit| plan.flags & bit != 0;
        let gate = match (wants(flag::GATE_SYSENTER), wants(flag::GATE_SYSCALL)) {
            (false, false) => Gate::Interrupt,
            (true, false) => Gate::SysEnter,
            (false, true) => Gate::SysCall,
            (true, true) => return Err(wrong(0, "the plan names two gates for 32-bit programs")),
        };
        let Some(first) = servers.iter().position(|server| is_32_bit(&server)) else {
            return Ok(Compatibility {
                gate: None,
                may_run_64_bit_in_user: true,
                probe: wants(flag::PROBE_SEGMENTS),
            });
        };
        if gate == Gate::SysEnter && features & feature::SYSENTER_32 == 0 {
            return Err(wrong(first, "this CPU has no SYSENTER in compatibility mode"));
        }
        if gate == Gate::SysCall && features & feature::SYSCALL_32 == 0 {
            return Err(wrong(first, "this CPU has no SYSCALL in compatibility mode"));
        }
        let may_run_64_bit_in_user = !servers.iter().any(may_be_small) || wants(flag::MIX_64_BIT);
        if let Some(user) = user
            && !may_run_64_bit_in_user
        {
            return Err(wrong(
                user,
                "a 64-bit server in user space beside small spaces: 64-bit mode ignores base and limit of segments, so nothing \
                 would keep it from reading and writing them; place it in large or in the kernel",
            ));
        }
        Ok(Compatibility { gate: Some(gate), may_run_64_bit_in_user, probe: true })
    }

    /// Whether what was found out, bits of [`feature`], is enough.
    pub fn check(&self, features: u64) -> Result<(), StartError> {
        if self.gate.is_some() && features & feature::SEGMENT_BASES == 0 {
            return Err(StartError::NoSegments);
        }
        Ok(())
    }
}

/// The CPUs that the server's threads are spread over.
pub fn cpus_of(plan: &PlanServer) -> Spread {
    Spread { first: plan.first_cpu, count: plan.cpu_count.max(1) }
}

/// What never changes about the server.
pub fn traits_of(plan: &PlanServer) -> Traits {
    Traits {
        is_driver: is_driver(plan),
        cpus: cpus_of(plan),
        thread_endpoints: plan.flags & server_flag::THREAD_ENDPOINTS != 0,
        slot_mib: (slot_size(plan).unwrap_or(0) >> 20) as u8,
    }
}

/// What the VMM should have made sure of, for a machine of `cpu_count` CPUs.
pub fn check(plan: &PlanServer, cpu_count: u32) -> Result<(), &'static str> {
    if Placement::of_number(plan.placement.into()).is_none() {
        return Err("there is no such placement");
    }
    if !(trust::CRITICAL_TRUSTED..=trust::NONCRITICAL_UNTRUSTED).contains(&plan.trust_group) {
        return Err("there is no such trust group");
    }
    if !may_run(plan.trust_group, placement_of(plan)) {
        return Err("only trust group 1 (critical and trusted) may run in the kernel");
    }
    if is_migratable(plan) && !placement_of(plan).moves() {
        return Err("it may migrate, and nobody is moved from its placement");
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
    slot_size(plan)?;
    if may_be_small(plan) && is_driver(plan) {
        return Err("it drives the case, and a small space has no room for its samples");
    }
    if placement_of(plan).is_32_bit()
        && size_32(plan.thread_count, plan.working_set_pages) > SAMPLES_OFFSET_32
    {
        return Err("its threads and its working set are too large for 32 bits");
    }
    let cpus = cpus_of(plan);
    if u64::from(cpus.first) + u64::from(cpus.count) > u64::from(cpu_count) {
        return Err("it is spread over more CPUs than there are");
    }
    if u64::from(plan.stack_pages) > STACK_PAGES_MAX {
        return Err("its stacks are too large");
    }
    if plan.promote_after != 0 && placement_of(plan).is_32_bit() {
        return Err("it cannot prove stable: it has no place in the kernel");
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
        let small = PlanServer { placement: placement::SMALL, ..good };
        assert_eq!(check(&small, 2), Ok(()));
        assert_eq!(
            check(&PlanServer { placement: placement::LARGE, flags: server_flag::DRIVER, ..good }, 2),
            Ok(())
        );
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
            PlanServer { small_slot_mib: 3, ..small },
            PlanServer { small_slot_mib: 128, ..small },
            PlanServer { working_set_pages: (64 << 8) - 256, ..small },
            PlanServer { small_slot_mib: 2, working_set_pages: 256, ..small },
            PlanServer { flags: server_flag::DRIVER, ..small },
            PlanServer { promote_after: 1, flags: server_flag::MIGRATABLE, trust_group: 1, ..small },
            PlanServer {
                placement: placement::LARGE,
                flags: server_flag::DRIVER | server_flag::MIGRATABLE,
                ..good
            },
            PlanServer { placement: placement::LARGE, working_set_pages: 1 << 18, ..good },
        ];
        for plan in wrong {
            assert!(check(&plan, 2).is_err(), "{plan:?}");
        }
    }

    #[test]
    fn a_32_bit_server_gets_the_smallest_slot_that_it_fits_in() {
        let small = |pages, mib| PlanServer {
            placement: placement::SMALL,
            thread_count: 1,
            working_set_pages: pages,
            small_slot_mib: mib,
            ..PlanServer::default()
        };
        // 1 MiB and one thread's area, of 8 pages, come before the working set.
        for (pages, mib, expected) in [(0, 0, 2), (248, 0, 2), (249, 0, 4), (0, 16, 16), (16_120, 0, 64)] {
            assert_eq!(slot_size(&small(pages, mib)), Ok(expected << 20), "{pages} pages, {mib} MiB");
        }
        let large = PlanServer { placement: placement::LARGE, ..small(0, 0) };
        assert_eq!(slot_size(&large), Ok(0));
        assert_eq!(slot_size(&PlanServer { flags: server_flag::MIGRATABLE, ..large }), Ok(2 << 20));
    }

    #[test]
    fn small_spaces_have_no_64_bit_neighbours_unless_that_is_wanted() {
        let server = |placement, flags| PlanServer { placement, flags, ..PlanServer::default() };
        let of =
            |servers: &[PlanServer], flags| Compatibility::of(&Plan { flags, ..Plan::default() }, servers, 0);
        let (user, kernel) = (server(placement::USER, 0), server(placement::KERNEL, 0));
        let (small, large) = (server(placement::SMALL, 0), server(placement::LARGE, 0));
        let may_leave = server(placement::KERNEL, server_flag::MIGRATABLE);
        let may_enter = server(placement::LARGE, server_flag::MIGRATABLE);
        for servers in [[small, user], [may_enter, user], [small, may_leave]] {
            assert!(matches!(of(&servers, 0), Err(StartError::Plan { server: 1, .. })), "{servers:?}");
            assert!(of(&servers, flag::MIX_64_BIT).is_ok_and(|plan| plan.may_run_64_bit_in_user));
        }
        for servers in [[small, large], [small, kernel]] {
            let plan = of(&servers, 0).unwrap();
            assert_eq!(
                plan,
                Compatibility { gate: Some(Gate::Interrupt), may_run_64_bit_in_user: false, probe: true }
            );
            assert!(plan.check(0).is_err() && plan.check(feature::SEGMENT_BASES).is_ok());
        }
        assert!(of(&[large, user], 0).is_ok_and(|plan| plan.may_run_64_bit_in_user));
        assert_eq!(of(&[user, kernel], 0).unwrap().gate, None);
        assert!(
            of(&[user, kernel], flag::PROBE_SEGMENTS).is_ok_and(|plan| plan.probe && plan.check(0).is_ok())
        );
    }

    #[test]
    fn a_gate_is_taken_only_where_the_cpu_has_it() {
        let large = [PlanServer { placement: placement::LARGE, ..PlanServer::default() }];
        let of = |flags, features| Compatibility::of(&Plan { flags, ..Plan::default() }, &large, features);
        for (wanted, needed, gate) in [
            (flag::GATE_SYSENTER, feature::SYSENTER_32, Gate::SysEnter),
            (flag::GATE_SYSCALL, feature::SYSCALL_32, Gate::SysCall),
        ] {
            assert!(of(wanted, !needed).is_err());
            assert_eq!(of(wanted, needed).unwrap().gate, Some(gate));
        }
        assert!(of(flag::GATE_SYSENTER | flag::GATE_SYSCALL, u64::MAX).is_err());
    }
}
