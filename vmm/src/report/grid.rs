//! Columns that fit: a table that leaves out its least important columns before it wraps.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, TableStyle, presets};
use unicode_width::UnicodeWidthStr;

use crate::printable::{block, line};

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Heading, up to three lines.
    pub heading: String,
    /// One per row.
    pub cells: Vec<String>,
    /// Numbers stand at the right.
    pub is_number: bool,
    /// Columns with the lowest rank are left out first; [`KEEP`] never.
    pub rank: u8,
}

/// [`Column::rank`] of a column that stays.
pub const KEEP: u8 = u8::MAX;

/// Blanks between two columns.
const GAP: usize = 2;

impl Column {
    fn longest_word(&self) -> usize {
        self.heading.split_whitespace().map(UnicodeWidthStr::width).max().unwrap_or(0)
    }

    fn width(&self) -> usize {
        let heading = self.heading.lines().map(UnicodeWidthStr::width).max().unwrap_or(0);
        self.cells.iter().map(|cell| line(cell).width()).max().unwrap_or(0).max(heading)
    }
}

/// Takes columns out until the rest fits into `width`; returns the headings of those taken out.
pub fn fit(columns: &mut Vec<Column>, width: usize) -> Vec<String> {
    let mut left_out = Vec::new();
    while total_width(columns) > width {
        let least = columns.iter().enumerate().filter(|(_, column)| column.rank != KEEP);
        let Some((index, _)) = least.min_by_key(|(_, column)| column.rank) else { break };
        left_out.push(columns.remove(index).heading.replace('\n', " "));
    }
    left_out
}

fn total_width(columns: &[Column]) -> usize {
    columns.iter().map(Column::width).sum::<usize>() + GAP * columns.len().saturating_sub(1)
}

/// The table as text, with a line under the headings.
pub fn text(columns: &[Column], width: usize) -> String {
    use comfy_table::{ColumnConstraint, ContentLineStyle, LineStyle, Width};
    let style = presets::NOTHING
        .header_lines(ContentLineStyle::none())
        .header_separator(LineStyle::none().fill('─').junction('─'));
    let mut table = table(&bottom_aligned(columns), style);
    table
        .set_width(u16::try_from(width).unwrap_or(u16::MAX))
        .set_content_arrangement(ContentArrangement::Dynamic);
    let last = columns.len().saturating_sub(1);
    // Where not all fits, cells break before a word of a heading does.
    let words: Vec<usize> = columns.iter().map(Column::longest_word).collect();
    let is_tight = total_width(columns) > width && words.iter().sum::<usize>() + GAP * last <= width;
    for (index, column) in table.column_iter_mut().enumerate() {
        if is_tight {
            let gap = if index == last { 0 } else { GAP - 1 };
            let least = u16::try_from(words[index] + gap).unwrap_or(u16::MAX);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
        }
        // The style adds one blank between columns.
        column.set_padding((0, if index == last { 0 } else { GAP as u16 - 1 }));
    }
    let lines: Vec<String> =
        table.lines().map(|line| line.replace('\u{2800}', " ").trim_end().to_owned()).collect();
    lines.join("\n")
}

/// The same columns with headings that all end on the last line. The lines above hold a blank (U+2800) that the
/// table does not take for one and trim.
fn bottom_aligned(columns: &[Column]) -> Vec<Column> {
    let height = |column: &Column| column.heading.lines().count();
    let highest = columns.iter().map(height).max().unwrap_or(0);
    let padded = |column: &Column| "\u{2800}\n".repeat(highest - height(column)) + &column.heading;
    columns.iter().map(|column| Column { heading: padded(column), ..column.clone() }).collect()
}

/// The table in Markdown.
pub fn markdown(columns: &[Column]) -> String {
    let single_line: Vec<Column> = columns
        .iter()
        .map(|column| Column { heading: column.heading.replace('\n', " "), ..column.clone() })
        .collect();
    let mut lines: Vec<String> = table(&single_line, presets::ASCII_MARKDOWN).lines().collect();
    if let Some(separator) = lines.get_mut(1) {
        // Markdown marks columns of numbers by a colon at the end of the separator.
        let cells: Vec<&str> = separator.trim_matches('|').split('|').collect();
        let marked = cells.iter().zip(columns).map(|(dashes, column)| match column.is_number {
            true => format!("{}:", &dashes[..dashes.len().saturating_sub(1)]),
            false => (*dashes).to_owned(),
        });
        *separator = format!("|{}|", marked.collect::<Vec<_>>().join("|"));
    }
    lines.join("\n")
}

fn table(columns: &[Column], style: TableStyle) -> Table {
    let mut table = Table::new();
    table.load_style(style);
    let alignment =
        |column: &Column| if column.is_number { CellAlignment::Right } else { CellAlignment::Left };
    table.set_header(
        columns.iter().map(|column| Cell::new(block(&column.heading)).set_alignment(alignment(column))),
    );
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    for row in 0..rows {
        let cell =
            |column: &Column| column.cells.get(row).map(|cell| line(cell).into_owned()).unwrap_or_default();
        table.add_row(columns.iter().map(|column| Cell::new(cell(column)).set_alignment(alignment(column))));
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn column(heading: &str, cells: &[&str], rank: u8) -> Column {
        let cells = cells.iter().map(|cell| (*cell).to_owned()).collect();
        Column { heading: heading.to_owned(), cells, is_number: rank != KEEP, rank }
    }

    fn columns() -> Vec<Column> {
        vec![
            column("client → server", &["user → user", "user → kernel"], KEEP),
            column("all\nloads", &["2", "0"], 9),
            column("p99", &["1,234,567", "7"], 1),
        ]
    }

    #[test]
    fn numbers_stand_at_the_right() {
        // A backslash at the end of the first line would swallow the blanks.
        let expected = "                   all
client → server  loads        p99
─────────────────────────────────
user → user          2  1,234,567
user → kernel        0          7";
        assert_eq!(text(&columns(), 80), expected);
    }

    #[test]
    fn the_least_important_column_goes_first() {
        let mut columns = columns();
        assert_eq!(fit(&mut columns, 33), Vec::<String>::new());
        assert_eq!(fit(&mut columns, 32), ["p99"]);
        assert_eq!(fit(&mut columns, 3), ["all loads"]);
        assert_eq!(columns.len(), 1);
    }

    #[test]
    fn markdown_marks_numbers() {
        let text = markdown(&columns());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "| client → server | all loads |       p99 |");
        assert_eq!(lines[1], "|-----------------|----------:|----------:|");
        assert_eq!(lines[2], "| user → user     |         2 | 1,234,567 |");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_asked(width in 45usize..140, words in prop::collection::vec("[a-z]{1,12}", 1..6)) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let mut columns = columns();
            columns.insert(1, column("words", &words, 3));
            fit(&mut columns, width);
            let text = text(&columns, width);
            prop_assert!(text.lines().all(|line| line.width() <= width), "{}", text);
        }
    }
}
