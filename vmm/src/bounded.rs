//! Reading what somebody else has written: a file that never ends takes neither memory nor time without end.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Most bytes of a file that people write: an experiment, a model of a TLB.
pub(crate) const WRITTEN_BY_HAND: u64 = 1 << 20;

/// The bytes of the file; an error if there are more than so many.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    // Nobody may ever write to a FIFO, and opening it would wait for that.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        let message = format!("it is longer than {} MiB", bytes_max >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The same for a text.
pub(crate) fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let bytes = read(path, bytes_max)?;
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
}

#[cfg(test)]
#[expect(unsafe_code, reason = "a system call")]
mod tests {
    use super::*;

    #[test]
    fn what_never_ends_is_refused_and_a_long_file_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("x.toml");
        let name = std::ffi::CString::new(fifo.to_str().unwrap()).unwrap();
        // SAFETY: The name is a string that ends with a zero.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        for path in [Path::new("/dev/zero"), &fifo, folder.path()] {
            assert!(
                read(path, 1024).unwrap_err().to_string().contains("no regular file"),
                "{}",
                path.display()
            );
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "0123456789").unwrap();
        assert_eq!(read_text(file.path(), 10).unwrap(), "0123456789");
        assert!(read_text(file.path(), 9).is_err());
        std::fs::write(file.path(), b"\xff").unwrap();
        assert_eq!(read_text(file.path(), 9).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
