//! Migration in place: moving a running server between user space and the kernel without changing one of its addresses.
//!
//! A server that may migrate has a home: a region that is its own in every space. In user space only its own space maps
//! it, with the user bit; in the kernel every space does, without. Moving it means: turn the user bit (and the global
//! bit) of its pages, hang its four level-3 entries under the other table, exchange its kernel interface page, tell its
//! threads, and have the TLB forget. Queues, owed replies, message buffers and stacks stay as they are, so no call is lost
//! or answered twice, and the server never notices.
//!
//! A 32-bit server is moved between a space of its own and the region of small spaces in the same way: there its segments
//! have it keep its addresses.

use abi::call::{migrate, status};
use abi::plan::PARTNERS_MAX;

use crate::arch;
use crate::cpu::Cpu;
use crate::cpu::counters::count;
use crate::cpu::tlb::{Flushed, Reach};
use crate::cpu::world::Alone;
use crate::lifecycle::{policy, start_stop};
use crate::memory::Placement;
use crate::object::server::{Location, Server};
use crate::object::space::Space;
use crate::object::thread::Resume;
use crate::object::{partners, trust};
use crate::smp::flush;

/// What a migration took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Servers moved.
    pub servers: u64,
    /// Pages whose privilege changed.
    pub pages: u64,
    /// What having the TLB forget them took.
    pub flushed: Flushed,
}

/// Moves `server`, with its group if [`migrate::WITH_GROUP`] says so. Fails with a status, having moved nobody, if the
/// server itself may not be moved; members of its group that may not are left where they are.
pub fn migrate(alone: &Alone<'_>, server: &'static Server, how: u64) -> Result<Work, u64> {
    if how & !migrate::ALL != 0 {
        return Err(status::BAD_ARGUMENT);
    }
    let target = if how & migrate::TO_KERNEL != 0 { Placement::Kernel } else { Placement::User };
    let demote = how & migrate::DEMOTE != 0;
    if demote && target == Placement::Kernel {
        return Err(status::BAD_ARGUMENT);
    }
    if server.placement().is_32_bit() {
        return move_32_bit(alone, server, how);
    }
    if how & migrate::TO_SMALL != 0 {
        return Err(status::NOT_PERMITTED);
    }
    if how & migrate::RELOCATE != 0 {
        return relocate(alone, server, target, how);
    }
    check(alone.cpu(), server, target)?;
    if demote {
        policy::demote(alone.cpu(), server);
    }
    Ok(move_in_place(alone, server, target, how & migrate::WITH_GROUP != 0))
}

/// Whether a server that has proved stable may move into the kernel, and is not there.
pub fn may_be_promoted(server: &Server) -> bool {
    let is_movable = server.home.is_some() && server.placement() == Placement::User;
    is_movable && check_policy(server, Placement::Kernel).is_ok()
}

/// Moves a server that has proved stable into the kernel, with its group, if it may run there. It may be about to receive
/// a message: all that counts of it is in its context.
pub fn promote(alone: &Alone<'_>, server: &'static Server) {
    if may_be_promoted(server) {
        move_in_place(alone, server, Placement::Kernel, true);
        count(&alone.cpu().counters().promotions);
    }
}

/// Moves a server for which all checks have been made, and those of its group that may be moved.
fn move_in_place(alone: &Alone<'_>, server: &'static Server, target: Placement, with_group: bool) -> Work {
    let cpu = alone.cpu();
    let mut group = [None; PARTNERS_MAX + 1];
    group[0] = (server.placement() != target).then_some(server);
    if with_group {
        let members = partners::of(server).filter(|partner| {
            partner.is_trusted()
                && !partner.placement().is_32_bit()
                && partner.placement() != target
                && check(cpu, partner, target).is_ok()
        });
        let mut count = 1;
        for member in members {
            // Several CPUs may remember the same one.
            let is_known = group.iter().flatten().any(|known: &&Server| core::ptr::eq(*known, member));
            if !is_known && count < group.len() {
                group[count] = Some(member);
                count += 1;
            }
        }
    }

    let mut work = Work::default();
    for member in group.iter().flatten() {
        work.servers += 1;
        if let Some(home) = member.home {
            work.pages += arch::change_region_privilege(home.home(), member.base(), &member.pages, target);
            move_threads(member, home, target);
        }
    }
    cpu.counters().pages_remapped.add(work.pages);
    // Where they were is what has to be forgotten.
    let reach = |home| if target == Placement::Kernel { Reach::of(home) } else { Reach::Everywhere };
    let moved = group.iter().flatten().map(|server| (*server, reach(server.home)));
    work.flushed = flush::regions(alone, moved, work.pages);
    work
}

