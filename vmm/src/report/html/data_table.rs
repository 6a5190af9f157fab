//! Tables of the page: those of the report, and the numbers of a figure.

use maud::{Markup, html};

use super::figure::DataLine;
use crate::printable::line;
use crate::report::grid::Column;

/// A table that can be sorted by each of its columns, in a box of its own.
pub(super) fn columns(caption: &str, columns: &[Column]) -> Markup {
    let rows = columns.first().map_or(0, |column| column.cells.len());
    html! {
        div class="box" tabindex="0" role="region" aria-label=(line(caption)) {
            table class="sortable" {
                caption { (line(caption)) }
                thead { tr { @for column in columns { (heading(&column.heading, column.is_number)) } } }
                tbody {
                    @for row in 0..rows {
                        tr { @for column in columns { (cell(&column.cells[row], column.is_number)) } }
                    }
                }
            }
        }
    }
}

/// The numbers that a figure draws.
pub(super) fn numbers(caption: &str, data: &[DataLine]) -> Markup {
    html! {
        div class="box" tabindex="0" role="region" aria-label=(line(caption)) {
            table class="sortable" {
                caption { (line(caption)) }
                thead { tr { (heading("of", false)) (heading("value", true)) } }
                tbody { @for datum in data { tr { (cell(&datum.what, false)) (cell(&datum.value, true)) } } }
            }
        }
    }
}

fn heading(text: &str, is_number: bool) -> Markup {
    let text = text.replace('\n', " ");
    html! { th scope="col" class=[is_number.then_some("number")] aria-sort="none" { button type="button" { (line(&text)) } } }
}

fn cell(text: &str, is_number: bool) -> Markup {
    html! { td class=[is_number.then_some("number")] { (line(text)) } }
}
