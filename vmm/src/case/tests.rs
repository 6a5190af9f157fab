//! What the tests of several modules need.

use super::groups::Groups;
use super::parameter::{Flush, Transfer};
use crate::case::Parameters;
use crate::guest_image::GuestImage;
use crate::machine::guest::{Elf, HugePages};
use crate::system::placement::Placement;
use crate::workload::Workload;

/// A plain case of a workload, with a client in user space and nothing else.
pub(crate) fn parameters(workload: Workload) -> Parameters {
    Parameters {
        workload,
        client: Placement::User,
        server: None,
        relay: None,
        other_client: None,
        same_space: false,
        groups: Groups::default(),
        transfer: Transfer::Switch,
        words: None,
        client_pages: None,
        server_pages: None,
        servers: None,
        moved: None,
        partners: None,
        migration: None,
        flush: Flush::Threshold,
        fault: None,
        demote_after: None,
        promote_after: None,
        serving: None,
        shape: None,
        handlers_per_cpu: None,
        target: None,
        slot_bytes: None,
        gate: None,
        server_program: None,
        pcid: false,
        vcpus: 1,
        memory_bytes: 64 << 20,
        huge_pages: HugePages::No,
        guests: None,
        deadline_seconds: 10,
        warm_up: 2,
        samples: 3,
        seconds: None,
        launches: 1,
        trace_round_trips: 0,
        tlb_models: Vec::new(),
    }
}

/// A guest without content.
pub(crate) fn image() -> GuestImage {
    let elf = |name: &str| Elf { name: name.to_owned(), bytes: name.as_bytes().to_vec().into() };
    let of_32_bits = |name: &&str| elf(&format!("{name}{}", abi::program::SUFFIX_32));
    let servers = abi::program::ALL
        .iter()
        .map(|name| elf(name))
        .chain(abi::program::ALL.iter().map(of_32_bits))
        .collect();
    GuestImage { kernel: elf("guest-kernel"), servers }
}
