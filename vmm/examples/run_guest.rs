//! Runs one guest: 100 calls from a user space to a server in the kernel, and what the kernel counted meanwhile.

use std::error::Error;
use std::path::Path;

use inkbed::experiment::check::Limits;
use inkbed::experiment::file::ExperimentFile;
use inkbed::experiment::overrides::Overrides;
use inkbed::guest_image::GuestImage;
use inkbed::machine::guest::Pin;
use inkbed::machine::{self, StopFlag};
use inkbed::run::plan::Plan;
use inkbed::workload::guest::guest_config;

const EXPERIMENT: &str = r#"
name = "one-call"
question = "How often does a call to a server in the kernel load a page table?"

[[case]]
workload = "call"
client = "user"
server = "kernel"
samples = 100
"#;

fn main() -> Result<(), Box<dyn Error>> {
    let image = GuestImage::embedded();
    let file = ExperimentFile::parse(Path::new("one-call.toml"), EXPERIMENT.to_owned())?;
    let plan = Plan::new(&file, &Overrides::default(), &Limits::any_host())?;
    let config = guest_config(&plan.experiment.cases[0].parameters, &image, &Pin::None)?;
    let run = machine::run(&config, &StopFlag::new()?)?;
    let counted = run.counted();
    println!("{:?} after {} round trips", run.outcome, run.round_trips);
    println!("{} thread switches, {} page-table loads", counted.context_switches, counted.page_table_loads);
    Ok(())
}
