//! The one place that writes to the terminal: standard output may go away (`inkbed report DIR | head`), and both may lie
//! on a full disk. Neither ends what is under way.

use std::fmt;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};

use crate::printable::{block, json};
use crate::report::table::FILE_WIDTH;

/// Writes a line to standard error, for the one who waits. Where it cannot be written, nobody reads it: what counts is
/// in the record and in the exit code.
macro_rules! note {
    ($($text:tt)*) => { $crate::cli::output::write_note(format_args!($($text)*)) };
}
pub(super) use note;

/// See [`note!`].
pub(super) fn write_note(text: fmt::Arguments) {
    let _ = writeln!(anstream::stderr().lock(), "{text}");
}

/// Writes to standard output through `write`. A reader that has seen enough is no error.
pub(super) fn print_with(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> anyhow::Result<()> {
    let mut output = io::BufWriter::new(io::stdout().lock());
    match write(&mut output).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // What is still in the buffer has no reader.
            let _ = output.into_parts();
            Ok(())
        }
        Err(error) => Err(anyhow::Error::new(error).context("cannot write to standard output")),
        Ok(()) => Ok(()),
    }
}

/// Prints a text.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    print_with(|output| output.write_all(block(text).as_bytes()))
}

/// Prints a text, with what `paint` finds in each of its lines in a colour where the terminal has any.
pub(super) fn print_painted(text: &str, paint: impl Fn(&str) -> Option<(&str, Style)>) -> anyhow::Result<()> {
    let has_colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
    let text = block(text);
    print_with(|output| match has_colour {
        true => output.write_all(painted(&text, paint).as_bytes()),
        false => output.write_all(text.as_bytes()),
    })
}

fn painted(text: &str, paint: impl Fn(&str) -> Option<(&str, Style)>) -> String {
    let line = |line| match paint(line) {
        Some((part, style)) => line.replacen(part, &format!("{style}{part}{style:#}"), 1),
        None => line.to_owned(),
    };
    text.split_inclusive('\n').map(line).collect()
}

/// What must be seen in a table: figures that disagree.
pub(super) fn print_table(text: &str) -> anyhow::Result<()> {
    const DISAGREES: &str = "(!)";
    print_painted(text, |line| line.contains(DISAGREES).then_some((DISAGREES, WRONG)))
}

/// Of what is as it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// Of what is not all there.
pub(super) const RESTRICTED: Style = AnsiColor::Yellow.on_default();
/// Of what is missing or wrong.
pub(super) const WRONG: Style = AnsiColor::Red.on_default().bold();

/// Prints a value as JSON.
pub(super) fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    print(&(json(&serde_json::to_string_pretty(value)?) + "\n"))
}

/// Columns to fill: the terminal's, but no fewer than anything fits into; a fixed number in a pipe.
pub(super) fn width() -> usize {
    const NARROWEST: usize = 60;
    let terminal = terminal_size::terminal_size().filter(|_| io::stdout().is_terminal());
    terminal.map_or(FILE_WIDTH, |(width, _)| usize::from(width.0).max(NARROWEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_found_is_painted() {
        let text = painted("ok  a\nbad b bad\n", |line| line.starts_with("bad").then_some(("bad", WRONG)));
        assert_eq!(text, format!("ok  a\n{WRONG}bad{WRONG:#} b bad\n"));
    }
}
