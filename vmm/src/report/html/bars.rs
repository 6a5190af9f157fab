//! Bars from zero with the number on each: exact counts.

use super::canvas::{Anchor, Canvas, LINE_HEIGHT, STRONG, text_width, wrapped};
use super::figure::{DataLine, Plot};
use super::scale::{Division, Scale};
use super::theme::Ink;

/// Bars in groups.
#[derive(Clone, Debug, Default)]
pub struct Bars {
    /// What the numbers are, with the unit.
    pub unit: String,
    /// Groups from top to bottom.
    pub groups: Vec<Group>,
    /// What the shades of stacked bars mean, in their order; empty where bars are whole.
    pub key: Vec<(Ink, String)>,
    /// A number that the scale shows besides those of the bars: several plots with the same one have the same scale.
    pub shows: f64,
    /// The numbers are measured and not counted, so three of their digits are enough.
    pub is_measured: bool,
}

/// Bars under one heading.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// May be empty.
    pub heading: String,
    /// From top to bottom.
    pub bars: Vec<Bar>,
}

/// One bar.
#[derive(Clone, Debug)]
pub struct Bar {
    /// What it is of.
    pub label: String,
    /// From left to right.
    pub parts: Vec<(Ink, f64)>,
    /// What stands at its end instead of the sum.
    pub text: String,
    /// What stands behind that, softly.
    pub remark: String,
    /// The colour of the label.
    pub ink: Ink,
}

impl Bar {
    /// A whole bar.
    pub fn whole(label: impl Into<String>, ink: Ink, value: f64, remark: impl Into<String>) -> Bar {
        Bar { label: label.into(), parts: vec![(ink, value)], text: count(value), remark: remark.into(), ink }
    }

    fn sum(&self) -> f64 {
        self.parts.iter().map(|(_, value)| value).sum()
    }

    fn end(&self) -> String {
        if self.remark.is_empty() { self.text.clone() } else { format!("{}  {}", self.text, self.remark) }
    }
}

/// A measured number, with three of its digits.
pub fn measured(value: f64) -> String {
    let unit = 10f64.powf(value.abs().max(1.0).log10().floor() - 2.0).max(1.0);
    count((value / unit).round() * unit)
}

/// A count with all its digits.
pub fn count(value: f64) -> String {
    match value.fract() == 0.0 {
        true => crate::report::format::grouped(value as u64),
        false => crate::report::format::count(value),
    }
}

const BAR_HEIGHT: f64 = 18.0;
const ROW_HEIGHT: f64 = 25.0;

impl Bars {
    fn bars(&self) -> impl Iterator<Item = &Bar> {
        self.groups.iter().flat_map(|group| &group.bars)
    }

    fn number(&self, value: f64) -> String {
        if self.is_measured { measured(value) } else { count(value) }
    }

    /// The swatches of the key; returns where they end.
    fn draw_key(&self, canvas: &mut Canvas, width: f64) -> f64 {
        let (mut x, mut y) = (0.0, 0.0);
        for (ink, name) in &self.key {
            let wide = 18.0 + text_width(name) + 14.0;
            if x > 0.0 && x + wide > width {
                (x, y) = (0.0, y + LINE_HEIGHT + 3.0);
            }
            canvas.rectangle((x, y + 2.0), (12.0, 12.0), &format!("f-{}", ink.class()), "");
            canvas.text((x + 18.0, y + 12.5), Anchor::Start, "soft", name);
            x += wide;
        }
        if self.key.is_empty() { 0.0 } else { y + LINE_HEIGHT + 10.0 }
    }
}

