//! `[defaults]` and `[[case]]` as they are written: keys with their values, each with its place.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use toml::Spanned;

use super::error::{ConfigError, suggest};
use super::file::Source;
use super::groups::GroupsEntry;
use super::list::List;
use super::recordings;
use crate::case::key::{Key, Kind, Raw, Standing, Wrong};
use crate::case::value::Value;
use crate::workload;

/// A table whose keys nobody has looked at yet.
#[derive(Default)]
pub(super) struct WrittenTable {
    entries: Vec<(Spanned<String>, Written)>,
}

enum Written {
    Values(List<Raw>),
    Groups(Spanned<GroupsEntry>),
}

impl<'de> Deserialize<'de> for WrittenTable {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<WrittenTable, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = WrittenTable;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a table of keys")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<WrittenTable, A::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<Spanned<String>>()? {
                    let kind = workload::key(name.get_ref()).map(|key| key.kind);
                    let written = match kind {
                        Some(Kind::Table) => Written::Groups(map.next_value()?),
                        _ => Written::Values(map.next_value()?),
                    };
                    entries.push((name, written));
                }
                Ok(WrittenTable { entries })
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

/// A key that is given, with its values.
#[derive(Clone, Debug)]
pub struct Given {
    /// The key.
    pub key: &'static Key,
    /// Place of the whole value.
    pub span: Range<usize>,
    /// Its values; whether they are in range is not known yet.
    pub values: Vec<Spanned<Value>>,
    /// The same of a key that is a text.
    pub texts: Vec<Spanned<String>>,
}

/// The keys of a table.
#[derive(Clone, Debug, Default)]
pub struct Table {
    given: Vec<Given>,
    /// Trust groups, where the placement is not to decide.
    pub groups: Option<GroupsEntry>,
}

impl Table {
    pub(super) fn read(
        source: &Source<'_>,
        written: WrittenTable,
        is_defaults: bool,
    ) -> Result<Table, ConfigError> {
        let mut table = Table::default();
        let may_stand = |key: &Key| !is_defaults || key.standing == Standing::Everywhere;
        for (name, written) in written.entries {
            let Some(key) = workload::key(name.get_ref()).filter(|key| may_stand(key)) else {
                let known = workload::keys().iter().filter(|key| may_stand(key)).map(|key| key.name);
                let message = format!("unknown key `{}`", name.get_ref());
                return Err(source.error_at(name.span(), message, suggest(name.get_ref(), known)));
            };
            match written {
                Written::Groups(groups) => table.groups = Some(groups.into_inner()),
                Written::Values(list) => table.given.push(given(source, key, list)?),
            }
        }
        Ok(table)
    }

    /// A key, if it is given.
    pub fn get(&self, key: &Key) -> Option<&Given> {
        self.given.iter().find(|given| given.key.name == key.name)
    }

    /// The text that a key is given, if it is one.
    pub fn text(&self, key: &Key) -> Option<&Spanned<String>> {
        self.get(key).and_then(|given| given.texts.first())
    }

    /// The place of a key's value.
    pub fn span(&self, key: &Key) -> Option<Range<usize>> {
        self.get(key).map(|given| given.span.clone())
    }

    /// All keys that are given.
    pub fn iter(&self) -> impl Iterator<Item = &Given> {
        self.given.iter()
    }
}

fn read(source: &Source<'_>, kind: Kind, raw: &Raw) -> Result<Value, Wrong> {
    match kind {
        Kind::Recording => recordings::read(raw, source.folder()),
        kind => kind.read(raw),
    }
}

fn given(source: &Source<'_>, key: &'static Key, list: List<Raw>) -> Result<Given, ConfigError> {
    let may_be_list = key.multiplies || key.describes_by_list();
    if !may_be_list && list.values.len() != 1 {
        let message = format!("`{}` takes one value", key.name);
        return Err(source.error_at(list.span, message, "write one value without brackets"));
    }
    let (mut values, mut texts) = (Vec::new(), Vec::new());
    for value in list.values {
        let span = value.span();
        match (key.kind, value.into_inner()) {
            (Kind::Text, Raw::Text(text)) => texts.push(Spanned::new(span, text)),
            (kind, raw) => match read(source, kind, &raw) {
                Ok(value) => values.push(Spanned::new(span, value)),
                Err(wrong) => return Err(source.error_at(span, wrong.message, wrong.fix)),
            },
        }
    }
    Ok(Given { key, span: list.span, values, texts })
}
