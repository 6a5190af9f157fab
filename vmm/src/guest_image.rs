//! The guest that this VMM carries inside: the kernel and every server program, built by `build.rs`.

use std::path::{Path, PathBuf};

use abi::program::SUFFIX_32;
use object::LittleEndian;
use object::elf::{EM_386, EM_X86_64, FileHeader32, FileHeader64, Machine};
use object::read::elf::FileHeader;
use sha2::{Digest, Sha256};

use crate::bounded;
use crate::machine::guest::Elf;

mod embedded {
    include!(concat!(env!("OUT_DIR"), "/guest.rs"));
}

/// Kernel and servers.
#[derive(Clone, Debug)]
pub struct GuestImage {
    /// The kernel.
    pub kernel: Elf,
    /// The server programs, in the order of [`abi::program::ALL`]: the 64-bit builds, then the 32-bit ones, whose names end
    /// with [`abi::program::SUFFIX_32`].
    pub servers: Vec<Elf>,
}

/// Why a file of the user's cannot take the place of an embedded one.
#[derive(Debug, thiserror::Error)]
pub enum GuestImageError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; give the path of an ELF file built for the guest", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is something else than an ELF file for x86 of the width that its name tells.
    #[error("{} is no {width}-bit ELF file for x86: {reason}", path.display())]
    NotElf {
        /// Which file.
        path: PathBuf,
        /// The width that it should have, bits.
        width: u32,
        /// What the reader found.
        reason: String,
    },
}

impl GuestImage {
    /// The guest that was built with this VMM.
    pub fn embedded() -> GuestImage {
        let elf = |name: &str, bytes: &'static [u8]| Elf { name: name.to_owned(), bytes: bytes.into() };
        let servers = embedded::SERVERS.iter().map(|(name, bytes)| elf(name, bytes)).collect();
        GuestImage { kernel: elf("guest-kernel", embedded::KERNEL), servers }
    }

    /// Names of its programs; that each may exist for 64 and for 32 bits is not the name's affair.
    pub fn programs(&self) -> Vec<String> {
        let names = self.servers.iter().map(|elf| elf.name.clone());
        names.filter(|name| !name.ends_with(SUFFIX_32)).collect()
    }

    /// The same servers under the kernel in the file `path`.
    pub fn with_kernel(self, path: &Path) -> Result<GuestImage, GuestImageError> {
        Ok(GuestImage { kernel: read_elf(path)?, servers: self.servers })
    }

    /// The same kernel with the servers of the folder `folder`, one file per program, named like it. A 32-bit build that the
    /// folder does not have stays as it is.
    pub fn with_servers(self, folder: &Path) -> Result<GuestImage, GuestImageError> {
        let replace = |elf: Elf| {
            let path = folder.join(&elf.name);
            if elf.name.ends_with(SUFFIX_32) && !path.exists() { Ok(elf) } else { read_elf(&path) }
        };
        let servers = self.servers.into_iter().map(replace).collect::<Result<_, _>>()?;
        Ok(GuestImage { kernel: self.kernel, servers })
    }

    /// SHA-256 in hexadecimal digits over name, length and bytes of every file, kernel first.
    pub fn sha256(&self) -> String {
        let mut hash = Sha256::new();
        for elf in std::iter::once(&self.kernel).chain(&self.servers) {
            hash.update(elf.name.as_bytes());
            hash.update([0]);
            hash.update((elf.bytes.len() as u64).to_le_bytes());
            hash.update(&elf.bytes[..]);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Most bytes of a kernel or a program, debug information included.
const ELF_SIZE_MAX: u64 = 64 << 20;

fn read_elf(path: &Path) -> Result<Elf, GuestImageError> {
    let bytes = bounded::read(path, ELF_SIZE_MAX)
        .map_err(|source| GuestImageError::Read { path: path.to_owned(), source })?;
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let is_32_bit = name.ends_with(SUFFIX_32);
    let (machine, wanted) = if is_32_bit {
        (machine_of::<FileHeader32<LittleEndian>>(&bytes), EM_386)
    } else {
        (machine_of::<FileHeader64<LittleEndian>>(&bytes), EM_X86_64)
    };
    let not_elf = |reason: String| GuestImageError::NotElf {
        path: path.to_owned(),
        width: if is_32_bit { 32 } else { 64 },
        reason,
    };
    if machine.map_err(|error| not_elf(error.to_string()))? != wanted {
        return Err(not_elf("it is for another processor".to_owned()));
    }
    Ok(Elf { name, bytes: bytes.into() })
}

/// The processor that an ELF file is for.
fn machine_of<Header: FileHeader<Endian = LittleEndian>>(bytes: &[u8]) -> Result<Machine, object::Error> {
    Header::parse(bytes).map(|header| header.e_machine(LittleEndian))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn hash_covers_names_order_and_bytes() {
        let elf = |name: &str, bytes: &'static [u8]| Elf { name: name.to_owned(), bytes: bytes.into() };
        let image = |kernel, servers: [Elf; 2]| GuestImage { kernel, servers: servers.to_vec() }.sha256();
        let plain = image(elf("k", b"1"), [elf("a", b"2"), elf("b", b"3")]);
        let renamed = image(elf("k", b"1"), [elf("a", b"2"), elf("c", b"3")]);
        let shifted = image(elf("k", b"12"), [elf("a", b""), elf("b", b"3")]);
        assert_eq!(plain.len(), 64);
        assert_ne!(plain, renamed);
        assert_ne!(plain, shifted);
    }

    #[test]
    fn a_file_that_is_no_elf_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kernel");
        fs::write(&path, b"#!/bin/sh\n").unwrap();
        let error = GuestImage::embedded().with_kernel(&path).unwrap_err().to_string();
        assert!(error.contains("kernel") && error.contains("no 64-bit ELF"), "{error}");
        let error = GuestImage::embedded().with_servers(folder.path()).unwrap_err().to_string();
        assert!(error.contains("null"), "{error}");
    }
}
