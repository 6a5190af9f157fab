//! Where figures come from.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use abi::address::{SMALL_SIZE, SMALL_SLOT_SIZES};
use inkbed::record::store::read_record;
use serde_json::Value;

/// Bytes of a MiB.
const MIB: u64 = 1 << 20;

/// The runs of `ipc`.
pub const IPC: [&str; 3] = ["ipc-kvm-pvm", "ipc-kvm-intel-in-bochs", "ipc-kvm-amd-in-qemu"];

/// The runs of `schemes` that have small spaces.
pub const SCHEMES: [&str; 2] = ["schemes-kvm-intel-in-bochs", "schemes-kvm-amd-in-qemu"];

pub fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub fn read(path: &str) -> String {
    fs::read_to_string(workspace().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The committed runs, each read once, and the path-length reference.
#[derive(Default)]
pub struct Sources {
    runs: BTreeMap<String, Value>,
}

impl Sources {
    fn case(&mut self, run: &str, case: &str) -> &Value {
        let record = self.runs.entry(run.to_owned()).or_insert_with(|| {
            let folder = workspace().join("results").join(run);
            serde_json::to_value(read_record(&folder).unwrap_or_else(|error| panic!("{run}: {error}")))
                .unwrap()
        });
        let mut cases = record["cases"].as_array().unwrap().iter();
        cases.find(|found| found["name"] == case).unwrap_or_else(|| panic!("{run} has no case {case}"))
    }

    /// A figure that is the same in all these runs.
    pub fn in_all(&mut self, runs: &[&str], case: &str, figure: impl Fn(&Value) -> Option<u64>) -> u64 {
        let mut figures = runs.iter().map(|run| {
            let found = figure(self.case(run, case));
            found.unwrap_or_else(|| panic!("{run}: {case} has no such whole figure"))
        });
        let first = figures.next().unwrap();
        assert!(figures.all(|other| other == first), "{runs:?} differ in {case}");
        first
    }

    /// A counter per round trip.
    pub fn count(&mut self, runs: &[&str], case: &str, counter: &str) -> u64 {
        self.in_all(runs, case, |case| {
            let count = case["counters"][counter]["per_round_trip"].as_f64()?;
            (count.fract() == 0.0).then_some(count as u64)
        })
    }

    pub fn loads(&mut self, runs: &[&str], case: &str) -> u64 {
        self.count(runs, case, "page_table_loads")
    }

    /// Instructions of a traced round trip: `path_instructions` or `instructions`.
    pub fn traced(&mut self, runs: &[&str], case: &str, which: &str) -> u64 {
        self.in_all(runs, case, |case| case["lenses"]["trace"]["readings"][0]["counts"][which].as_u64())
    }

    /// Misses of the first level of the modelled Pentium.
    pub fn pentium_misses(&mut self, runs: &[&str], case: &str) -> u64 {
        self.in_all(runs, case, |case| {
            let mut models = case["tlb_models"].as_array()?.iter();
            let model = models.find(|model| model["model"] == "Pentium P54C")?;
            let parts = ["/user/instruction", "/user/data", "/kernel/instruction", "/kernel/data"];
            let misses = |part: &str| model["steady"].pointer(part)?["first_level_misses"].as_u64();
            parts.into_iter().map(misses).sum()
        })
    }

    /// The median of the first channel.
    pub fn median(&mut self, run: &str, case: &str) -> u64 {
        self.in_all(&[run], case, |case| case["ticks"][0]["median"].as_u64())
    }
}

/// Instructions of kernel and stubs by the path-length reference.
pub fn path(case: &str) -> u64 {
    let reference: Value = serde_json::from_str(&read("results/path-length/path-length.json")).unwrap();
    reference["cases"][case]["path_instructions"].as_u64().unwrap_or_else(|| panic!("no case {case}"))
}

/// A number that a file of the project states in this text.
pub fn stated(number: u64, file: &str, text: &str) -> u64 {
    assert!(text.replace('_', "").contains(&number.to_string()), "`{text}` does not state {number}");
    assert!(read(file).contains(text), "{file} does not say `{text}`");
    number
}

/// How many small spaces of the smallest size there can be, that size in MiB, and the same of the largest size.
pub fn small_slots() -> [u64; 4] {
    let [smallest, .., largest] = SMALL_SLOT_SIZES;
    [SMALL_SIZE / smallest, smallest / MIB, SMALL_SIZE / largest, largest / MIB]
}

impl Sources {
    /// Instructions of kernel and stubs of a large client's call to a server in this placement.
    pub fn path_to(&mut self, server: &str) -> u64 {
        self.traced(&SCHEMES, &format!("call/large-{server}/words=0/pcid=off"), "path_instructions")
    }

    /// Misses of the modelled Pentium where a large client and a server in this placement touch 32 pages each.
    pub fn misses_with(&mut self, server: &str) -> u64 {
        self.pentium_misses(&SCHEMES, &format!("touch/large-{server}/pages=32/pcid=off"))
    }

    /// Pages of the smallest server that change on each way.
    pub fn remapped(&mut self, run: &str, client: &str) -> u64 {
        let case = format!("migrate/{client}/pages=0/partners=0/one-by-one/pcid=off");
        self.count(&[run], &case, "pages_remapped") / 2
    }
}
