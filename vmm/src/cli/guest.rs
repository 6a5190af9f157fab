//! The guest that the command line asks for.

use super::arguments::GuestArguments;
use super::end::UsageError;
use super::output::note;
use crate::guest_image::{GuestImage, listed};
use crate::machine::guest::Pin;
use crate::machine::pin;
use crate::printable::line;
use crate::record::run::GuestRecord;

/// The built-in guest, or what the command line puts in its place.
pub(super) fn image(arguments: &GuestArguments) -> anyhow::Result<GuestImage> {
    let mut image = GuestImage::embedded();
    if let Some(path) = &arguments.kernel {
        image = image.with_kernel(path)?;
    }
    if let Some(folder) = &arguments.servers {
        let (with_servers, others) = image.with_servers(folder)?;
        image = with_servers;
        if !others.is_empty() {
            note!(
                "not taken as programs from {}: {} (a program is an ELF file, named with letters, digits, `-` and `_`)",
                line(&folder.display().to_string()),
                line(&listed(&others))
            );
        }
    }
    Ok(image)
}

/// What the results say about the guest.
pub(super) fn record(arguments: &GuestArguments, image: &GuestImage) -> GuestRecord {
    GuestRecord {
        kernel_file: arguments.kernel.as_ref().map(|path| path.display().to_string()),
        servers_folder: arguments.servers.as_ref().map(|path| path.display().to_string()),
        ..GuestRecord::of(image)
    }
}

/// Where vCPU threads run. A list that this process may not use is an error of the command line, said before any guest.
pub(super) fn pin(arguments: &GuestArguments) -> anyhow::Result<Pin> {
    let pin = arguments.pin.clone().unwrap_or_default();
    if let Err(error) = pin::assign(&pin, 1) {
        let fix = "leave --pin out, or say --pin auto".to_owned();
        return Err(UsageError { message: error.to_string(), fix }.into());
    }
    Ok(pin)
}
