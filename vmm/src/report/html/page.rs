//! The page: answers first, then the figures of each run with what they rest on.

use std::path::{Path, PathBuf};

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::figure::{Definition, Figure, WIDTHS};
use super::{data_table, figures, links, theme};
use crate::lens::agree::InWords;
use crate::printable::line;
use crate::record::run::RunRecord;
use crate::report::format;
use crate::report::notes::notes;
use crate::report::section::sections;
use crate::report::ticks::{Ticks, shown};

/// A run and where it is.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its folder, as the reader named it.
    pub folder: PathBuf,
    /// Its record.
    pub run: RunRecord,
}

/// A run, ready to be shown.
struct Chapter<'a> {
    /// Unique in the page.
    id: String,
    source: &'a Source,
    /// Without ticks that are no time, unless the reader wants them.
    run: RunRecord,
    figures: Vec<(&'static Definition, Figure)>,
}

impl<'a> Chapter<'a> {
    fn new(index: usize, source: &'a Source, ticks: Ticks) -> Chapter<'a> {
        let run = shown(&source.run, ticks);
        let figures = figures::of(&run);
        Chapter { id: format!("run-{}", index + 1), source, run, figures }
    }
}

/// The page over these runs, as it is to stand in `folder`.
pub fn page(sources: &[Source], folder: &Path, ticks: Ticks) -> String {
    let chapters: Vec<Chapter<'_>> =
        sources.iter().enumerate().map(|(index, source)| Chapter::new(index, source, ticks)).collect();
    let title = match &chapters[..] {
        [only] => line(&only.run.experiment.question).into_owned(),
        many => format!("inkbed: {} runs", many.len()),
    };
    document(&title, &chapters, folder).into_string()
}

/// What a page may load: nothing that is not in it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'";

fn document(title: &str, chapters: &[Chapter<'_>], folder: &Path) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(include_str!("page.css"))) }
                style id="plot-style" { (PreEscaped(theme::style(theme::Paper::LightOrDark))) }
            }
            body {
                a class="skip" href="#answers" { "To the answers" }
                header {
                    p class="product" { "inkbed · what IPC costs by the placement of the server" }
                    h1 { (title) }
                    @for warning in warnings(chapters) { p class="banner" role="note" { (warning) } }
                }
                (contents(chapters))
                main {
                    (answers(chapters))
                    @for chapter in chapters { (section(chapter, chapters.len() > 1, folder)) }
                }
                footer { p { "Made by inkbed " (env!("CARGO_PKG_VERSION")) ". One file: nothing is loaded from anywhere." } }
                script { (PreEscaped(include_str!("page.js"))) }
            }
        }
    }
}

/// What a reader must know before the first figure, each thing once.
fn warnings(chapters: &[Chapter<'_>]) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for chapter in chapters {
        let host = &chapter.run.host;
        let problem = host.timing_problem.as_ref().map(|problem| {
            let problem = problem.trim_end_matches("; counts are exact");
            let host = line(&host.summary);
            match chapter.run.host.tsc_counts_instructions {
                true => format!(
                    "No times from {host}: {}. Its clock counts instructions, and those are exact.",
                    line(problem)
                ),
                false => format!("No times from {host}: {}. So figures show exact counts.", line(problem)),
            }
        });
        let failures = chapter.run.failures().count();
        let failed = (failures > 0).then(|| {
            format!(
                "{failures} of {} cases of {} failed; see the notes there.",
                chapter.run.cases.len(),
                line(&chapter.run.experiment.name)
            )
        });
        for warning in [problem, failed].into_iter().flatten() {
            if !warnings.contains(&warning) {
                warnings.push(warning);
            }
        }
    }
    warnings
}

fn contents(chapters: &[Chapter<'_>]) -> Markup {
    html! {
        nav aria-label="Contents" {
            ol {
                li { a href="#answers" { "Answers" } }
                @for chapter in chapters {
                    li {
                        a href={ "#" (chapter.id) } { (name(chapter, chapters)) }
                        ol {
                            @for (definition, _) in &chapter.figures {
                                li { a href={ "#" (figure_id(chapter, definition)) } { (definition.name) } }
                            }
                            li { a href={ "#" (chapter.id) "-tables" } { "tables" } }
                        }
                    }
                }
            }
        }
    }
}

/// The name of the experiment, with its host where several runs have it.
fn name(chapter: &Chapter<'_>, chapters: &[Chapter<'_>]) -> String {
    let name = &chapter.run.experiment.name;
    let same = chapters.iter().filter(|other| other.run.experiment.name == *name).count();
    let folder = chapter.source.folder.file_name().map(|name| name.to_string_lossy().into_owned());
    let full = if same > 1 { folder.unwrap_or_else(|| name.clone()) } else { name.clone() };
    line(&full).into_owned()
}

fn figure_id(chapter: &Chapter<'_>, definition: &Definition) -> String {
    format!("{}-{}", chapter.id, definition.name)
}

