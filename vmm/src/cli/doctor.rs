//! `inkbed doctor`.

use super::arguments::DoctorArguments;
use super::end::End;

pub(super) fn doctor(_arguments: &DoctorArguments) -> anyhow::Result<End> {
    Ok(End::Success)
}
