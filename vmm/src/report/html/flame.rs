//! Flame graphs: which functions the instructions of one round trip are in.

use std::collections::BTreeMap;

use super::bars::count;
use super::canvas::{Anchor, Canvas, LINE_HEIGHT, text_width, wrapped};
use super::figure::{DataLine, Figure, Plot};
use super::pick::phase_ink;
use super::theme::Ink;
use crate::lens::trace::phase::Phase;

/// Frames from the whole downwards; a frame is as wide as it has instructions.
#[derive(Clone, Debug, Default)]
pub struct Flame {
    /// Names from the outside to the inside, and the instructions that are there.
    stacks: Vec<(Vec<String>, u64)>,
    /// Instructions that the whole width stands for, where other round trips are beside this one; else all of its own.
    scale: Option<u64>,
}

/// A frame with its share of the width.
struct Frame {
    depth: usize,
    from: u64,
    to: u64,
    name: String,
    ink: Ink,
}

impl Flame {
    /// Of stacks `ring;phase;function` with their instructions.
    pub fn new(stacks: &BTreeMap<String, u64>) -> Flame {
        let stack = |(names, count): (&String, &u64)| (names.split(';').map(str::to_owned).collect(), *count);
        Flame { stacks: stacks.iter().map(stack).collect(), scale: None }
    }

    /// The same where the whole width stands for so many instructions.
    pub fn with_scale(self, instructions: u64) -> Flame {
        Flame { scale: Some(instructions), ..self }
    }

    /// All instructions.
    pub fn whole(&self) -> u64 {
        self.stacks.iter().map(|(_, count)| count).sum()
    }

    /// What is within one of the outermost frames.
    pub fn within(&self, outermost: &str) -> Flame {
        let is_within =
            |(names, _): &&(Vec<String>, u64)| names.first().is_some_and(|first| first == outermost);
        Flame { stacks: self.stacks.iter().filter(is_within).cloned().collect(), scale: self.scale }
    }

    /// The function with the most instructions, in whatever phases.
    pub fn largest_function(&self) -> Option<(&str, u64)> {
        let mut functions: BTreeMap<&str, u64> = BTreeMap::new();
        for (names, count) in &self.stacks {
            *functions.entry(names.last()?).or_insert(0) += count;
        }
        functions.into_iter().max_by_key(|(_, count)| *count)
    }

    /// The figure of one case; `None` where nothing was counted.
    pub fn figure(self, case: &str) -> Option<Figure> {
        let whole = self.whole();
        let (function, most) = self.largest_function()?;
        let claim = format!(
            "One round trip of {case}: {} instructions, {} of them in {function}",
            count(whole as f64),
            count(most as f64)
        );
        Some(Figure { claim, notes: Vec::new(), plot: Box::new(self) })
    }

    fn frames(&self) -> Vec<Frame> {
        let whole = self.whole();
        let mut frames = vec![Frame {
            depth: 0,
            from: 0,
            to: whole,
            name: "one round trip".to_owned(),
            ink: Ink::Program,
        }];
        let mut from = 0;
        let mut open: Vec<String> = Vec::new();
        for (names, count) in &self.stacks {
            let shared = names.iter().zip(&open).take_while(|(one, other)| one == other).count();
            // What goes on grows; what is new begins here.
            for depth in 0..names.len() {
                let going_on =
                    frames.iter_mut().rev().find(|frame| frame.depth == depth + 1).filter(|_| depth < shared);
                match going_on {
                    Some(frame) => frame.to += count,
                    None => frames.push(Frame {
                        depth: depth + 1,
                        from,
                        to: from + count,
                        name: names[depth].clone(),
                        ink: ink(names, depth),
                    }),
                }
            }
            open.clone_from(names);
            from += count;
        }
        frames
    }
}

/// Phases and what is in them have the colour of the phase.
fn ink(names: &[String], depth: usize) -> Ink {
    let named = |name: &String| Phase::ALL.into_iter().find(|phase| phase.name() == name);
    names.iter().take(depth + 1).find_map(named).map_or(Ink::Stub, phase_ink)
}

/// The end of a path that fits, with a mark where something is left out.
fn fitting(name: &str, width: f64) -> String {
    let mut rest = name;
    while text_width(rest) + text_width("…") > width {
        match rest.split_once("::") {
            Some((_, inner)) => rest = inner,
            None => return String::new(),
        }
    }
    if rest.len() < name.len() { format!("…{rest}") } else { rest.to_owned() }
}

