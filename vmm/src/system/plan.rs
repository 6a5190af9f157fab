//! From the programs of a guest to its configuration.

use std::time::Duration;

use abi::plan::{PlanRight, PlanServer, server_flag};

use super::participant::{Participant, Target};
use super::placement::Placement;
use super::rule::System;
use super::table::with_table;
use crate::guest_image::GuestImage;
use crate::machine::guest::{Console, Elf, GuestConfig, HugePages, Pin};

/// A case names a program that is not at hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no program `{program}` among the guest's programs; --servers DIR adds those of a folder")]
pub struct NoSuchProgram {
    /// Its name.
    pub program: String,
}

/// What a guest is beyond its programs.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Bits of [`abi::plan::flag`].
    pub plan_flags: u64,
    /// vCPUs.
    pub vcpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// What it is made of.
    pub huge_pages: HugePages,
    /// Bytes of the slot of each program that runs in a small space, or moves there.
    pub slot_bytes: u64,
    /// Samples that there must be room for.
    pub sample_capacity: u64,
    /// Where the vCPUs run.
    pub pin: Pin,
    /// What takes longer is a hang.
    pub deadline: Duration,
}

/// The guest with these programs, the first of which drives it.
pub fn guest_config(system: &System, setup: Setup, image: &GuestImage) -> Result<GuestConfig, NoSuchProgram> {
    let mut modules = Modules { image, used: Vec::new() };
    let mut servers = Vec::new();
    let mut rights = Vec::new();
    for (index, participant) in system.participants.iter().enumerate() {
        let first_right = rights.len() as u32;
        rights.extend(participant.may_call.iter().map(|target| right(*target, index)));
        let mut server = plan_server(participant, modules.index_of(participant)?);
        if participant.placement == Placement::Small || participant.moves_to.is_some_and(Placement::is_32_bit)
        {
            server.small_slot_mib = (setup.slot_bytes >> 20) as u32;
        }
        server.first_right = first_right;
        server.right_count = participant.may_call.len() as u32;
        if index == 0 {
            server.flags |= server_flag::DRIVER;
        }
        servers.push(server);
    }
    Ok(GuestConfig {
        kernel: image.kernel.clone(),
        modules: modules.used,
        servers,
        rights,
        plan_flags: setup.plan_flags,
        vcpus: setup.vcpus,
        memory_bytes: setup.memory_bytes,
        huge_pages: setup.huge_pages,
        withheld_features: 0,
        sample_capacity: setup.sample_capacity,
        pin: setup.pin,
        deadline: Some(setup.deadline),
        console: Console::Capture,
        verbose: false,
    })
}

/// The right of the participant with index `from` to reach `target`.
pub fn right(target: Target, from: usize) -> PlanRight {
    PlanRight { target: target.participant as u32, thread: target.thread, badge: from as u64 }
}

/// One server of a plan without rights.
pub fn plan_server(participant: &Participant, module: u32) -> PlanServer {
    let threads = &participant.threads;
    let flag = |is_set, flag| if is_set { flag } else { 0 };
    PlanServer {
        module,
        placement: participant.placement.number(),
        space: participant.space,
        trust_group: participant.trust_group,
        priority: threads.priority,
        thread_count: threads.count,
        first_cpu: threads.first_cpu,
        cpu_count: threads.cpu_count,
        stack_pages: threads.stack_pages,
        working_set_pages: participant.pages,
        demote_after: participant.demote_after,
        promote_after: participant.promote_after,
        arguments: participant.arguments,
        flags: flag(participant.has_home, server_flag::MIGRATABLE)
            | flag(threads.own_endpoints, server_flag::THREAD_ENDPOINTS)
            | flag(threads.rights_per_cpu, server_flag::RIGHTS_PER_CPU),
        ..PlanServer::default()
    }
}

/// Name of the ELF file that holds a program for a placement.
pub fn module_name(program: &str, placement: Placement) -> String {
    let suffix = if placement.is_32_bit() { abi::program::SUFFIX_32 } else { "" };
    format!("{program}{suffix}")
}

/// The modules that a guest gets: only those that it needs.
struct Modules<'a> {
    image: &'a GuestImage,
    used: Vec<Elf>,
}

impl Modules<'_> {
    fn index_of(&mut self, participant: &Participant) -> Result<u32, NoSuchProgram> {
        let program = module_name(&participant.program, participant.placement);
        if let Some(index) = self.used.iter().position(|elf| elf.name == program) {
            return Ok(index as u32);
        }
        let elf = self.image.servers.iter().find(|elf| elf.name == program);
        let elf = elf.ok_or_else(|| NoSuchProgram { program: program.clone() })?;
        let elf = match &participant.table {
            Some(table) => with_table(elf, abi::replay::OFFSET, table).ok_or(NoSuchProgram { program })?,
            None => elf.clone(),
        };
        self.used.push(elf);
        Ok(self.used.len() as u32 - 1)
    }
}
