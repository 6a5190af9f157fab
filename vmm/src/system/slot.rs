//! Slots of small spaces.

use abi::address::SMALL_SLOT_SIZES;
use abi::region::size_32;

/// The smallest slot that a program with so many pages fits in; `None` if there is none.
pub fn smallest(pages: u32) -> Option<u64> {
    let needed = size_32(1, pages);
    SMALL_SLOT_SIZES.into_iter().find(|bytes| *bytes >= needed)
}
