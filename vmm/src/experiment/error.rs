//! What is wrong with an experiment file: where, and how to put it right.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

pub use crate::case::suggest::{nearest, suggest};
use crate::printable::line;

/// An experiment file or an override that cannot be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file, or `None` for a value from the command line.
    pub file: Option<PathBuf>,
    /// The place in it.
    pub place: Option<Place>,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub fix: String,
}

/// A place in a text file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// The line's text.
    pub text: String,
    /// Characters that are meant, at least 1.
    pub length: usize,
}

impl Place {
    /// The place of the bytes `span` of `source`.
    pub fn of(source: &str, span: Range<usize>) -> Place {
        let start = floor_char_boundary(source, span.start);
        let end = floor_char_boundary(source, span.end).max(start);
        let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = source[line_start..].find('\n').map_or(source.len(), |length| line_start + length);
        Place {
            line: source[..line_start].matches('\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            text: source[line_start..line_end].trim_end().to_owned(),
            length: source[start..end.min(line_end).max(start)].chars().count().max(1),
        }
    }
}

fn floor_char_boundary(source: &str, index: usize) -> usize {
    (0..=index.min(source.len())).rev().find(|at| source.is_char_boundary(*at)).unwrap_or(0)
}

impl ConfigError {
    /// An error of a value from the command line.
    pub fn on_command_line(message: impl Into<String>, fix: impl Into<String>) -> ConfigError {
        ConfigError { file: None, place: None, message: message.into(), fix: fix.into() }
    }

    /// An error of a whole file.
    pub fn in_file(file: &Path, message: impl Into<String>, fix: impl Into<String>) -> ConfigError {
        ConfigError { file: Some(file.to_owned()), place: None, message: message.into(), fix: fix.into() }
    }
}

impl std::error::Error for ConfigError {}

impl fmt::Display for ConfigError {
    /// `file:line:column: message`, then the line with a mark beneath; the fix is left to the caller.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(formatter, "{}:", line(&file.display().to_string()))?;
            if let Some(place) = &self.place {
                write!(formatter, "{}:{}:", place.line, place.column)?;
            }
            formatter.write_str(" ")?;
        }
        formatter.write_str(&self.message)?;
        if let Some(place) = &self.place {
            let number = place.line.to_string();
            let margin = " ".repeat(number.len());
            let indent: String = place
                .text
                .chars()
                .take(place.column - 1)
                .map(|c| if c == '\t' { '\t' } else { ' ' })
                .collect();
            write!(
                formatter,
                "\n {number} | {}\n {margin} | {indent}{}",
                place.text,
                "^".repeat(place.length)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_place_is_counted_from_one() {
        let place = Place::of("a = 1\nβ = true\n", 11..15);
        assert_eq!((place.line, place.column, place.length), (2, 5, 4));
        assert_eq!(place.text, "β = true");
    }

    #[test]
    fn the_mark_lies_beneath_the_word() {
        let source = "name = \"x\"\nwrds = 4\n";
        let error = ConfigError {
            file: Some("x.toml".into()),
            place: Some(Place::of(source, 11..15)),
            message: "unknown key `wrds`".into(),
            fix: String::new(),
        };
        assert_eq!(error.to_string(), "x.toml:2:1: unknown key `wrds`\n 2 | wrds = 4\n   | ^^^^");
    }

    #[test]
    fn the_nearest_is_found_and_nonsense_is_not() {
        assert_eq!(nearest("wrds", ["words", "pages"]), Some("words"));
        assert_eq!(nearest("zebra", ["words", "pages"]), None);
    }

    proptest! {
        #[test]
        fn any_span_of_any_text_has_a_place(source in "(?s).{0,60}", start in 0usize..80, length in 0usize..80) {
            let place = Place::of(&source, start..start + length);
            prop_assert!(place.line >= 1 && place.column >= 1 && place.length >= 1);
        }
    }
}
