//! `inkbed boot`.

use clap::Args;

use super::GuestArguments;
use crate::case::size::MemorySize;
use crate::system::placement::Placement;

/// Arguments of `boot`.
#[derive(Debug, Args)]
#[command(
    after_help = "Each server may call those that are named after it. A `client` in first place makes a few calls \
                        and ends the guest.\n\nExample: inkbed boot --server client --server relay@user --server \
                        null@kernel --verbose"
)]
pub struct BootArguments {
    /// A program to start, and its placement: user, kernel, small or large [default: client@user and null@kernel]
    #[arg(long, value_name = "NAME[@PLACEMENT]", value_parser = parse_server)]
    pub server: Vec<ServerArgument>,
    /// vCPUs of the guest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub vcpus: u32,
    /// Memory of the guest, such as 64M or 1G
    #[arg(long, value_name = "SIZE", default_value = "64M")]
    pub memory: MemorySize,
    /// Stop the guest after this many seconds
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub deadline: Option<u64>,
    /// Let the kernel print what it does
    #[arg(long, short)]
    pub verbose: bool,
    /// What guests are made of.
    #[command(flatten)]
    pub guest: GuestArguments,
}

/// A program and where it is to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerArgument {
    /// Name of the program.
    pub program: String,
    /// Where.
    pub placement: Placement,
}

fn parse_server(text: &str) -> Result<ServerArgument, String> {
    let (program, placement) = text.split_once('@').unwrap_or((text, "user"));
    let placement = placement.parse().map_err(|()| {
        let known: Vec<String> = Placement::NAMES.iter().map(|name| format!("NAME@{name}")).collect();
        let known = known.join(", ");
        format!("`{placement}` is no placement; write NAME or one of {known}")
    })?;
    Ok(ServerArgument { program: program.to_owned(), placement })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_a_placement() {
        let server = |program: &str, placement| ServerArgument { program: program.to_owned(), placement };
        assert_eq!(parse_server("null"), Ok(server("null", Placement::User)));
        assert_eq!(parse_server("echo@kernel"), Ok(server("echo", Placement::Kernel)));
        assert_eq!(parse_server("echo@small"), Ok(server("echo", Placement::Small)));
        assert!(parse_server("echo@moon").is_err());
    }
}
