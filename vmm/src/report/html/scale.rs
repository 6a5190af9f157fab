//! From quantities to pixels, and the numbers that stand at an axis.

/// How an axis is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Division {
    /// Equal distances are equal differences. It begins at zero.
    Linear,
    /// Equal distances are equal ratios. Zero, where there is one, stands apart at its beginning.
    Logarithmic,
}

/// The share of a logarithmic axis that lies between zero and the least other number.
const ZERO_GAP: f64 = 0.09;

/// An axis from one pixel to another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scale {
    division: Division,
    /// Least and greatest number; of a logarithmic axis the least above zero.
    low: f64,
    high: f64,
    has_zero: bool,
    /// Pixels of both ends.
    from: f64,
    to: f64,
}

impl Scale {
    /// An axis that shows all of `values`, between the pixels `from` and `to`.
    pub fn new(division: Division, values: impl IntoIterator<Item = f64>, (from, to): (f64, f64)) -> Scale {
        let values: Vec<f64> =
            values.into_iter().filter(|value| value.is_finite() && *value >= 0.0).collect();
        let high = values.iter().copied().fold(0.0, f64::max);
        match division {
            Division::Linear => {
                let high = if high > 0.0 { high } else { 1.0 };
                Scale { division, low: 0.0, high, has_zero: true, from, to }
            }
            Division::Logarithmic => {
                let low = values.iter().copied().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
                let low = if low.is_finite() { low } else { 1.0 };
                let high = if high > low { high } else { low * 10.0 };
                Scale { division, low, high, has_zero: values.contains(&0.0), from, to }
            }
        }
    }

    /// The same with its ends moved outwards to numbers of [`Scale::ticks`].
    pub fn rounded(mut self) -> Scale {
        match self.division {
            Division::Linear => {
                let step = nice_step(self.high / 5.0);
                self.high = (self.high / step - 1e-9).ceil() * step;
            }
            Division::Logarithmic => {
                self.low = one_two_five(self.low, f64::floor);
                self.high = one_two_five(self.high, f64::ceil);
            }
        }
        self
    }

