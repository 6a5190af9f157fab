//! Kernel and server programs in one sealed file that the processes of all guests map: the host holds each page once.

#![expect(unsafe_code, reason = "system calls")]

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::Arc;

use abi::address::PAGE_SIZE;

use super::message::Program;
use crate::machine::content::{Content, MappedFile};
use crate::machine::guest::Elf;

/// The file with its table of contents.
#[derive(Debug)]
pub(crate) struct Programs {
    pub file: File,
    pub kernel: Program,
    pub modules: Vec<Program>,
}

impl Programs {
    /// Writes kernel and modules of a guest to a file in memory, each at a page's beginning, and seals it: nobody can change a
    /// byte of it from then on, no guest's process either.
    pub(crate) fn share(kernel: &Elf, modules: &[Elf]) -> io::Result<Programs> {
        let mut file = memory_file("inkbed-programs")?;
        let mut end = 0;
        let mut write = |elf: &Elf| {
            let program = Program { name: elf.name.clone(), start: end, length: elf.bytes.len() };
            file.write_all(&elf.bytes)?;
            end = (end + elf.bytes.len()).next_multiple_of(PAGE_SIZE as usize);
            file.write_all(&vec![0; end - program.start - program.length])?;
            Ok::<_, io::Error>(program)
        };
        let kernel = write(kernel)?;
        let modules = modules.iter().map(&mut write).collect::<Result<_, _>>()?;
        let seals = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
        // SAFETY: The request takes a number and touches no memory.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Programs { file, kernel, modules })
    }
}

/// The programs in a file that [`Programs::share`] has made, without a copy.
pub(crate) fn open(file: File, kernel: &Program, modules: &[Program]) -> io::Result<(Elf, Vec<Elf>)> {
    let pages = Arc::new(MappedFile::new(file)?);
    let elf = |program: &Program| {
        let bytes = Content::mapped(&pages, program.start, program.length);
        let bytes = bytes.ok_or_else(|| io::Error::other("the file with the guest's programs is cut off"))?;
        Ok(Elf { name: program.name.clone(), bytes })
    };
    Ok((elf(kernel)?, modules.iter().map(elf).collect::<io::Result<_>>()?))
}

fn memory_file(name: &str) -> io::Result<File> {
    let name = CString::new(name)?;
    // SAFETY: `name` is a string that ends with a zero; the call returns a new file descriptor or an error.
    let fd = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: The descriptor is new and nobody else's.
    Ok(unsafe { File::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Programs {
        let elf = |name: &str, size: usize| Elf { name: name.to_owned(), bytes: vec![7; size].into() };
        Programs::share(&elf("k", 5000), &[elf("a", 4096), elf("b", 1)]).unwrap()
    }

    #[test]
    fn programs_are_the_same_on_the_other_side() {
        let programs = shared();
        let starts: Vec<usize> = programs.modules.iter().map(|program| program.start).collect();
        assert_eq!(starts, [8192, 12288]);
        let opened = open(programs.file, &programs.kernel, &programs.modules).unwrap();
        let (kernel, modules) = opened;
        assert_eq!((kernel.name.as_str(), &kernel.bytes[..]), ("k", &[7; 5000][..]));
        assert_eq!((modules[1].name.as_str(), &modules[1].bytes[..]), ("b", &[7][..]));
        assert!(modules[1].bytes.pages().is_some());
    }

    #[test]
    fn nobody_can_change_what_is_shared() {
        let programs = shared();
        assert!((&programs.file).write_all(b"x").is_err());
        assert!(programs.file.set_len(0).is_err());
    }

    #[test]
    fn a_file_that_could_change_is_refused() {
        let file = memory_file("x").unwrap();
        file.set_len(4096).unwrap();
        let program = Program { name: "k".to_owned(), start: 0, length: 10 };
        assert!(open(file, &program, &[]).unwrap_err().to_string().contains("not sealed"));
    }

    #[test]
    fn a_table_that_points_beyond_the_file_is_refused() {
        let programs = shared();
        let program = Program { name: "k".to_owned(), start: 8192, length: usize::MAX };
        assert!(open(programs.file, &program, &[]).is_err());
    }
}