/// Moves a 32-bit server between its own space and a slot of the region of small spaces: its page-table entries go from
/// the one to the other, and its segments get another base and limit. Its threads hold no address that changes, wherever
/// they are.
fn move_32_bit(alone: &Alone<'_>, server: &'static Server, how: u64) -> Result<Work, u64> {
    let cpu = alone.cpu();
    if how & !migrate::TO_SMALL != 0 {
        return Err(status::NOT_PERMITTED);
    }
    let target = if how & migrate::TO_SMALL != 0 { Placement::Small } else { Placement::Large };
    check(cpu, server, target)?;
    if server.placement() == target {
        return Ok(Work::default());
    }
    let regions = cpu.regions().ok_or(status::NOT_PERMITTED)?;
    let home = server.home.ok_or(status::NOT_PERMITTED)?;
    let old = server.base();
    let (slot, new, reach) = match target {
        Placement::Small => {
            let slot = regions.take_small_slot(server.slot_size()).ok_or(status::EXHAUSTED)?;
            (slot, slot, Reach::of(server.home))
        }
        _ => (old, 0, Reach::Everywhere),
    };
    let pages = arch::move_slot(home.home(), slot, server.slot_size(), &server.pages, target);
    // Where it was is what has to be forgotten.
    let flushed = flush::regions(alone, core::iter::once((server, reach)), pages);
    let space = (target == Placement::Large).then_some(home);
    server.move_to(Location { placement: target, base: new, space });
    if target == Placement::Large {
        regions.give_small_slot_back(old, server.slot_size());
    }
    cpu.counters().pages_remapped.add(pages);
    Ok(Work { servers: 1, pages, flushed })
}

/// Moves one server to another address.
fn relocate(alone: &Alone<'_>, server: &'static Server, target: Placement, how: u64) -> Result<Work, u64> {
    if how & migrate::WITH_GROUP != 0 {
        return Err(status::BAD_ARGUMENT);
    }
    check_policy(server, target)?;
    start_stop::relocate(alone, server, target)?;
    if how & migrate::DEMOTE != 0 {
        policy::demote(alone.cpu(), server);
    }
    Ok(Work { servers: 1, ..Work::default() })
}

/// Whether the server may be moved in place.
fn check(cpu: &Cpu, server: &Server, target: Placement) -> Result<(), u64> {
    if !server.is_dead() && (server.home.is_none() || cpu.runs(server)) {
        return Err(status::NOT_PERMITTED);
    }
    check_policy(server, target)
}

/// Whether the server may run there.
fn check_policy(server: &Server, target: Placement) -> Result<(), u64> {
    if server.is_dead() {
        return Err(status::PARTNER_DEAD);
    }
    if !trust::may_run(server.trust_group(), target) {
        return Err(status::NOT_TRUSTED);
    }
    Ok(())
}

/// Tells the server, whose home is `home`, and its threads where they run now.
fn move_threads(server: &Server, home: &'static Space, target: Placement) {
    let space = (target == Placement::User).then_some(home);
    server.move_to(Location { placement: target, base: server.base(), space });
    server.apply_direct_entry();
    for thread in server.threads() {
        match thread.resume() {
            Resume::FromCall => arch::move_call_return(server.base(), &thread.context, target),
            Resume::Everything => {
                arch::move_interrupted(home.home(), server.base(), &thread.context, target);
            }
        }
    }
}
