//! The values that keys take in a case.

use super::seconds::Seconds;
use super::size::MemorySize;
use crate::requests::known::Recording;
use crate::system::placement::Placement;

/// A value of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// A whole number.
    Number(i64),
    /// One of the key's words, by its index.
    Choice(usize),
    /// Yes or no.
    Flag(bool),
    /// An amount of memory.
    Size(MemorySize),
    /// A time.
    Seconds(Seconds),
    /// A recording of requests.
    Recording(&'static Recording),
}

/// A type whose values are words of an experiment file.
pub trait Word: Copy + PartialEq + 'static {
    /// All of them, in the order in which reports show them.
    const ALL: &'static [Self];
    /// Their names, in the same order.
    const NAMES: &'static [&'static str];

    /// As in experiment files.
    fn word(self) -> &'static str {
        Self::ALL.iter().zip(Self::NAMES).find(|(known, _)| **known == self).map_or("", |(_, name)| name)
    }

    /// As a value of a key.
    fn value(self) -> Value {
        Value::Choice(Self::ALL.iter().position(|known| *known == self).unwrap_or(0))
    }

    /// The one with this value.
    fn of(value: Value) -> Option<Self> {
        match value {
            Value::Choice(index) => Self::ALL.get(index).copied(),
            _ => None,
        }
    }
}

/// Declares a [`Word`]: each of its values with its name.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $( $(#[$what:meta])* $variant:ident = $text:literal ),* $(,)? }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $( $(#[$what])* $variant ),* }

        impl $crate::case::value::Word for $name {
            const ALL: &'static [$name] = &[$( $name::$variant ),*];
            const NAMES: &'static [&'static str] = &[$( $text ),*];
        }
    };
}
pub(crate) use words;

impl Word for Placement {
    const ALL: &'static [Placement] = Placement::ALL;
    const NAMES: &'static [&'static str] = Placement::NAMES;
}

/// What can be given as the value of a key.
pub trait IntoValue {
    /// The value.
    fn into_value(self) -> Value;
}

impl<T: Word> IntoValue for T {
    fn into_value(self) -> Value {
        self.value()
    }
}

impl IntoValue for u32 {
    fn into_value(self) -> Value {
        Value::Number(self.into())
    }
}

impl IntoValue for Value {
    fn into_value(self) -> Value {
        self
    }
}
