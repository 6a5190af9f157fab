//! The guest that this VMM carries inside: the kernel and every server program, built by `build.rs`.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use abi::program::SUFFIX_32;
use object::LittleEndian;
use object::elf::{ELFMAG, EM_386, EM_X86_64, FileHeader32, FileHeader64, Machine};
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
    /// with [`abi::program::SUFFIX_32`]; behind them others by name.
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
        source: io::Error,
    },
    /// The folder cannot be read.
    #[error("cannot read the folder {}: {source}; give --servers the folder with your programs", folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds no program.
    #[error(
        "there is no program in {}{}; give --servers the folder that holds their ELF files, each named as its program: \
         letters, digits, `-` and `_`",
        folder.display(),
        none_of(others)
    )]
    NoProgram {
        /// Which folder.
        folder: PathBuf,
        /// Names of the files that it holds.
        others: Vec<String>,
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

    /// Names of its programs; those of builds for 32 bits end with [`abi::program::SUFFIX_32`].
    pub fn programs(&self) -> Vec<String> {
        self.servers.iter().map(|elf| elf.name.clone()).collect()
    }

    /// The same servers under the kernel in the file `path`.
    pub fn with_kernel(self, path: &Path) -> Result<GuestImage, GuestImageError> {
        Ok(GuestImage { kernel: read_elf(path)?, servers: self.servers })
    }

    /// The same with the programs of a folder: every ELF file there whose name may be one of a program. They take the place of
    /// programs with the same name; others are new. Also the names of the other files, which somebody may have meant as programs.
    pub fn with_servers(mut self, folder: &Path) -> Result<(GuestImage, Vec<String>), GuestImageError> {
        let Files { programs, others } = Files::in_folder(folder, &self.programs())
            .map_err(|source| GuestImageError::Folder { folder: folder.to_owned(), source })?;
        if programs.is_empty() {
            return Err(GuestImageError::NoProgram { folder: folder.to_owned(), others });
        }
        for path in programs {
            let elf = read_elf(&path)?;
            match self.servers.iter_mut().find(|known| known.name == elf.name) {
                Some(known) => *known = elf,
                None => self.servers.push(elf),
            }
        }
        Ok((self, others))
    }

    /// SHA-256 in hexadecimal digits over name, length and bytes of every file, kernel first.
    pub fn sha256(&self) -> String {
        sha256(std::iter::once(&self.kernel).chain(&self.servers))
    }

    /// The same without the kernel.
    pub fn programs_sha256(&self) -> String {
        sha256(&self.servers)
    }
}

fn sha256<'a>(files: impl IntoIterator<Item = &'a Elf>) -> String {
    let mut hash = Sha256::new();
    for elf in files {
        hash.update(elf.name.as_bytes());
        hash.update([0]);
        hash.update((elf.bytes.len() as u64).to_le_bytes());
        hash.update(&elf.bytes[..]);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a program may be called so: such names go into those of cases, and no file of a compiler's has one but its programs.
pub fn is_program_name(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.len() <= 64 && name.chars().all(is_plain)
}

/// The files of a folder.
struct Files {
    /// Paths of those that are programs, by name.
    programs: Vec<PathBuf>,
    /// Names of the others.
    others: Vec<String>,
}

impl Files {
    /// What is called as a known program is meant to be one, whatever it is. Folders, hidden files and a compiler's lists of
    /// sources (`NAME.d`) are left out: nobody means them as programs.
    fn in_folder(folder: &Path, known: &[String]) -> io::Result<Files> {
        let mut files = Files { programs: Vec::new(), others: Vec::new() };
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_meant = known.contains(&name);
            if !path.is_file() || name.starts_with('.') || name.ends_with(".d") {
                continue;
            }
            match is_program_name(&name) && (is_meant || begins_as_elf(&path)) {
                true => files.programs.push(path),
                false => files.others.push(name),
            }
        }
        files.programs.sort();
        files.others.sort();
        Ok(files)
    }
}

/// Names of files in a sentence, the first few of them.
pub fn listed(files: &[String]) -> String {
    const SHOWN: usize = 4;
    let names: Vec<String> = files.iter().take(SHOWN).map(|name| format!("`{name}`")).collect();
    let more = files.len().saturating_sub(SHOWN);
    names.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

fn none_of(others: &[String]) -> String {
    if others.is_empty() { String::new() } else { format!(" ({})", listed(others)) }
}

fn begins_as_elf(path: &Path) -> bool {
    let mut start = [0; ELFMAG.len()];
    fs::File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok() && start == ELFMAG
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
        // Called as a program, so it is meant to be one.
        fs::rename(&path, folder.path().join("null")).unwrap();
        let error = GuestImage::embedded().with_servers(folder.path()).unwrap_err().to_string();
        assert!(error.contains("null") && error.contains("no 64-bit ELF"), "{error}");
    }

    #[test]
    fn a_folder_without_programs_says_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..6 {
            fs::write(folder.path().join(format!("file-{index}")), b"#!").unwrap();
        }
        let error = GuestImage::embedded().with_servers(folder.path()).unwrap_err().to_string();
        let listed = "(`file-0`, `file-1`, `file-2`, `file-3` and 2 more)";
        assert!(error.contains(listed), "{error}");
    }

    #[test]
    fn a_folder_replaces_programs_and_adds_others() {
        let built_in = GuestImage::embedded();
        let bytes = |image: &GuestImage, name: &str| {
            image.servers.iter().find(|elf| elf.name == name).map(|elf| elf.bytes.to_vec())
        };
        let folder = tempfile::tempdir().unwrap();
        let error = built_in.clone().with_servers(folder.path()).unwrap_err().to_string();
        assert!(error.contains("no program in") && error.contains("--servers"), "{error}");
        let echo = bytes(&built_in, "echo").unwrap();
        // What else lies in a folder of a compiler's: a list, a library, a script, a folder.
        for (name, content) in [
            ("null", &echo[..]),
            ("mine", &echo),
            ("mine.d", b"x"),
            (".cargo-lock", b""),
            ("lib.so", &echo),
            ("make", b"#!"),
        ] {
            fs::write(folder.path().join(name), content).unwrap();
        }
        fs::create_dir(folder.path().join("deps")).unwrap();
        let (image, others) = built_in.clone().with_servers(folder.path()).unwrap();
        assert_eq!(others, ["lib.so", "make"], "nobody means the others as programs");
        assert_eq!(image.programs(), [built_in.programs(), vec!["mine".to_owned()]].concat());
        assert_eq!((bytes(&image, "null"), bytes(&image, "mine")), (Some(echo.clone()), Some(echo)));
        assert_eq!(bytes(&image, "touch"), bytes(&built_in, "touch"));
        assert_ne!(image.sha256(), built_in.sha256());
    }
}
