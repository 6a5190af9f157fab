//! Medians with their intervals, and every launch as a dot: times.

use super::bars::measured;
use super::canvas::{Anchor, Canvas, LINE_HEIGHT, STRONG, text_width, wrapped};
use super::figure::{DataLine, Plot};
use super::scale::{Division, Scale, number};
use super::theme::Ink;

/// Rows on one axis that begins at zero.
#[derive(Clone, Debug)]
pub struct Intervals {
    /// From top to bottom.
    pub rows: Vec<Measured>,
    /// What the numbers are.
    pub unit: String,
}

/// One of them.
#[derive(Clone, Debug)]
pub struct Measured {
    /// What it is of.
    pub label: String,
    /// Its colour.
    pub ink: Ink,
    /// Of all samples.
    pub median: f64,
    /// 95 % interval of the median; absent where too little was measured.
    pub interval: Option<(f64, f64)>,
    /// Medians of the launches.
    pub launches: Vec<f64>,
}

const ROW_HEIGHT: f64 = 30.0;

impl Plot for Intervals {
    fn draw(&self, width: f64) -> (Canvas, f64) {
        let mut canvas = Canvas::default();
        let widest = self.rows.iter().map(|row| text_width(&row.label)).fold(0.0, f64::max) + 12.0;
        let is_beside = widest < width * 0.36;
        let left = if is_beside { widest } else { 6.0 };
        let room = self.rows.iter().map(|row| text_width(&measured(row.median)) * STRONG).fold(0.0, f64::max);
        let all = self.rows.iter().flat_map(|row| {
            let (low, high) = row.interval.unwrap_or((row.median, row.median));
            [row.median, low, high].into_iter().chain(row.launches.iter().copied())
        });
        let scale = Scale::new(Division::Linear, all, (left, width - room - 14.0)).rounded();
        let mut y = 4.0;
        for row in &self.rows {
            let label = format!("t-{}", row.ink.class());
            if is_beside {
                canvas.text((left - 12.0, y + 14.0), Anchor::End, &label, &row.label);
            } else {
                canvas.text((0.0, y + 12.0), Anchor::Start, &label, &row.label);
                y += LINE_HEIGHT;
            }
            row.draw(&mut canvas, &scale, y + 10.0, width);
            y += ROW_HEIGHT;
        }
        for tick in scale.ticks(80.0) {
            let x = scale.at(tick);
            canvas.line((x, y), (x, y + 5.0), "axis thin");
            canvas.text((x, y + 19.0), Anchor::Middle, "soft", &number(tick));
        }
        canvas.line((scale.at(0.0), y), (width - room - 14.0, y), "axis thin");
        y += 24.0;
        for text in wrapped(&self.unit, width - left) {
            y += LINE_HEIGHT;
            canvas.text((left, y - 2.0), Anchor::Start, "soft", &text);
        }
        (canvas, y + 6.0)
    }

    fn data(&self) -> Vec<DataLine> {
        let line = |row: &Measured| {
            let interval = row
                .interval
                .map(|(low, high)| format!(", 95 % interval {} to {}", measured(low), measured(high)));
            let value = format!("{}{}", measured(row.median), interval.unwrap_or_default());
            DataLine { what: row.label.clone(), value }
        };
        self.rows.iter().map(line).collect()
    }
}

impl Measured {
    fn draw(&self, canvas: &mut Canvas, scale: &Scale, y: f64, width: f64) {
        let class = self.ink.class();
        for launch in &self.launches {
            canvas.dot((scale.at(*launch), y), self.ink, &format!("a launch: {}", measured(*launch)));
        }
        if let Some((low, high)) = self.interval {
            let (low, high) = (scale.at(low), scale.at(high));
            canvas.rectangle(
                (low, y - 6.0),
                ((high - low).max(1.0), 12.0),
                &format!("band f-{class}"),
                "95 % interval",
            );
        }
        canvas.marker((scale.at(self.median), y), self.ink, &format!("median: {}", measured(self.median)));
        canvas.text((width, y + 4.5), Anchor::End, "strong", &measured(self.median));
    }
}
