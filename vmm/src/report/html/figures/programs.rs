//! What servers in the kernel save for real programs.

use crate::record::run::{CaseRecord, RunRecord};
use crate::report::html::bars::{Bar, Bars, Group};
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::pick;
use crate::report::html::theme::Ink;
use crate::requests::mapping::Mapping;
use crate::workload::{IN_KERNEL, Replay, recording};

pub(super) const FIGURE: Definition = Definition {
    name: "programs",
    question: "What would servers in the kernel save for real programs?",
    draw,
};

const COLUMNS: usize = 2;
const UNIT: &str = "page tables loaded per request, by the servers in the kernel";

/// The cases of one program, those with fewer servers in the kernel first.
struct Program<'a> {
    name: String,
    cases: Vec<&'a CaseRecord>,
}

fn in_kernel(case: &CaseRecord) -> u64 {
    case.parameters.number(&IN_KERNEL).unwrap_or(0)
}

fn loads(case: &CaseRecord) -> Option<f64> {
    case.replayed?.page_table_loads_per_request
}

fn saved(case: &CaseRecord) -> Option<f64> {
    case.replayed?.page_table_loads_saved
}

/// The programs in the order of the run. Loads are the same with PCIDs, so each number of servers stands once.
fn programs(run: &RunRecord) -> Vec<Program<'_>> {
    let mut programs: Vec<Program<'_>> = Vec::new();
    for case in pick::cases(run, &Replay).filter(|case| loads(case).is_some()) {
        let name = recording(&case.parameters).map_or("", |one| one.name()).to_owned();
        let known = programs.iter().position(|program| program.name == name);
        let at = known.unwrap_or_else(|| {
            programs.push(Program { name, cases: Vec::new() });
            programs.len() - 1
        });
        let cases = &mut programs[at].cases;
        if cases.iter().all(|known| in_kernel(known) != in_kernel(case)) {
            cases.push(case);
        }
    }
    for program in &mut programs {
        program.cases.sort_by_key(|case| in_kernel(case));
    }
    programs
}

/// Of one program, with the scale of all.
fn bars(program: &Program<'_>, greatest: f64) -> Bars {
    let servers = Mapping::built_in().servers().len() as u64;
    let bar = |case: &&CaseRecord| {
        let count = in_kernel(case);
        let (label, ink) = match count {
            0 => ("none".to_owned(), Ink::User),
            count if count == servers => (format!("all {count}"), Ink::Kernel),
            count => (count.to_string(), Ink::Kernel),
        };
        let remark = match saved(case) {
            Some(saved) if count > 0 => format!("{:.1} % saved", saved * 100.0),
            _ => String::new(),
        };
        let loads = loads(case).unwrap_or(0.0);
        Bar { text: format!("{loads:.2}"), ..Bar::whole(label, ink, loads, remark) }
    };
    let group = Group { heading: String::new(), bars: program.cases.iter().map(bar).collect() };
    Bars { groups: vec![group], shows: greatest, ..Bars::default() }
}

/// The number of servers that the claim speaks of: the greatest that every program has, if possible one that leaves loads over, as
/// all servers together save nearly everything.
fn telling_count(programs: &[Program<'_>]) -> Option<u64> {
    let greatest = |tells: fn(&CaseRecord) -> bool| {
        let has = |program: &Program<'_>, count| {
            program.cases.iter().any(|case| in_kernel(case) == count && saved(case).is_some() && tells(case))
        };
        let counts = programs.first()?.cases.iter().map(|case| in_kernel(case)).filter(|count| *count > 0);
        counts.filter(|count| programs.iter().all(|program| has(program, *count))).max()
    };
    greatest(|case| loads(case).is_some_and(|loads| loads > 0.0)).or_else(|| greatest(|_| true))
}

