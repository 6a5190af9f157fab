//! What small spaces save, and what the kernel.

use crate::case::keys;
use crate::case::parameter::{Gate, Transfer};
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::format;
use crate::report::html::bars::{Bar, Bars, Group};
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::pick;
use crate::system::placement::Placement;
use crate::workload::{Alternate, Call, Relay, Touch, Workload};

pub(super) const FIGURE: Definition =
    Definition { name: "schemes", question: "What do small spaces save, and what does the kernel?", draw };

const SCHEMES: [(Placement, &str); 3] =
    [(Placement::Large, "own space"), (Placement::Small, "small space"), (Placement::Kernel, "kernel")];

/// What is compared: whose round trips they are.
static ROUND_TRIPS: [(&'static dyn Workload, &str); 4] =
    [(&Call, "call"), (&Relay, "by a relay"), (&Alternate, "two clients"), (&Touch, "with pages touched")];

/// Its name and its number of a case.
type Count = (&'static str, fn(&CaseRecord) -> Option<f64>);

const COUNTS: [Count; 3] = [
    ("page tables loaded", pick::loads),
    ("instructions of kernel and stubs", |case| {
        Some(pick::steady_trace(case)?.counts.path_instructions as f64)
    }),
    ("page walks on a model", |case| {
        // A model with tags shows what is left when loads flush nothing; the last one is the newest.
        Some(case.tlb_models.last()?.steady.as_ref()?.total().walks as f64)
    }),
];

/// The case of a scheme, with nothing unusual.
fn case<'a>(
    run: &'a RunRecord,
    workload: &'static dyn Workload,
    scheme: Placement,
) -> Option<&'a CaseRecord> {
    let is_plain = |case: &&CaseRecord| {
        let parameters = &case.parameters;
        parameters.client == Placement::Large
            && parameters.server == Some(scheme)
            && parameters.relay.is_none_or(|relay| relay == scheme)
            && parameters.other_client.is_none_or(|other| other == Placement::Large)
            && parameters.transfer == Transfer::Switch
            && parameters.gate.is_none_or(|gate| gate == Gate::Int)
            && parameters.number(&keys::WORDS).unwrap_or(0) == 0
            && !parameters.pcid
    };
    pick::cases(run, workload).find(is_plain)
}

fn draw(run: &RunRecord) -> Option<Figure> {
    let panel = |(name, of): &Count| {
        let groups: Vec<Group> = ROUND_TRIPS
            .iter()
            .map(|(workload, heading)| {
                let bar = |(scheme, label): &(Placement, &str)| {
                    let case = case(run, *workload, *scheme)?;
                    Some(Bar::whole(*label, pick::placement_ink(*scheme), of(case)?, ""))
                };
                Group { heading: (*heading).to_owned(), bars: SCHEMES.iter().filter_map(bar).collect() }
            })
            .filter(|group| group.bars.len() > 1)
            .collect();
        (!groups.is_empty()).then(|| ((*name).to_owned(), Bars { groups, ..Bars::default() }))
    };
    let panels: Vec<(String, Bars)> = COUNTS.iter().filter_map(panel).collect();
    let of = |scheme, count: usize| COUNTS[count].1(case(run, &Call, scheme)?).map(format::count);
    let call = |scheme| {
        let loads = COUNTS[0].1(case(run, &Call, scheme)?)?;
        Some(format!("{} and takes {} instructions", pick::page_tables(loads), of(scheme, 1)?))
    };
    let claim = format!(
        "A call into a small space loads {}; into the kernel {}; into a space of its own {}",
        call(Placement::Small)?,
        call(Placement::Kernel)?,
        call(Placement::Large)?
    );
    let model = run.cases.iter().find_map(|case| Some(case.tlb_models.last()?.model.clone()));
    let note = model.map(|model| {
        format!("The same large 32-bit client calls in all schemes. Walks are those of a model of {model}.")
    });
    let panels = panels.into_iter().map(|(name, bars)| (name, Box::new(bars) as Box<dyn Plot>)).collect();
    Some(Figure { claim, notes: note.into_iter().collect(), plot: Box::new(Panels { panels, columns: 3 }) })
}
