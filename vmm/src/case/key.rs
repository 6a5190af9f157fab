//! A key of an experiment file, declared once: how it is written, what it may be, how it is named, shown and recorded.

use super::parameters::Parameters;
use super::seconds::SecondsError;
use super::size::MemorySize;
use super::suggest::suggest;
use super::value::Value;
use crate::requests::{kept, known};

/// A key. Everything that is said of it anywhere comes from here.
pub struct Key {
    /// As in experiment files.
    pub name: &'static str,
    /// As in records and CSV files, if not by its name.
    pub recorded_as: Option<&'static str>,
    /// What it may be.
    pub kind: Kind,
    /// What holds where nobody gives it.
    pub absent: Absent,
    /// The same in words, where it is not the value above.
    pub if_absent: &'static str,
    /// What it is, for people who write files. Markdown.
    pub help: &'static str,
    /// Its values, where the kind does not tell them. Markdown.
    pub values: &'static str,
    /// Where it may stand.
    pub standing: Standing,
    /// Whether it may be a list, each of whose values is a case of its own.
    pub multiplies: bool,
    /// Whether `--set` takes it.
    pub may_be_set: bool,
    /// Place among the columns of CSV files and in records.
    pub order: u16,
    /// Place among what the cases of a table are sorted by.
    pub sorted: Option<u16>,
    /// Its part of a case's name.
    pub in_name: Option<InName>,
    /// Its column in tables.
    pub column: Option<Heading>,
    /// Whether CSV files have it.
    pub in_csv: bool,
    /// Whether records have it in cases of every workload.
    pub always_recorded: bool,
    /// Where it lies if it is one that all workloads have; else among the case's settings.
    pub field: Option<Field>,
    /// Keys that it sets together.
    pub stands_for: &'static [&'static Key],
}

/// What a key may be.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A whole number from the first one to the second one, and why that is the most.
    Number(i64, fn(&Scope) -> (i64, &'static str)),
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `false`, `true` for the second one of these words, or one of them but the first.
    FlagOrChoice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// An amount of memory.
    Size,
    /// A number of seconds, which may have a fraction.
    Seconds,
    /// A recording of requests: the name of one that inkbed keeps, or the path of a file, which experiments read.
    Recording,
    /// A text, or several.
    Text,
    /// Whole numbers that belong together, none of them negative; at most so many.
    Numbers(usize),
    /// A table of its own.
    Table,
}

/// What the range of a number may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    /// Samples that a round trip leaves.
    pub channels: u64,
    /// Most vCPUs of a guest.
    pub vcpus_max: u32,
}

/// What holds where nobody gives a key.
#[derive(Clone, Copy)]
pub enum Absent {
    /// Nothing.
    Nothing,
    /// This number.
    Number(i64),
    /// The first word, or `false`.
    First,
    /// What the rest of the case says.
    Of(fn(&Parameters) -> Option<Value>),
}

/// Where a key may stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In `[defaults]`, and in a case of any workload.
    Everywhere,
    /// In a case of any workload.
    EveryCase,
    /// In a case of the workloads that have it.
    ItsWorkloads,
}

/// A key's part of a case's name.
#[derive(Clone, Copy)]
pub struct InName {
    /// Place in the name.
    pub order: u16,
    /// The part; `None` where it goes without saying.
    pub text: fn(&Key, &Parameters) -> Option<String>,
}

/// A key's column in tables.
#[derive(Clone, Copy)]
pub struct Heading {
    /// What stands above it.
    pub text: &'static str,
    /// Place among the columns.
    pub order: u16,
    /// Numbers stand at the right.
    pub is_number: bool,
    /// Its cell.
    pub cell: fn(&Key, &Parameters) -> String,
    /// Whether a case has something to tell; the column stays away while none has.
    pub tells: fn(&Parameters) -> bool,
    /// The value that goes without saying where all rows have it.
    pub usual: &'static str,
}

impl Heading {
    /// A column of plain values.
    pub const fn plain(text: &'static str, order: u16, is_number: bool) -> Heading {
        Heading { text, order, is_number, cell: Key::text, tells: |_| true, usual: "" }
    }
}

/// Where a key of all workloads lies.
#[derive(Clone, Copy)]
pub struct Field {
    /// Its value in a case.
    pub get: fn(&Parameters) -> Option<Value>,
    /// Sets it.
    pub set: fn(&mut Parameters, Value),
}

