//! Figures of records that no host at hand writes: what times and texts of a guest look like.

use std::path::{Path, PathBuf};

use super::figures;
use super::page::{Source, page};
use super::theme::Paper;
use crate::record::run::RunRecord;
use crate::reduce::tests::run_record;
use crate::report::ticks::Ticks;

fn page_of(run: RunRecord) -> String {
    page(&[Source { folder: PathBuf::from("runs/<1>"), run }], Path::new("runs"), Ticks::Meaningful)
}

#[test]
fn texts_of_a_record_are_no_markup_and_no_orders() {
    let mut run = run_record();
    run.experiment.question = "</title><script>alert(1)</script>\u{202e}?".to_owned();
    run.host.summary = "\"><img src=x onerror=alert(1)>\u{1b}[2J".to_owned();
    run.experiment.file = "a&b.toml".to_owned();
    for case in &mut run.cases {
        case.name = format!("<b>{}", case.name);
    }
    let text = page_of(run);
    assert_eq!(text.matches("<script").count(), 1, "only the page's own");
    assert!(!text.contains("<img") && !text.contains('\u{1b}') && !text.contains('\u{202e}'));
    assert!(text.contains("&lt;script&gt;") && text.contains("\\u{202e}"), "{text}");
}

#[test]
fn a_figure_of_its_own_is_the_same_for_dark_paper_but_for_its_style() {
    let run = run_record();
    for (definition, figure) in figures::of(&run) {
        let both = figure.standalone(640.0, Paper::LightOrDark);
        let light = figure.standalone(640.0, Paper::Light);
        assert!(
            both.contains("prefers-color-scheme:dark") && !light.contains("prefers-color-scheme"),
            "{}",
            definition.name
        );
        let body = |text: &str| text.split_once("</style>").map(|(_, body)| body.to_owned());
        assert_eq!(body(&both), body(&light));
    }
    assert!(!figures::of(&run).is_empty());
}
