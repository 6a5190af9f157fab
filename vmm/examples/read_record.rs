//! Reads the record of a run, finished or not, of this version or an older one: `read_record FOLDER`.

use std::env;
use std::error::Error;
use std::path::Path;

use inkbed::record::store::read_record;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = env::args().nth(1).ok_or("give the folder of a run")?;
    let run = read_record(Path::new(&folder))?;
    println!("{}: {}", run.experiment.name, run.experiment.question);
    for case in &run.cases {
        let loads = case.per_round_trip("page_table_loads").map_or("?".to_owned(), |loads| loads.to_string());
        println!("{}: {loads} page-table loads a round trip", case.name);
        for (channel, record) in case.ticks.iter().filter(|_| case.timing.is_time()) {
            println!("    {channel}: {} ticks", record.summary.median);
        }
    }
    Ok(())
}
