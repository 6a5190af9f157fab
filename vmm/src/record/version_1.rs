//! Reads records of version 1 as what they would be today.
//!
//! Version 1 left disturbed samples out of its figures and called a sample disturbed whenever KVM had taken the CPU up again,
//! after any halt. So its figures are taken from the raw samples anew, all of them, and its marks tell nothing. It also added up
//! the rates of several guests that need not have measured at the same time, so these sums are dropped.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use abi::report::SAMPLE_DISTURBED;
use serde_json::{Map, Value, json};

use super::channel::ChannelRecord;
use super::relate::relate;
use super::run::{CaseRecord, RunRecord, VERSION};
use super::samples::read_npy;
use crate::record::density::DensityRecord;
use crate::statistics::at_once::{Caller, NotAtOnce, Span, overlap};
use crate::statistics::rounded;
use crate::statistics::summary::{INTERVAL_COUNT_MIN, Summary};
use crate::workload::Workload;

/// Reads the record in `folder`.
pub(super) fn read(mut record: Value, folder: &Path) -> serde_json::Result<RunRecord> {
    for case in record.get_mut("cases").and_then(Value::as_array_mut).into_iter().flatten() {
        upgrade_case(case, folder);
    }
    record["version"] = VERSION.into();
    let mut run: RunRecord = serde_json::from_value(record)?;
    for case in &mut run.cases {
        drop_sums_of_rates(case);
        let order = case.parameters.workload.channels();
        for launch in &mut case.launches {
            launch.median_ticks.sort_by_cached_key(|name, _| order.iter().position(|known| known == name));
        }
    }
    relate(&mut run);
    Ok(run)
}

/// Of the guests at once only a lone one did what its record says; how far they overlapped can be told anew.
fn drop_sums_of_rates(case: &mut CaseRecord) {
    let Some(density) = &mut case.density else { return };
    let processes =
        case.launches.iter().filter_map(|launch| Some((launch.process.as_ref()?, launch.measured_ns?)));
    let mut launches: BTreeMap<u32, Vec<Span>> = BTreeMap::new();
    for (process, measured_ns) in processes {
        if let Some(span) = process.began_at_ns.and_then(|began| Span::new(began, measured_ns)) {
            launches.entry(process.launch).or_default().push(span);
        }
    }
    let callers = |spans: &Vec<Span>| spans.iter().copied().map(Caller::from).collect::<Vec<_>>();
    let overlaps = launches.values().filter_map(|spans| overlap(&callers(spans)));
    density.overlap = overlaps.min_by(f64::total_cmp).map(|share| rounded(share, 4));
    if density.guests > 1 {
        *density = DensityRecord {
            round_trips_per_second: None,
            fairness: None,
            fastest_to_slowest: None,
            not_at_once: Some(NotAtOnce::AddedUp),
            ..density.clone()
        };
    }
}

/// What makes no sense stays as it is, for the reader to refuse.
fn upgrade_case(case: &mut Value, folder: &Path) {
    let workload = serde_json::from_value::<&'static dyn Workload>(case["parameters"]["workload"].clone());
    let (Ok(workload), Some(old)) = (workload, case["cycles"].as_object().cloned()) else { return };
    let disturbed = case["disturbed_samples"].as_u64().unwrap_or(0);
    if let Some(case) = case.as_object_mut() {
        case.remove("disturbed_samples");
        // Both forms of one field would be a field twice.
        case.remove("cycles");
    }
    if disturbed == 0 {
        case["ticks"] = kept(workload, &old, launches_of(case).count());
        return;
    }
    match columns(case, workload, folder) {
        Ok(launches) => {
            case["ticks"] = anew(case, workload, &launches);
            for (launch, columns) in launches_of_mut(case).zip(&launches) {
                launch["median_cycles"] = medians(workload, columns);
            }
        }
        // All were disturbed, so the figures are over all of them.
        Err(_) if old.values().all(|channel| channel["includes_disturbed"] == true) => {
            case["ticks"] = kept(workload, &old, launches_of(case).count());
        }
        Err(reason) => {
            case["ticks"] = json!([]);
            case["ticks_absent_reason"] = reason.into();
            launches_of_mut(case).for_each(|launch| launch["median_cycles"] = json!({}));
        }
    }
}

