//! A figure: what it claims, and the drawing that shows it.

use maud::{Markup, html};

use super::canvas::{Anchor, Canvas, LINE_HEIGHT, STRONG, wrapped};
use super::theme::{self, Paper};
use crate::printable::line;
use crate::record::run::RunRecord;

/// A figure that some runs have: declared once, in its file, and listed in [`super::figures::ALL`].
#[derive(Clone, Copy, Debug)]
pub struct Definition {
    /// For `inkbed plot --figure`; unique.
    pub name: &'static str,
    /// What it answers.
    pub question: &'static str,
    /// The figure of a run; `None` where the run has nothing for it.
    pub draw: fn(&RunRecord) -> Option<Figure>,
}

/// What came of a run, as a picture.
#[derive(Debug)]
pub struct Figure {
    /// What it shows, as a sentence with its numbers.
    pub claim: String,
    /// What a reader must know to read it.
    pub notes: Vec<String>,
    /// The picture.
    pub plot: Box<dyn Plot>,
}

/// Something that can be drawn in any width.
pub trait Plot: std::fmt::Debug {
    /// The drawing and its height.
    fn draw(&self, width: f64) -> (Canvas, f64);

    /// Every number that is drawn, in words: a line for each.
    fn data(&self) -> Vec<DataLine>;
}

/// One number or one stack of numbers of a figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataLine {
    /// What it is of.
    pub what: String,
    /// With its unit.
    pub value: String,
}

/// Widths at which figures are drawn: for a page, and for a telephone.
pub const WIDTHS: [(f64, &str); 2] = [(760.0, "wide"), (344.0, "narrow")];

/// Numbers that a description reads out; the table beside the figure has all.
const DESCRIBED: usize = 60;

impl Figure {
    /// The figure as SVG inside a page. `id` is unique there.
    pub fn inline(&self, id: &str, width: f64, class: &str) -> Markup {
        self.svg(id, width, html! {}, class)
    }

    /// The figure as a file of its own.
    pub fn standalone(&self, width: f64, paper: Paper) -> String {
        const MARGIN: f64 = 12.0;
        let style = html! { style { (maud::PreEscaped(theme::style(paper))) } };
        let (canvas, height) = self.with_claim(width - 2.0 * MARGIN);
        let (height, background) =
            (height + 2.0 * MARGIN, html! { rect width="100%" height="100%" class="paper" {} });
        let markup = html! {
            svg xmlns="http://www.w3.org/2000/svg" viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img"
                class="plot" aria-labelledby="title description" {
                title id="title" { (line(&self.claim)) }
                desc id="description" { (self.description()) }
                (style) (background)
                g transform={ "translate(" (MARGIN) " " (MARGIN) ")" } { (canvas.into_markup()) }
            }
        };
        markup.into_string() + "\n"
    }

    fn svg(&self, id: &str, width: f64, head: Markup, class: &str) -> Markup {
        let (canvas, height) = self.plot.draw(width);
        let (title, description) = (format!("{id}-title"), format!("{id}-description"));
        html! {
            svg viewBox={ "0 0 " (width) " " (height.ceil()) } role="img" class={ "plot " (class) }
                aria-labelledby={ (title) " " (description) } {
                title id=(title) { (line(&self.claim)) }
                desc id=(description) { (self.description()) }
                (head)
                (canvas.into_markup())
            }
        }
    }

    /// The claim above the plot: a file has no page around it.
    fn with_claim(&self, width: f64) -> (Canvas, f64) {
        let mut canvas = Canvas::default();
        let mut y = 0.0;
        for text in wrapped(&self.claim, width / STRONG) {
            y += LINE_HEIGHT;
            canvas.text((0.0, y - 3.0), Anchor::Start, "strong", &text);
        }
        let (plot, height) = self.plot.draw(width);
        let top = y + 8.0;
        canvas.group((0.0, top), plot);
        (canvas, (top + height).ceil())
    }

    /// What is drawn, in words.
    pub fn description(&self) -> String {
        let data = self.plot.data();
        let read = |datum: &DataLine| format!("{}: {}", line(&datum.what), line(&datum.value));
        let mut text = data.iter().take(DESCRIBED).map(read).collect::<Vec<_>>().join("; ");
        if data.len() > DESCRIBED {
            text.push_str(&format!("; and {} more, in the table beside the figure", data.len() - DESCRIBED));
        }
        text
    }
}

/// Several plots of one kind below or beside each other.
#[derive(Debug)]
pub struct Panels {
    /// Each with its heading.
    pub panels: Vec<(String, Box<dyn Plot>)>,
    /// So many stand beside each other where there is room.
    pub columns: usize,
}

impl Plot for Panels {
    fn draw(&self, width: f64) -> (Canvas, f64) {
        const GAP: f64 = 28.0;
        let columns = if width > 600.0 { self.columns.min(self.panels.len()).max(1) } else { 1 };
        let each = (width - GAP * (columns - 1) as f64) / columns as f64;
        let mut canvas = Canvas::default();
        let mut top = 0.0;
        for row in self.panels.chunks(columns) {
            let mut row_height = 0f64;
            let headings: Vec<Vec<String>> =
                row.iter().map(|(heading, _)| wrapped(heading, each / STRONG)).collect();
            // Plots beside each other begin at one height.
            let lines = headings.iter().map(Vec::len).max().unwrap_or(0);
            let below = if lines == 0 { 0.0 } else { lines as f64 * LINE_HEIGHT + 6.0 };
            for (column, ((_, plot), heading)) in row.iter().zip(headings).enumerate() {
                let left = column as f64 * (each + GAP);
                for (index, text) in heading.iter().enumerate() {
                    canvas.text(
                        (left, top + 14.0 + index as f64 * LINE_HEIGHT),
                        Anchor::Start,
                        "strong",
                        text,
                    );
                }
                let (plot, height) = plot.draw(each);
                canvas.group((left, top + below), plot);
                row_height = row_height.max(below + height);
            }
            top += row_height + 18.0;
        }
        (canvas, top - 18.0)
    }

    fn data(&self) -> Vec<DataLine> {
        let of = |(heading, plot): &(String, Box<dyn Plot>)| {
            let heading = heading.clone();
            let lines = plot.data().into_iter();
            lines
                .map(move |datum| DataLine { what: format!("{heading}, {}", datum.what), ..datum })
                .collect::<Vec<_>>()
        };
        self.panels.iter().flat_map(of).collect()
    }
}
