//! The report for a browser: of every reference run, as a parser and as a real browser see it.
//!
//! The browser is Debian's chromium; without it, its test says so and ends. Its screenshots stay in `target/tmp/screenshots`, or
//! where INKBED_SCREENSHOTS says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use inkbed::host::Timing;
use inkbed::record::store::{RECORD_FILE, read_record};
use inkbed::report::html::figures;
use inkbed::report::html::page::{Source, page};
use inkbed::report::html::theme::Paper;
use inkbed::report::ticks::{Ticks, shown};
use scraper::{Html, Selector};

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every reference run, with its name, and a run with stacks of functions, which reference runs do not have yet.
fn runs() -> Vec<(String, Source)> {
    let committed = Command::new("git").args(["ls-files", "results"]).current_dir(workspace()).output();
    let listed =
        committed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let entries = fs::read_dir(workspace().join("results")).unwrap().map(|entry| entry.unwrap().path());
    // Whoever tests may have runs of their own there.
    let is_reference = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        path.join(RECORD_FILE).exists() && (listed.is_empty() || listed.contains(&format!("results/{name}/")))
    };
    let mut folders: Vec<PathBuf> = entries.filter(is_reference).collect();
    folders.sort();
    folders.push(workspace().join("vmm/tests/data/path-length"));
    let run = |folder: PathBuf| {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let run = read_record(&folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, Source { folder, run })
    };
    folders.into_iter().map(run).collect()
}

/// The runs, and those of one host as if its times were valid: no host at hand draws what only times show.
fn runs_and_times() -> Vec<(String, Source)> {
    let mut all = runs();
    let here: Vec<_> = all.iter().filter(|(name, _)| name.ends_with("-kvm-pvm")).cloned().collect();
    all.extend(here.into_iter().map(|(name, mut source)| {
        source.run.host.timing_problem = None;
        source.run.host.summary = "no host: times as if they were valid".to_owned();
        source.run.experiment.name += "-as-if-valid";
        for case in &mut source.run.cases {
            (case.timing, case.is_overcommitted) = (Timing::Valid, false);
        }
        (format!("{name}, as if times were valid"), source)
    }));
    all
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap()
}

fn text_of(document: &Html, id: &str) -> String {
    let element = document.select(&selector(&format!("[id='{id}']"))).next();
    element.map(|element| element.text().collect()).unwrap_or_default()
}

/// Whether an address leads out of the page's folders, or the browser would load something by itself.
fn is_external(address: &str) -> bool {
    address != "data:," && (address.contains(':') || address.starts_with("//") || address.starts_with('/'))
}

#[test]
fn every_reference_run_is_a_page_with_figures() {
    let mut drawn = BTreeSet::new();
    for (name, source) in runs_and_times() {
        let text = page(std::slice::from_ref(&source), &workspace().join("results"), Ticks::Meaningful);
        assert!(text.len() < 1_000_000, "{name}: {} bytes", text.len());
        let document = Html::parse_document(&text);
        assert!(document.errors.is_empty(), "{name}: {:?}", document.errors);
        for element in document.select(&selector("[href], [src]")) {
            let address = element.value().attr("href").or(element.value().attr("src")).unwrap();
            assert!(!is_external(address), "{name}: {address}");
            if let Some(id) = address.strip_prefix('#') {
                assert_eq!(document.select(&selector(&format!("[id='{id}']"))).count(), 1, "{name}: #{id}");
            } else if address != "data:," {
                assert!(workspace().join("results").join(address).exists(), "{name}: {address}");
            }
        }
        assert!(!text.contains("url(") && !text.contains("@import"), "{name}");
        let wanted = figures::of(&shown(&source.run, Ticks::Meaningful));
        let figures: Vec<_> = document.select(&selector("figure")).collect();
        assert_eq!(figures.len(), wanted.len(), "{name}");
        for (figure, (definition, _)) in figures.iter().zip(&wanted) {
            let what = format!("{name}, {}", definition.name);
            drawn.insert(definition.name);
            let drawings: Vec<_> = figure.select(&selector("svg[role=img]")).collect();
            assert_eq!(drawings.len(), 2, "{what}: wide and narrow");
            for drawing in drawings {
                let names = drawing.value().attr("aria-labelledby").unwrap();
                for id in names.split(' ') {
                    assert!(text_of(&document, id).len() > 10, "{what}: {id} is no text alternative");
                }
                let marks = drawing.select(&selector("rect, circle, polygon, polyline")).count();
                assert!(marks > 1, "{what}: {marks} marks");
                assert!(!drawing.html().contains("NaN") && !drawing.html().contains("inf"), "{what}");
            }
            assert!(figure.select(&selector("tbody tr")).count() > 0, "{what}: no numbers");
        }
    }
    let all: BTreeSet<&str> = figures::ALL.iter().map(|figure| figure.name).collect();
    assert_eq!(drawn, all, "every figure has a run that shows it");
}

