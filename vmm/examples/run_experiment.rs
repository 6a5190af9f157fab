//! Runs an experiment file, as `inkbed run` does, and prints its table: `run_experiment FILE FOLDER`.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::path::Path;

use inkbed::experiment::file::ExperimentFile;
use inkbed::experiment::overrides::Overrides;
use inkbed::guest_image::GuestImage;
use inkbed::machine::StopFlag;
use inkbed::machine::guest::Pin;
use inkbed::record::run::GuestRecord;
use inkbed::record::store::ResultsFolder;
use inkbed::report::{FORMS, table, ticks::Ticks};
use inkbed::run::plan::{Plan, Silent};
use inkbed::run::session::KvmRunner;
use inkbed::run::{fleet, host::Host};

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(code) = fleet::serve_if_asked() {
        std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
    }
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [file, folder] = &arguments[..] else {
        return Err("give a file and a folder for the results".into());
    };
    let (image, pin) = (GuestImage::embedded(), Pin::None);
    let guests = KvmRunner { stop: StopFlag::new()? };
    let file = ExperimentFile::read(Path::new(file))?;
    let host = Host::probe()?;
    let plan = Plan::new(&file, &Overrides::default(), &host.limits(image.programs()))?;
    let results = ResultsFolder::create(Path::new(folder), false, FORMS)?;
    let mut record = plan.record(BTreeMap::new(), host.record(&pin), GuestRecord::of(&image));
    plan.run(&guests, &image, &pin, &results, &mut record, &mut Silent)?;
    println!("{}", table::render(&record, 100, Ticks::Meaningful));
    Ok(())
}
