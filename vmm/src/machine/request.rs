//! Requests to KVM, and what becomes of a signal that comes in between.
//!
//! A signal that is handled while KVM waits inside a request (a terminal that changes its size, a stopped process that
//! goes on) ends some requests with EINTR, before anything was done. Whoever asks then asks again. KVM_RUN alone is
//! another matter: there EINTR is how a vCPU is called back, see [`super::threads`].

use vmm_sys_util::errno::Error as Errno;

use super::error::MachineError;

/// Makes a request to KVM; `action` says in the error what was tried.
pub(crate) fn kvm<T>(
    action: &'static str,
    request: impl FnMut() -> Result<T, Errno>,
) -> Result<T, MachineError> {
    uninterrupted(request).map_err(|source| MachineError::Kvm { action, source })
}

/// Makes a request again for as long as a signal ends it.
pub(crate) fn uninterrupted<T>(mut request: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match request() {
            Err(errno) if errno.errno() == libc::EINTR => {}
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_repeats_a_request_and_an_error_ends_it() {
        let mut answers = [libc::EINTR, libc::EINTR, 0].into_iter();
        let mut request = || match answers.next().unwrap() {
            0 => Ok("done"),
            errno => Err(Errno::new(errno)),
        };
        assert_eq!(kvm("do something", &mut request).unwrap(), "done");
        let mut asked = 0;
        let refused = kvm("do something", || -> Result<(), Errno> {
            asked += 1;
            Err(Errno::new(libc::EINVAL))
        });
        assert_eq!(refused.unwrap_err().to_string(), "KVM refused to do something");
        assert_eq!(asked, 1);
    }
}