#[test]
fn a_figure_alone_is_well_formed_xml() {
    for (name, source) in runs_and_times() {
        for (definition, figure) in figures::of(&shown(&source.run, Ticks::Meaningful)) {
            let text = figure.standalone(760.0, Paper::LightOrDark);
            let what = format!("{name}, {}", definition.name);
            let document =
                roxmltree::Document::parse(&text).unwrap_or_else(|error| panic!("{what}: {error}"));
            let root = document.root_element();
            assert_eq!(root.tag_name().name(), "svg", "{what}");
            let has = |tag: &str| {
                root.children().any(|child| child.has_tag_name(tag) || child.tag_name().name() == tag)
            };
            assert!(has("title") && has("desc"), "{what}");
        }
    }
}

/// What README shows is what `inkbed plot` draws. INKBED_UPDATE_REFERENCE=1 draws it anew.
#[test]
fn the_figure_in_readme_is_drawn_from_its_run() {
    let file = workspace().join("docs/images/working-set.svg");
    let run = read_record(&workspace().join("results/working-set-kvm-pvm")).unwrap();
    let figures = figures::of(&shown(&run, Ticks::Meaningful));
    let (_, figure) = figures.iter().find(|(definition, _)| definition.name == "working-set").unwrap();
    let drawn = figure.standalone(760.0, Paper::LightOrDark);
    if std::env::var_os("INKBED_UPDATE_REFERENCE").is_some() {
        fs::write(&file, &drawn).unwrap();
    }
    assert!(
        fs::read_to_string(&file).is_ok_and(|committed| committed == drawn),
        "{} is of old",
        file.display()
    );
    assert!(
        fs::read_to_string(workspace().join("README.md")).unwrap().contains("docs/images/working-set.svg")
    );
}

/// PNG and PDF where librsvg's program is there; what to do where a name says no form.
#[test]
fn plot_writes_the_form_that_the_name_asks_for() {
    let folder = tempfile::tempdir().unwrap();
    let run = workspace().join("results/chain-kvm-pvm");
    let plot = |name: &str| {
        let file = folder.path().join(name);
        let mut command = Command::new(env!("CARGO_BIN_EXE_inkbed"));
        let output = command
            .arg("plot")
            .arg(&run)
            .args(["--figure", "chain-steps", "-o"])
            .arg(&file)
            .output()
            .unwrap();
        (output, fs::read(file).unwrap_or_default())
    };
    assert!(plot("f.svg").1.starts_with(b"<svg"));
    let (refused, nothing) = plot("f.gif");
    assert_eq!((refused.status.code(), nothing.len()), (Some(2), 0));
    if !is_there("rsvg-convert") {
        println!("skipped: there is no rsvg-convert here (Debian's package `librsvg2-bin`)");
        assert_eq!(plot("f.png").0.status.code(), Some(2));
        return;
    }
    assert!(plot("f.png").1.starts_with(b"\x89PNG"));
    assert!(plot("f.pdf").1.starts_with(b"%PDF"));
}

/// Widths of a desk, a tablet and a telephone.
const WIDTHS: [u32; 3] = [1_280, 768, 380];

/// What a page tells of itself in the browser: what it has loaded, drawings that are seen, texts that cover each other or are cut.
const PROBE: &str = include_str!("data/probe.js");

