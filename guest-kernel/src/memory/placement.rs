//! Where servers run.

/// Where a server runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Placement {
    /// In a user address space, in ring 3.
    User = 0,
    /// In a slot of the kernel's half, in ring 0.
    Kernel = 1,
    /// A 32-bit program in a slot of the region of small spaces, in ring 3.
    Small = 2,
    /// A 32-bit program in a user address space of its own, in ring 3.
    Large = 3,
}

impl Placement {
    /// Whether it is one of 32-bit programs.
    pub fn is_32_bit(self) -> bool {
        matches!(self, Placement::Small | Placement::Large)
    }
}
