//! Kinds of cores: a hybrid processor has several, and Linux has a PMU for each of them.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::machine::pin;

/// One kind of core.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CoreKind {
    /// The name of its PMU: `cpu_core`, `cpu_atom` or `cpu_lowpower`.
    pub name: &'static str,
    /// The number of its PMU, the type of its events.
    pub perf_type: u32,
    /// The host CPUs that are such cores.
    pub cpus: Vec<usize>,
}

/// Names that Linux gives them (arch/x86/events/intel/core.c, `intel_hybrid_pmu_type_map`).
const NAMES: [&str; 3] = ["cpu_core", "cpu_atom", "cpu_lowpower"];

/// Where Linux shows its PMUs.
const DEVICES: &str = "/sys/bus/event_source/devices";

/// Why a thread that may run on several kinds of cores is not counted.
pub(crate) const PIN_REMEDY: &str =
    "pin the vCPUs to CPUs of one kind (--pin; see /sys/devices/cpu_core/cpus)";

/// The kinds of cores of this host; none where all cores are alike.
pub fn probe() -> Vec<CoreKind> {
    read(Path::new(DEVICES))
}

fn read(devices: &Path) -> Vec<CoreKind> {
    let kind = |name: &'static str| {
        let text = |file: &str| fs::read_to_string(devices.join(name).join(file)).ok();
        let perf_type = text("type")?.trim().parse().ok()?;
        let cpus = pin::parse_list(text("cpus")?.trim())?;
        Some(CoreKind { name, perf_type, cpus })
    };
    NAMES.into_iter().filter_map(kind).collect()
}

/// The kind of core that a thread with these CPUs runs on: `Ok(None)` where all cores are alike, an error where it may run on
/// several kinds.
pub fn kind_of<'a>(kinds: &'a [CoreKind], cpus: &[usize]) -> Result<Option<&'a CoreKind>, String> {
    if kinds.is_empty() {
        return Ok(None);
    }
    let holds_all = |kind: &&CoreKind| cpus.iter().all(|cpu| kind.cpus.contains(cpu));
    match kinds.iter().find(holds_all) {
        Some(kind) if !cpus.is_empty() => Ok(Some(kind)),
        _ => Err(format!(
            "the vCPU threads may run on several kinds of cores ({}), whose counters are not the same",
            names(kinds)
        )),
    }
}

/// The names of the kinds, for people.
pub fn names(kinds: &[CoreKind]) -> String {
    kinds.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder like that of Linux, with these PMUs.
    fn devices(pmus: &[(&str, &str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, perf_type, cpus) in pmus {
            let pmu = folder.path().join(name);
            fs::create_dir(&pmu).unwrap();
            fs::write(pmu.join("type"), format!("{perf_type}\n")).unwrap();
            if !cpus.is_empty() {
                fs::write(pmu.join("cpus"), format!("{cpus}\n")).unwrap();
            }
        }
        folder
    }

    #[test]
    fn a_hybrid_host_has_a_pmu_for_each_kind_of_core() {
        let folder = devices(&[("cpu_core", "4", "0-3"), ("cpu_atom", "10", "4-7,9"), ("power", "11", "0")]);
        let kinds = read(folder.path());
        let atom = CoreKind { name: "cpu_atom", perf_type: 10, cpus: vec![4, 5, 6, 7, 9] };
        assert_eq!(
            kinds,
            [CoreKind { name: "cpu_core", perf_type: 4, cpus: vec![0, 1, 2, 3] }, atom.clone()]
        );
        assert_eq!(names(&kinds), "cpu_core, cpu_atom");
        assert_eq!(kind_of(&kinds, &[9]), Ok(Some(&atom)));
        assert_eq!(kind_of(&kinds, &[0, 1]).unwrap().map(|kind| kind.perf_type), Some(4));
        for cpus in [&[3, 4][..], &[8], &[]] {
            assert!(kind_of(&kinds, cpus).unwrap_err().contains("cpu_core, cpu_atom"), "{cpus:?}");
        }
    }

    #[test]
    fn others_have_none() {
        assert!(read(devices(&[("cpu", "4", "")]).path()).is_empty());
        assert!(read(devices(&[("cpu_core", "four", "0-3"), ("cpu_atom", "8", "3-0")]).path()).is_empty());
        assert!(read(Path::new("/nowhere")).is_empty());
        assert_eq!(kind_of(&[], &[0, 1, 2]), Ok(None));
    }
}