    /// Where a number stands.
    pub fn at(&self, value: f64) -> f64 {
        let share = match self.division {
            Division::Linear => value / self.high,
            Division::Logarithmic if value <= 0.0 => 0.0,
            Division::Logarithmic => {
                let share = (value / self.low).ln() / (self.high / self.low).ln();
                if self.has_zero { ZERO_GAP + share * (1.0 - ZERO_GAP) } else { share }
            }
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Whether it is logarithmic and has a zero apart: where the axis is broken.
    pub fn zero_gap(&self) -> Option<f64> {
        (self.division == Division::Logarithmic && self.has_zero)
            .then(|| self.from + (self.to - self.from) * ZERO_GAP / 2.0)
    }

    /// Numbers to stand at the axis, `room` pixels apart at least.
    pub fn ticks(&self, room: f64) -> Vec<f64> {
        let most = ((self.to - self.from).abs() / room).floor().max(2.0);
        match self.division {
            Division::Linear => {
                let step = nice_step(self.high / most);
                (0..=(self.high / step + 1e-9) as u32).map(|index| f64::from(index) * step).collect()
            }
            Division::Logarithmic => {
                let zero = self.has_zero.then_some(0.0);
                zero.into_iter().chain(self.logarithmic_ticks(most)).collect()
            }
        }
    }

    fn logarithmic_ticks(&self, most: f64) -> Vec<f64> {
        let decades = (self.low.log10() - 1e-9).floor() as i32..=(self.high.log10() + 1e-9).ceil() as i32;
        let within = |tick: &f64| *tick >= self.low * 0.999 && *tick <= self.high * 1.001;
        let of = |steps: &[f64], every: usize| -> Vec<f64> {
            let powers = decades.clone().step_by(every);
            let ticks = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
            ticks.filter(within).collect()
        };
        let choices = [of(&[1.0, 2.0, 5.0], 1), of(&[1.0], 1), of(&[1.0], 2), of(&[1.0], 3)];
        let fits = |ticks: &&Vec<f64>| ticks.len() as f64 <= most && ticks.len() > 1;
        if choices[0].len() < 2 {
            return self.ticks_between(most);
        }
        choices
            .iter()
            .find(fits)
            .or(choices.iter().find(|ticks| ticks.len() > 1))
            .unwrap_or(&choices[0])
            .clone()
    }
}

impl Scale {
    /// Where both ends are so near each other that no two of 1, 2, 5 lie between them.
    fn ticks_between(&self, most: f64) -> Vec<f64> {
        let step = nice_step((self.high - self.low) / most);
        let (first, last) = ((self.low / step).ceil() as u64, (self.high / step + 1e-9).floor() as u64);
        (first..=last).map(|index| index as f64 * step).collect()
    }
}

/// The least of 1, 2, 5, 10, … that is no smaller. Counts have no halves, but times have.
fn nice_step(least: f64) -> f64 {
    one_two_five(least, f64::ceil)
}

/// The next number of 1, 2, 5 times a power of ten.
fn one_two_five(value: f64, round: fn(f64) -> f64) -> f64 {
    const STEPS: [f64; 3] = [1.0, 2.0, 5.0];
    if value <= 0.0 || !value.is_finite() {
        return 1.0;
    }
    let exponent = (value.log10() + 1e-9).floor();
    let power = 10f64.powf(exponent);
    let mantissa = value / power;
    // `round` of a half says which way.
    match round(0.5) > 0.0 {
        true => STEPS.iter().copied().find(|step| *step >= mantissa - 1e-9).unwrap_or(10.0) * power,
        false => STEPS.iter().rev().copied().find(|step| *step <= mantissa + 1e-9).unwrap_or(1.0) * power,
    }
}

/// A number at an axis: `2,000`, `0.5`, `1.2 M`.
pub fn number(value: f64) -> String {
    let grouped = |value: f64| super::super::format::grouped(value.round() as u64);
    match value {
        value if value >= 1e9 => format!("{} G", trimmed(value / 1e9)),
        value if value >= 1e6 => format!("{} M", trimmed(value / 1e6)),
        value if value >= 100.0 || value.fract() == 0.0 => grouped(value),
        value => trimmed(value),
    }
}

/// Three significant digits at most.
fn trimmed(value: f64) -> String {
    let places = match value {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        value if value >= 0.01 => 3,
        _ => 5,
    };
    let text = format!("{value:.places$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn scale(division: Division, values: &[f64]) -> Scale {
        Scale::new(division, values.iter().copied(), (0.0, 400.0)).rounded()
    }

    #[test]
    fn ticks_are_one_two_five() {
        assert_eq!(scale(Division::Linear, &[203.0]).ticks(60.0), [0.0, 50.0, 100.0, 150.0, 200.0, 250.0]);
        let near = Scale::new(Division::Logarithmic, [52.0, 78.0], (0.0, 400.0));
        assert_eq!(near.ticks(60.0), [55.0, 60.0, 65.0, 70.0, 75.0]);
        assert_eq!(scale(Division::Logarithmic, &[1.0, 50.0]).ticks(40.0), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0]);
        assert_eq!(
            scale(Division::Logarithmic, &[0.0, 1.0, 1e6]).ticks(40.0),
            [0.0, 1.0, 10.0, 1e2, 1e3, 1e4, 1e5, 1e6]
        );
    }

    #[test]
    fn numbers_are_short() {
        let numbers = [0.0, 0.5, 7.0, 12.34, 2_000.0, 24_791.0, 1_250_000.0, 3e9];
        let texts = ["0", "0.5", "7", "12.3", "2,000", "24,791", "1.25 M", "3 G"];
        assert_eq!(numbers.map(number), texts);
    }

    proptest! {
        #[test]
        fn a_greater_number_stands_further(
            mut values in prop::collection::vec(0.0f64..1e9, 2..20), is_log: bool, upwards: bool,
        ) {
            let division = if is_log { Division::Logarithmic } else { Division::Linear };
            let ends = if upwards { (300.0, 10.0) } else { (10.0, 300.0) };
            let scale = Scale::new(division, values.iter().copied(), ends).rounded();
            values.sort_by(f64::total_cmp);
            let places: Vec<f64> = values.iter().map(|value| scale.at(*value)).collect();
            let is_ordered = |pair: &[f64]| if upwards { pair[1] <= pair[0] } else { pair[1] >= pair[0] };
            prop_assert!(places.windows(2).all(is_ordered), "{:?}", places);
            prop_assert!(places.iter().all(|place| (10.0..=300.0).contains(place)));
        }

        #[test]
        fn ticks_rise_within_the_axis_and_do_not_crowd(
            values in prop::collection::vec(0.0f64..1e9, 1..20), is_log: bool, room in 20.0f64..120.0,
        ) {
            let division = if is_log { Division::Logarithmic } else { Division::Linear };
            let scale = scale(division, &values);
            let ticks = scale.ticks(room);
            prop_assert!(!ticks.is_empty());
            prop_assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]), "{:?}", ticks);
            let places: Vec<f64> = ticks.iter().map(|tick| scale.at(*tick)).collect();
            prop_assert!(places.iter().all(|place| (0.0..=400.0).contains(place)));
            if ticks.len() > 3 {
                prop_assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= room * 0.25), "{:?}", places);
            }
        }
    }
}
