//! Amounts of memory as people write them: `64M`, `1G`.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error as _};

/// A number of bytes, written with an optional suffix `K`, `M`, `G` or `T` (powers of 1,024).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemorySize {
    /// Bytes.
    pub bytes: u64,
}

/// Why a text is no [`MemorySize`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no amount of memory; write a whole number and K, M, G or T, for example 64M or 1G")]
pub struct MemorySizeError {
    text: String,
}

const SUFFIXES: [(char, u32); 4] = [('K', 10), ('M', 20), ('G', 30), ('T', 40)];

impl MemorySize {
    /// An amount in mebibytes.
    pub const fn mebibytes(count: u64) -> MemorySize {
        MemorySize { bytes: count << 20 }
    }
}

impl FromStr for MemorySize {
    type Err = MemorySizeError;

    fn from_str(text: &str) -> Result<MemorySize, MemorySizeError> {
        let error = || MemorySizeError { text: text.to_owned() };
        let trimmed = text.trim();
        let digits_end = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (digits, unit) = trimmed.split_at(digits_end);
        let shift = match unit.trim_start().to_ascii_uppercase().as_str() {
            "" | "B" => 0,
            "K" | "KB" | "KIB" => 10,
            "M" | "MB" | "MIB" => 20,
            "G" | "GB" | "GIB" => 30,
            "T" | "TB" | "TIB" => 40,
            _ => return Err(error()),
        };
        let count: u64 = digits.parse().map_err(|_| error())?;
        let bytes = count.checked_mul(1u64 << shift).ok_or_else(error)?;
        Ok(MemorySize { bytes })
    }
}

impl fmt::Display for MemorySize {
    /// The shortest exact form, which reads back as the same amount.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exact = SUFFIXES.iter().rev().find(|(_, shift)| self.bytes >> shift << shift == self.bytes);
        match exact {
            Some((letter, shift)) if self.bytes > 0 => write!(formatter, "{}{letter}", self.bytes >> shift),
            _ => write!(formatter, "{}", self.bytes),
        }
    }
}

impl<'de> Deserialize<'de> for MemorySize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MemorySize, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_people_write() {
        for (text, bytes) in
            [("64M", 64 << 20), ("1G", 1 << 30), ("4096", 4096), ("2k", 2048), ("1GiB", 1 << 30)]
        {
            assert_eq!(text.parse::<MemorySize>().unwrap().bytes, bytes, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_size() {
        for text in ["", "M", "64X", "-1M", "1.5G", "99999999999T", "64i", "M64"] {
            assert!(text.parse::<MemorySize>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_back(bytes: u64) {
            let size = MemorySize { bytes };
            prop_assert_eq!(size.to_string().parse::<MemorySize>().unwrap(), size);
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = text.parse::<MemorySize>();
        }
    }
}
