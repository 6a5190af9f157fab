//! Loaded before the C library (LD_PRELOAD): a host on which requests to KVM are interrupted, and folders cannot be
//! flushed. `tests/surroundings.rs` builds it.

use std::ffi::{c_char, c_int, c_ulong, c_void};
use std::sync::Mutex;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn __errno_location() -> *mut c_int;
}

const NEXT: *mut c_void = -1isize as *mut c_void;
const EINTR: c_int = 4;
const EINVAL: c_int = 22;
/// Type of KVM's requests, in their second byte; their number is in the first.
const KVM: c_ulong = 0xae;
const KVM_RUN: c_ulong = 0x80;

fn refuse(errno: c_int) -> c_int {
    unsafe { *__errno_location() = errno };
    -1
}

/// The first request of every number ends with EINTR, KVM_RUN apart.
#[unsafe(no_mangle)]
pub extern "C" fn ioctl(fd: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    static ASKED: Mutex<[bool; 256]> = Mutex::new([false; 256]);
    let (kind, number) = (request >> 8 & 0xff, (request & 0xff) as usize);
    // Whether there is a capability is no request that waits.
    let can_wait = number != 0x03 && number != 0x00 && number as c_ulong != KVM_RUN;
    if kind == KVM && can_wait && !std::mem::replace(&mut ASKED.lock().unwrap()[number], true) {
        return refuse(EINTR);
    }
    let next: extern "C" fn(c_int, c_ulong, *mut c_void) -> c_int =
        unsafe { std::mem::transmute(dlsym(NEXT, c"ioctl".as_ptr())) };
    next(fd, request, argument)
}

/// A folder cannot be flushed, as on some file systems of virtual machines.
#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    if std::fs::metadata(format!("/proc/self/fd/{fd}")).is_ok_and(|metadata| metadata.is_dir()) {
        return refuse(EINVAL);
    }
    let next: extern "C" fn(c_int) -> c_int = unsafe { std::mem::transmute(dlsym(NEXT, c"fsync".as_ptr())) };
    next(fd)
}
