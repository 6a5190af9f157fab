//! What a processor's TLBs are made of: read from TOML, checked, and never changed after.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::bounded::{WRITTEN_BY_HAND, read_text};
use crate::tlb::check;
use crate::tlb::error::GeometryError;
use crate::tlb::stream::{AccessKind, PageSize};

/// The built-in geometries, oldest first: name and text.
pub const BUILT_IN: [(&str, &str); 5] = [
    ("pentium-p54c", include_str!("../../geometries/pentium-p54c.toml")),
    ("skylake-sp", include_str!("../../geometries/skylake-sp.toml")),
    ("ice-lake-sp", include_str!("../../geometries/ice-lake-sp.toml")),
    ("zen3", include_str!("../../geometries/zen3.toml")),
    ("zen4", include_str!("../../geometries/zen4.toml")),
];

/// The TLBs and walk caches of one processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// What reports call it.
    pub name: String,
    /// Year of introduction.
    pub introduced: u16,
    /// What entries are tagged with.
    pub tags: Tags,
    /// Global translations survive a page-table load. Without, the global bit is ignored.
    pub global_pages: bool,
    /// Levels of page tables that a walk for a 4 KiB page reads, without walk caches.
    pub paging_levels: u8,
    /// Seed of every array with random replacement.
    #[serde(default)]
    pub random_seed: u64,
    /// The TLBs.
    pub tlb: Vec<Array>,
    /// Caches of upper page-table entries; none where empty.
    #[serde(default)]
    pub walk_cache: Vec<WalkCache>,
}

/// What keeps the translations of several address spaces apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Tags {
    /// Nothing: each page-table load flushes.
    None,
    /// Process-context identifiers, where CR4.PCIDE is set.
    Pcid,
}

/// One TLB.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Array {
    /// What reports and errors call it.
    pub name: String,
    /// 1: looked up by every access; 2: by those that missed level 1.
    pub level: u8,
    /// Accesses that it serves.
    #[serde(rename = "use")]
    pub used_by: Vec<AccessKind>,
    /// Pages that it holds.
    pub page_sizes: Vec<PageSize>,
    /// Size and order.
    #[serde(flatten)]
    pub shape: Shape,
    /// Where the figures are from.
    pub source: String,
    /// The source was read and says so of page sizes, entries and ways. Replacement and index are never verified: no
    /// vendor documents them.
    pub verified: bool,
}

/// A cache of one kind of upper page-table entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WalkCache {
    /// What reports and errors call it.
    pub name: String,
    /// What it holds.
    pub holds: UpperEntry,
    /// Size and order.
    #[serde(flatten)]
    pub shape: Shape,
    /// Where the figures are from.
    pub source: String,
    /// The source was read and says so.
    pub verified: bool,
}

/// Page-table entries that point to another table (Intel SDM vol. 3, 4.10.3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpperEntry {
    /// Page-directory entry: spares all but one reference.
    Pde,
    /// Page-directory-pointer-table entry.
    Pdpte,
    /// Entry of the 4th-level table.
    Pml4e,
}

impl UpperEntry {
    /// From the one nearest to the page.
    pub const ALL: [UpperEntry; 3] = [UpperEntry::Pde, UpperEntry::Pdpte, UpperEntry::Pml4e];

    /// Level of the table that holds it; a page table is level 1.
    pub const fn level(self) -> u8 {
        match self {
            UpperEntry::Pde => 2,
            UpperEntry::Pdpte => 3,
            UpperEntry::Pml4e => 4,
        }
    }

    /// The address bits that select it.
    pub const fn number(self, address: u64) -> u64 {
        address >> (12 + 9 * (self.level() as u32 - 1))
    }
}

/// Size and order of an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    /// Translations that it holds.
    pub entries: u32,
    /// Places where one page may lie.
    pub ways: Ways,
    /// Which of them is given up.
    pub replacement: Replacement,
    /// How the page number selects the set.
    #[serde(default)]
    pub index: Index,
}

impl Shape {
    /// Places of a set.
    pub const fn ways(&self) -> u32 {
        match self.ways {
            Ways::Count(ways) => ways,
            Ways::Full(_) => self.entries,
        }
    }

    /// Number of sets.
    pub const fn sets(&self) -> u32 {
        self.entries / self.ways()
    }
}

/// Associativity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "ways: a number, or \"full\"")]
pub enum Ways {
    /// So many places in each set.
    Count(u32),
    /// Any place.
    Full(Full),
}

/// The word for full associativity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Full {
    /// One set of all entries.
    #[serde(rename = "full")]
    Full,
}

/// Which entry of a full set is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replacement {
    /// The least recently used.
    Lru,
    /// The one that a binary tree of "the other half was used last" bits points to.
    TreePlru,
    /// Any, drawn from a seeded generator.
    Random,
}

/// How a page number selects a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Index {
    /// By its low bits.
    #[default]
    LowBits,
    /// By its low bits XOR as many next ones.
    XorFold,
}

impl Model {
    /// Reads and checks a geometry.
    pub fn from_toml(text: &str) -> Result<Model, GeometryError> {
        let model: Model = toml::from_str(text)?;
        check::model(&model)?;
        Ok(model)
    }

    /// A built-in geometry by its name, or a file by its path.
    pub fn load(name_or_path: &str) -> Result<Model, GeometryError> {
        if let Some((_, text)) = BUILT_IN.iter().find(|(name, _)| *name == name_or_path) {
            return Model::from_toml(text);
        }
        let path = Path::new(name_or_path);
        if !path.exists() {
            let known = BUILT_IN.map(|(name, _)| name).join(", ");
            return Err(GeometryError::Unknown { name: name_or_path.to_owned(), known });
        }
        let text = read_text(path, WRITTEN_BY_HAND)
            .map_err(|source| GeometryError::Read { path: path.to_owned(), source })?;
        Model::from_toml(&text)
    }

    /// All figures of sizes are from sources that were read.
    pub fn is_verified(&self) -> bool {
        self.tlb.iter().all(|array| array.verified) && self.walk_cache.iter().all(|cache| cache.verified)
    }

    /// Names of arrays with figures that no source was found for.
    pub fn unverified(&self) -> Vec<String> {
        let arrays = self.tlb.iter().filter(|array| !array.verified).map(|array| &array.name);
        let caches = self.walk_cache.iter().filter(|cache| !cache.verified).map(|cache| &cache.name);
        arrays.chain(caches).cloned().collect()
    }

    /// The same, with other tags.
    pub fn with_tags(mut self, tags: Tags) -> Model {
        self.tags = tags;
        self
    }
}
