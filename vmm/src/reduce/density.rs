//! What many guests at once did to each other: start-up, memory, fairness, the host's CPUs.

use abi::report::SAMPLE_DISTURBED;

use super::launch::Launch;
use crate::case::Case;
use crate::machine::guest::GuestRun;
use crate::record::density::{DensityRecord, MemoryFigures, ProcessRecord, Spread};
use crate::statistics::at_once::{self, AtOnce, Caller, NotAtOnce, Part, RoundTrips, Span, Stretch, at_once};
use crate::statistics::rounded;

/// The figures of one guest's process.
pub fn process_record(launch: &Launch) -> Option<ProcessRecord> {
    let process = launch.process.as_ref()?;
    let guest = &process.guest;
    let run = launch.result.as_ref().ok();
    Some(ProcessRecord {
        guest: process.index,
        launch: process.launch,
        entered_ns: guest.times.entered_ns,
        created_ns: guest.times.created_ns,
        started_ns: guest.times.started_ns,
        first_mark_ns: guest.times.ready_ns,
        memory: guest.memory,
        user_ns: guest.user_ns,
        system_ns: guest.system_ns,
        began_at_ns: guest.times.began_at_ns,
        called_until_ns: guest.times.called_until_ns,
        measured_cpu_ns: run.and_then(|run| run.cpu_ns),
        run_delay_ns: run.and_then(|run| run.run_delay_ns),
        round_trips_per_second: run.and_then(|run| {
            let measured_ns = run.measured_ns.filter(|ns| *ns > 0)?;
            Some(rounded(run.round_trips as f64 * 1e9 / measured_ns as f64, 3))
        }),
        cgroup: guest.cgroup,
    })
}

/// The figures of all guests of a case, each with its measured part if it has one; `None` where they were not processes of their
/// own. `guests`: how many at once.
pub(crate) fn density(
    guests: Option<u32>,
    launches: &[(&Launch, Option<&Part>)],
    succeeded: &[bool],
) -> Option<DensityRecord> {
    let guests = guests?;
    let members: Vec<Member> = launches
        .iter()
        .filter_map(|(launch, part)| Some(Member { record: process_record(launch)?, part: *part }))
        .collect();
    let finished = succeeded.iter().filter(|success| **success).count() as u32;
    let memory = |field: fn(&MemoryFigures) -> u64| {
        spread(members.iter().filter_map(|member| member.record.memory.as_ref().map(field)))
    };
    let groups = by_launch(&members);
    let together = together(guests, &groups);
    let figure = |field: fn(&Figures) -> Option<f64>| together.as_ref().ok().and_then(field);
    Some(DensityRecord {
        guests,
        finished,
        failed: launches.len() as u32 - finished,
        started_ns: spread(members.iter().filter_map(|member| member.record.started_ns)),
        first_mark_ns: spread(members.iter().filter_map(|member| member.record.first_mark_ns)),
        guest_rss_bytes: memory(|memory| memory.guest_rss_bytes),
        overhead_pss_bytes: memory(|memory| memory.overhead_pss_bytes),
        total_pss_bytes: groups.iter().filter_map(|group| total_pss(group)).max(),
        overlap: least(groups.iter().filter_map(|group| at_once::overlap(&callers(group))))
            .map(|value| rounded(value, 4)),
        round_trips_at_once: figure(|figures| Some(rounded(figures.round_trips, 1))),
        round_trips_per_second: figure(|figures| Some(rounded(figures.throughput, 1))),
        fairness: figure(|figures| figures.fairness).map(|value| rounded(value, 4)),
        fastest_to_slowest: figure(|figures| figures.fastest_to_slowest).map(|value| rounded(value, 3)),
        not_at_once: together.err(),
        lie_evenly: members.iter().filter_map(|member| member.part).any(lies_evenly),
        busy_cpus: mean(groups.iter().filter_map(|group| busy_cpus(group))).map(|value| rounded(value, 3)),
        steal: steal(&members).map(|value| rounded(value, 4)),
    })
}

