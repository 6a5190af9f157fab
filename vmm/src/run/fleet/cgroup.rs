//! Quotas of CPU time: one control group of version 2 for each guest (Documentation/admin-guide/cgroup-v2.rst).
//!
//! They lie below this process's own group, in `inkbed-PID`, and go away with the guests. What a killed run has left behind
//! goes when the next one starts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::record::density::CgroupUse;
use crate::record::quota::{Quota, Quotas};

/// Period of `cpu.max`, µs: the kernel's usual one.
const PERIOD_US: f64 = 100_000.0;

/// Beginning of the names of this program's groups.
const PREFIX: &str = "inkbed-";

/// Why quotas cannot be had here.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// No control groups of version 2.
    #[error(
        "quotas need control groups of version 2, and none are mounted here: boot with \
         systemd.unified_cgroup_hierarchy=1, or remove the table [guests]"
    )]
    NoVersion2,
    /// The controller of CPU time is not there.
    #[error(
        "quotas need the cpu controller of control groups, and {} offers {offered}: {}, or remove the table [guests]",
        group.display(),
        if *is_version_1 {
            "this system has it in control groups of version 1 (boot with systemd.unified_cgroup_hierarchy=1)"
        } else {
            "have it delegated (systemd-run --user --scope -p Delegate=yes inkbed run …)"
        }
    )]
    NoController {
        /// The group of this process.
        group: PathBuf,
        /// What it has.
        offered: String,
        /// Whether version 1 has the controller.
        is_version_1: bool,
    },
    /// The system refused.
    #[error(
        "cannot {action} {}: {source}; quotas need a control group of one's own \
         (systemd-run --user --scope -p Delegate=yes inkbed run …), or root, or no table [guests]",
        path.display()
    )]
    Refused {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// The groups of all guests.
#[derive(Debug)]
pub(super) struct Cgroups {
    /// Of this process, before it may have been moved.
    home: PathBuf,
    /// The parent of the guests' groups.
    parent: PathBuf,
    /// Where this process was moved, because a group with groups below may have no processes.
    own: Option<PathBuf>,
    quotas: Quotas,
    guests: u32,
}

impl Cgroups {
    /// Makes a group with its quota for each guest.
    pub(super) fn create(quotas: &Quotas, guests: u32) -> Result<Cgroups, QuotaError> {
        let (home, is_version_1) = find_home(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup"))
            .ok_or(QuotaError::NoVersion2)?;
        remove_stale(&home);
        require_controller(&home, is_version_1)?;
        let parent = home.join(format!("{PREFIX}{}", std::process::id()));
        fs::create_dir(&parent).map_err(refused("make the control group", &parent))?;
        let mut cgroups = Cgroups { home, parent, own: None, quotas: quotas.clone(), guests };
        cgroups.delegate()?;
        for guest in 0..guests {
            let group = cgroups.group(guest);
            fs::create_dir(&group).map_err(refused("make the control group", &group))?;
            for (file, value) in settings(quotas.of(guest)) {
                write(&group.join(file), &value)?;
            }
        }
        Ok(cgroups)
    }

    /// Puts a process into the group of a guest.
    pub(super) fn enter(&self, guest: u32, process: u32) -> io::Result<()> {
        fs::write(self.group(guest).join("cgroup.procs"), process.to_string())
    }

    /// What a guest's group has counted.
    pub(super) fn used(&self, guest: u32) -> Option<CgroupUse> {
        let stat = fs::read_to_string(self.group(guest).join("cpu.stat")).ok()?;
        Some(CgroupUse { quota: self.quotas.of(guest), ..parse_stat(&stat) })
    }

    fn group(&self, guest: u32) -> PathBuf {
        self.parent.join(format!("guest-{guest}"))
    }

    /// Lets the groups below have the cpu controller.
    fn delegate(&mut self) -> Result<(), QuotaError> {
        let control = self.home.join("cgroup.subtree_control");
        let has_it = read(&control).split_ascii_whitespace().any(|name| name == "cpu");
        if !has_it && fs::write(&control, "+cpu").is_err() {
            // Only the root may have both processes and groups with controllers below: this process steps aside.
            let own = self.home.join(format!("{PREFIX}{}-self", std::process::id()));
            fs::create_dir(&own).map_err(refused("make the control group", &own))?;
            self.own = Some(own.clone());
            write(&own.join("cgroup.procs"), &std::process::id().to_string())?;
            write(&control, "+cpu")?;
        }
        write(&self.parent.join("cgroup.subtree_control"), "+cpu")
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        // A group is busy for as long as a process is in it; all guests have been waited for. What stays in spite of that
        // is removed when the next run begins.
        for guest in 0..self.guests {
            let _ = fs::remove_dir(self.group(guest));
        }
        let _ = fs::remove_dir(&self.parent);
        if let Some(own) = &self.own {
            let _ = fs::write(self.home.join("cgroup.subtree_control"), "-cpu");
            let _ = fs::write(self.home.join("cgroup.procs"), std::process::id().to_string());
            let _ = fs::remove_dir(own);
        }
    }
}

/// Whether quotas could be had here, without making anything; else why not.
pub fn available() -> Result<(), QuotaError> {
    let (home, is_version_1) =
        find_home(&read("/proc/self/mountinfo"), &read("/proc/self/cgroup")).ok_or(QuotaError::NoVersion2)?;
    require_controller(&home, is_version_1)?;
    let path = home.join("cgroup.subtree_control");
    fs::OpenOptions::new().write(true).open(&path).map_err(refused("write", &path))?;
    Ok(())
}

/// The folder of this process's group of version 2, and whether version 1 has the cpu controller.
fn find_home(mountinfo: &str, cgroup: &str) -> Option<(PathBuf, bool)> {
    let own = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    let is_version_1 = cgroup.lines().any(|line| {
        line.split(':').nth(1).is_some_and(|controllers| controllers.split(',').any(|name| name == "cpu"))
    });
    // 36 35 98:0 /root /mount/point options - type source super-options (proc_pid_mountinfo(5)).
    let mount = mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let mut fields = before.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        (after.split(' ').next()? == "cgroup2").then_some((root, point))
    })?;
    // In a container the mount may begin below the root of all groups.
    let below = own.strip_prefix(mount.0).unwrap_or(own);
    Some((Path::new(mount.1).join(below.trim_start_matches('/')), is_version_1))
}

