//! Where the servers of this program's width are at home, and where they can be moved in to: a driver moves its like.

use abi::call::migrate;
use abi::plan::placement;

/// In a space of its own.
#[cfg(not(target_arch = "x86"))]
pub const OUTSIDE: u32 = placement::USER;
/// In what all spaces share.
#[cfg(not(target_arch = "x86"))]
pub const INSIDE: u32 = placement::KERNEL;
/// Bit of [`migrate`] that moves a server in.
#[cfg(not(target_arch = "x86"))]
pub const MOVE_IN: u64 = migrate::TO_KERNEL;

/// In a space of its own.
#[cfg(target_arch = "x86")]
pub const OUTSIDE: u32 = placement::LARGE;
/// In what all spaces share.
#[cfg(target_arch = "x86")]
pub const INSIDE: u32 = placement::SMALL;
/// Bit of [`migrate`] that moves a server in.
#[cfg(target_arch = "x86")]
pub const MOVE_IN: u64 = migrate::TO_SMALL;