/// A guest with what the aggregate needs of it.
struct Member<'a> {
    record: ProcessRecord,
    /// Between its marks, if it came to both.
    part: Option<&'a Part>,
}

/// The measured part of a guest that had a process of its own and still has its samples, on the clock of all.
pub(crate) fn part(case: &Case, launch: &Launch) -> Option<Part> {
    let (process, run) = (launch.process.as_ref()?, launch.result.as_ref().ok()?);
    let span = Span::new(process.guest.times.began_at_ns?, run.measured_ns?)?;
    Some(Part { span, stretches: stretches(case, run, span) })
}

/// The round trips of each thread of a guest that measured in this span. Those of a thread that had a part of its own lie there.
fn stretches(case: &Case, run: &GuestRun, span: Span) -> Vec<Stretch> {
    let threads = u64::from(case.parameters.measuring_threads().max(1));
    let channels = case.parameters.workload.channels();
    let durations: Vec<u64> =
        run.samples.chunks_exact(channels.len()).map(|row| duration(channels, row)).collect();
    let of_each = run.round_trips / threads;
    let is_whole = durations.len() as u64 == run.round_trips && of_each * threads == run.round_trips;
    let stretch = |thread: u64| {
        let first = (thread * of_each) as usize;
        let timed = durations.get(first..first + of_each as usize).filter(|_| is_whole);
        let round_trips = timed.map_or(RoundTrips::Even(of_each), RoundTrips::timed);
        Stretch { span: thread_span(run, thread as usize, span), round_trips }
    };
    (0..threads).map(stretch).collect()
}

/// How long a round trip took by its samples. Where no channel is all of it, they follow one another.
fn duration(channels: &[&str], row: &[u64]) -> u64 {
    let mut ticks = row.iter().map(|sample| sample & !SAMPLE_DISTURBED);
    match channels.iter().position(|channel| *channel == "round_trip") {
        Some(index) => ticks.nth(index).unwrap_or(0),
        None => ticks.fold(0, u64::saturating_add),
    }
}

/// The part of a thread in its guest's span, by the guest's time-stamp counter; the whole span where nobody tells.
fn thread_span(run: &GuestRun, thread: usize, span: Span) -> Span {
    let own = || {
        let parts = run.cpus.iter().filter(|cpu| cpu.part_ended_tsc != 0);
        let first_tsc = parts.map(|cpu| cpu.part_began_tsc).min()?;
        let cpu = run.cpus.get(thread).filter(|cpu| cpu.part_ended_tsc != 0)?;
        let ns = |tsc: u64| {
            let ticks = u128::from(tsc.checked_sub(first_tsc)?);
            let ns = ticks * u128::from(span.length_ns()) / u128::from(run.measured_ticks.max(1));
            u64::try_from(ns).ok().filter(|ns| *ns <= span.length_ns())
        };
        let (began, ended) = (ns(cpu.part_began_tsc)?, ns(cpu.part_ended_tsc)?);
        Span::new(span.begin_ns + began, ended.checked_sub(began)?)
    };
    own().unwrap_or(span)
}

fn lies_evenly(part: &Part) -> bool {
    part.stretches.iter().any(|stretch| matches!(stretch.round_trips, RoundTrips::Even(_)))
}

fn by_launch<'m, 'a>(members: &'m [Member<'a>]) -> Vec<Vec<&'m Member<'a>>> {
    let launches = members.iter().map(|member| member.record.launch + 1).max().unwrap_or(0);
    (0..launches)
        .map(|launch| members.iter().filter(|member| member.record.launch == launch).collect())
        .collect()
}

fn total_pss(group: &[&Member]) -> Option<u64> {
    let memory = group.iter().map(|member| member.record.memory);
    let total = |memory: MemoryFigures| memory.guest_pss_bytes + memory.overhead_pss_bytes;
    memory.flatten().map(total).reduce(|sum, one| sum + one)
}

