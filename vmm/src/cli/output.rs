//! The one place that writes to the terminal: standard output may go away (`inkbed report DIR | head`), and both may lie
//! on a full disk. Neither ends what is under way.

use std::fmt;
use std::io::{self, IsTerminal, Write};

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
