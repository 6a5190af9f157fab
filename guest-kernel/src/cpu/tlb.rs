//! What TLBs have to forget.

use abi::plan::PARTNERS_MAX;

use super::Cpu;
use crate::arch;
use crate::object::server::Server;
use crate::object::space::Space;

/// Most servers in one change: one and its group.
pub const SERVERS_MAX: usize = PARTNERS_MAX + 1;

/// What flushing took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// INVLPG instructions.
    pub invlpg: u64,
    /// Full flushes.
    pub full: u64,
}

/// What a TLB has to forget: the regions of up to [`SERVERS_MAX`] servers, which are where they are until all have done so.
#[derive(Clone, Copy, Default)]
pub struct Forget {
    /// The regions, and whose TLB may hold them.
    pub regions: [Option<(&'static Server, Reach)>; SERVERS_MAX],
    /// The pages are too many to go one by one.
    pub everything: bool,
}

/// Whose TLB may hold a region.
#[derive(Clone, Copy)]
pub enum Reach {
    /// That of every CPU: the region was the kernel's.
    Everywhere,
    /// Those of CPUs that load this space.
    Space(&'static Space),
}

impl Reach {
    /// Where the pages of a server that runs in this space, or in the kernel, may be.
    pub fn of(space: Option<&'static Space>) -> Reach {
        space.map_or(Reach::Everywhere, Reach::Space)
    }

    /// Whether the TLB of a CPU may hold them now, under the space that is resident there or under any.
    fn is_resident_on(self, cpu: &Cpu) -> bool {
        match self {
            Reach::Everywhere => true,
            Reach::Space(space) => cpu.has_resident(space),
        }
    }

    /// Whether it may hold them under a PCID that is not loaded.
    fn may_linger_on(self, cpu: &Cpu) -> bool {
        matches!(self, Reach::Space(space) if space.may_linger_on(cpu.index()))
    }
}

impl Forget {
    /// Whether the TLB of a CPU may hold anything of it.
    pub fn concerns(&self, cpu: &Cpu) -> bool {
        let mut reaches = self.regions.iter().flatten().map(|(_, reach)| reach);
        reaches.any(|reach| reach.is_resident_on(cpu) || reach.may_linger_on(cpu))
    }

    /// Has the TLB of this CPU, which must be the one that executes this, forget it.
    pub fn forget_on(&self, cpu: &Cpu) -> Flushed {
        let mut flushed = Flushed::default();
        if self.everything {
            arch::flush_all();
            flushed.full = 1;
        } else {
            for (server, reach) in self.regions.iter().flatten() {
                if reach.is_resident_on(cpu) {
                    flushed.invlpg += arch::flush_pages(server.base(), &server.pages);
                } else if let Reach::Space(space) = reach
                    && reach.may_linger_on(cpu)
                {
                    arch::flush_pcid(space.pcid());
                    flushed.full += 1;
                }
            }
        }
        cpu.counters().invlpg.add(flushed.invlpg);
        cpu.counters().tlb_full_flushes_alone.add(flushed.full);
        flushed
    }
}
