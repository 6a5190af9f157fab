//! The bytes of a file for the guest, held without a copy of one's own wherever that can be.

#![expect(unsafe_code, reason = "system calls and mapped files")]

use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::slice;
use std::sync::Arc;

use abi::address::PAGE_SIZE;
use vm_memory::MmapRegion;
use vm_memory::mmap::MmapRegionBuilder;

/// The bytes of one file. Clones share them.
#[derive(Clone)]
pub struct Content(Source);

#[derive(Clone)]
enum Source {
    /// Part of this program's own executable: its pages are shared with every process that runs it.
    Static(&'static [u8]),
    Owned(Arc<[u8]>),
    Mapped {
        pages: Arc<MappedFile>,
        start: usize,
        length: usize,
    },
}

impl Default for Content {
    /// An empty file.
    fn default() -> Content {
        Content(Source::Static(&[]))
    }
}

/// An open file of which nobody can write a byte any more, mapped for reading.
#[derive(Debug)]
pub struct MappedFile {
    file: File,
    mapping: MmapRegion<()>,
}

impl MappedFile {
    /// Maps the whole of `file`.
    ///
    /// # Errors
    /// Where the file is not sealed against writing and shrinking (`fcntl(2)`, `F_SEAL_WRITE`): then its bytes could change
    /// or go away under a reader. And what the system says.
    pub fn new(file: File) -> io::Result<MappedFile> {
        const NEEDED: i32 = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK;
        // SAFETY: The request takes no argument and touches no memory.
        let seals = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GET_SEALS) };
        if seals < 0 || seals & NEEDED != NEEDED {
            return Err(io::Error::other("the file with the guest's programs is not sealed"));
        }
        let size = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        let mapping = MmapRegionBuilder::new(size)
            .with_mmap_prot(libc::PROT_READ)
            .with_mmap_flags(libc::MAP_PRIVATE | libc::MAP_NORESERVE)
            .with_file_offset(vm_memory::FileOffset::new(file.try_clone()?, 0))
            .build()
            .map_err(io::Error::other)?;
        Ok(MappedFile { file, mapping })
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: The mapping lives as long as `self`, is readable, and the seals keep everybody from changing it.
        unsafe { slice::from_raw_parts(self.mapping.as_ptr(), self.mapping.size()) }
    }
}

impl Content {
    /// The bytes `start` to `start + length` of `pages`; `None` where the file ends before.
    pub fn mapped(pages: &Arc<MappedFile>, start: usize, length: usize) -> Option<Content> {
        let end = start.checked_add(length)?;
        (end <= pages.mapping.size())
            .then(|| Content(Source::Mapped { pages: Arc::clone(pages), start, length }))
    }

    /// The file and the offset from which whole pages can be mapped, where the bytes begin a page of a sealed file.
    pub(crate) fn pages(&self) -> Option<(BorrowedFd<'_>, u64)> {
        match &self.0 {
            Source::Mapped { pages, start, .. } if (*start as u64).is_multiple_of(PAGE_SIZE) => {
                Some((pages.file.as_fd(), *start as u64))
            }
            _ => None,
        }
    }
}

impl Deref for Content {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Source::Static(bytes) => bytes,
            Source::Owned(bytes) => bytes,
            Source::Mapped { pages, start, length } => &pages.bytes()[*start..start + length],
        }
    }
}

impl From<&'static [u8]> for Content {
    fn from(bytes: &'static [u8]) -> Content {
        Content(Source::Static(bytes))
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Content {
        Content(Source::Owned(bytes.into()))
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Content) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} bytes", self.len())
    }
}
