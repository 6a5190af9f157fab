//! What a guest says that it has measured, against what it was asked for. A guest that shares this process and one that has a
//! process of its own are checked alike.

use crate::case::Parameters;
use crate::machine::guest::GuestRun;

/// No round trip is faster, ns: it holds two reads of the clock.
const ROUND_TRIP_MIN_NS: u64 = 5;

/// Why a run is none of what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Fewer round trips.
    Short {
        /// Those that it says it has made.
        round_trips: u64,
        /// Those that it should have made.
        asked: u64,
    },
    /// What no kernel of this build says of such a case.
    Impossible(String),
}

/// Checks a run that says it has finished.
pub fn check(parameters: &Parameters, run: &GuestRun) -> Result<(), Claim> {
    check_shape(parameters, run).map_err(Claim::Impossible)?;
    let (round_trips, asked) = (run.round_trips, asked(parameters, run).map_err(Claim::Impossible)?);
    if round_trips < asked {
        return Err(Claim::Short { round_trips, asked });
    }
    let impossible = |reason: String| Err(Claim::Impossible(reason));
    if round_trips > asked {
        return impossible(format!("{round_trips} round trips of {asked}"));
    }
    if run.cpus.len() as u64 != u64::from(parameters.vcpus) {
        return impossible(format!("counters of {} CPUs of {}", run.cpus.len(), parameters.vcpus));
    }
    let measured_ns = match run.measured_ns {
        Some(measured_ns) => measured_ns,
        None if run.ran_elsewhere && run.state >= abi::report::state::MEASURED => return Ok(()),
        None => return impossible("it finished without both marks".to_owned()),
    };
    let of_each = round_trips / u64::from(parameters.measuring_threads().max(1));
    if measured_ns < of_each.saturating_mul(ROUND_TRIP_MIN_NS) {
        return impossible(format!("{round_trips} round trips in {measured_ns} ns"));
    }
    Ok(())
}

/// Round trips that a guest had to make: so many as the case says, or in the time of the case those that it announced at its first
/// mark.
pub fn asked(parameters: &Parameters, run: &GuestRun) -> Result<u64, String> {
    let most = parameters.round_trips();
    let announced = run.round_trips_announced.unwrap_or(0);
    let is_possible = match parameters.seconds {
        None => announced == most,
        Some(_) => {
            let threads = u64::from(parameters.measuring_threads().max(1));
            (threads..=most).contains(&announced) && announced.is_multiple_of(threads)
        }
    };
    if is_possible {
        Ok(announced)
    } else {
        let limit = if parameters.seconds.is_some() { "at most " } else { "" };
        Err(format!("{announced} round trips announced at the first mark, of {limit}{most}"))
    }
}

/// Whether the samples have the shape that the workload gives them. What has not is in no figure.
pub fn check_shape(parameters: &Parameters, run: &GuestRun) -> Result<(), String> {
    let channels = parameters.workload.channels().len();
    if run.channel_count as usize != channels {
        return Err(format!("{} samples per round trip; this workload has {channels}", run.channel_count));
    }
    let wanted = run.round_trips.checked_mul(channels as u64);
    if wanted != Some(run.samples.len() as u64) {
        return Err(format!("{} samples of {} round trips", run.samples.len(), run.round_trips));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::seconds::Seconds;
    use crate::case::tests::parameters;
    use crate::reduce::tests::guest_run;
    use crate::workload::Call;

    fn check_with(change: impl FnOnce(&mut GuestRun)) -> Result<(), Claim> {
        let asked = Parameters { samples: 3, ..parameters(&Call) };
        let mut run = guest_run(vec![1_000; 3], 6);
        change(&mut run);
        check(&asked, &run)
    }

    #[test]
    fn what_was_asked_for_is_taken() {
        assert_eq!(check_with(|_| ()), Ok(()));
    }

    #[test]
    fn fewer_round_trips_than_asked_are_short_of_it() {
        for round_trips in 0..3 {
            let short = check_with(|run| {
                run.round_trips = round_trips;
                run.samples.truncate(round_trips as usize);
            });
            assert_eq!(short, Err(Claim::Short { round_trips, asked: 3 }));
        }
    }

    #[test]
    fn impossible_claims_are_told() {
        type Change = fn(&mut GuestRun);
        let lies: [(&str, Change); 9] = [
            ("4 round trips of 3", |run| {
                run.round_trips = 4;
                run.samples.push(1);
            }),
            ("4 round trips announced", |run| run.round_trips_announced = Some(4)),
            ("0 round trips announced", |run| run.round_trips_announced = None),
            ("samples of", |run| run.samples.clear()),
            ("samples of", |run| run.round_trips = u64::MAX),
            ("samples per round trip", |run| run.channel_count = 0),
            ("counters of 0 CPUs", |run| run.cpus.clear()),
            ("both marks", |run| run.measured_ns = None),
            ("round trips in 1 ns", |run| run.measured_ns = Some(1)),
        ];
        for (what, lie) in lies {
            let Err(Claim::Impossible(reason)) = check_with(lie) else { panic!("{what}") };
            assert!(reason.contains(what), "{reason}");
        }
    }

    /// In a case that measures for a time the guest itself says how many, but only once, and before it begins.
    #[test]
    fn a_time_is_filled_by_what_was_announced() {
        let asked = Parameters { samples: 5, seconds: Some(Seconds::milliseconds(1)), ..parameters(&Call) };
        let with = |announced, round_trips: u64| {
            let mut run = guest_run(vec![1_000; round_trips as usize], 2 * round_trips);
            run.round_trips_announced = announced;
            check(&asked, &run)
        };
        assert_eq!((with(Some(3), 3), with(Some(5), 5)), (Ok(()), Ok(())));
        assert_eq!(with(Some(5), 3), Err(Claim::Short { round_trips: 3, asked: 5 }));
        for (announced, round_trips) in [(Some(3), 4), (None, 3), (Some(0), 3), (Some(6), 6)] {
            let Err(Claim::Impossible(_)) = with(announced, round_trips) else {
                panic!("{announced:?}, {round_trips}")
            };
        }
    }
}
