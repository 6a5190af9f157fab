//! A fact, or the reason why there is none.

use std::fmt::Display;

use serde::Serialize;

/// A fact about the host. In JSON: the value itself, or `{"absent": "reason"}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Fact<T> {
    /// What the host says.
    Known(T),
    /// The host does not say.
    Absent {
        /// Why.
        absent: String,
    },
}

impl<T> Fact<T> {
    /// A fact that is not to be had.
    pub fn absent(reason: impl Display) -> Fact<T> {
        Fact::Absent { absent: reason.to_string() }
    }

    /// The value, where there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Fact::Known(value) => Some(value),
            Fact::Absent { .. } => None,
        }
    }

    /// Why there is no value.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Fact::Known(_) => None,
            Fact::Absent { absent } => Some(absent),
        }
    }

    /// Turns a known value into another fact.
    pub fn and_then<U>(self, next: impl FnOnce(T) -> Fact<U>) -> Fact<U> {
        match self {
            Fact::Known(value) => next(value),
            Fact::Absent { absent } => Fact::Absent { absent },
        }
    }

    /// Turns a known value into another one.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Fact<U> {
        self.and_then(|value| Fact::Known(change(value)))
    }
}

impl<T: Display> Display for Fact<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fact::Known(value) => value.fmt(formatter),
            Fact::Absent { absent } => write!(formatter, "unknown ({absent})"),
        }
    }
}

impl<T, E: std::error::Error> From<Result<T, E>> for Fact<T> {
    fn from(result: Result<T, E>) -> Fact<T> {
        match result {
            Ok(value) => Fact::Known(value),
            Err(error) => match error.source() {
                Some(source) => Fact::absent(format_args!("{error}: {source}")),
                None => Fact::absent(error),
            },
        }
    }
}
