//! Figures in the text of a document.

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::sources::read;

fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The text with a figure in place of each `{}`.
fn filled(template: &str, figures: &[u64]) -> String {
    let mut figures = figures.iter();
    let mut parts = template.split("{}");
    let mut text = parts.next().unwrap().to_owned();
    for part in parts {
        text += &grouped(*figures.next().unwrap_or_else(|| panic!("too few figures for `{template}`")));
        text += part;
    }
    assert!(figures.next().is_none(), "too many figures for `{template}`");
    text
}

/// Paragraphs, items and table rows of a document, without code; the cells of a row from `first_cell` on.
fn blocks(text: &str, first_cell: usize) -> Vec<String> {
    let (mut blocks, mut cell, mut in_heading) = (vec![String::new()], 0, false);
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        match event {
            Event::Start(Tag::Heading { .. }) => in_heading = true,
            Event::End(TagEnd::Heading(_)) => in_heading = false,
            Event::Start(Tag::Paragraph | Tag::Item | Tag::TableHead | Tag::TableRow) => {
                blocks.push(String::new());
                cell = 0;
            }
            Event::End(TagEnd::TableHead | TagEnd::TableRow) => cell = 0,
            Event::End(TagEnd::TableCell) => {
                if cell >= first_cell {
                    blocks.last_mut().unwrap().push_str(" | ");
                }
                cell += 1;
            }
            Event::Text(part) if !in_heading && (cell >= first_cell || first_cell == 0) => {
                blocks.last_mut().unwrap().push_str(&part)
            }
            Event::SoftBreak => blocks.last_mut().unwrap().push(' '),
            _ => {}
        }
    }
    blocks
}

/// Names with digits in them, which are no figures.
fn is_name(word: &str, before: &str) -> bool {
    const NAMES: [&str; 3] = ["64-bit", "32-bit", "x86"];
    const BEFORE: [&str; 3] = ["group", "decision", "ring"];
    let before = before.trim_start_matches('(').to_lowercase();
    NAMES.iter().any(|name| word.starts_with(name)) || BEFORE.contains(&before.as_str())
}

/// Finds each of these texts in the document, and no figure outside of them.
pub fn check(document: &str, first_cell: usize, names: &[&str], expected: &[(&str, Vec<u64>)]) {
    let mut blocks = blocks(&read(document), first_cell);
    // The longest first: a short text may be part of a long one.
    let mut texts: Vec<String> =
        expected.iter().map(|(template, figures)| filled(template, figures)).collect();
    texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
    for text in texts {
        let mut found = false;
        for block in blocks.iter_mut().filter(|block| block.contains(&text)) {
            *block = block.replace(&text, "");
            found = true;
        }
        assert!(found, "{document} does not say `{text}`");
    }
    for block in blocks {
        let mut before = "";
        for word in block.split_whitespace() {
            let is_figure = word.contains(|c: char| c.is_ascii_digit());
            let is_known = is_name(word, before) || names.iter().any(|name| word.contains(name));
            assert!(!is_figure || is_known, "{document}: nothing stands for `{word}` in `{block}`");
            before = word;
        }
    }
}

/// Finds this text somewhere in the document, whatever else there is.
pub fn says(document: &str, template: &str, figures: &[u64]) {
    let text = filled(template, figures);
    assert!(
        blocks(&read(document), 0).iter().any(|block| block.contains(&text)),
        "{document} does not say `{text}`"
    );
}
