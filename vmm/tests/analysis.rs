//! The programs in `docs/analysis.md` run, and print what the page says. Each runs by itself, in a folder that holds `results/`.
//!
//! `INKBED_UPDATE_REFERENCE=1 cargo test -p inkbed --test analysis` writes what they print into the page.

#[path = "support/python.rs"]
mod python;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag};
use python::{printed, require_python};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The code blocks of a page: language, and where the page has the content.
fn blocks(page: &str) -> Vec<(String, Range<usize>)> {
    let of_block = |(event, whole): (Event<'_>, Range<usize>)| match event {
        Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
            let begin = whole.start + page[whole.clone()].find('\n')? + 1;
            let end = whole.start + page[whole.clone()].rfind("```")?;
            Some((language.into_string(), begin..end))
        }
        _ => None,
    };
    Parser::new(page).into_offset_iter().filter_map(of_block).collect()
}

#[test]
fn the_programs_of_the_page_print_what_it_says() {
    let Some(python) = require_python(&["pandas", "matplotlib"], "python3-pandas python3-matplotlib") else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(workspace().join("results"), folder.path().join("results")).unwrap();
    let file = workspace().join("docs/analysis.md");
    let page = fs::read_to_string(&file).unwrap();
    let blocks = blocks(&page);
    let languages: Vec<&str> = blocks.iter().map(|(language, _)| language.as_str()).collect();
    assert_eq!(languages, ["python", "text"].repeat(3));
    let is_update = std::env::var_os("INKBED_UPDATE_REFERENCE").is_some();
    let mut updated = page.clone();
    // From the end, so that what comes before keeps its place.
    for pair in blocks.chunks(2).rev() {
        let (program, says) = (&page[pair[0].1.clone()], &page[pair[1].1.clone()]);
        let text = printed(python, folder.path(), program);
        assert!(is_update || says == text, "INKBED_UPDATE_REFERENCE=1 writes it:\n{program}\nprints\n{text}");
        updated.replace_range(pair[1].1.clone(), &text);
    }
    if is_update {
        fs::write(&file, &updated).unwrap();
    }
    let figure = fs::read_to_string(folder.path().join("chain.svg")).unwrap();
    assert!(figure.contains("<svg") && figure.matches("<path").count() > 10, "{figure}");
}
