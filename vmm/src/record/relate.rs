//! Figures of a case that only its neighbours give: the empty pair, and the ratio to everything in user space.

use std::collections::BTreeMap;

use super::replayed;
use super::run::{CaseRecord, RunRecord};
use crate::case::Parameters;
use crate::case::parameter::Transfer;
use crate::case::workload::Does;
use crate::statistics::rounded;
use crate::system::placement::Placement;

/// Fills in what depends on other cases of the run; to be called again after every case.
pub fn relate(run: &mut RunRecord) {
    let empty_pairs: Vec<(Parameters, u64)> = run.cases.iter().filter_map(empty_pair).collect();
    let baselines: Vec<(Parameters, BTreeMap<String, u64>)> =
        run.cases.iter().filter(|case| is_all_user(&case.parameters)).map(medians).collect();
    let lone: Vec<(Parameters, BTreeMap<String, u64>)> =
        run.cases.iter().filter(|case| case.parameters.guests == Some(1)).map(medians).collect();
    let loads: Vec<(Parameters, Option<f64>)> = run
        .cases
        .iter()
        .filter(|case| case.replayed.is_some() && is_all_user(&case.parameters))
        .map(|case| (what_is_measured(&case.parameters), replayed::loads(case)))
        .collect();
    for case in &mut run.cases {
        relate_to_lone_guest(case, &lone);
        relate_replay(case, &loads);
        case.empty_pair_median_ticks = best_empty_pair(&empty_pairs, &case.parameters);
        let wanted = in_user_spaces(&case.parameters);
        let Some((_, baseline)) = baselines.iter().find(|(parameters, _)| *parameters == wanted) else {
            continue;
        };
        for (name, channel) in &mut case.ticks {
            let base = baseline.get(name).filter(|base| **base > 0);
            channel.ratio_to_all_user =
                base.map(|base| rounded(channel.summary.median as f64 / *base as f64, 3));
        }
    }
}

/// The medians relative to those of the case that is the same but for its number of guests.
fn relate_to_lone_guest(case: &mut CaseRecord, lone: &[(Parameters, BTreeMap<String, u64>)]) {
    let parameters = &case.parameters;
    let wanted = Parameters { guests: parameters.guests.map(|_| 1), ..what_is_measured(parameters) };
    let Some((_, baseline)) = lone.iter().find(|(parameters, _)| *parameters == wanted) else { return };
    for (name, channel) in &mut case.ticks {
        let base = baseline.get(name).filter(|base| **base > 0);
        channel.ratio_to_lone_guest =
            base.map(|base| rounded(channel.summary.median as f64 / *base as f64, 3));
    }
}

/// What a request of a replay costs, and what is saved of the page-table loads of the same replay with no server in the kernel.
fn relate_replay(case: &mut CaseRecord, loads: &[(Parameters, Option<f64>)]) {
    let (own, wanted) = (replayed::loads(case), in_user_spaces(&case.parameters));
    let with_none = loads.iter().find(|(parameters, _)| *parameters == wanted).and_then(|(_, loads)| *loads);
    if let Some(replayed) = &mut case.replayed {
        replayed.relate(own, with_none);
    }
}

fn empty_pair(case: &CaseRecord) -> Option<(Parameters, u64)> {
    let is_pair = case.parameters.workload.nature().does == Does::ReadsClock;
    let median = case.ticks.values().next().filter(|_| is_pair)?.summary.median;
    Some((case.parameters.clone(), median))
}

/// What a case has in common with all cases that it is compared with, but for pairs of clock reads.
pub fn kin(case: &Parameters) -> Parameters {
    in_user_spaces(&Parameters { guests: case.guests.map(|_| 1), ..case.clone() })
}

/// Whether a pair of clock reads is measured where the client of the case runs.
pub fn is_pair_of(pair: &Parameters, case: &Parameters) -> bool {
    pair.client == case.client && pair.vcpus == case.vcpus
}

/// The pair measured where the client runs, preferably with the same PCID setting, which two clock reads do not feel.
fn best_empty_pair(pairs: &[(Parameters, u64)], case: &Parameters) -> Option<u64> {
    let fitting = || pairs.iter().filter(|(pair, _)| is_pair_of(pair, case));
    fitting().find(|(pair, _)| pair.pcid == case.pcid).or(fitting().next()).map(|(_, median)| *median)
}

fn medians(case: &CaseRecord) -> (Parameters, BTreeMap<String, u64>) {
    let medians = case.ticks.iter().map(|(name, channel)| (name.clone(), channel.summary.median));
    (what_is_measured(&case.parameters), medians.collect())
}

fn is_all_user(case: &Parameters) -> bool {
    case.workload.nature().is_compared && what_is_measured(case) == in_user_spaces(case)
}

/// The case without what only says how long and how often it is measured.
fn what_is_measured(case: &Parameters) -> Parameters {
    Parameters {
        memory_bytes: 0,
        deadline_seconds: 0,
        warm_up: 0,
        samples: 0,
        launches: 0,
        trace_round_trips: 0,
        tlb_models: Vec::new(),
        ..case.clone()
    }
}

