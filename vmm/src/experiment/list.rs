//! A value of an experiment file that may be one or a list.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::de::value::{BoolDeserializer, F64Deserializer, I64Deserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};
use toml::Spanned;

/// The values of a key, each with its place: `words = 4` or `words = [0, 4]`.
#[derive(Clone, Debug)]
pub struct List<T> {
    /// Place of the whole value.
    pub span: Range<usize>,
    /// At least one value, unless the list in the file is empty.
    pub values: Vec<Spanned<T>>,
}

enum Values<T> {
    One(T),
    Many(Vec<Spanned<T>>),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<List<T>, D::Error> {
        let values = Spanned::<Values<T>>::deserialize(deserializer)?;
        let span = values.span();
        let values = match values.into_inner() {
            Values::One(value) => vec![Spanned::new(span.clone(), value)],
            Values::Many(values) => values,
        };
        Ok(List { span, values })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Values<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Values<T>, D::Error> {
        deserializer.deserialize_any(ValuesVisitor(PhantomData))
    }
}

/// An untagged enum would do, but its errors say neither what was expected nor where.
struct ValuesVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ValuesVisitor<T> {
    type Value = Values<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value or a list of values")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Values<T>, E> {
        T::deserialize(BoolDeserializer::new(value)).map(Values::One)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Values<T>, E> {
        T::deserialize(F64Deserializer::new(value)).map(Values::One)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Values<T>, E> {
        T::deserialize(I64Deserializer::new(value)).map(Values::One)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Values<T>, E> {
        T::deserialize(StrDeserializer::new(value)).map(Values::One)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Values<T>, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = sequence.next_element()? {
            values.push(value);
        }
        Ok(Values::Many(values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    struct Table {
        words: List<i64>,
    }

    #[test]
    fn one_or_many_with_their_places() {
        let one: Table = toml::from_str("words = 4").unwrap();
        assert_eq!(one.words.values.iter().map(|v| *v.get_ref()).collect::<Vec<_>>(), [4]);
        assert_eq!(one.words.values[0].span(), 8..9);
        let many: Table = toml::from_str("words = [0, 64]").unwrap();
        assert_eq!(many.words.values[1].span(), 12..14);
        assert_eq!(*many.words.values[1].get_ref(), 64);
    }

    #[test]
    fn a_wrong_type_is_named_with_its_place() {
        let error = toml::from_str::<Table>("words = [0, \"x\"]").unwrap_err();
        assert_eq!(error.span(), Some(12..15));
        let error = toml::from_str::<Table>("words = 1.5").unwrap_err();
        assert!(error.span().is_some(), "{error}");
    }
}
