//! The report for a browser: one file with figures, tables and links to the raw data, and each figure as a file of its own.
//!
//! It reads records only. A [`figure::Definition`] says which runs have a figure and draws it; [`figures`] lists them. They are drawn
//! by [`bars`] and [`lines`] on a [`canvas`], in the colours of [`theme`]. Markup is made by `maud`, which escapes all text; what
//! comes from a guest, a file or a host goes through [`crate::printable`] first.

pub mod bars;
pub mod canvas;
pub mod figure;
pub mod figures;
pub mod flame;
pub mod intervals;
pub mod lines;
pub mod page;
pub mod percentile;
pub mod pick;
pub mod scale;
pub mod theme;
pub mod timeline;

mod data_table;
mod links;

#[cfg(test)]
mod tests;
