//! What the kernel decides by itself when a server proves stable or unstable ([`crate::object::trust`]).

use crate::cpu::Cpu;
use crate::cpu::counters::count;
use crate::cpu::world::Alone;
use crate::lifecycle::{migrate, start_stop};
use crate::memory::Placement;
use crate::object::server::Server;
use crate::object::trust::Verdict;
use crate::smp::world;

/// Takes a server's trust away, and counts that.
pub fn demote(cpu: &Cpu, server: &Server) {
    if server.demote() {
        count(&cpu.counters().demotions);
    }
}

/// Moves a server that has proved stable into the kernel: at once, or, if there are other CPUs, by an interrupt as soon as
/// this CPU leaves the kernel.
pub fn promote_soon(cpu: &Cpu, server: &'static Server) {
    if !migrate::may_be_promoted(server) {
        return;
    }
    if !world::has_others(cpu) {
        world::stop(cpu, |alone| migrate::promote(alone, server));
    } else if !cpu.promote_later(server) {
        server.policy.start_over();
    }
}

/// Moves the server that is to move into the kernel, if there is one. Nothing may be open in this CPU's kernel.
pub fn promote_now(cpu: &Cpu) -> bool {
    let Some(server) = cpu.take_promotion() else { return false };
    world::stop(cpu, |alone| migrate::promote(alone, server));
    true
}

/// A server has ended by a fault in this placement, and its callers have been told. Starts it again if its policy has it
/// so. What cannot be started, for want of memory, stays dead.
pub fn after_fault(alone: &Alone<'_>, server: &'static Server, placement: Placement) {
    let next = match server.policy.judge_fault(placement) {
        Verdict::StaysDead => return,
        Verdict::Forgiven => placement,
        Verdict::Demoted => {
            demote(alone.cpu(), server);
            Placement::User
        }
    };
    if start_stop::start(alone, server, next).is_ok() {
        count(&alone.cpu().counters().restarts);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use abi::call::migrate as how;
    use abi::plan::PARTNERS_MAX;

    use super::*;
    use crate::ipc::received;
    use crate::lifecycle::migrate;
    use crate::object::{partners, trust};
    use crate::testing::{cpu_running, thread};

    proptest! {
        /// Whatever is ordered and whoever exchanges messages: nobody is in the kernel who is not trusted, and nobody gains
        /// trust.
        #[test]
        fn nobody_is_in_the_kernel_without_trust(
            groups in proptest::collection::vec(1_u32..5, 5),
            steps in proptest::collection::vec((0_usize..5, 0_usize..5, 0_u64..32), 0..120),
        ) {
            let servers: Vec<&'static Server> = groups.iter().map(|&group| {
                let server = thread().server;
                server.set_trust_group(group);
                server
            }).collect();
            let cpu = cpu_running(thread());
            for (first, second, bits) in steps {
                let [one, other] = [first, second].map(|index| &servers[index].threads()[0]);
                if bits % 2 == 0 {
                    received::message_received(cpu, one, other);
                }
                let _ = world::stop(cpu, |alone| {
                    migrate::migrate(alone, servers[first], bits & !how::RELOCATE)
                });
                for (server, &group) in servers.iter().zip(&groups) {
                    let now = server.trust_group();
                    prop_assert!(trust::may_run(now, server.placement()));
                    prop_assert!(now == group || (group, now) == (1, 2));
                    prop_assert!(partners::of(server).count() <= PARTNERS_MAX);
                    prop_assert!(partners::of(server).all(|partner| !core::ptr::eq(partner, *server)));
                    prop_assert!(server.threads().iter().all(|thread| thread.placement() == server.placement()));
                }
            }
        }
    }
}
