//! What a request's descriptor stands for, as coarsely as servers differ: nothing of it says which file or whose socket.

use std::fs::FileType;
use std::os::unix::fs::FileTypeExt;

use serde::{Deserialize, Serialize};

/// Kinds of things that have descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Descriptor {
    /// A regular file, also one without a name in memory.
    File,
    /// A directory.
    Directory,
    /// An end of a pipe.
    Pipe,
    /// A socket of any family.
    Socket,
    /// A character or block device; terminals are devices.
    Device,
    /// What has no file behind it: epoll, eventfd, timerfd, signalfd, inotify.
    Event,
}

impl Descriptor {
    /// Its name in recordings and in the servers' file.
    pub fn name(self) -> &'static str {
        match self {
            Descriptor::File => "file",
            Descriptor::Directory => "directory",
            Descriptor::Pipe => "pipe",
            Descriptor::Socket => "socket",
            Descriptor::Device => "device",
            Descriptor::Event => "event",
        }
    }
}

impl From<FileType> for Descriptor {
    fn from(kind: FileType) -> Descriptor {
        match kind {
            kind if kind.is_file() => Descriptor::File,
            kind if kind.is_dir() => Descriptor::Directory,
            kind if kind.is_fifo() => Descriptor::Pipe,
            kind if kind.is_socket() => Descriptor::Socket,
            kind if kind.is_char_device() || kind.is_block_device() => Descriptor::Device,
            // Linux gives its anonymous inodes a mode without a type.
            _ => Descriptor::Event,
        }
    }
}

/// Calls whose first argument is a descriptor.
const FIRST: [&str; 68] = [
    "accept",
    "accept4",
    "bind",
    "close",
    "connect",
    "copy_file_range",
    "dup",
    "dup2",
    "dup3",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "fadvise64",
    "fallocate",
    "fchdir",
    "fchmod",
    "fchown",
    "fcntl",
    "fcntl64",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fremovexattr",
    "fsetxattr",
    "fstat",
    "fstat64",
    "fstatfs",
    "fsync",
    "ftruncate",
    "getdents",
    "getdents64",
    "getpeername",
    "getsockname",
    "getsockopt",
    "inotify_add_watch",
    "inotify_rm_watch",
    "ioctl",
    "listen",
    "lseek",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readv",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendfile",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    "splice",
    "sync_file_range",
    "syncfs",
    "tee",
    "timerfd_gettime",
    "timerfd_settime",
    "vmsplice",
    "write",
    "writev",
];

/// Where a call names a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// In its first argument.
    First,
    /// In its first argument, but only if the path behind it is empty: the flags in this argument say so.
    FirstWithoutPath {
        /// Its place, from 0.
        flags: usize,
    },
    /// In its fifth argument.
    Fifth,
}

impl Named {
    pub(super) fn by(kind: &str) -> Option<Named> {
        match kind {
            kind if FIRST.contains(&kind) => Some(Named::First),
            "newfstatat" => Some(Named::FirstWithoutPath { flags: 3 }),
            "statx" => Some(Named::FirstWithoutPath { flags: 2 }),
            "mmap" => Some(Named::Fifth),
            _ => None,
        }
    }
}

/// The descriptor that a call names in its arguments.
pub(super) fn of_call(kind: &str, arguments: &[u64; 6]) -> Option<u32> {
    const AT_EMPTY_PATH: u64 = 0x1000;
    let number = match Named::by(kind)? {
        Named::First => arguments[0],
        Named::FirstWithoutPath { flags } if arguments[flags] & AT_EMPTY_PATH != 0 => arguments[0],
        Named::FirstWithoutPath { .. } => return None,
        Named::Fifth => arguments[4],
    };
    // Linux takes the lower half; a negative one is none.
    u32::try_from(number as i32).ok()
}

/// What a descriptor of a stopped thread stands for; none if it is not open.
pub(super) fn look(thread: i32, number: u32) -> Option<Descriptor> {
    let metadata = std::fs::metadata(format!("/proc/{thread}/fd/{number}")).ok()?;
    Some(metadata.file_type().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_name_their_descriptors() {
        assert!(FIRST.is_sorted());
        assert_eq!(of_call("read", &[3, 9, 9, 9, 9, 9]), Some(3));
        assert_eq!(of_call("mmap", &[0, 9, 9, 9, 5, 0]), Some(5));
        assert_eq!(of_call("mmap", &[0, 9, 9, 9, u64::MAX, 0]), None, "anonymous memory");
        assert_eq!(
            of_call("mmap", &[0, 9, 9, 9, u32::MAX.into(), 0]),
            None,
            "anonymous memory, as compilers pass it"
        );
        assert_eq!(of_call("newfstatat", &[4, 9, 9, 0x1000, 0, 0]), Some(4));
        assert_eq!(of_call("newfstatat", &[4, 9, 9, 0, 0, 0]), None);
        assert_eq!(of_call("getpid", &[4; 6]), None);
    }
}
