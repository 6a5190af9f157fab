//! Whose code an instruction is: the kernel's, a server's, or a stub of a kernel interface page.

use std::collections::{BTreeMap, BTreeSet};

use abi::address::KERNEL_IMAGE_BASE;
use abi::plan::server_flag;
use abi::region::{KERNEL_INTERFACE_OFFSET, START_INFO_OFFSET, STUB_SIZE};

use crate::lens::trace::recording::{Recording, Step};
use crate::machine::guest::{Elf, GuestConfig};
use crate::machine::symbolise::Symbols;

/// Symbol of the kernel whose value is the offset of the pointer to the running thread in a CPU's record.
const CURRENT_THREAD_SYMBOL: &str = "inkbed_cpu_current";

/// Where an instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the kernel's image.
    Kernel,
    /// In the stub of a system call, in the region of the server with this index in the plan.
    Stub {
        /// The server.
        server: u32,
        /// Number of the system call ([`abi::call::number`]).
        call: u32,
    },
    /// In the program of the server with this index in the plan.
    Program {
        /// The server.
        server: u32,
    },
}

/// Symbols of a server's program.
struct Program {
    name: String,
    symbols: Symbols,
}

/// Names the places of one guest.
pub struct Map {
    kernel: Symbols,
    /// Those that servers have, by module.
    programs: BTreeMap<u32, Program>,
    /// Each server's module, in the order of the plan.
    servers: Vec<u32>,
    driver: Option<u32>,
}

impl Map {
    /// Reads the symbols of kernel and servers.
    pub fn new(config: &GuestConfig) -> Map {
        let servers: Vec<u32> = config.servers.iter().map(|server| server.module).collect();
        let modules: BTreeSet<u32> = servers.iter().copied().collect();
        let program = |module: u32| config.modules.get(module as usize).map(Program::new);
        let is_driver = |flags: u32| flags & server_flag::DRIVER != 0;
        Map {
            kernel: Symbols::new(&config.kernel),
            programs: modules.into_iter().filter_map(|module| Some((module, program(module)?))).collect(),
            servers,
            driver: config
                .servers
                .iter()
                .position(|server| is_driver(server.flags))
                .and_then(|index| u32::try_from(index).ok()),
        }
    }

    /// The server that drives the case: the client.
    pub fn driver(&self) -> Option<u32> {
        self.driver
    }

    /// Name of a server's program.
    pub fn program(&self, server: u32) -> &str {
        self.program_of(server).map_or("?", |program| &program.name)
    }

    fn program_of(&self, server: u32) -> Option<&Program> {
        self.programs.get(self.servers.get(server as usize)?)
    }

    /// Where a recorded instruction is.
    pub fn place(&self, recording: &Recording, step: &Step) -> Place {
        if step.address >= KERNEL_IMAGE_BASE {
            return Place::Kernel;
        }
        // The recorder has noted the region of every instruction.
        let server = recording.regions.get(&step.region).copied().unwrap_or(u32::MAX);
        let offset = step.offset();
        if (KERNEL_INTERFACE_OFFSET..START_INFO_OFFSET).contains(&offset) {
            let call = ((offset - KERNEL_INTERFACE_OFFSET) / STUB_SIZE) as u32;
            return Place::Stub { server, call };
        }
        Place::Program { server }
    }

    /// Function and offset in it, where the symbols tell; the name of a kernel's function for [`Place::Kernel`].
    pub fn function(&self, place: Place, step: &Step) -> Option<(&str, u64)> {
        match place {
            Place::Kernel => self.kernel.find(step.address),
            Place::Stub { .. } => None,
            Place::Program { server } => self.program_of(server)?.symbols.find(step.offset()),
        }
    }

    /// Address of the word that names the running thread: a store there is a thread switch.
    pub fn current_thread_word(&self, recording: &Recording) -> Option<u64> {
        let offset = self.kernel.value(CURRENT_THREAD_SYMBOL)?;
        Some(recording.cpu_record.wrapping_add(offset))
    }
}

impl Program {
    fn new(elf: &Elf) -> Program {
        Program { name: elf.name.clone(), symbols: Symbols::new(elf) }
    }
}