fn require_controller(home: &Path, is_version_1: bool) -> Result<(), QuotaError> {
    let offered = read(home.join("cgroup.controllers"));
    if offered.split_ascii_whitespace().any(|name| name == "cpu") {
        return Ok(());
    }
    let offered = offered.trim();
    let offered = if offered.is_empty() { "none".to_owned() } else { format!("only {offered}") };
    Err(QuotaError::NoController { group: home.to_owned(), offered, is_version_1 })
}

/// Removes the groups of runs that are no more.
fn remove_stale(home: &Path) {
    for entry in fs::read_dir(home).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let process = process.trim_end_matches("-self");
        if process.parse::<u32>().is_err() || Path::new("/proc").join(process).exists() {
            continue;
        }
        for below in fs::read_dir(entry.path()).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(below.path());
        }
        let _ = fs::remove_dir(entry.path());
    }
}

/// File and value for each limit that a quota sets.
fn settings(quota: Quota) -> Vec<(&'static str, String)> {
    let cpus = quota.cpus.map(|cpus| ("cpu.max", format!("{:.0} {PERIOD_US:.0}", cpus * PERIOD_US)));
    let weight = quota.weight.map(|weight| ("cpu.weight", weight.to_string()));
    cpus.into_iter().chain(weight).collect()
}

fn parse_stat(stat: &str) -> CgroupUse {
    let number = |name: &str| {
        let line = stat.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    CgroupUse {
        quota: Quota::default(),
        usage_us: number("usage_usec"),
        throttled_periods: number("nr_throttled"),
        throttled_us: number("throttled_usec"),
    }
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn write(path: &Path, value: &str) -> Result<(), QuotaError> {
    fs::write(path, value).map_err(refused("write", path))
}

fn refused(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> QuotaError {
    let path = path.to_owned();
    move |source| QuotaError::Refused { action, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
25 30 0:23 / /sys rw,relatime shared:7 - sysfs sysfs rw
33 25 0:29 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate
";

    #[test]
    fn the_own_group_is_found_below_its_mount() {
        let home = find_home(MOUNTS, "0::/user.slice/a.scope\n").unwrap();
        assert_eq!(home, (PathBuf::from("/sys/fs/cgroup/user.slice/a.scope"), false));
        let mounts = MOUNTS.replace("0:29 / ", "0:29 /box ");
        assert_eq!(find_home(&mounts, "0::/box/x\n").unwrap().0, PathBuf::from("/sys/fs/cgroup/x"));
        let hybrid = "4:cpu,cpuacct:/\n0::/\n";
        assert_eq!(find_home(MOUNTS, hybrid).unwrap(), (PathBuf::from("/sys/fs/cgroup"), true));
        assert_eq!(find_home("", "0::/\n"), None);
        assert_eq!(find_home(MOUNTS, "4:cpu:/\n"), None);
    }

    #[test]
    fn a_missing_controller_is_named_with_the_fix() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("cgroup.controllers"), "hugetlb\n").unwrap();
        let error = require_controller(folder.path(), true).unwrap_err().to_string();
        assert!(error.contains("only hugetlb") && error.contains("version 1"), "{error}");
        let error = require_controller(folder.path(), false).unwrap_err().to_string();
        assert!(error.contains("Delegate=yes"), "{error}");
        fs::write(folder.path().join("cgroup.controllers"), "cpuset cpu io\n").unwrap();
        assert!(require_controller(folder.path(), false).is_ok());
    }

    #[test]
    fn quotas_become_the_kernels_settings() {
        let settings = settings(Quota { cpus: Some(0.5), weight: Some(20) });
        assert_eq!(settings, [("cpu.max", "50000 100000".to_owned()), ("cpu.weight", "20".to_owned())]);
        assert!(super::settings(Quota::default()).is_empty());
    }

    #[test]
    fn statistics_are_read_by_name() {
        let stat = "usage_usec 12\nuser_usec 2\nnr_periods 5\nnr_throttled 3\nthrottled_usec 400\n";
        let used = parse_stat(stat);
        assert_eq!((used.usage_us, used.throttled_periods, used.throttled_us), (12, 3, 400));
    }

    #[test]
    fn only_groups_of_the_dead_are_removed() {
        let home = tempfile::tempdir().unwrap();
        let make = |name: &str| fs::create_dir_all(home.path().join(name)).unwrap();
        // No process has this number: Linux gives none above 2^22.
        make("inkbed-4194999/guest-0");
        make("inkbed-4194999-self");
        make(&format!("inkbed-{}/guest-0", std::process::id()));
        make("inkbed-mine");
        remove_stale(home.path());
        let mut left: Vec<String> = fs::read_dir(home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, [format!("inkbed-{}", std::process::id()), "inkbed-mine".to_owned()]);
    }
}