impl Plot for Bars {
    fn draw(&self, width: f64) -> (Canvas, f64) {
        let mut canvas = Canvas::default();
        let mut y = self.draw_key(&mut canvas, width);
        let widest = self.bars().map(|bar| text_width(&bar.label)).fold(0.0, f64::max) + 10.0;
        // Where there is little room, a label stands above its bar.
        let is_beside = widest < width * 0.36;
        let left = if is_beside { widest } else { 0.0 };
        let room_at_end = self.bars().map(|bar| text_width(&bar.end())).fold(0.0, f64::max) + 16.0;
        let right = (width - room_at_end).max(left + (width - left) * 0.3);
        let greatest = self.bars().map(Bar::sum).fold(self.shows, f64::max);
        let scale = Scale::new(Division::Linear, [greatest], (left, right));
        for group in &self.groups {
            for text in wrapped(&group.heading, width / STRONG) {
                canvas.text((0.0, y + 13.0), Anchor::Start, "strong", &text);
                y += LINE_HEIGHT + 3.0;
            }
            let top = y;
            for bar in &group.bars {
                let label = format!("t-{}", bar.ink.class());
                if is_beside {
                    canvas.text((left - 10.0, y + BAR_HEIGHT * 0.72), Anchor::End, &label, &bar.label);
                } else {
                    canvas.text((0.0, y + 12.0), Anchor::Start, &label, &bar.label);
                    y += LINE_HEIGHT;
                }
                self.draw_bar(&mut canvas, bar, &scale, y);
                y += ROW_HEIGHT;
            }
            canvas.line((left, top - 3.0), (left, y - 4.0), "axis thin");
            y += 8.0;
        }
        for text in wrapped(&self.unit, width - left) {
            canvas.text((left, y + 8.0), Anchor::Start, "soft", &text);
            y += LINE_HEIGHT;
        }
        (canvas, y + 2.0)
    }

    fn data(&self) -> Vec<DataLine> {
        let names = |bar: &Bar| {
            let part = |(ink, value): &(Ink, f64)| {
                let name = self.key.iter().find(|(known, _)| known == ink).map_or("", |(_, name)| name);
                format!("{name} {}", self.number(*value)).trim().to_owned()
            };
            let parts =
                bar.parts.iter().filter(|(_, value)| *value > 0.0).map(part).collect::<Vec<_>>().join(" + ");
            if self.key.is_empty() { bar.end() } else { format!("{} ({parts})", bar.end()) }
        };
        let lines = |group: &Group| {
            let prefix =
                if group.heading.is_empty() { String::new() } else { format!("{}, ", group.heading) };
            let line = |bar: &Bar| DataLine { what: format!("{prefix}{}", bar.label), value: names(bar) };
            group.bars.iter().map(line).collect::<Vec<_>>()
        };
        self.groups.iter().flat_map(lines).collect()
    }
}

impl Bars {
    fn draw_bar(&self, canvas: &mut Canvas, bar: &Bar, scale: &Scale, y: f64) {
        let mut sum = 0.0;
        for (ink, value) in &bar.parts {
            let (from, to) = (scale.at(sum), scale.at(sum + value));
            let name =
                self.key.iter().find(|(known, _)| known == ink).map_or(bar.label.as_str(), |(_, name)| name);
            let hint = format!("{name}: {}", self.number(*value));
            // Neighbours stay apart where colours do not.
            let gap = if bar.parts.len() > 1 && to - from > 3.0 { 1.0 } else { 0.0 };
            canvas.rectangle((from, y), (to - from - gap, BAR_HEIGHT), &format!("f-{}", ink.class()), &hint);
            let text = self.number(*value);
            if bar.parts.len() > 1 && *value > 0.0 && to - from > text_width(&text) + 6.0 {
                let class = format!("o-{}", ink.class());
                canvas.text(((from + to) / 2.0, y + BAR_HEIGHT * 0.72), Anchor::Middle, &class, &text);
            }
            sum += value;
        }
        let x = scale.at(sum) + 6.0;
        canvas.text((x, y + BAR_HEIGHT * 0.72), Anchor::Start, "strong", &bar.text);
        let after = x + text_width(&bar.text) * STRONG + 8.0;
        canvas.text((after, y + BAR_HEIGHT * 0.72), Anchor::Start, "soft", &bar.remark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_has_all_digits_and_what_is_measured_has_three() {
        assert_eq!([34_285_030.0, 1_539.0, 78.0, 0.0].map(measured), ["34,300,000", "1,540", "78", "0"]);
        assert_eq!([34_285_030.0, 1_539.0, 0.984_4].map(count), ["34,285,030", "1,539", "0.984"]);
    }
}
