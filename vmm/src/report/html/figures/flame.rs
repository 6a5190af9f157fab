//! Which functions the instructions of a call are in.

use crate::case::keys;
use crate::case::parameter::Transfer;
use crate::record::run::{CaseRecord, RunRecord};
use crate::report::format;
use crate::report::html::bars::count;
use crate::report::html::figure::{Definition, Figure, Panels, Plot};
use crate::report::html::flame::Flame;
use crate::report::html::pick;
use crate::system::placement::Placement;
use crate::workload::Call;

pub(super) const FIGURE: Definition =
    Definition { name: "flame", question: "Which functions are the instructions of a call in?", draw };

/// The servers whose calls stand below each other, from a client in user space.
const SERVERS: [Placement; 2] = [Placement::User, Placement::Kernel];

fn draw(run: &RunRecord) -> Option<Figure> {
    let flames: Vec<(String, Flame)> =
        SERVERS.into_iter().filter_map(|server| flame(plain_call(run, server)?)).collect();
    let widest = flames.iter().map(|(_, flame)| flame.whole()).max()?;
    let claim = claim(&flames)?;
    let panel = |(placements, flame): (String, Flame)| {
        let heading = format!("{placements}: {} instructions", count(flame.whole() as f64));
        (heading, Box::new(flame.with_scale(widest)) as Box<dyn Plot>)
    };
    let panels = Panels { panels: flames.into_iter().map(panel).collect(), columns: 1 };
    Some(Figure {
        claim,
        notes: vec![
            "One round trip without a message, programs included, by the trace. All have one scale."
                .to_owned(),
        ],
        plot: Box::new(panels),
    })
}

/// The call without a message into a space of the server's own, or into the kernel, by the plainest way.
fn plain_call(run: &RunRecord, server: Placement) -> Option<&CaseRecord> {
    pick::cases(run, &Call).find(|case| {
        let parameters = &case.parameters;
        parameters.client == Placement::User
            && parameters.server == Some(server)
            && parameters.number(&keys::WORDS) == Some(0)
            && parameters.transfer == Transfer::Switch
            && !parameters.same_space
            && !parameters.pcid
            && !parameters.has_32_bit()
    })
}

fn flame(case: &CaseRecord) -> Option<(String, Flame)> {
    let flame = Flame::new(&pick::steady_trace(case)?.stacks);
    (flame.whole() > 0).then(|| (format::placements(&case.parameters), flame))
}

/// What the first one takes, and in which function of the kernel most of it is: the client is the measuring program.
fn claim(flames: &[(String, Flame)]) -> Option<String> {
    let (placements, flame) = flames.first()?;
    let in_ring_0 = flame.within("ring 0");
    let (function, most) = in_ring_0.largest_function()?;
    let [all, ring_0, most] = [flame.whole(), in_ring_0.whole(), most].map(|number| count(number as f64));
    Some(format!(
        "Of the {all} instructions of a call {placements}, {ring_0} are in ring 0, {most} of those in {function}"
    ))
}
