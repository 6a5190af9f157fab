//! The guest that the command line asks for.

use super::arguments::GuestArguments;
use crate::guest_image::GuestImage;
use crate::machine::guest::Pin;
use crate::report::record::GuestRecord;

/// The built-in guest, or what the command line puts in its place.
pub(super) fn image(arguments: &GuestArguments) -> anyhow::Result<GuestImage> {
    let mut image = GuestImage::embedded();
    if let Some(path) = &arguments.kernel {
        image = image.with_kernel(path)?;
    }
    if let Some(folder) = &arguments.servers {
        image = image.with_servers(folder)?;
    }
    Ok(image)
}

/// What the results say about the guest.
pub(super) fn record(arguments: &GuestArguments, image: &GuestImage) -> GuestRecord {
    GuestRecord {
        sha256: image.sha256.clone(),
        kernel_file: arguments.kernel.as_ref().map(|path| path.display().to_string()),
        servers_folder: arguments.servers.as_ref().map(|path| path.display().to_string()),
    }
}

/// Where vCPU threads run.
pub(super) fn pin(arguments: &GuestArguments) -> Pin {
    arguments.pin.clone().unwrap_or_default()
}
