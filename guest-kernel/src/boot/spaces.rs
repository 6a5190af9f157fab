//! The user spaces of a plan: made when the first server is placed in one, and there for ever.

use core::cell::Cell;

use abi::address::{HOME_TOP_ENTRY_FIRST, REGION_SIZE, top_entry_base};

use crate::arch;
use crate::memory::{Memory, OutOfMemory};
use crate::object::space::Space;

/// The user spaces of the plan, by number.
pub struct Spaces {
    spaces: &'static [PlannedSpace],
    created: Cell<u64>,
    home_count: usize,
    homes_taken: Cell<usize>,
    use_pcid: bool,
}

/// A space that the plan names, once a server has been placed in it.
struct PlannedSpace {
    space: Cell<Option<&'static Space>>,
    regions: Cell<u64>,
}

impl Spaces {
    /// A list of `count` spaces and `home_count` homes.
    pub fn new(
        memory: &Memory,
        count: usize,
        home_count: usize,
        use_pcid: bool,
    ) -> Result<Spaces, OutOfMemory> {
        let none = |_| Ok(PlannedSpace { space: Cell::new(None), regions: Cell::new(0) });
        Ok(Spaces {
            spaces: memory.objects(count, none)?,
            created: Cell::new(0),
            home_count,
            homes_taken: Cell::new(0),
            use_pcid,
        })
    }

    fn create(&self, memory: &Memory) -> Result<&'static Space, OutOfMemory> {
        let index = self.created.get();
        self.created.set(index + 1);
        memory.object(Space::new(arch::new_root(self.home_count, memory)?, index, self.use_pcid))
    }

    /// A space of its own for a server that may migrate, and the base of its home.
    pub fn take_home(&self, memory: &Memory) -> Result<(&'static Space, u64), OutOfMemory> {
        let index = self.homes_taken.get();
        self.homes_taken.set(index + 1);
        let base = top_entry_base(HOME_TOP_ENTRY_FIRST + index);
        let space = self.create(memory)?;
        space.set_own_level3(arch::add_own_home(space.root, base, memory)?);
        Ok((space, base))
    }

    /// A space of its own for a 32-bit server, with a table for its pages if it may migrate.
    pub fn take_large(&self, migratable: bool, memory: &Memory) -> Result<&'static Space, OutOfMemory> {
        let space = self.create(memory)?;
        if migratable {
            arch::add_large_home(space.root, memory)?;
        }
        Ok(space)
    }

    /// The space with this number, made if no server is in it yet, and the base of its next free region; `None` if there is
    /// no such space, or no room left below the homes. The first 4 GiB stay empty, so that null pointers fault.
    pub fn take_region(
        &self,
        number: u32,
        memory: &Memory,
    ) -> Result<Option<(&'static Space, u64)>, OutOfMemory> {
        let Some(planned) = self.spaces.get(number as usize) else { return Ok(None) };
        let base = (planned.regions.get() + 1) * REGION_SIZE;
        if base >= top_entry_base(HOME_TOP_ENTRY_FIRST) {
            return Ok(None);
        }
        let space = match planned.space.get() {
            Some(space) => space,
            None => {
                let space = self.create(memory)?;
                planned.space.set(Some(space));
                space
            }
        };
        planned.regions.set(planned.regions.get() + 1);
        Ok(Some((space, base)))
    }
}
