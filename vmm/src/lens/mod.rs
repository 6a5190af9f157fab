//! Lenses: independent ways of counting what one case costs, which must agree where they overlap.

pub mod measure;
pub mod perf;
pub mod pmu;
mod reading;
pub mod trace;

pub use measure::Measured;
pub use reading::{LensReadings, LensRequest, LensValues, Reading};
