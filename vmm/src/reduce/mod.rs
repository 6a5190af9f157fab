//! From what guests leave behind to the record of their case.

pub mod case;
pub mod cause;
pub mod claims;
pub mod density;
pub mod drift;
pub mod guest;
pub mod launch;
pub mod timing;

#[cfg(test)]
pub(crate) mod tests;
