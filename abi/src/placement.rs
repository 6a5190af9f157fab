//! Where servers run. Each placement is one entry here; kernel and VMM ask it what it is, not which.

use core::fmt;
use core::str::FromStr;

/// Built for 32 bits: it runs in compatibility mode, and its addresses are relative to its segments.
const IS_32_BIT: u8 = 1 << 0;
/// In a slot of the kernel's half, in ring 0.
const IN_KERNEL: u8 = 1 << 1;
/// In an address space that others do not see.
const OWN_SPACE: u8 = 1 << 2;
/// A load of page tables leaves its pages in the TLB.
const GLOBAL: u8 = 1 << 3;
/// Servers that run here may be moved in place.
const MOVES: u8 = 1 << 4;

/// Declares the placements: `number Variant "name": what it is`.
macro_rules! placements {
    ($( $(#[$about:meta])* $number:literal $variant:ident $name:literal: $is:expr; )*) => {
        /// Where a server runs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Placement { $( $(#[$about])* $variant = $number ),* }

        impl Placement {
            /// All of them.
            pub const ALL: &'static [Placement] = &[$( Placement::$variant ),*];

            /// Their names.
            pub const NAMES: &'static [&'static str] = &[$( $name ),*];

            /// As in experiment files.
            pub const fn name(self) -> &'static str {
                match self { $( Placement::$variant => $name ),* }
            }

            const fn is(self, what: u8) -> bool {
                let is: u8 = match self { $( Placement::$variant => $is ),* };
                is & what != 0
            }
        }
    };
}

placements! {
    /// A user address space, ring 3.
    0 User "user": OWN_SPACE | MOVES;
    /// A slot of the kernel's half, ring 0.
    1 Kernel "kernel": IN_KERNEL | GLOBAL | MOVES;
    /// Built for 32 bits: a slot of the region that all spaces share ([`crate::address::SMALL_BASE`]), ring 3, on segments that
    /// begin and end with the slot. Liedtke's small space. Not for the driver of the case.
    2 Small "small": IS_32_BIT | GLOBAL | MOVES;
    /// Built for 32 bits: an address space of its own, ring 3, on segments from 0 up to the region of small spaces. Liedtke's
    /// large space.
    3 Large "large": IS_32_BIT | OWN_SPACE | MOVES;
}

impl Placement {
    /// As in a plan and in system calls.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The one with this number.
    pub fn of_number(number: u64) -> Option<Placement> {
        Placement::ALL.iter().copied().find(|placement| u64::from(placement.number()) == number)
    }

    /// Whether the program is built for 32 bits and runs in compatibility mode.
    pub const fn is_32_bit(self) -> bool {
        self.is(IS_32_BIT)
    }

    /// Whether the program runs in ring 0, in a slot of the kernel's half.
    pub const fn is_in_kernel(self) -> bool {
        self.is(IN_KERNEL)
    }

    /// Whether the program has an address space that others do not see, so that a switch to it may need a page-table load.
    pub const fn has_own_space(self) -> bool {
        self.is(OWN_SPACE)
    }

    /// Whether a load of page tables leaves its pages in the TLB.
    pub const fn is_global(self) -> bool {
        self.is(GLOBAL)
    }

    /// Whether a server that runs here may be moved in place.
    pub const fn moves(self) -> bool {
        self.is(MOVES)
    }
}

impl FromStr for Placement {
    type Err = ();

    fn from_str(text: &str) -> Result<Placement, ()> {
        Placement::ALL.iter().copied().find(|placement| placement.name() == text).ok_or(())
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_back() {
        for (index, placement) in Placement::ALL.iter().enumerate() {
            assert_eq!(placement.name().parse(), Ok(*placement));
            assert_eq!(Placement::of_number(placement.number().into()), Some(*placement));
            assert_eq!(placement.number(), index as u32);
        }
        assert_eq!(Placement::of_number(Placement::ALL.len() as u64), None);
        assert_eq!(Placement::of_number(1 << 32), None);
        assert_eq!("nowhere".parse::<Placement>(), Err(()));
    }
}