/// The measured part of each, and until when it called.
fn callers(group: &[&Member]) -> Vec<Caller> {
    let caller = |member: &&Member| {
        let span = member.part?.span;
        let called_until_ns = member.record.called_until_ns.unwrap_or(0).max(span.end_ns);
        Some(Caller { span, called_until_ns })
    };
    group.iter().filter_map(caller).collect()
}

fn spans(group: &[&Member]) -> Vec<Span> {
    group.iter().filter_map(|member| member.part.map(|part| part.span)).collect()
}

/// What all guests did while all of them measured.
struct Figures {
    round_trips: f64,
    throughput: f64,
    fairness: Option<f64>,
    fastest_to_slowest: Option<f64>,
}

/// Over all launches: one without such a time leaves no figure, else the others would be chosen by their luck.
fn together(guests: u32, groups: &[Vec<&Member>]) -> Result<Figures, NotAtOnce> {
    let of_launch = |group: &Vec<&Member>| {
        let parts: Vec<Part> = group.iter().filter_map(|member| member.part.cloned()).collect();
        at_once(guests, &parts)
    };
    let launches: Vec<AtOnce> = groups.iter().map(of_launch).collect::<Result<_, _>>()?;
    let done = |all: &AtOnce| all.done.iter().sum::<f64>();
    let rate = |all: &AtOnce| done(all) * 1e9 / all.window.length_ns() as f64;
    Ok(Figures {
        round_trips: launches.iter().map(done).sum(),
        throughput: mean(launches.iter().map(rate)).ok_or(NotAtOnce::NotAll)?,
        fairness: least(launches.iter().filter_map(|all| jain(&all.done))),
        fastest_to_slowest: launches.iter().map(|all| fastest_to_slowest(&all.done)).max_by(most).flatten(),
    })
}

/// `None`, which is more than any number, where the slowest did nothing.
fn fastest_to_slowest(done: &[f64]) -> Option<f64> {
    let slowest = least(done.iter().copied()).filter(|slowest| *slowest > 0.0)?;
    done.iter().copied().max_by(f64::total_cmp).map(|fastest| fastest / slowest)
}

fn most(one: &Option<f64>, other: &Option<f64>) -> std::cmp::Ordering {
    one.unwrap_or(f64::INFINITY).total_cmp(&other.unwrap_or(f64::INFINITY))
}

fn busy_cpus(group: &[&Member]) -> Option<f64> {
    let spans = spans(group);
    let first = spans.iter().map(|span| span.begin_ns).min()?;
    let last = spans.iter().map(|span| span.end_ns).max()?;
    let cpu = group.iter().filter_map(|member| member.record.measured_cpu_ns).fold(0, u64::saturating_add);
    Some(cpu as f64 / (last - first) as f64)
}

fn least(values: impl Iterator<Item = f64>) -> Option<f64> {
    values.min_by(f64::total_cmp)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Jain's fairness index (Jain, Chiu and Hawe, DEC-TR-301, 1984): (Σx)² / (n Σx²).
pub fn jain(shares: &[f64]) -> Option<f64> {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|share| share * share).sum();
    (squares > 0.0).then(|| sum * sum / (shares.len() as f64 * squares))
}

fn steal(members: &[Member]) -> Option<f64> {
    let known: Vec<(u64, u64)> = members
        .iter()
        .filter_map(|member| member.record.measured_cpu_ns.zip(member.record.run_delay_ns))
        .collect();
    let (cpu, delay) = known.iter().fold((0, 0), |(cpu, delay), one| (cpu + one.0, delay + one.1));
    (cpu + delay > 0).then(|| delay as f64 / (cpu + delay) as f64)
}

fn spread(values: impl Iterator<Item = u64>) -> Option<Spread> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let max = *values.last()?;
    Some(Spread { median: crate::statistics::summary::quantile(&values, 50), max })
}

#[cfg(test)]
#[path = "density_tests.rs"]
mod tests;
