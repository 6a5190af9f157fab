//! Many guests at once, each in a process of its own.
//!
//! The process that runs an experiment starts one process for every guest: this very executable again, with
//! `PROCESS_COMMAND` for its command line (`launch`). Each is told over a socket what to run (`message`) and gets the
//! programs in a sealed file that all of them map (`programs`). It makes its guest, gives up its privileges and its system
//! calls (`confine`), runs the guest to its first mark, and waits there (`process`). When all guests are there, or have
//! ended, memory is measured (`memory`), and then all of them measure at the same time (`fleet`). Quotas are cgroups of
//! version 2 (`cgroup`).
//!
//! A guest's process is trusted as little as its guest: what it says is bounded and checked, it dies with the process that
//! started it, and when it dies alone the others go on.

mod barrier;
pub mod cgroup;
mod check;
mod confine;
mod launch;
mod memory;
mod message;
mod process;
mod programs;
mod watch;

pub use watch::{Fleet, FleetError};

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// First argument of a guest's process. It is no command for people, so `--help` does not name it.
const PROCESS_COMMAND: &str = "guest-process";

/// Whether this program can be started as the process of a guest.
static SERVES: AtomicBool = AtomicBool::new(false);

/// To be called first in `main` by every program that runs many guests at once: where a fleet has started it as the process of a
/// guest, it is nothing else, and ends with this exit code.
pub fn serve_if_asked() -> Option<ExitCode> {
    SERVES.store(true, Ordering::Relaxed);
    let is_asked = std::env::args_os().nth(1).is_some_and(|first| first == PROCESS_COMMAND);
    is_asked.then(process::main)
}

/// Without it each process of a guest would run the program once more, and that its own guests, without end.
fn serves() -> bool {
    SERVES.load(Ordering::Relaxed)
}

#[cfg(test)]
mod malformed_tests;
