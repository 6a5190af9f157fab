//! Where physical memory is.

/// Where physical memory at `address` is mapped.
#[cfg(target_os = "none")]
pub fn physical_pointer(address: u64) -> *mut u8 {
    core::ptr::with_exposed_provenance_mut((abi::address::PHYSICAL_MAP_BASE + address) as usize)
}

/// Where physical memory is: tests use addresses of their own.
#[cfg(not(target_os = "none"))]
pub fn physical_pointer(address: u64) -> *mut u8 {
    std::ptr::with_exposed_provenance_mut(address as usize)
}
