//! Arithmetic on samples: it knows numbers only, not what was measured.

pub mod at_once;
pub mod change;
pub mod distribution;
pub mod few_launches;
pub mod summary;

/// `value` with `digits` decimal places: more would claim a precision that is not there.
pub fn rounded(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