#[test]
fn a_browser_shows_every_page_as_it_should_be() {
    let Some(browser) =
        ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| is_there(name))
    else {
        println!("skipped: there is no chromium here (Debian's package `chromium`)");
        return;
    };
    let folder = std::env::var_os("INKBED_SCREENSHOTS")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots"), PathBuf::from);
    fs::create_dir_all(&folder).unwrap();
    let (names, sources): (Vec<String>, Vec<Source>) = runs_and_times().into_iter().unzip();
    let wanted: usize =
        sources.iter().map(|source| figures::of(&shown(&source.run, Ticks::Meaningful)).len()).sum();
    let probed = folder.join("all.probe.html");
    let text = page(&sources, &folder, Ticks::Meaningful);
    fs::write(&probed, text.replace("</body>", &format!("<script>{PROBE}</script></body>"))).unwrap();
    let mut wrong = Vec::new();
    for width in WIDTHS {
        let (dom, log) = dump(browser, &folder, &probed, width);
        let document = Html::parse_document(&dom);
        let found = document.root_element().value().attr("data-probe").unwrap_or("the script did not run");
        let (found, heights) = found.split_once(" heights ").unwrap_or((found, ""));
        if !found.starts_with(&format!("requests 0, drawings {wanted}, wider 0, covered 0, cut 0")) {
            wrong.push(format!("at {width}, of {wanted} drawings: {found}"));
        }
        let complaints = log.lines().filter(|line| line.contains("CONSOLE"));
        wrong.extend(complaints.map(|line| format!("at {width}: {line}")));
        let heights: Vec<u32> = heights.split(' ').filter_map(|height| height.parse().ok()).collect();
        assert_eq!(heights.len(), names.len(), "{found}");
        // A desk in the light and a telephone in the dark show both papers.
        if width == WIDTHS[1] {
            continue;
        }
        for (experiment, runs) in by_experiment(&sources) {
            let plain = folder.join(format!("{experiment}.html"));
            let of: Vec<Source> = runs.iter().map(|index| sources[*index].clone()).collect();
            fs::write(&plain, page(&of, &folder, Ticks::Meaningful)).unwrap();
            let height = 1_000 + runs.iter().map(|index| heights[*index]).sum::<u32>();
            shoot(browser, &folder, &plain, width, height.min(16_000), width == WIDTHS[0]);
        }
    }
    fs::remove_file(probed).unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The runs of each experiment, on several hosts.
fn by_experiment(sources: &[Source]) -> BTreeMap<String, Vec<usize>> {
    let mut experiments: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (index, source) in sources.iter().enumerate() {
        experiments.entry(source.run.experiment.name.clone()).or_default().push(index);
    }
    experiments
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// A browser without a screen, whose profile nobody else has.
fn headless(browser: &str, folder: &Path, width: u32, height: u32) -> Command {
    let mut command = Command::new(browser);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]);
    command.args([
        "--disable-background-networking",
        "--disable-component-update",
        "--enable-logging=stderr",
    ]);
    command.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    command.arg(format!("--window-size={width},{height}"));
    command
}

/// The document after its scripts have run, and what the browser has logged.
fn dump(browser: &str, folder: &Path, file: &Path, width: u32) -> (String, String) {
    let mut command = headless(browser, folder, width, 900);
    let output = command
        .arg("--dump-dom")
        .arg(format!("file://{}", file.canonicalize().unwrap().display()))
        .output()
        .unwrap();
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// A picture of the page, on light paper or dark.
fn shoot(browser: &str, folder: &Path, file: &Path, width: u32, height: u32, is_light: bool) {
    let mut command = headless(browser, folder, width, height);
    let (scheme, paper) = if is_light { (1, "light") } else { (0, "dark") };
    command.arg(format!("--blink-settings=preferredColorScheme={scheme}"));
    let name = format!("{}-{width}-{paper}.png", file.file_stem().unwrap().to_string_lossy());
    command.arg(format!("--screenshot={}", folder.join(&name).display()));
    let output = command.arg(format!("file://{}", file.canonicalize().unwrap().display())).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
}
