//! Checks of the plan before it goes to the guest: a slip of the caller gets a message, not a guest that refuses.

use abi::plan::server_flag;

use crate::machine::error::MachineError;
use crate::machine::guest::GuestConfig;

/// Whether everything that the plan's servers refer to is there.
pub(crate) fn check(config: &GuestConfig) -> Result<(), MachineError> {
    for (index, server) in config.servers.iter().enumerate() {
        let modules = config.modules.len();
        if server.module as usize >= modules {
            let module = server.module;
            return Err(error(format!(
                "server {index} wants program {module}, but there are {modules} programs"
            )));
        }
        let last = u64::from(server.first_right) + u64::from(server.right_count);
        if last > config.rights.len() as u64 {
            let rights = config.rights.len();
            return Err(error(format!(
                "server {index} has rights up to {last}, but there are {rights} rights"
            )));
        }
    }
    let servers = config.servers.len();
    if let Some(right) = config.rights.iter().find(|right| right.target as usize >= servers) {
        return Err(error(format!("a right names server {}, but there are {servers} servers", right.target)));
    }
    let drivers = config.servers.iter().filter(|server| server.flags & server_flag::DRIVER != 0).count();
    if drivers > 1 {
        return Err(error(format!("{drivers} servers drive the case, but only one may")));
    }
    Ok(())
}

fn error(text: String) -> MachineError {
    MachineError::Plan(text)
}