const ROW: f64 = 24.0;

impl Plot for Flame {
    fn draw(&self, width: f64) -> (Canvas, f64) {
        let mut canvas = Canvas::default();
        let frames = self.frames();
        let whole = self.scale.unwrap_or(frames[0].to).max(1) as f64;
        let depth = frames.iter().map(|frame| frame.depth).max().unwrap_or(0);
        for frame in &frames {
            let (left, right) = (frame.from as f64 / whole * width, frame.to as f64 / whole * width);
            let y = frame.depth as f64 * ROW;
            let instructions = count((frame.to - frame.from) as f64);
            let hint = format!("{}: {instructions}", frame.name);
            let class = format!("f-{}", frame.ink.class());
            canvas.rectangle((left, y), ((right - left - 1.0).max(0.5), ROW - 2.0), &class, &hint);
            let room = right - left - 8.0;
            let with_count = fitting(&format!("{} {instructions}", frame.name), room);
            let text = if with_count.is_empty() { fitting(&frame.name, room) } else { with_count };
            let text_class = format!("o-{}", frame.ink.class());
            canvas.text((left + 4.0, y + 15.5), Anchor::Start, &text_class, &text);
        }
        let mut y = (depth + 1) as f64 * ROW;
        for text in wrapped("width: instructions; from above: ring, phase, function", width) {
            y += LINE_HEIGHT;
            canvas.text((0.0, y), Anchor::Start, "soft", &text);
        }
        (canvas, y + 8.0)
    }

    fn data(&self) -> Vec<DataLine> {
        let line = |(names, instructions): &(Vec<String>, u64)| DataLine {
            what: names.join(", "),
            value: format!("{} instructions", count(*instructions as f64)),
        };
        self.stacks.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stacks() -> BTreeMap<String, u64> {
        let stacks = [
            ("ring 0;fast path;kernel::ipc::fast::call", 46),
            ("ring 0;switch;kernel::ipc::fast::call", 30),
            ("ring 0;switch;kernel::space::load", 5),
            ("ring 3;client;client", 76),
        ];
        stacks.map(|(names, count)| (names.to_owned(), count)).into()
    }

    #[test]
    fn frames_hold_what_is_in_them() {
        let frames = Flame::new(&stacks()).frames();
        let told: Vec<_> =
            frames.iter().map(|frame| (frame.depth, frame.from, frame.to, frame.name.as_str())).collect();
        let expected = [
            (0, 0, 157, "one round trip"),
            (1, 0, 81, "ring 0"),
            (2, 0, 46, "fast path"),
            (3, 0, 46, "kernel::ipc::fast::call"),
            (2, 46, 81, "switch"),
            (3, 46, 76, "kernel::ipc::fast::call"),
            (3, 76, 81, "kernel::space::load"),
            (1, 81, 157, "ring 3"),
            (2, 81, 157, "client"),
            (3, 81, 157, "client"),
        ];
        assert_eq!(told, expected);
        let claim = Flame::new(&stacks()).figure("call").unwrap().claim;
        assert_eq!(claim, "One round trip of call: 157 instructions, 76 of them in kernel::ipc::fast::call");
        assert_eq!(Flame::new(&stacks()).within("ring 3").largest_function(), Some(("client", 76)));
        assert!(Flame::new(&BTreeMap::new()).figure("nothing").is_none());
    }

    #[test]
    fn names_lose_their_outer_parts_first() {
        let name = "kernel::ipc::fast::call 46";
        assert_eq!(fitting(name, 400.0), name);
        assert_eq!(fitting(name, 115.0), "…fast::call 46");
        assert_eq!(fitting(name, 10.0), "");
    }

    proptest! {
        #[test]
        fn every_level_is_as_wide_as_the_whole(counts in prop::collection::vec(1u64..1_000, 1..30)) {
            let stack = |(index, count): (usize, &u64)| (format!("ring {};p{:02};f{index:02}", index / 9, index / 3), *count);
            let frames = Flame::new(&counts.iter().enumerate().map(stack).collect()).frames();
            for depth in 0..4 {
                let sum: u64 = frames.iter().filter(|frame| frame.depth == depth).map(|frame| frame.to - frame.from).sum();
                prop_assert_eq!(sum, counts.iter().sum::<u64>());
            }
        }
    }
}