/// One sentence for each question.
fn answers(chapters: &[Chapter<'_>]) -> Markup {
    html! {
        section id="answers" {
            h2 { @if chapters.len() == 1 { "The answer" } @else { "The answers" } }
            dl class="answers" {
                @for chapter in chapters {
                    dt { (line(&chapter.run.experiment.question)) }
                    dd {
                        @match chapter.figures.first() {
                            Some((definition, figure)) => {
                                a href={ "#" (figure_id(chapter, definition)) } { (line(&figure.claim)) "." }
                            }
                            None => { a href={ "#" (chapter.id) } { "The tables have what was measured." } }
                        }
                        " " span class="host" { (line(&chapter.run.host.summary)) }
                    }
                }
            }
        }
    }
}

fn section(chapter: &Chapter<'_>, has_others: bool, folder: &Path) -> Markup {
    let run = &chapter.run;
    html! {
        section id=(chapter.id) {
            h2 { @if has_others { (line(&run.experiment.question)) } @else { "What was measured" } }
            @if let Some(description) = &run.experiment.description {
                @for paragraph in description.split("\n\n") { p { (prose(paragraph)) } }
            }
            (facts(run))
            @for (definition, figure) in &chapter.figures { (figure_block(chapter, definition, figure)) }
            (tables(chapter))
            (files(chapter, folder))
        }
    }
}

/// A paragraph, in which what stands between backticks is code.
fn prose(text: &str) -> Markup {
    let text = text.replace('\n', " ");
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (line(part)) } } @else { (line(part)) }
        }
    }
}

/// What the figures rest on.
fn facts(run: &RunRecord) -> Markup {
    let sum = |of: fn(&crate::record::run::CaseRecord) -> u64| {
        run.cases.iter().map(of).fold(0, u64::saturating_add)
    };
    let round_trips = format::grouped(sum(|case| case.round_trips));
    let host = [run.host.name.as_str(), run.host.summary.as_str()];
    html! {
        dl class="facts" {
            dt { "host" } dd { (line(&host.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(", "))) }
            dt { "guest" } dd { code { (line(run.guest.sha256.get(..12).unwrap_or(&run.guest.sha256))) } }
            dt { "measured" }
            dd { (round_trips) " round trips in " (run.cases.len()) " cases, " (run.launches_done()) " launches, from " (line(&run.started_utc)) }
            dt { "again" } dd { code { (command(run)) } }
        }
    }
}

/// The command that makes the run.
fn command(run: &RunRecord) -> String {
    let setting = |(key, value): (&String, &String)| match key.as_str() {
        "case" => value.split(" or ").map(|pattern| format!(" --case '{pattern}'")).collect(),
        _ => format!(" --set {key}={value}"),
    };
    let settings: String = run.experiment.overrides.iter().map(setting).collect();
    line(&format!("inkbed run {}{settings}", run.experiment.file)).into_owned()
}

fn figure_block(chapter: &Chapter<'_>, definition: &Definition, figure: &Figure) -> Markup {
    let id = figure_id(chapter, definition);
    let folder = line(&chapter.source.folder.display().to_string()).into_owned();
    html! {
        figure id=(id) {
            p class="question" { (definition.question) }
            h3 { (line(&figure.claim)) " " a class="anchor" href={ "#" (id) } aria-label="Link to this figure" { "#" } }
            @for (width, class) in WIDTHS { (figure.inline(&format!("{id}-{class}"), width, class)) }
            figcaption {
                @for note in &figure.notes { (line(note)) " " }
                (line(&chapter.run.host.summary)) "."
                div class="tools" {
                    code { "inkbed plot " (folder) " --figure " (definition.name) " -o " (definition.name) ".svg" }
                    button type="button" class="save" data-name={ (definition.name) ".svg" } hidden { "Save as SVG" }
                }
            }
            details {
                summary { "The numbers of this figure" }
                (data_table::numbers(&figure.claim, &figure.plot.data()))
            }
        }
    }
}

fn tables(chapter: &Chapter<'_>) -> Markup {
    let run = &chapter.run;
    html! {
        h3 id={ (chapter.id) "-tables" } { "All numbers" }
        ul class="notes" { @for note in notes(run, &chapter.source.run) { li { (prose(&note)) } } }
        @for section in sections(run) {
            details {
                summary { (line(&section.name)) ": " (section.columns.first().map_or(0, |column| column.cells.len())) " rows" }
                (data_table::columns(&section.heading, &section.columns))
            }
        }
        @if run.failures().next().is_some() {
            details open {
                summary { "Cases that failed" }
                ul { @for case in run.failures() { li { code { (line(&case.name)) } ": " (line(&outcome_text(case))) } } }
            }
        }
    }
}

fn outcome_text(case: &crate::record::run::CaseRecord) -> String {
    let outcome = &case.outcome;
    let rows = case.disagreements().map(|row| InWords(row).to_string());
    std::iter::once(outcome.to_string())
        .filter(|_| !outcome.is_success())
        .chain(rows)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Files of the run's folder that hold its data.
const DATA: [&str; 4] = ["results.json", "results.csv", "guests.csv", "table.txt"];

fn files(chapter: &Chapter<'_>, folder: &Path) -> Markup {
    let of_run = &chapter.source.folder;
    let there = DATA.iter().filter(|file| of_run.join(file).is_file());
    html! {
        p class="files" {
            "Raw data: "
            @for file in there { a href=(links::address(&of_run.join(file), folder)) { (file) } " " }
            @if of_run.join("samples").is_dir() { a href=(links::address(&of_run.join("samples"), folder)) { "samples" } }
        }
    }
}
