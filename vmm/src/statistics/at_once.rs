//! What several guests did while all of them measured. Pure arithmetic on the host's one clock.

use serde::{Deserialize, Serialize};

/// A measured part: from its first mark to its second one, ns of CLOCK_MONOTONIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    pub begin_ns: u64,
    pub end_ns: u64,
}

impl Span {
    /// `None` where it has no length.
    pub(crate) fn new(begin_ns: u64, length_ns: u64) -> Option<Span> {
        let end_ns = begin_ns.checked_add(length_ns)?;
        (end_ns > begin_ns).then_some(Span { begin_ns, end_ns })
    }

    pub(crate) fn length_ns(self) -> u64 {
        self.end_ns - self.begin_ns
    }
}

/// The time in which all measured; `None` where there was none.
pub(crate) fn window(spans: &[Span]) -> Option<Span> {
    let begin_ns = spans.iter().map(|span| span.begin_ns).max()?;
    let end_ns = spans.iter().map(|span| span.end_ns).min()?;
    (end_ns > begin_ns).then_some(Span { begin_ns, end_ns })
}

/// A guest that may call beyond its measured part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub span: Span,
    /// Not before the end of its span.
    pub called_until_ns: u64,
}

impl From<Span> for Caller {
    fn from(span: Span) -> Caller {
        Caller { span, called_until_ns: span.end_ns }
    }
}

/// The time in which all called while one of them measured, as a share of the longest span, which is the least that it is of any;
/// `None` where nobody measured.
pub(crate) fn overlap(callers: &[Caller]) -> Option<f64> {
    let longest = callers.iter().map(|caller| caller.span.length_ns()).max()?;
    let begin_ns = callers.iter().map(|caller| caller.span.begin_ns).max()?;
    let called_until_ns = callers.iter().map(|caller| caller.called_until_ns).min()?;
    let last_end_ns = callers.iter().map(|caller| caller.span.end_ns).max()?;
    let all_ns = called_until_ns.min(last_end_ns).saturating_sub(begin_ns);
    Some((all_ns as f64 / longest as f64).min(1.0))
}

/// Round trips that one thread made one after the other from the beginning of its span to the end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stretch {
    pub span: Span,
    pub round_trips: RoundTrips,
}

/// How round trips lie in a span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum RoundTrips {
    /// One block behind the other, each as long as its samples say.
    Timed(Vec<Block>),
    /// So many, evenly: nobody knows better.
    Even(u64),
}

/// Round trips that follow one another, taken to be alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Block {
    count: u64,
    /// All of them, in a unit of the samples' own.
    length: u128,
}

/// Most blocks that are kept: more round trips share one, so that what stays of a guest is bounded.
const BLOCKS_MAX: usize = 4096;

impl RoundTrips {
    /// Round trips that took so long each.
    pub(crate) fn timed(durations: &[u64]) -> RoundTrips {
        let block = |durations: &[u64]| Block {
            count: durations.len() as u64,
            length: durations.iter().map(|duration| u128::from(*duration)).sum(),
        };
        RoundTrips::Timed(durations.chunks(durations.len().div_ceil(BLOCKS_MAX).max(1)).map(block).collect())
    }
}

impl Stretch {
    /// Round trips inside the window; one that is partly inside counts by its share.
    fn done_within(&self, window: Span) -> f64 {
        let length = self.span.length_ns() as f64;
        let share_before = |at_ns: u64| at_ns.saturating_sub(self.span.begin_ns) as f64 / length;
        let (from, to) = (share_before(window.begin_ns).min(1.0), share_before(window.end_ns).min(1.0));
        match &self.round_trips {
            RoundTrips::Even(count) => *count as f64 * (to - from),
            RoundTrips::Timed(blocks) => timed_within(blocks, from, to),
        }
    }
}

/// The same for round trips of known length; `from` and `to` are shares of their sum.
fn timed_within(blocks: &[Block], from: f64, to: f64) -> f64 {
    let total: u128 = blocks.iter().map(|block| block.length).sum();
    if total == 0 {
        return blocks.iter().map(|block| block.count).sum::<u64>() as f64 * (to - from);
    }
    let (from, to) = (from * total as f64, to * total as f64);
    let mut begin = 0u128;
    let mut done = 0.0;
    for block in blocks {
        let end = begin + block.length;
        let inside = (end as f64).min(to) - (begin as f64).max(from);
        let share = match block.length {
            0 => f64::from(u8::from((from..=to).contains(&(begin as f64)))),
            length => (inside / length as f64).clamp(0.0, 1.0),
        };
        done += share * block.count as f64;
        begin = end;
    }
    done
}

/// One guest's measured part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Part {
    pub span: Span,
    /// One per thread that measured.
    pub stretches: Vec<Stretch>,
}

/// What all guests did at once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AtOnce {
    pub window: Span,
    /// Round trips of each guest inside the window.
    pub done: Vec<f64>,
}

/// Why there is no throughput of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum NotAtOnce {
    /// Not all of them measured.
    #[error("not all guests came to both marks")]
    NotAll,
    /// There was no such time.
    #[error("the guests never measured all at the same time")]
    NoOverlap,
    /// So few round trips fell into it that they tell nothing.
    #[error(
        "all of them measured for so short a time at once that fewer round trips fell into it than there are guests"
    )]
    TooFew,
    /// A record whose throughput is something else.
    #[error(
        "the record is of version 1, which added up rates of guests that did not measure at the same time"
    )]
    AddedUp,
}

/// What so many guests did while all of them measured.
pub(crate) fn at_once(guests: u32, parts: &[Part]) -> Result<AtOnce, NotAtOnce> {
    if parts.len() != guests as usize {
        return Err(NotAtOnce::NotAll);
    }
    let spans: Vec<Span> = parts.iter().map(|part| part.span).collect();
    let window = window(&spans).ok_or(NotAtOnce::NoOverlap)?;
    let of_part = |part: &Part| part.stretches.iter().map(|stretch| stretch.done_within(window)).sum::<f64>();
    let done: Vec<f64> = parts.iter().map(of_part).collect();
    if done.iter().sum::<f64>() < f64::from(guests) {
        return Err(NotAtOnce::TooFew);
    }
    Ok(AtOnce { window, done })
}

#[cfg(test)]
#[path = "at_once_tests.rs"]
mod tests;
