//! Guest memory: where it lies in the guest's physical address space, and how the VMM gets at it.

use abi::address::MEMORY_HOLE;
use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend, GuestMemoryMmap, GuestMemoryRegion};

use crate::machine::error::MachineError;
use crate::machine::record::{Record, Shared};

/// Bytes below 4 GiB that are no memory: there lie the local APIC's registers (0xfee0_0000) and what KVM on VMX needs
/// for itself (api.rst, KVM_SET_TSS_ADDR and KVM_SET_IDENTITY_MAP_ADDR).
pub(crate) const HOLE_START: u64 = MEMORY_HOLE.start;

/// Where memory goes on behind the hole.
pub(crate) const HOLE_END: u64 = MEMORY_HOLE.end;

/// The guest's memory, zero where nothing was written.
#[derive(Clone, Debug)]
pub(crate) struct GuestMemory {
    mapping: GuestMemoryMmap<()>,
}

/// Start and size of each piece of physical memory for a guest of `bytes`.
pub(crate) fn pieces(bytes: u64) -> Vec<(u64, u64)> {
    let low = bytes.min(HOLE_START);
    let high = bytes - low;
    let both = [(0, low), (HOLE_END, high)];
    both.into_iter().filter(|(_, size)| *size > 0).collect()
}

impl GuestMemory {
    /// Reserves address space only; the host gives memory page by page as it is touched.
    pub(crate) fn new(bytes: u64) -> Result<GuestMemory, MachineError> {
        let ranges: Vec<_> =
            pieces(bytes).into_iter().map(|(start, size)| (GuestAddress(start), size as usize)).collect();
        let mapping = GuestMemoryMmap::from_ranges(&ranges)
            .map_err(|error| MachineError::MemoryReserve { bytes, reason: error.to_string() })?;
        Ok(GuestMemory { mapping })
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
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.write(address, &bytes)
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
