//! Stretches of time one after the other: what is answered is a bar, and a gap is a gap.

use super::canvas::{Anchor, Canvas, LINE_HEIGHT, STRONG, text_width, wrapped};
use super::figure::{DataLine, Plot};
use super::scale::{Division, Scale, number};
use super::theme::Ink;

/// Several courses of events under each other, on one scale.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// From top to bottom.
    pub rows: Vec<Row>,
    /// What is counted along it.
    pub unit: String,
    /// How its numbers are written.
    pub text: fn(f64) -> String,
}

/// One course of events.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is of.
    pub label: String,
    /// From left to right.
    pub stretches: Vec<Stretch>,
}

/// A part of it.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// What happens.
    pub name: String,
    /// How long.
    pub length: f64,
    /// Its colour; `None` for a gap, in which nobody answers.
    pub ink: Option<Ink>,
    /// The first so much of a gap, with what it is.
    pub first: Option<(f64, String)>,
}

const BAR_HEIGHT: f64 = 22.0;

impl Timeline {
    fn draw_row(&self, canvas: &mut Canvas, row: &Row, scale: &Scale, y: f64) {
        let mut from = 0.0;
        for stretch in &row.stretches {
            let (left, right) = (scale.at(from), scale.at(from + stretch.length));
            let hint = format!("{}: {}", stretch.name, (self.text)(stretch.length));
            let Some(ink) = stretch.ink else {
                let middle = y + BAR_HEIGHT / 2.0;
                canvas.line((left, middle), (right, middle), "thin axis d-small");
                for x in [left, right] {
                    canvas.line((x, y + 3.0), (x, y + BAR_HEIGHT - 3.0), "thin axis");
                }
                if let Some((length, name)) = &stretch.first {
                    let end = scale.at(from + length);
                    let hint = format!("{name}: {}", (self.text)(*length));
                    canvas.rectangle((left, y + 9.0), (end - left, BAR_HEIGHT - 18.0), "f-switch", &hint);
                }
                from += stretch.length;
                self.draw_label(canvas, stretch, (left, right), y);
                continue;
            };
            canvas.rectangle(
                (left, y),
                ((right - left).max(1.5), BAR_HEIGHT),
                &format!("f-{}", ink.class()),
                &hint,
            );
            canvas.text(
                (left, y + BAR_HEIGHT + 13.0),
                Anchor::Start,
                &format!("t-{}", ink.class()),
                &stretch.name,
            );
            from += stretch.length;
        }
    }

    /// The length of a gap stands above its middle.
    fn draw_label(&self, canvas: &mut Canvas, stretch: &Stretch, (left, right): (f64, f64), y: f64) {
        let text = format!("{} {}", stretch.name, (self.text)(stretch.length));
        let text =
            if text_width(&text) * STRONG < right - left - 4.0 { text } else { (self.text)(stretch.length) };
        if text_width(&text) * STRONG < right - left {
            canvas.text(((left + right) / 2.0, y - 5.0), Anchor::Middle, "strong", &text);
        }
    }
}

impl Plot for Timeline {
    fn draw(&self, width: f64) -> (Canvas, f64) {
        let mut canvas = Canvas::default();
        let mut y = 0.0;
        let length = |row: &Row| row.stretches.iter().map(|stretch| stretch.length).sum::<f64>();
        let scale = Scale::new(Division::Linear, self.rows.iter().map(length), (8.0, width - 12.0)).rounded();
        for row in &self.rows {
            canvas.text((0.0, y + 13.0), Anchor::Start, "soft", &row.label);
            y += LINE_HEIGHT * 2.0 + 4.0;
            self.draw_row(&mut canvas, row, &scale, y);
            y += BAR_HEIGHT + LINE_HEIGHT + 8.0;
        }
        canvas.line((8.0, y), (width - 12.0, y), "axis thin");
        for tick in scale.ticks(90.0) {
            let x = scale.at(tick);
            canvas.line((x, y), (x, y + 5.0), "axis thin");
            let half = text_width(&number(tick)) / 2.0;
            canvas.text((x.clamp(half, width - half), y + 19.0), Anchor::Middle, "soft", &number(tick));
        }
        y += 26.0;
        for text in wrapped(&self.unit, width) {
            y += LINE_HEIGHT;
            canvas.text((width / 2.0, y - 4.0), Anchor::Middle, "soft", &text);
        }
        (canvas, y + 2.0)
    }

    fn data(&self) -> Vec<DataLine> {
        let of = |row: &Row| {
            let line = |stretch: &Stretch| {
                let first = stretch
                    .first
                    .as_ref()
                    .map(|(length, name)| format!(", of these {} {name}", (self.text)(*length)));
                DataLine {
                    what: format!("{}, {}", row.label, stretch.name),
                    value: format!("{}{}", (self.text)(stretch.length), first.unwrap_or_default()),
                }
            };
            row.stretches.iter().map(line).collect::<Vec<_>>()
        };
        self.rows.iter().flat_map(of).collect()
    }
}
