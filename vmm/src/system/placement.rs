//! Where programs run.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// A user address space, ring 3.
    User,
    /// A slot of the kernel's half, ring 0.
    Kernel,
    /// Built for 32 bits: a slot of the region that all spaces share, ring 3, on segments that end with the slot. Liedtke's
    /// small space.
    Small,
    /// Built for 32 bits: an address space of its own, ring 3, on segments that end where the slots begin. Liedtke's large
    /// space.
    Large,
}

impl Placement {
    /// All of them.
    pub const ALL: [Placement; 4] = [Placement::User, Placement::Kernel, Placement::Small, Placement::Large];

    /// As in experiment files.
    pub const fn name(self) -> &'static str {
        match self {
            Placement::User => "user",
            Placement::Kernel => "kernel",
            Placement::Small => "small",
            Placement::Large => "large",
        }
    }

    /// Whether the program is built for 32 bits and runs in compatibility mode.
    pub const fn is_32_bit(self) -> bool {
        matches!(self, Placement::Small | Placement::Large)
    }

    /// Whether the program has an address space that others do not see, so that a switch to it may need a page-table load.
    pub const fn has_own_space(self) -> bool {
        matches!(self, Placement::User | Placement::Large)
    }

    /// One of [`abi::plan::placement`].
    pub const fn abi(self) -> u32 {
        match self {
            Placement::User => abi::plan::placement::USER,
            Placement::Kernel => abi::plan::placement::KERNEL,
            Placement::Small => abi::plan::placement::SMALL,
            Placement::Large => abi::plan::placement::LARGE,
        }
    }
}

impl FromStr for Placement {
    type Err = ();

    fn from_str(text: &str) -> Result<Placement, ()> {
        Placement::ALL.into_iter().find(|placement| placement.name() == text).ok_or(())
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
    fn names_are_those_of_the_files() {
        for placement in Placement::ALL {
            assert_eq!(serde_json::to_value(placement).unwrap(), placement.name());
            assert_eq!(placement.name().parse(), Ok(placement));
        }
    }
}