fn claim(programs: &[Program<'_>]) -> Option<String> {
    let count = telling_count(programs)?;
    let shares = programs.iter().filter_map(|program| {
        let case = program.cases.iter().find(|case| in_kernel(case) == count)?;
        saved(case).map(|share| (share * 100.0).round())
    });
    let shares: Vec<f64> = shares.collect();
    let (least, most) = shares
        .iter()
        .fold((f64::INFINITY, 0f64), |(least, most), share| (least.min(*share), most.max(*share)));
    let servers = if count == 1 { "1 server".to_owned() } else { format!("{count} servers") };
    let share = if least == most { format!("{most} %") } else { format!("{least} % to {most} %") };
    Some(match programs {
        [one] => format!("With {servers} in the kernel, {} saves {share} of its page-table loads", one.name),
        all => format!(
            "With {servers} in the kernel, {} programs save {share} of their page-table loads",
            all.len()
        ),
    })
}

fn draw(run: &RunRecord) -> Option<Figure> {
    let programs = programs(run);
    let claim = claim(&programs)?;
    let all = programs.iter().flat_map(|program| &program.cases);
    let greatest = all.filter_map(|case| loads(case)).fold(0.0, f64::max);
    let last_row = programs.len() - 1 - (programs.len() - 1) % COLUMNS;
    let panel = |(index, program): (usize, &Program<'_>)| {
        let unit = if index >= last_row { UNIT.to_owned() } else { String::new() };
        let bars = Bars { unit, ..bars(program, greatest) };
        (program.name.clone(), Box::new(bars) as Box<dyn Plot>)
    };
    let notes = vec![
        "Bars are page tables that one request loads, a mean over all requests of the recording, by the number of servers in the \
         kernel. The servers that save most move first."
            .to_owned(),
    ];
    let panels = programs.iter().enumerate().map(panel).collect();
    Some(Figure { claim, notes, plot: Box::new(Panels { panels, columns: COLUMNS }) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::Case;
    use crate::case::tests::parameters;
    use crate::case::value::Value;
    use crate::lens::Measured;
    use crate::record::relate::relate;
    use crate::record::run::HostRecord;
    use crate::reduce::tests::{case_of, guest_run, run_record};
    use crate::requests::known;
    use crate::workload::RECORDING;

    /// A run of these programs, each with its loads by the number of servers in the kernel.
    fn run(programs: &[(&str, &[(u32, u64)])]) -> RunRecord {
        let mut run = run_record();
        run.cases.clear();
        for (recording, steps) in programs {
            for (in_kernel, loads) in *steps {
                let parameters = crate::case::Parameters { samples: 1, ..parameters(&Replay) }
                    .with(&RECORDING, Value::Recording(known::recorded(recording).unwrap()))
                    .with(&IN_KERNEL, *in_kernel);
                let case = Case { name: format!("replay/{recording}/{in_kernel}"), parameters };
                let mut launch = guest_run(vec![1_000], 0);
                launch.cpus[0].end.page_table_loads += loads;
                let launch = Measured::from(launch).into();
                run.cases.push(case_of(&case, vec![launch], &HostRecord::default()));
            }
        }
        relate(&mut run);
        run
    }

    #[test]
    fn the_claim_is_of_the_most_servers_that_leave_loads_over() {
        let programs =
            run(&[("git-status", &[(0, 1000), (3, 100), (14, 0)]), ("gcc", &[(14, 0), (3, 290), (0, 1000)])]);
        let figure = draw(&programs).unwrap();
        assert_eq!(
            figure.claim,
            "With 3 servers in the kernel, 2 programs save 71 % to 90 % of their page-table loads"
        );
        let requests = programs.cases[0].replayed.unwrap().requests;
        let data: Vec<String> =
            figure.plot.data().iter().map(|datum| format!("{}: {}", datum.what, datum.value)).collect();
        assert_eq!(data[0], format!("git-status, none: {:.2}", 1000.0 / requests as f64));
        assert_eq!(data[1], format!("git-status, 3: {:.2}  90.0 % saved", 100.0 / requests as f64));
        assert_eq!(data[2], "git-status, all 14: 0.00  100.0 % saved");
        assert_eq!(data.len(), 6);
    }

    #[test]
    fn one_program_is_named_and_one_that_is_compared_with_nothing_has_no_figure() {
        let one = run(&[("git-status", &[(0, 1000), (1, 0)])]);
        let claim = draw(&one).unwrap().claim;
        assert_eq!(claim, "With 1 server in the kernel, git-status saves 100 % of its page-table loads");
        assert!(draw(&run(&[("git-status", &[(1, 10)])])).is_none());
        assert!(draw(&run(&[])).is_none());
    }
}
