//! Launches until the figures are as sure as somebody wants them.

use std::fmt;
use std::str::FromStr;

use crate::record::channel::Channels;
use crate::statistics::summary::INTERVAL_COUNT_MIN;

/// How narrow the interval of each median is to be: half of it, as a share of the median.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Precision(f64);

/// When a case has had enough launches.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Until {
    /// When all its intervals are as narrow as this.
    pub precision: Precision,
    /// When it has had so many.
    pub launches_max: u32,
}

impl FromStr for Precision {
    type Err = String;

    fn from_str(text: &str) -> Result<Precision, String> {
        let percent = text
            .strip_prefix("ci")
            .and_then(|rest| rest.trim_start().strip_prefix('<')?.trim().strip_suffix('%'));
        let percent = percent.and_then(|percent| percent.trim().parse::<f64>().ok());
        let percent = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0);
        percent.map(|percent| Precision(percent / 100.0)).ok_or_else(|| {
            "write ci< and a share of the median up to 100%, such as ci<1%: half of the 95 % interval"
                .to_owned()
        })
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ci<{}%", crate::statistics::rounded(self.0 * 100.0, 6))
    }
}

impl Precision {
    /// Whether all intervals are as narrow, and there is any.
    pub fn is_met_by(self, figures: &Channels) -> bool {
        let is_narrow = |half: Option<f64>| half.is_some_and(|half| half < self.0);
        !figures.is_empty() && figures.values().all(|channel| is_narrow(channel.summary.half_interval()))
    }
}

impl Until {
    /// Whether a case needs no more launches than those that its figures are over. Of fewer than six there is no interval, and that
    /// of one launch says nothing of others.
    pub(super) fn is_met(&self, launches: usize, figures: &Channels) -> bool {
        launches >= INTERVAL_COUNT_MIN && self.precision.is_met_by(figures)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_precision_is_a_share_of_the_median() {
        for (text, shown) in [("ci<1%", "ci<1%"), ("ci < 0.5 %", "ci<0.5%"), ("ci<100%", "ci<100%")] {
            assert_eq!(text.parse::<Precision>().unwrap().to_string(), shown);
        }
        for text in ["", "ci", "ci<1", "ci>1%", "ci<0%", "ci<-1%", "ci<101%", "ci<NaN%", "median<1%"] {
            assert!(text.parse::<Precision>().is_err(), "{text}");
        }
    }
}