/// The same with every program in a user space of its own, and a switch to its own thread. Where the client is built for 32
/// bits, all are.
fn in_user_spaces(case: &Parameters) -> Parameters {
    let own = if case.client.is_32_bit() { Placement::Large } else { Placement::User };
    let in_own = |placement: Option<Placement>| placement.map(|_| own);
    let mut compared = Parameters {
        client: own,
        server: in_own(case.server),
        relay: in_own(case.relay),
        other_client: in_own(case.other_client),
        slot_bytes: None,
        same_space: false,
        transfer: Transfer::Switch,
        ..what_is_measured(case)
    };
    case.workload.compared_with(&mut compared);
    compared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::case::tests::parameters;
    use crate::lens::Measured;
    use crate::record::replayed::ReplayedRecord;
    use crate::record::run::HostRecord;
    use crate::reduce::tests::{case_named, case_of, guest_run, run_record};
    use crate::workload::{IN_KERNEL, Replay, Workload};

    #[test]
    fn ratios_are_to_the_user_case_of_the_same_setting() {
        let mut run = run_record();
        relate(&mut run);
        let ratio = |name: &str| case_named(&run, name).ticks["round_trip"].ratio_to_all_user;
        assert_eq!(ratio("call/user-user/words=0/pcid=off"), Some(1.0));
        assert_eq!(ratio("call/user-kernel/words=0/pcid=off"), Some(0.5));
        assert_eq!(ratio("call/same-space/words=0/pcid=off"), Some(0.75));
        assert_eq!(case_named(&run, "empty/user/pcid=off").ticks["empty_pair"].ratio_to_all_user, None);
    }

    #[test]
    fn schemes_are_compared_with_the_32_bit_programs_in_spaces_of_their_own() {
        use crate::case::parameter::Gate;
        let mut run = run_record();
        for (index, server) in [(1, Placement::Large), (2, Placement::Small), (3, Placement::Kernel)] {
            let parameters = &mut run.cases[index].parameters;
            (parameters.client, parameters.server) = (Placement::Large, Some(server));
            parameters.gate = Some(Gate::Int);
            parameters.slot_bytes = (server == Placement::Small).then_some(4 << 20);
        }
        relate(&mut run);
        let ratio = |index: usize| run.cases[index].ticks["round_trip"].ratio_to_all_user;
        assert_eq!([1, 2, 3].map(ratio), [Some(1.0), Some(0.5), Some(0.6)]);
        run.cases[2].parameters.gate = Some(Gate::Sysenter);
        run.cases[2].ticks.get_mut("round_trip").unwrap().ratio_to_all_user = None;
        relate(&mut run);
        assert_eq!(run.cases[2].ticks["round_trip"].ratio_to_all_user, None, "another gate, another case");
    }

    #[test]
    fn many_guests_are_compared_with_a_lone_one() {
        let mut run = run_record();
        run.cases[1].parameters.guests = Some(1);
        run.cases[2].parameters =
            Parameters { guests: Some(8), samples: 5, ..run.cases[1].parameters.clone() };
        relate(&mut run);
        let ratio = |index: usize| run.cases[index].ticks["round_trip"].ratio_to_lone_guest;
        assert_eq!((ratio(1), ratio(2), ratio(3)), (Some(1.0), Some(0.5), None));
    }

    #[test]
    fn the_empty_pair_is_that_of_the_clients_placement() {
        let mut run = run_record();
        relate(&mut run);
        assert_eq!(case_named(&run, "call/user-user/words=0/pcid=off").empty_pair_median_ticks, Some(50));
        assert_eq!(case_named(&run, "call/kernel-user/words=0/pcid=off").empty_pair_median_ticks, None);
    }

    #[test]
    fn a_replay_says_what_its_requests_cost_and_what_is_saved() {
        let mut run = run_record();
        for (in_kernel, loads) in [(3, 100), (0, 400)] {
            let parameters =
                Parameters { samples: 1, ..parameters(&Replay) }.with(&IN_KERNEL, in_kernel as u32);
            let case = Case { name: format!("replay/{in_kernel}"), parameters };
            let mut launch = guest_run(vec![1_000], 0);
            launch.cpus[0].end.page_table_loads += loads;
            let launch = Measured::from(launch).into();
            run.cases.push(case_of(&case, vec![launch], &HostRecord::default()));
        }
        relate(&mut run);
        let requests = Replay.requests(&parameters(&Replay)).unwrap();
        let replayed = |name: &str| case_named(&run, name).replayed.unwrap();
        assert_eq!(
            replayed("replay/3"),
            ReplayedRecord {
                requests,
                page_table_loads_per_request: Some(rounded(100.0 / requests as f64, 4)),
                page_table_loads_saved: Some(0.75),
            }
        );
        assert_eq!(replayed("replay/0").page_table_loads_saved, Some(0.0));
        assert_eq!(case_named(&run, "call/user-kernel/words=0/pcid=off").replayed, None);
        // Without the case to compare with there is no share, rather than a wrong one.
        run.cases.retain(|case| case.name != "replay/0");
        relate(&mut run);
        assert_eq!(case_named(&run, "replay/3").replayed.unwrap().page_table_loads_saved, None);
    }
}
