//! Replays of recordings: the kernel loads as many page tables as the recording's prediction says.

use std::path::Path;

use inkbed::case::Case;
use inkbed::experiment::check::Limits;
use inkbed::experiment::expand::expand;
use inkbed::experiment::file::ExperimentFile;
use inkbed::experiment::overrides::Overrides;
use inkbed::guest_image::GuestImage;
use inkbed::machine::guest::Pin;
use inkbed::requests::kept;
use inkbed::workload::guest::guest_config;

use crate::harness::{boot, counted};

const ROUND_TRIPS: u64 = 1;

fn cases(recording: &str) -> Vec<Case> {
    let text = format!(
        "name = \"x\"\nquestion = \"Why?\"\n[[case]]\nworkload = \"replay\"\nrecording = \"{recording}\"\n\
         in_kernel = [0, 1, 3, 14]\nsamples = {ROUND_TRIPS}\nwarm_up = 1\npcid = \"off\"\n"
    );
    let file = ExperimentFile::parse(Path::new("x.toml"), text).unwrap();
    expand(&file, &Overrides::default(), &Limits::any_host()).unwrap().cases
}

/// Eight processes that take turns, and one alone.
#[test]
fn a_replay_loads_as_many_page_tables_as_predicted() {
    for recording in ["shell-pipeline", "git-status"] {
        let replay = kept::replay(recording).unwrap();
        for (case, servers) in cases(recording).iter().zip([0, 1, 3, 14]) {
            let config = guest_config(&case.parameters, &GuestImage::embedded(), &Pin::None).unwrap();
            let Some(run) = boot(&config) else { return };
            let counted = counted(&run);
            let per_replay = replay.loads(replay.first(servers));
            assert_eq!(
                counted.page_table_loads,
                per_replay * ROUND_TRIPS,
                "{recording}, {servers} in the kernel"
            );
            let messages = replay.sequence.messages();
            assert!(counted.ipc_fast + counted.ipc_slow >= messages * ROUND_TRIPS, "{recording}: {messages}");
        }
    }
}
