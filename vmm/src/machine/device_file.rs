//! Why `/dev/kvm` cannot be opened, and what helps.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::error::MachineError;

/// Where KVM is.
pub(crate) const DEVICE: &str = "/dev/kvm";

/// Refuses what is there under KVM's name and is no device; what is not there shows when it is opened.
pub(crate) fn check(device: &Path) -> Result<(), MachineError> {
    match fs::metadata(device) {
        Ok(metadata) if !metadata.file_type().is_char_device() => {
            let kind = if metadata.is_dir() { "a folder" } else { "an ordinary file" };
            Err(MachineError::KvmNoDevice(kind))
        }
        _ => Ok(()),
    }
}

/// The error for a device that could not be opened.
pub(crate) fn cannot_open(device: &Path, source: io::Error) -> MachineError {
    match source.raw_os_error() {
        Some(libc::ENOENT | libc::ENXIO | libc::ENODEV) => MachineError::KvmMissing(source),
        Some(libc::EACCES | libc::EPERM) => {
            let advice = match fs::metadata(device) {
                Ok(metadata) => advice(&Permissions::of(&metadata)),
                Err(_) => "a folder above it keeps this user out; look at the permissions of /dev".to_owned(),
            };
            MachineError::KvmPermission { advice, source }
        }
        _ => MachineError::KvmOpen(source),
    }
}

/// Who may open the device.
struct Permissions {
    mode: u32,
    group: u32,
    /// Its name in /etc/group.
    group_name: Option<String>,
    /// Whether this process is in that group, or is root.
    is_ours: bool,
}

impl Permissions {
    fn of(metadata: &Metadata) -> Permissions {
        let group = metadata.gid();
        let is_ours = own_ids("Uid:").first() == Some(&0)
            || own_ids("Gid:").into_iter().chain(own_ids("Groups:")).any(|id| id == group);
        Permissions { mode: metadata.mode() & 0o777, group, group_name: group_name(group), is_ours }
    }
}

/// What makes the device's permissions let this user in.
fn advice(permissions: &Permissions) -> String {
    const GROUP_READ_WRITE: u32 = 0o060;
    let may_group = permissions.mode & GROUP_READ_WRITE == GROUP_READ_WRITE;
    let name = permissions.group_name.clone().unwrap_or_else(|| permissions.group.to_string());
    if permissions.is_ours && may_group {
        return "its permissions allow it, so a container or a security module does not: pass --device /dev/kvm to \
                the container, or look into the system's log"
            .to_owned();
    }
    if may_group && permissions.group != 0 {
        return format!("add yourself to its group (sudo usermod -aG {name} $USER) and log in again");
    }
    format!(
        "it belongs to the group {name} with mode {:o}, which lets nobody but root in: give it to a group \
         (sudo chgrp kvm /dev/kvm && sudo chmod 660 /dev/kvm) and add yourself to that (sudo usermod -aG kvm $USER)",
        permissions.mode
    )
}

/// Numbers of this process's users or groups.
fn own_ids(line: &str) -> Vec<u32> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ids = status.lines().find_map(|text| text.strip_prefix(line)).unwrap_or_default();
    ids.split_whitespace().filter_map(|id| id.parse().ok()).collect()
}

fn group_name(group: u32) -> Option<String> {
    let groups = fs::read_to_string("/etc/group").ok()?;
    let mut fields = groups.lines().map(|line| line.split(':').collect::<Vec<_>>());
    fields
        .find(|fields| fields.get(2).is_some_and(|id| *id == group.to_string()))
        .map(|found| found[0].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advice_for(mode: u32, group: u32, is_ours: bool) -> String {
        advice(&Permissions { mode, group, group_name: (group == 108).then(|| "kvm".to_owned()), is_ours })
    }

    #[test]
    fn the_advice_is_one_that_helps() {
        assert!(advice_for(0o660, 108, false).contains("usermod -aG kvm "));
        assert!(advice_for(0o660, 993, false).contains("usermod -aG 993 "));
        // Being in the group root, or in a group that may do nothing, would not help.
        for (mode, group) in [(0o600, 0), (0o660, 0), (0o600, 108), (0o640, 108)] {
            let advice = advice_for(mode, group, false);
            assert!(advice.contains("chgrp kvm") && advice.contains(&format!("mode {mode:o}")), "{advice}");
        }
        assert!(advice_for(0o660, 108, true).contains("--device /dev/kvm"));
    }

    #[test]
    fn what_is_no_device_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kvm");
        fs::write(&file, "").unwrap();
        assert!(check(&file).unwrap_err().to_string().contains("an ordinary file"));
        assert!(check(folder.path()).unwrap_err().to_string().contains("a folder"));
        assert!(check(Path::new("/dev/null")).is_ok() && check(&folder.path().join("none")).is_ok());
    }

    #[test]
    fn an_error_of_opening_is_told_by_its_cause() {
        let error = |code| cannot_open(Path::new(DEVICE), io::Error::from_raw_os_error(code));
        assert!(matches!(error(libc::ENOENT), MachineError::KvmMissing(_)));
        assert!(matches!(error(libc::EACCES), MachineError::KvmPermission { .. }));
        assert!(matches!(error(libc::EMFILE), MachineError::KvmOpen(_)));
    }
}
