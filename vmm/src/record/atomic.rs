//! Files that are either there as a whole or not at all.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Whether a file is to outlive a power failure as soon as it is written, or somebody sees to that later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flush {
    /// As soon as it is written.
    Now,
    /// Later.
    Later,
}

/// Writes the file `path` through `write`: into a new file beside it, onto the disk, then under its name. Whatever
/// fails, or whenever the process is killed, `path` holds the old content or the new, never a part.
pub fn write_atomically(
    path: &Path,
    flush: Flush,
    write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> io::Result<Written> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // Results are no secret: the usual permissions, less the umask.
    let mut file = tempfile::Builder::new()
        .prefix(&format!(".{name}."))
        .suffix(".part")
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)?;
    let mut writer = BufWriter::new(file.as_file_mut());
    write(&mut writer)?;
    writer.flush()?;
    drop(writer);
    if flush == Flush::Now {
        file.as_file().sync_all()?;
    }
    file.persist(path).map_err(|error| error.error)?;
    if flush == Flush::Later {
        return Ok(Written::NotFlushed);
    }
    // The new name is on the disk only when the folder is.
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        Ok(()) => Ok(Written::OnDisk),
        Err(error) if is_loss(&error) => Err(error),
        Err(error) => Ok(Written::NameNotFlushed(error)),
    }
}

/// How sure it is that a file outlives a power failure under its name.
#[derive(Debug)]
pub enum Written {
    /// As sure as the disk.
    OnDisk,
    /// It is not yet to.
    NotFlushed,
    /// The content is on the disk. The file system cannot be asked to put the name there too, which it does by itself
    /// in a while.
    NameNotFlushed(io::Error),
}

/// Whether an error of flushing a folder says that something is lost, and not only that folders cannot be flushed
/// (EINVAL and the like, on file systems of virtual machines and in user space) or not opened by this user.
fn is_loss(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIO | libc::ENOSPC | libc::EDQUOT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_content_arrives_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        write_atomically(&path, Flush::Now, |file| file.write_all(b"one")).unwrap();
        write_atomically(&path, Flush::Now, |file| file.write_all(b"two")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o111, 0);
    }

    #[test]
    fn a_full_disk_leaves_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.json");
        write_atomically(&path, Flush::Now, |file| file.write_all(b"old")).unwrap();
        let error = write_atomically(&path, Flush::Now, |file| {
            file.write_all(b"half of the new")?;
            // What a write past the end of the disk says.
            File::options().write(true).open("/dev/full")?.write_all(b"rest")
        });
        assert_eq!(error.unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_that_cannot_be_flushed_is_no_loss() {
        for code in [libc::EINVAL, libc::EROFS, libc::ENOTSUP, libc::ENOSYS, libc::EBADF, libc::EACCES] {
            assert!(!is_loss(&io::Error::from_raw_os_error(code)), "{code}");
        }
        assert!(is_loss(&io::Error::from_raw_os_error(libc::EIO)));
    }

    #[test]
    fn a_missing_folder_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(write_atomically(&folder.path().join("no/file"), Flush::Now, |_| Ok(())).is_err());
    }
}