fn launches_of(case: &Value) -> impl Iterator<Item = &Value> {
    case["launches"].as_array().into_iter().flatten().filter(|launch| launch["samples_file"].is_string())
}

fn launches_of_mut(case: &mut Value) -> impl Iterator<Item = &mut Value> {
    let launches = case.get_mut("launches").and_then(Value::as_array_mut).into_iter().flatten();
    launches.filter(|launch| launch["samples_file"].is_string())
}

/// Figures that are over all samples already. Those of too few lose their interval.
fn kept(workload: &dyn Workload, old: &Map<String, Value>, launches: usize) -> Value {
    let channel = |name: &&str| {
        let mut channel = old.get(*name)?.clone();
        channel["channel"] = (*name).into();
        let independent = if launches > 1 { launches as u64 } else { channel["count"].as_u64()? };
        if independent < INTERVAL_COUNT_MIN as u64 {
            let fields = channel.as_object_mut()?;
            fields.remove("median_ci95_low");
            fields.remove("median_ci95_high");
        }
        Some(channel)
    };
    workload.channels().iter().filter_map(channel).collect()
}

/// Why figures cannot be taken anew.
fn unreadable(name: &str, error: &io::Error) -> String {
    let why = match error.kind() {
        io::ErrorKind::NotFound => "raw samples are not beside it".to_owned(),
        _ => format!("raw samples cannot be read: {name}: {error}"),
    };
    format!("the record is of version 1, whose figures leave out samples, and its {why}")
}

/// The samples of one launch by channel.
type Columns = Vec<Vec<u64>>;

fn columns(case: &Value, workload: &dyn Workload, folder: &Path) -> Result<Vec<Columns>, String> {
    let width = workload.channels().len();
    let of_launch = |launch: &Value| {
        let name = launch["samples_file"].as_str().unwrap_or_default();
        let (samples, channels) = read_npy(&folder.join(name)).map_err(|error| unreadable(name, &error))?;
        if channels != width {
            return Err(format!("{name} has {channels} columns, not {width}"));
        }
        let column =
            |index| samples.iter().skip(index).step_by(width).map(|sample| sample & !SAMPLE_DISTURBED);
        Ok((0..width).map(|index| column(index).collect()).collect())
    };
    launches_of(case).map(of_launch).collect()
}

fn anew(case: &Value, workload: &dyn Workload, launches: &[Columns]) -> Value {
    let hz = case["lenses"]["tsc"]["hz"].as_u64();
    let channel = |(index, name): (usize, &&str)| {
        let samples: Vec<Vec<u64>> = launches.iter().map(|columns| columns[index].clone()).collect();
        let summary = Summary::of(&samples)?;
        let record = ChannelRecord {
            summary,
            undisturbed: None,
            median_ns: summary.median_ns(hz),
            ratio_to_all_user: None,
            ratio_to_lone_guest: None,
        };
        let mut value = serde_json::to_value(record).ok()?;
        value["channel"] = (*name).into();
        Some(value)
    };
    workload.channels().iter().enumerate().filter_map(channel).collect()
}

fn medians(workload: &dyn Workload, columns: &Columns) -> Value {
    let median = |(name, samples): (&&str, &Vec<u64>)| {
        Some(((*name).to_owned(), Summary::of(std::slice::from_ref(samples))?.median.into()))
    };
    Value::Object(workload.channels().iter().zip(columns).filter_map(median).collect())
}

#[cfg(test)]
#[path = "version_1_tests.rs"]
mod tests;
