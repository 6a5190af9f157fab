//! What the tests of several modules need.

use super::Parameters;
use super::workload::Workload;
use crate::guest_image::GuestImage;
use crate::machine::guest::Elf;

/// A plain case of a workload, with a client in user space and nothing else.
pub(crate) fn parameters(workload: &'static dyn Workload) -> Parameters {
    Parameters {
        memory_bytes: 64 << 20,
        deadline_seconds: 10,
        warm_up: 2,
        samples: 3,
        ..Parameters::plain(workload)
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
