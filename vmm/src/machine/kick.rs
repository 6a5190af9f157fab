//! Getting a vCPU thread out of KVM_RUN, without a race and without polling.
//!
//! A signal alone can arrive just before KVM_RUN and be lost. Its handler therefore also sets `immediate_exit` of the
//! `kvm_run` that belongs to the thread, which makes the next KVM_RUN return at once (api.rst, kvm_run).

#![expect(unsafe_code, reason = "signals to threads")]

use std::cell::Cell;
use std::io;
use std::marker::PhantomData;
use std::ptr;
use std::sync::OnceLock;

use kvm_bindings::kvm_run;
use libc::{c_int, c_void, pid_t, siginfo_t};
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler, unblock_signal};

use crate::machine::error::{MachineError, host};
use crate::machine::vcpu::Vcpu;

thread_local! {
    /// `immediate_exit` of the vCPU that this thread runs, or null.
    static IMMEDIATE_EXIT: Cell<*mut u8> = const { Cell::new(ptr::null_mut()) };
}

/// While it lives, [`kick`] reaches the vCPU of this thread.
pub(crate) struct Kickable {
    /// It belongs to the thread that made it.
    not_send: PhantomData<*mut u8>,
}

impl Kickable {
    /// Makes the calling thread kickable; `vcpu` must be the one that it runs.
    pub(crate) fn new(vcpu: &mut Vcpu) -> Result<Kickable, MachineError> {
        static REGISTERED: OnceLock<Result<(), c_int>> = OnceLock::new();
        let registered = REGISTERED
            .get_or_init(|| register_signal_handler(SIGRTMIN(), on_signal).map_err(|errno| errno.errno()));
        registered
            .map_err(io::Error::from_raw_os_error)
            .map_err(host("register the signal that stops vCPU threads"))?;
        let run: *mut kvm_run = vcpu.fd.get_kvm_run();
        // SAFETY: `run` points to a live kvm_run; no reference to its field is made.
        let immediate_exit = unsafe { &raw mut (*run).immediate_exit };
        IMMEDIATE_EXIT.set(immediate_exit);
        // The process may have been started with the signal blocked.
        let _ = unblock_signal(SIGRTMIN());
        Ok(Kickable { not_send: PhantomData })
    }
}

impl Drop for Kickable {
    fn drop(&mut self) {
        IMMEDIATE_EXIT.set(ptr::null_mut());
    }
}

extern "C" fn on_signal(_signal: c_int, _info: *mut siginfo_t, _context: *mut c_void) {
    let immediate_exit = IMMEDIATE_EXIT.get();
    if !immediate_exit.is_null() {
        // SAFETY: It points into the kvm_run of this thread's vCPU, which outlives the `Kickable` that set it (both are
        // in the thread's run loop). KVM reads the byte at the start of KVM_RUN; nothing in Rust does.
        unsafe { immediate_exit.write_volatile(1) };
    }
}

/// Identifier of the calling thread.
pub(crate) fn current_thread() -> pid_t {
    // SAFETY: gettid has no preconditions.
    unsafe { libc::gettid() }
}

/// Interrupts the thread's KVM_RUN, or its next one. A thread that is no vCPU's any more is not disturbed.
pub(crate) fn kick(thread: pid_t) {
    // SAFETY: tgkill takes plain numbers. A thread that has ended gives ESRCH; another thread of this process with the
    // same number would only run the handler above.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGRTMIN()) };
}