impl Key {
    /// What most keys of workloads are: a declaration says how it differs.
    pub const USUAL: Key = Key {
        name: "",
        recorded_as: None,
        kind: Kind::Flag,
        absent: Absent::Nothing,
        if_absent: "",
        help: "",
        values: "",
        standing: Standing::ItsWorkloads,
        multiplies: true,
        may_be_set: false,
        order: 500,
        sorted: None,
        in_name: None,
        column: None,
        in_csv: true,
        always_recorded: false,
        field: None,
        stands_for: &[],
    };

    /// Name in records and CSV files.
    pub fn recorded(&self) -> &'static str {
        self.recorded_as.unwrap_or(self.name)
    }

    /// Whether it may be a list that describes one case.
    pub fn describes_by_list(&self) -> bool {
        matches!(self.kind, Kind::Numbers(_)) || self.name == super::keys::TLB_MODELS.name
    }

    /// Its value in a case; `None` where the case does not have it.
    pub fn get(&self, case: &Parameters) -> Option<Value> {
        match self.field {
            Some(field) => (field.get)(case),
            None => case.settings.get(self).or(self.unwritten()),
        }
    }

    /// Sets it in a case.
    pub fn set(&'static self, case: &mut Parameters, value: Value) {
        if !self.stands_for.is_empty() {
            self.stands_for.iter().for_each(|key| key.set(case, value));
            return;
        }
        match self.field {
            Some(field) => (field.set)(case, value),
            // What all records have goes without saying while it is usual.
            None if Some(value) == self.unwritten() => case.settings.remove(self),
            None => case.settings.set(self, value),
        }
    }

    fn unwritten(&self) -> Option<Value> {
        self.default_value().filter(|_| self.always_recorded)
    }

    /// The value that holds where nobody gives one, if it does not depend on the case.
    pub fn default_value(&self) -> Option<Value> {
        match (self.absent, self.kind) {
            (Absent::Number(number), _) => Some(Value::Number(number)),
            (Absent::First, Kind::Flag) => Some(Value::Flag(false)),
            (Absent::First, _) => Some(Value::Choice(0)),
            (Absent::Nothing | Absent::Of(_), _) => None,
        }
    }

    /// As [`Key::text`], with amounts as numbers of bytes, for programs that read it.
    pub fn plain_text(&self, case: &Parameters) -> String {
        match self.get(case) {
            Some(Value::Size(size)) => size.bytes.to_string(),
            _ => self.text(case),
        }
    }

    /// Its value in a case as a text; empty where the case does not have it.
    pub fn text(&self, case: &Parameters) -> String {
        self.get(case).map_or(String::new(), |value| self.kind.text(value))
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.name)
    }
}

/// A value as it is written, before anybody knows what it means.
#[derive(Clone, Debug, PartialEq)]
pub enum Raw {
    /// `true`.
    Flag(bool),
    /// `4`.
    Number(i64),
    /// `0.5`.
    Float(f64),
    /// `"user"`.
    Text(String),
}

impl std::fmt::Display for Raw {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Raw::Flag(flag) => write!(formatter, "{flag}"),
            Raw::Number(number) => write!(formatter, "{number}"),
            Raw::Float(number) => write!(formatter, "{number}"),
            Raw::Text(text) => write!(formatter, "{text}"),
        }
    }
}

/// What is wrong with a value, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

