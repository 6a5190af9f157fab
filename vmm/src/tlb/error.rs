//! Why a geometry cannot be modelled. Each message names the fix.

use std::io;
use std::path::PathBuf;

/// What is wrong with a geometry file.
#[derive(Debug, thiserror::Error)]
pub enum GeometryError {
    /// The file cannot be read.
    #[error("cannot read geometry file {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The text is not a geometry.
    #[error("not a TLB geometry (docs/tlb-models.md describes the format)")]
    Parse(#[from] toml::de::Error),
    /// There is no built-in geometry of that name, and no such file.
    #[error("no geometry \"{name}\": give the path of a TOML file or one of {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// The built-in ones, separated by commas.
        known: String,
    },
    /// An array without entries, or with more than can be meant.
    #[error("{array}: {entries} entries; give 1 to {limit}")]
    Entries {
        /// Name of the array.
        array: String,
        /// As given.
        entries: u32,
        /// Most that is accepted.
        limit: u32,
    },
    /// The entries cannot be arranged in rows of so many ways.
    #[error(
        "{array}: {ways} ways do not divide {entries} entries; use a divisor of {entries}, or ways = \"full\""
    )]
    WaysDoNotDivide {
        /// Name of the array.
        array: String,
        /// As given.
        entries: u32,
        /// As given.
        ways: u32,
    },
    /// Address bits cannot select one of so many sets.
    #[error(
        "{array}: {entries} entries in {ways} ways make {sets} sets, which is not a power of two; \
         {suggestion}"
    )]
    SetsNotPowerOfTwo {
        /// Name of the array.
        array: String,
        /// As given.
        entries: u32,
        /// As given.
        ways: u32,
        /// Their quotient.
        sets: u32,
        /// Ways that would do, in words.
        suggestion: String,
    },
    /// A binary tree has no such number of leaves.
    #[error(
        "{array}: tree-plru needs a power of two of at most {limit} ways, not {ways}; use replacement = \"lru\" \
         or \"random\""
    )]
    TreeWays {
        /// Name of the array.
        array: String,
        /// As given.
        ways: u32,
        /// Most leaves of a tree.
        limit: u32,
    },
    /// An array that can hold nothing.
    #[error("{array}: {list} is empty; name at least one of {choices}")]
    EmptyList {
        /// Name of the array.
        array: String,
        /// Which list.
        list: &'static str,
        /// What it may hold.
        choices: &'static str,
    },
    /// A level that is not modelled.
    #[error("{array}: level {level}; only levels 1 and 2 are modelled")]
    Level {
        /// Name of the array.
        array: String,
        /// As given.
        level: u8,
    },
    /// Nothing translates some accesses.
    #[error(
        "no level-1 array holds 4KiB pages for \"{access}\"; add a [[tlb]] with level = 1 and use = [\"{access}\"]"
    )]
    NoFirstLevel {
        /// Kind of access.
        access: &'static str,
    },
    /// Two arrays cannot be told apart.
    #[error("two arrays are named \"{0}\"; give each its own name")]
    NameTwice(String),
    /// A number of page-table levels that x86 does not have.
    #[error("paging_levels = {0}; x86 has 2 (32-bit), 3 (PAE), 4 or 5")]
    PagingLevels(u8),
    /// A walk cache for entries that these page tables do not have.
    #[error("walk cache \"{array}\" caches entries that {levels}-level page tables do not have; remove it")]
    WalkCacheLevel {
        /// Name of the array.
        array: String,
        /// Levels of the page tables.
        levels: u8,
    },
    /// Two walk caches for the same entries.
    #[error("walk cache \"{0}\" caches the same entries as another; keep one of them")]
    WalkCacheTwice(String),
}
