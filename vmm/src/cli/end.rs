//! How a command ends: exit codes, and errors with what to do about them.

use std::process::ExitCode;

use super::output::note;
use crate::experiment::error::ConfigError;
use crate::guest_image::GuestImageError;
use crate::machine::MachineError;
use crate::printable::{block, line};
use crate::record::store::StoreError;
use crate::requests::error::RecordingError;
use crate::requests::strace::ImportError;
use crate::run::fleet::cgroup::QuotaError;
use crate::run::host::SegmentsUnknown;

/// Exit code of a command line that cannot be used; clap's as well.
pub(super) const USAGE: u8 = 2;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// As it should.
    Success,
    /// A case failed, or a guest ended badly.
    Failure,
    /// The command line or a file cannot be used.
    Usage,
    /// KVM cannot be used.
    NoKvm,
    /// Results cannot be written or read.
    Storage,
    /// Nothing is there to compare.
    CannotTell,
    /// A comparison meets a condition of `--fail-if`.
    ConditionMet,
    /// The user stopped it.
    Interrupted,
}

impl End {
    /// The worse of two ends.
    pub(super) fn max_with(self, other: End) -> End {
        match (self, other) {
            (End::Interrupted, _) | (_, End::Interrupted) => End::Interrupted,
            (End::Success, other) => other,
            (end, _) => end,
        }
    }
}

impl From<End> for ExitCode {
    fn from(end: End) -> ExitCode {
        ExitCode::from(match end {
            End::Success => 0,
            End::Failure => 1,
            End::Usage => USAGE,
            End::NoKvm => 3,
            End::Storage => 4,
            End::CannotTell => 5,
            End::ConditionMet => 6,
            End::Interrupted => 130,
        })
    }
}

/// A wrong use of the command line that clap cannot see.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(super) struct UsageError {
    pub(super) message: String,
    pub(super) fix: String,
}

/// Prints `error: …` with its causes, and `fix: …` where there is one; returns how the command ends.
pub(super) fn explain(error: &anyhow::Error) -> End {
    let red = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
    let green = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Green.into()));
    let (end, fix) = classify(error);
    // Only an error in a file shows more than one line: that of the file.
    let is_of_file = error.downcast_ref::<ConfigError>().is_some();
    let shown = |text: String| match is_of_file {
        true => block(&text).into_owned(),
        false => line(&text).into_owned(),
    };
    let text = error.chain().map(ToString::to_string).map(shown).fold(String::new(), |mut text, cause| {
        // Some errors repeat their cause in their own text.
        if !text.contains(&cause) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&cause);
        }
        text
    });
    note!("{red}error:{red:#} {text}");
    if let Some(fix) = fix {
        note!("  {green}fix:{green:#} {}", line(&fix));
    }
    end
}

fn classify(error: &anyhow::Error) -> (End, Option<String>) {
    if let Some(error) = error.downcast_ref::<ConfigError>() {
        return (End::Usage, Some(error.fix.clone()));
    }
    if let Some(error) = error.downcast_ref::<UsageError>() {
        return (End::Usage, Some(error.fix.clone()));
    }
    if let Some(error) = error.downcast_ref::<StoreError>() {
        let end = match error {
            StoreError::NotEmpty { .. } | StoreError::UnderWay { .. } | StoreError::IsLink { .. } => {
                End::Usage
            }
            _ => End::Storage,
        };
        return (end, Some(error.fix()));
    }
    if error.is::<RecordingError>() || error.is::<ImportError>() {
        return (End::Storage, None);
    }
    if error.downcast_ref::<GuestImageError>().is_some() {
        return (End::Usage, None);
    }
    if error.downcast_ref::<QuotaError>().is_some() {
        return (End::Usage, None);
    }
    if error.downcast_ref::<SegmentsUnknown>().is_some() {
        let fix = "try again, or name cases without `small` and `large` with --case";
        return (End::Failure, Some(fix.to_owned()));
    }
    if let Some(error) = error.downcast_ref::<MachineError>() {
        return (end_of_machine_error(error), None);
    }
    if error.downcast_ref::<std::io::Error>().is_some() {
        return (End::Storage, None);
    }
    (End::Failure, None)
}

pub(super) fn end_of_machine_error(error: &MachineError) -> End {
    match error {
        MachineError::KvmMissing(_)
        | MachineError::KvmPermission { .. }
        | MachineError::KvmNoDevice(_)
        | MachineError::KvmOpen(_)
        | MachineError::KvmLacks(_) => End::NoKvm,
        MachineError::VcpuCount { .. }
        | MachineError::MemoryTooSmall { .. }
        | MachineError::MemorySize(_)
        | MachineError::KernelImage { .. }
        | MachineError::Pin(_) => End::Usage,
        _ => End::Failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_the_documented_codes() {
        let missing = || std::io::Error::from(std::io::ErrorKind::NotFound);
        let config = ConfigError::on_command_line("x", "y");
        let cases: [(anyhow::Error, End); 5] = [
            (config.into(), End::Usage),
            (MachineError::KvmMissing(missing()).into(), End::NoKvm),
            (MachineError::Internal("x").into(), End::Failure),
            (StoreError::NotEmpty { path: "x".into(), holds_run: true }.into(), End::Usage),
            (StoreError::Io { action: "write", path: "x".into(), source: missing() }.into(), End::Storage),
        ];
        for (error, end) in cases {
            assert_eq!(classify(&error).0, end, "{error}");
            assert_eq!(classify(&error.context("while running x.toml")).0, end);
        }
    }
}