impl Kind {
    /// The value that is written so, whatever its range.
    pub fn read(self, raw: &Raw) -> Result<Value, Wrong> {
        let wrong = |what: &str| Wrong { message: format!("`{raw}` is no {what}"), fix: self.example() };
        match (self, raw) {
            (Kind::Number(..) | Kind::Numbers(_), Raw::Number(number)) => Ok(Value::Number(*number)),
            (Kind::Number(..) | Kind::Numbers(_), _) => Err(wrong("whole number")),
            (Kind::Flag, Raw::Flag(flag)) => Ok(Value::Flag(*flag)),
            (Kind::Flag, _) => Err(wrong("boolean")),
            (Kind::Size, Raw::Text(text)) => {
                text.parse().map(Value::Size).map_err(|error: super::size::MemorySizeError| Wrong {
                    message: error.to_string(),
                    fix: self.example(),
                })
            }
            (Kind::Size, _) => Err(wrong("amount of memory")),
            (Kind::Seconds, Raw::Number(_) | Raw::Float(_)) => raw
                .to_string()
                .parse()
                .map(Value::Seconds)
                .map_err(|_: SecondsError| wrong("number of seconds")),
            (Kind::Seconds, _) => Err(wrong("number of seconds")),
            (Kind::Choice(words), Raw::Text(text)) => {
                let index = words.iter().position(|word| word == text);
                index.map(Value::Choice).ok_or_else(|| unknown(text, words.iter().copied()))
            }
            (Kind::Recording, Raw::Text(text)) => {
                known::recorded(text).map(Value::Recording).ok_or_else(|| {
                    let Wrong { message, fix } = unknown(text, kept::NAMES.iter().copied());
                    Wrong {
                        message,
                        fix: format!(
                            "{fix}. Or write the path of a recording, which ends with {}",
                            known::SUFFIX
                        ),
                    }
                })
            }
            (Kind::FlagOrChoice(_), Raw::Flag(flag)) => Ok(Value::Choice(usize::from(*flag))),
            (Kind::FlagOrChoice(words), Raw::Text(text)) => match text.as_str() {
                "false" => Ok(Value::Choice(0)),
                "true" => Ok(Value::Choice(1)),
                text => {
                    let index = words.iter().skip(1).position(|word| *word == text).map(|index| index + 1);
                    let known = ["false", "true"].into_iter().chain(words.iter().skip(1).copied());
                    index.map(Value::Choice).ok_or_else(|| unknown(text, known))
                }
            },
            (Kind::Choice(_) | Kind::FlagOrChoice(_) | Kind::Recording | Kind::Text | Kind::Table, _) => {
                Err(wrong("text"))
            }
        }
    }

    /// The value that is written so on a command line.
    pub fn read_text(self, text: &str) -> Result<Value, Wrong> {
        let raw = match self {
            Kind::Number(..) => text.replace('_', "").parse().map(Raw::Number).ok(),
            Kind::Flag => text.parse().map(Raw::Flag).ok(),
            Kind::Seconds => text.parse().map(Raw::Float).ok(),
            _ => None,
        };
        self.read(&raw.unwrap_or_else(|| Raw::Text(text.to_owned())))
    }

    /// As a text of records and tables.
    pub fn text(self, value: Value) -> String {
        match (self, value) {
            (Kind::Choice(words) | Kind::FlagOrChoice(words), Value::Choice(index)) => {
                words.get(index).map_or(String::new(), |word| (*word).to_owned())
            }
            (_, Value::Number(number)) => number.to_string(),
            (_, Value::Flag(flag)) => flag.to_string(),
            (_, Value::Size(size)) => size.to_string(),
            (_, Value::Seconds(seconds)) => seconds.to_string(),
            (_, Value::Recording(recording)) => recording.recorded(),
            (_, Value::Choice(_)) => String::new(),
        }
    }

    fn example(self) -> String {
        match self {
            Kind::Number(least, _) => format!("write a number, for example {}", least.max(10)),
            Kind::Numbers(_) => "write numbers, for example [1, 2]".to_owned(),
            Kind::Flag => "write true or false".to_owned(),
            Kind::Seconds => "write for example 0.5".to_owned(),
            Kind::Size => format!("write for example \"{}\"", MemorySize::mebibytes(128)),
            Kind::Recording => format!("write \"{}\", or \"mine{}\"", kept::NAMES[0], known::SUFFIX),
            Kind::Choice(words) => format!("write one of \"{}\"", words.join("\", \"")),
            Kind::FlagOrChoice(words) => {
                format!("write true, false or one of \"{}\"", words[1..].join("\", \""))
            }
            Kind::Text | Kind::Table => "docs/experiment-files.md lists every key with its type".to_owned(),
        }
    }
}

fn unknown<'a>(text: &str, known: impl Iterator<Item = &'a str> + Clone) -> Wrong {
    Wrong { message: format!("unknown value `{text}`"), fix: suggest(text, known) }
}

impl<'de> serde::Deserialize<'de> for Raw {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        struct Any;
        impl serde::de::Visitor<'_> for Any {
            type Value = Raw;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a boolean, a number or a text")
            }

            fn visit_bool<E: serde::de::Error>(self, value: bool) -> Result<Raw, E> {
                Ok(Raw::Flag(value))
            }

            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Raw, E> {
                Ok(Raw::Number(value))
            }

            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Raw, E> {
                i64::try_from(value).map(Raw::Number).map_err(|_| E::custom(format!("{value} is too large")))
            }

            fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Raw, E> {
                Ok(Raw::Float(value))
            }

            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<Raw, E> {
                Ok(Raw::Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Any)
    }
}
