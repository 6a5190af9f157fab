//! Guest memory: where it lies in the guest's physical address space, and how the VMM gets at it.

#![expect(unsafe_code, reason = "guest memory")]

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use abi::address::{MEMORY_HOLE, PAGE_SIZE};
use vm_memory::mmap::{GuestRegionMmap, MmapRegionBuilder};
use vm_memory::{Bytes, FileOffset, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::machine::content::Content;

use crate::machine::error::MachineError;
use crate::machine::guest::HugePages;
use crate::machine::record::{Record, Shared};

/// Bytes below 4 GiB that are no memory: there lie the local APIC's registers (0xfee0_0000) and what KVM on VMX needs
/// for itself (api.rst, KVM_SET_TSS_ADDR and KVM_SET_IDENTITY_MAP_ADDR).
pub(crate) const HOLE_START: u64 = MEMORY_HOLE.start;

/// Where memory goes on behind the hole.
pub(crate) const HOLE_END: u64 = MEMORY_HOLE.end;

/// Bytes of a huge page.
const HUGE_PAGE_SIZE: u64 = 2 << 20;

/// The guest's memory, zero where nothing was written.
#[derive(Clone, Debug)]
pub(crate) struct GuestMemory {
    mapping: GuestMemoryMmap<()>,
    // Dropped behind the mapping, whose memory they own.
    _reservations: Arc<Vec<Reservation>>,
    huge_pages: HugePages,
}

/// Start and size of each piece of physical memory for a guest of `bytes`.
pub(crate) fn pieces(bytes: u64) -> Vec<(u64, u64)> {
    let low = bytes.min(HOLE_START);
    let high = bytes - low;
    let both = [(0, low), (HOLE_END, high)];
    both.into_iter().filter(|(_, size)| *size > 0).collect()
}

impl GuestMemory {
    /// Reserves address space only; the host gives memory page by page as it is touched. Huge pages out of the host's
    /// reserve are the exception: they are set aside now, so that the guest does not die later for lack of them.
    pub(crate) fn new(bytes: u64, huge_pages: HugePages) -> Result<GuestMemory, MachineError> {
        check_huge_pages(bytes, huge_pages)?;
        let regions: Result<Vec<_>, _> = pieces(bytes)
            .into_iter()
            .map(|(start, size)| region(start, size, huge_pages).map_err(|reason| (size, reason)))
            .collect();
        let mapping = regions.and_then(|regions| {
            let (regions, reservations): (Vec<_>, Vec<_>) = regions.into_iter().unzip();
            let mapping =
                GuestMemoryMmap::from_regions(regions).map_err(|error| (bytes, error.to_string()))?;
            Ok((mapping, Arc::new(reservations)))
        });
        match mapping {
            Ok((mapping, _reservations)) => Ok(GuestMemory { mapping, _reservations, huge_pages }),
            Err((size, _)) if huge_pages == HugePages::Reserved => {
                Err(MachineError::NoHugePages { needed: size / HUGE_PAGE_SIZE, free: free_huge_pages() })
            }
            Err((_, reason)) => Err(MachineError::MemoryReserve { bytes, reason }),
        }
    }

    /// The memory of a guest that another process has run, in a file; it has no hole.
    pub(crate) fn of_file(file: &File, bytes: u64) -> Result<GuestMemory, MachineError> {
        let cannot = |reason: String| MachineError::MemoryReserve { bytes, reason };
        let file = file.try_clone().map_err(|error| cannot(error.to_string()))?;
        let range = (GuestAddress(0), bytes as usize, Some(FileOffset::new(file, 0)));
        let mapping =
            GuestMemoryMmap::from_ranges_with_files([range]).map_err(|error| cannot(error.to_string()))?;
        Ok(GuestMemory { mapping, _reservations: Arc::default(), huge_pages: HugePages::No })
    }

    /// Start in the guest, host address and size of each piece.
    pub(crate) fn host_pieces(&self) -> Vec<(u64, u64, u64)> {
        self.mapping
            .iter()
            .map(|region| (region.start_addr().0, region.as_ptr() as u64, region.len()))
            .collect()
    }

    /// What vm-memory's users (linux-loader) want to see.
    pub(crate) fn mapping(&self) -> &GuestMemoryMmap<()> {
        &self.mapping
    }

    pub(crate) fn write(&self, address: u64, bytes: &[u8]) -> Result<(), MachineError> {
        Ok(self.mapping.write_slice(bytes, GuestAddress(address))?)
    }

    /// Puts a file's bytes at a page's beginning. Where they are whole pages of a sealed file, these become the guest's,
    /// until it writes to them: then it gets a copy of its own. All guests with that file share what none has written to.
    pub(crate) fn place(&self, address: u64, content: &Content) -> Result<(), MachineError> {
        match content.pages() {
            Some((file, offset)) if self.huge_pages == HugePages::No => {
                self.map_file(address, content.len(), file.as_raw_fd(), offset)
            }
            _ => self.write(address, content),
        }
    }

    fn map_file(&self, address: u64, length: usize, file: i32, offset: u64) -> Result<(), MachineError> {
        let pages = (length as u64).next_multiple_of(PAGE_SIZE) as usize;
        // The whole range must be of one region of memory: `get_slice` says so, or fails.
        let host = self.mapping.get_slice(GuestAddress(address), pages)?.ptr_guard_mut();
        // SAFETY: The range lies in memory that one of the reservations owns and that is only ever accessed through volatile
        // operations of vm-memory; it stays readable and writable, and goes away with the memory around it.
        let mapped = unsafe {
            libc::mmap(
                host.as_ptr().cast(),
                pages,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_FIXED | libc::MAP_NORESERVE,
                file,
                offset as libc::off_t,
            )
        };
        if mapped == libc::MAP_FAILED {
            let source = io::Error::last_os_error();
            return Err(MachineError::Host { action: "map a program into guest memory", source });
        }
        Ok(())
    }

    pub(crate) fn write_record<T: Record>(&self, address: u64, record: T) -> Result<(), MachineError> {
        Ok(self.mapping.write_obj(Shared(record), GuestAddress(address))?)
    }

    /// Records side by side, as an array.
    pub(crate) fn write_records<T: Record>(&self, address: u64, records: &[T]) -> Result<(), MachineError> {
        for (index, record) in records.iter().enumerate() {
            self.write_record(address + (index * size_of::<T>()) as u64, *record)?;
        }
        Ok(())
    }

    pub(crate) fn write_words(&self, address: u64, words: &[u64]) -> Result<(), MachineError> {
        // Page by page, through one buffer: a second copy of all page tables would be the largest allocation of a small guest.
        const PAGE_WORDS: usize = PAGE_SIZE as usize / size_of::<u64>();
        let mut buffer = [0; PAGE_SIZE as usize];
        for (index, page) in words.chunks(PAGE_WORDS).enumerate() {
            let bytes = buffer.as_chunks_mut().0.iter_mut().zip(page);
            bytes.for_each(|(bytes, word)| *bytes = word.to_le_bytes());
            self.write(address + index as u64 * PAGE_SIZE, &buffer[..size_of_val(page)])?;
        }
        Ok(())
    }

    pub(crate) fn read(&self, address: u64, bytes: &mut [u8]) -> Result<(), MachineError> {
        Ok(self.mapping.read_slice(bytes, GuestAddress(address))?)
    }

    pub(crate) fn read_record<T: Record>(&self, address: u64) -> Result<T, MachineError> {
        let shared: Shared<T> = self.mapping.read_obj(GuestAddress(address))?;
        Ok(shared.0)
    }

    pub(crate) fn read_word(&self, address: u64) -> Result<u64, MachineError> {
        Ok(self.mapping.read_obj(GuestAddress(address))?)
    }

    pub(crate) fn read_words(&self, address: u64, count: usize) -> Result<Vec<u64>, MachineError> {
        let mut bytes = vec![0; count * size_of::<u64>()];
        self.read(address, &mut bytes)?;
        Ok(bytes.as_chunks().0.iter().map(|word| u64::from_le_bytes(*word)).collect())
    }
}

/// Address space of this process that becomes guest memory.
#[derive(Debug)]
struct Reservation {
    start: usize,
    /// Bytes.
    size: usize,
}

impl Reservation {
    /// At an address that is a multiple of 2 MiB, as the guest's is: KVM maps a huge page only where both agree in what is below.
    fn new(size: usize, flags: i32) -> io::Result<Reservation> {
        let huge = HUGE_PAGE_SIZE as usize;
        // The reserve's pages come aligned, and so does what is mapped of them.
        let room = if flags & libc::MAP_HUGETLB != 0 { 0 } else { huge };
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let wanted = size.checked_add(room).ok_or(io::ErrorKind::OutOfMemory)?;
        // SAFETY: A new mapping at an address that the kernel chooses touches no memory that there is.
        let mapped = unsafe { libc::mmap(std::ptr::null_mut(), wanted, protection, flags, -1, 0) };
        if mapped == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = mapped as usize;
        let start = if room == 0 { first } else { first.next_multiple_of(huge) };
        // What is too much goes back, so that nothing lies beside guest memory in the same mapping.
        unmap(first, start - first);
        unmap(start + size, first + wanted - (start + size));
        Ok(Reservation { start, size })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        unmap(self.start, self.size);
    }
}

/// Gives address space back that a [`Reservation`] owns and that nothing refers to any more.
fn unmap(start: usize, size: usize) {
    if size > 0 {
        // SAFETY: The caller owns the range; only `Reservation` calls this, of what it has mapped itself.
        unsafe { libc::munmap(start as *mut libc::c_void, size) };
    }
}

/// A piece of guest memory, and what owns it.
fn region(
    start: u64,
    size: u64,
    huge_pages: HugePages,
) -> Result<(GuestRegionMmap<()>, Reservation), String> {
    let mut flags = libc::MAP_ANONYMOUS | libc::MAP_PRIVATE;
    flags |= if huge_pages == HugePages::Reserved { libc::MAP_HUGETLB } else { libc::MAP_NORESERVE };
    let reservation = Reservation::new(size as usize, flags).map_err(|error| error.to_string())?;
    let builder = MmapRegionBuilder::new(size as usize)
        .with_mmap_prot(libc::PROT_READ | libc::PROT_WRITE)
        .with_mmap_flags(flags);
    // SAFETY: The reservation is a mapping of that many bytes; `GuestMemory` keeps it for as long as the region.
    let builder = unsafe { builder.with_raw_mmap_pointer(reservation.start as *mut u8) };
    let mapping = builder.build().map_err(|error| error.to_string())?;
    if huge_pages == HugePages::Transparent {
        // SAFETY: Advice about a mapping that was just made; it changes no byte.
        let advised = unsafe { libc::madvise(mapping.as_ptr().cast(), mapping.size(), libc::MADV_HUGEPAGE) };
        if advised != 0 {
            return Err(format!("huge pages: {}", io::Error::last_os_error()));
        }
    }
    let region = GuestRegionMmap::new(mapping, GuestAddress(start));
    Ok((region.ok_or_else(|| "its end is out of range".to_owned())?, reservation))
}

/// Refuses huge pages that cannot be had, before anything is asked for.
fn check_huge_pages(bytes: u64, huge_pages: HugePages) -> Result<(), MachineError> {
    if huge_pages == HugePages::Reserved && !bytes.is_multiple_of(HUGE_PAGE_SIZE) {
        return Err(MachineError::HugePageMultiple(bytes));
    }
    let is_off = || {
        let enabled = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
        enabled.map_or(true, |text| text.contains("[never]"))
    };
    if huge_pages == HugePages::Transparent && is_off() {
        return Err(MachineError::NoTransparentHugePages);
    }
    Ok(())
}

/// Huge pages of 2 MiB in the host's reserve that nobody has.
fn free_huge_pages() -> u64 {
    let text = fs::read_to_string("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
    text.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_huge_pages_are_refused_with_the_fix() {
        let error = GuestMemory::new(3 << 20, HugePages::Reserved).unwrap_err().to_string();
        assert!(error.contains("multiple of 2 MiB"), "{error}");
        // More than any machine has set aside.
        let Err(error) = GuestMemory::new(256 << 30, HugePages::Reserved) else { return };
        assert!(error.to_string().contains("vm.nr_hugepages"), "{error}");
    }

    /// Else KVM maps no huge page, whatever the host's memory is made of.
    #[test]
    fn guest_and_host_addresses_agree_below_2_mib_whatever_the_size() {
        for bytes in [1 << 20, 12 << 10, 3 << 20, 513 << 20, (3 << 30) + 4096, 4097 << 20, 5 << 30] {
            // The second one lies where the first one's odd size has left off.
            let memories = [HugePages::No; 2].map(|pages| GuestMemory::new(bytes, pages).unwrap());
            for (guest, host, size) in memories.iter().flat_map(GuestMemory::host_pieces) {
                assert_eq!(guest % HUGE_PAGE_SIZE, host % HUGE_PAGE_SIZE, "{size} of {bytes} bytes");
            }
        }
    }

    #[test]
    fn memory_is_zero_and_keeps_what_is_placed() {
        let memory = GuestMemory::new(1 << 20, HugePages::No).unwrap();
        memory.place(0x3000, &b"program".to_vec().into()).unwrap();
        let mut bytes = [0xff; 9];
        memory.read(0x3000 - 1, &mut bytes).unwrap();
        assert_eq!(&bytes, b"\0program\0");
    }
}
