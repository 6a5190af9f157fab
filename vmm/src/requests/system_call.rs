//! Names of system calls, and which of them move bytes.

use syscalls::{Sysno, x86};

/// Calls whose result is the number of bytes that they moved.
const MOVE_BYTES: [&str; 26] = [
    "read",
    "write",
    "pread64",
    "pwrite64",
    "readv",
    "writev",
    "preadv",
    "pwritev",
    "preadv2",
    "pwritev2",
    "sendto",
    "recvfrom",
    "sendmsg",
    "recvmsg",
    "sendfile",
    "splice",
    "tee",
    "vmsplice",
    "copy_file_range",
    "getdents",
    "getdents64",
    "getrandom",
    "process_vm_readv",
    "process_vm_writev",
    "mq_timedreceive",
    "msgrcv",
];

/// Name of the system call with this number, for programs of 64 or of 32 bits.
pub fn name(number: u64, is_32_bit: bool) -> String {
    let known = usize::try_from(number).ok().and_then(|number| match is_32_bit {
        false => Sysno::new(number).map(|call| call.name()),
        true => x86::Sysno::new(number).map(|call| call.name()),
    });
    let unknown = || format!("system_call_{number}{}", if is_32_bit { "_of_32_bit" } else { "" });
    known.map_or_else(unknown, str::to_owned)
}

/// Bytes that a call moved, from its result.
pub fn bytes_moved(kind: &str, result: i64) -> Option<u64> {
    MOVE_BYTES.contains(&kind).then(|| u64::try_from(result).unwrap_or(0))
}
