//! Where programs run: what kernel and VMM agree on, and how records have it.

pub use abi::placement::Placement;

/// A placement by its name, for `#[serde(with)]`.
pub(crate) mod by_name {
    use std::borrow::Cow;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    use super::Placement;

    pub(crate) fn serialize<S: Serializer>(placement: &Placement, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(placement.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Placement, D::Error> {
        let name = Cow::<str>::deserialize(deserializer)?;
        name.parse().map_err(|()| D::Error::unknown_variant(&name, Placement::NAMES))
    }
}

/// The same where there may be none.
pub(crate) mod by_name_if_any {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::{Placement, by_name};

    #[derive(Deserialize)]
    struct Named(#[serde(with = "by_name")] Placement);

    pub(crate) fn serialize<S: Serializer>(
        placement: &Option<Placement>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        placement.map(Placement::name).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Placement>, D::Error> {
        Ok(Option::<Named>::deserialize(deserializer)?.map(|named| named.0))
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Both {
        #[serde(with = "by_name")]
        one: Placement,
        #[serde(default, with = "by_name_if_any")]
        other: Option<Placement>,
    }

    #[test]
    fn records_have_names() {
        for placement in Placement::ALL.iter().copied() {
            let both = Both { one: placement, other: Some(placement) };
            let json = serde_json::to_value(&both).unwrap();
            assert_eq!(json, serde_json::json!({ "one": placement.name(), "other": placement.name() }));
            assert_eq!(serde_json::from_value::<Both>(json).unwrap(), both);
        }
        let none: Both = serde_json::from_str(r#"{ "one": "user" }"#).unwrap();
        assert_eq!(none.other, None);
        let error = serde_json::from_str::<Both>(r#"{ "one": "nowhere" }"#).unwrap_err();
        assert!(error.to_string().contains("unknown variant `nowhere`, expected one of `user`"), "{error}");
    }
}
