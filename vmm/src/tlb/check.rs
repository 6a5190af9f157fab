//! Which geometries can be modelled.

use std::collections::HashSet;

use crate::tlb::error::GeometryError;
use crate::tlb::geometry::{Model, Replacement, Shape, WalkCache};
use crate::tlb::stream::{AccessKind, PageSize};

/// Most entries of an array: far beyond any processor's.
const ENTRIES_MAX: u32 = 1 << 20;

/// Most ways of a tree: its bits lie in one word.
pub(crate) const TREE_WAYS_MAX: u32 = 64;

/// Refuses what cannot be built.
pub(crate) fn model(model: &Model) -> Result<(), GeometryError> {
    if !(2..=5).contains(&model.paging_levels) {
        return Err(GeometryError::PagingLevels(model.paging_levels));
    }
    let mut names = HashSet::new();
    for array in &model.tlb {
        unique(&mut names, &array.name)?;
        shape(&array.name, &array.shape)?;
        if !(1..=2).contains(&array.level) {
            return Err(GeometryError::Level { array: array.name.clone(), level: array.level });
        }
        let empty = |list, choices| GeometryError::EmptyList { array: array.name.clone(), list, choices };
        if array.used_by.is_empty() {
            return Err(empty("use", "\"fetch\", \"read\", \"write\""));
        }
        if array.page_sizes.is_empty() {
            return Err(empty("page_sizes", "\"4KiB\", \"2MiB\", \"1GiB\""));
        }
    }
    for (kind, access) in
        [(AccessKind::Fetch, "fetch"), (AccessKind::Read, "read"), (AccessKind::Write, "write")]
    {
        let is_served = model.tlb.iter().any(|array| {
            array.level == 1 && array.used_by.contains(&kind) && array.page_sizes.contains(&PageSize::Kib4)
        });
        if !is_served {
            return Err(GeometryError::NoFirstLevel { access });
        }
    }
    walk_caches(model, &mut names)
}

fn walk_caches<'a>(model: &'a Model, names: &mut HashSet<&'a str>) -> Result<(), GeometryError> {
    let mut held = HashSet::new();
    for WalkCache { name, holds, shape: size, .. } in &model.walk_cache {
        unique(names, name)?;
        shape(name, size)?;
        if holds.level() > model.paging_levels {
            let levels = model.paging_levels;
            return Err(GeometryError::WalkCacheLevel { array: name.clone(), levels });
        }
        if !held.insert(holds) {
            return Err(GeometryError::WalkCacheTwice(name.clone()));
        }
    }
    Ok(())
}

fn unique<'a>(names: &mut HashSet<&'a str>, name: &'a str) -> Result<(), GeometryError> {
    if names.insert(name) { Ok(()) } else { Err(GeometryError::NameTwice(name.to_owned())) }
}

/// Refuses an array whose entries cannot be arranged as stated.
fn shape(array: &str, shape: &Shape) -> Result<(), GeometryError> {
    let (array, entries) = (array.to_owned(), shape.entries);
    if !(1..=ENTRIES_MAX).contains(&entries) {
        return Err(GeometryError::Entries { array, entries, limit: ENTRIES_MAX });
    }
    let ways = shape.ways();
    if ways == 0 || !entries.is_multiple_of(ways) {
        return Err(GeometryError::WaysDoNotDivide { array, entries, ways });
    }
    let sets = shape.sets();
    if !sets.is_power_of_two() {
        let suggestion = suggestion(entries, ways);
        return Err(GeometryError::SetsNotPowerOfTwo { array, entries, ways, sets, suggestion });
    }
    if shape.replacement == Replacement::TreePlru && (!ways.is_power_of_two() || ways > TREE_WAYS_MAX) {
        return Err(GeometryError::TreeWays { array, ways, limit: TREE_WAYS_MAX });
    }
    Ok(())
}

/// The associativities next to `ways` that leave a power of two of sets.
fn suggestion(entries: u32, ways: u32) -> String {
    let possible = (0..=entries.trailing_zeros()).map(|shift| entries >> shift);
    let below = possible.clone().filter(|possible| *possible < ways).max();
    let above = possible.filter(|possible| *possible > ways).min();
    let choices: Vec<String> = below.into_iter().chain(above).map(|ways| ways.to_string()).collect();
    format!("use ways = {}", choices.join(" or "))
}
