//! What a figure is drawn on: elements of SVG, in user units that are CSS pixels.

use maud::{Markup, html};

use super::theme::Ink;
use crate::printable::line;

/// Height of text in figures.
pub const TEXT_SIZE: f64 = 13.0;

/// Height of a line of text.
pub const LINE_HEIGHT: f64 = 17.0;

/// How much wider strong text is.
pub const STRONG: f64 = 1.08;

/// Where text stands relative to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// To the right of it.
    Start,
    /// Around it.
    Middle,
    /// To the left of it.
    End,
}

impl Anchor {
    const fn name(self) -> &'static str {
        match self {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        }
    }
}

/// Elements in the order in which they are painted.
#[derive(Debug, Default)]
pub struct Canvas {
    elements: Vec<Markup>,
}

impl Canvas {
    /// All elements.
    pub fn into_markup(self) -> Markup {
        html! { @for element in &self.elements { (element) } }
    }

    /// Text with the classes of `class`. What comes from a file or a guest is made harmless here.
    pub fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let (x, y) = (tenths(x), tenths(y));
        self.elements.push(html! {
            text x=(x) y=(y) text-anchor=(anchor.name()) class=(class) font-size=(TEXT_SIZE) { (line(text)) }
        });
    }

    /// Text that stands upright along an axis, around its point.
    pub fn upright_text(&mut self, (x, y): (f64, f64), class: &str, text: &str) {
        let (x, y) = (tenths(x), tenths(y));
        self.elements.push(html! {
            text transform={ "translate(" (x) " " (y) ") rotate(-90)" } text-anchor="middle" class=(class) font-size=(TEXT_SIZE) {
                (line(text))
            }
        });
    }

    /// Another drawing, moved.
    pub fn group(&mut self, (x, y): (f64, f64), other: Canvas) {
        let (x, y) = (tenths(x), tenths(y));
        self.elements.push(html! { g transform={ "translate(" (x) " " (y) ")" } { (other.into_markup()) } });
    }

    /// A straight line.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let [x1, y1, x2, y2] = [x1, y1, x2, y2].map(tenths);
        self.elements.push(html! { line x1=(x1) y1=(y1) x2=(x2) y2=(y2) class=(class) {} });
    }

    /// A line through points.
    pub fn polyline(&mut self, points: &[(f64, f64)], class: &str) {
        self.elements.push(html! { polyline points=(list(points)) class=(class) {} });
    }

    /// An area.
    pub fn polygon(&mut self, points: &[(f64, f64)], class: &str) {
        self.elements.push(html! { polygon points=(list(points)) class=(class) {} });
    }

    /// A rectangle that says `hint` when it is pointed at.
    pub fn rectangle(&mut self, (x, y): (f64, f64), (width, height): (f64, f64), class: &str, hint: &str) {
        let [x, y, width, height] = [x, y, width, height].map(tenths);
        self.elements.push(html! {
            rect x=(x) y=(y) width=(width) height=(height) class=(class) { @if !hint.is_empty() { title { (line(hint)) } } }
        });
    }

    /// A point of a line, in a shape that tells its ink without colour.
    pub fn marker(&mut self, (x, y): (f64, f64), ink: Ink, hint: &str) {
        const R: f64 = 4.0;
        let class = format!("f-{}", ink.class());
        let hint = html! { title { (line(hint)) } };
        let polygon =
            |points: &[(f64, f64)]| html! { polygon points=(list(points)) class=(class) { (hint) } };
        self.elements.push(match ink {
            Ink::Kernel => polygon(&[(x - R, y - R), (x + R, y - R), (x + R, y + R), (x - R, y + R)]),
            Ink::Small | Ink::Slow => {
                polygon(&[(x, y - R - 1.0), (x + R + 1.0, y + R), (x - R - 1.0, y + R)])
            }
            Ink::Direct | Ink::Switch => {
                polygon(&[(x, y - R - 1.0), (x + R + 1.0, y), (x, y + R + 1.0), (x - R - 1.0, y)])
            }
            _ => html! { circle cx=(tenths(x)) cy=(tenths(y)) r=(R) class=(class) { (hint) } },
        });
    }

    /// A small dot: one launch of many.
    pub fn dot(&mut self, (x, y): (f64, f64), ink: Ink, hint: &str) {
        let class = format!("f-{}", ink.class());
        self.elements.push(html! {
            circle cx=(tenths(x)) cy=(tenths(y)) r="2" opacity="0.55" class=(class) { title { (line(hint)) } }
        });
    }
}

/// A tenth of a pixel is enough, and files stay small.
fn tenths(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

fn list(points: &[(f64, f64)]) -> String {
    points.iter().map(|(x, y)| format!("{},{}", tenths(*x), tenths(*y))).collect::<Vec<_>>().join(" ")
}

/// Width of a text, rather too much than too little: no font is at hand, and each reader has another one.
pub fn text_width(text: &str) -> f64 {
    let em = |character: char| match character {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.33,
        'f' | 't' | 'r' | '(' | ')' | ' ' | '-' | '·' | '/' => 0.41,
        'm' | 'w' | 'M' | 'W' | '→' | '←' | '%' => 0.95,
        'A'..='Z' => 0.70,
        _ => 0.62,
    };
    text.chars().map(em).sum::<f64>() * TEXT_SIZE
}

/// Breaks a text at blanks into lines of at most this width, where words allow it.
pub fn wrapped(text: &str, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(last) if text_width(last) + text_width(" ") + text_width(word) <= width => {
                last.push(' ');
                last.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_of_a_guest_is_no_markup() {
        let mut canvas = Canvas::default();
        canvas.text((0.0, 0.0), Anchor::Start, "soft", "<script>\u{1b}[2J\u{202e}&");
        let text = canvas.into_markup().into_string();
        assert!(text.contains("&lt;script&gt;\\u{1b}[2J\\u{202e}&amp;"), "{text}");
    }

    proptest! {
        #[test]
        fn wrapping_loses_no_word(text in "[a-z ]{0,60}", width in 20.0f64..400.0) {
            let lines = wrapped(&text, width);
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(words(&lines.join(" ")), words(&text));
            for line in lines.iter().filter(|line| line.contains(' ')) {
                prop_assert!(text_width(line) <= width);
            }
        }
    }
}
