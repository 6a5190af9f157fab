//! What a guest's process gives up before its guest runs: capabilities, new privileges, and every system call but those that
//! running and reading out a guest takes.
//!
//! Each thread confines itself, with a filter for its role. A system call outside of it fails with EPERM, as in container
//! runtimes: what is denied does not depend on whether the caller survives it.

use std::collections::BTreeMap;
use std::io;

use caps::CapSet;
use kvm_bindings::KVMIO;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

use crate::machine::MachineError;
use crate::machine::stages::Role;

/// What any thread of a process needs: memory, locks, signals, its end. None of these reaches another process, or thread, by
/// its number: what does is in [`filter`], for this process only.
const BASE: [i64; 28] = [
    libc::SYS_brk,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_close,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_wait,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_gettid,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_pread64,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_yield,
    libc::SYS_sendto,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Number of a KVM request: of its kind, all that says what it does to whom.
const fn request(direction: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | KVMIO << 8 | number
}

const NONE: u32 = 0;
const READ: u32 = 2;
const READ_WRITE: u32 = 3;

const KVM_RUN: u32 = request(NONE, 0x80, 0);
const KVM_GET_REGS: u32 = request(READ, 0x81, size_of::<kvm_bindings::kvm_regs>());
const KVM_GET_SREGS: u32 = request(READ, 0x83, size_of::<kvm_bindings::kvm_sregs>());
const KVM_GET_MP_STATE: u32 = request(READ, 0x98, size_of::<kvm_bindings::kvm_mp_state>());
const KVM_GET_LAPIC: u32 = request(READ, 0x8e, size_of::<kvm_bindings::kvm_lapic_state>());
const KVM_GET_MSRS: u32 = request(READ_WRITE, 0x88, size_of::<kvm_bindings::kvm_msrs>());

const fn requests(role: Role) -> &'static [u32] {
    match role {
        Role::Vcpu => &[KVM_RUN, KVM_GET_REGS, KVM_GET_MP_STATE, KVM_GET_LAPIC, KVM_GET_MSRS],
        Role::Waiter => &[KVM_GET_REGS, KVM_GET_SREGS, KVM_GET_MP_STATE],
    }
}

/// The filters, compiled before anything waits for them.
pub(crate) struct Filters {
    waiter: BpfProgram,
    vcpu: BpfProgram,
}

impl Filters {
    pub(crate) fn new() -> Result<Filters, MachineError> {
        Ok(Filters {
            waiter: filter(Role::Waiter).map_err(refused)?,
            vcpu: filter(Role::Vcpu).map_err(refused)?,
        })
    }

    /// Confines the calling thread, for good.
    pub(crate) fn confine(&self, role: Role) -> Result<(), MachineError> {
        drop_capabilities().map_err(refused)?;
        let filter = if role == Role::Vcpu { &self.vcpu } else { &self.waiter };
        // It sets no_new_privs as well, without which nobody but root may set a filter.
        seccompiler::apply_filter(filter).map_err(refused)
    }
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> MachineError {
    MachineError::Host {
        action: "give up the privileges of a guest's process",
        source: io::Error::other(error),
    }
}

/// All of them, of the calling thread.
fn drop_capabilities() -> Result<(), caps::errors::CapsError> {
    if caps::read(None, CapSet::Permitted)?.is_empty() {
        return Ok(());
    }
    caps::clear(None, CapSet::Inheritable)?;
    caps::clear(None, CapSet::Effective)?;
    caps::clear(None, CapSet::Permitted)
}

fn filter(role: Role) -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BASE.iter().map(|call| (*call, Vec::new())).collect();
    let any_of = |argument, values: &[u32]| {
        let is = |value: &u32| {
            let condition =
                SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, u64::from(*value));
            SeccompRule::new(vec![condition?])
        };
        values.iter().map(is).collect::<Result<Vec<_>, _>>()
    };
    rules.insert(libc::SYS_ioctl, any_of(1, requests(role))?);
    // Threads of this process get each other out of KVM_RUN; no signal may reach the process that started this one, or a sibling.
    let process = std::process::id();
    rules.insert(libc::SYS_tgkill, any_of(0, &[process])?);
    let calling_thread = 0;
    rules.insert(libc::SYS_sched_getaffinity, any_of(0, &[calling_thread])?);
    // No page may ever become executable.
    let executable = libc::PROT_EXEC as u64;
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let not_executable =
            SeccompCondition::new(2, SeccompCmpArgLen::Dword, SeccompCmpOp::MaskedEq(executable), 0);
        rules.insert(call, vec![SeccompRule::new(vec![not_executable?])?]);
    }
    let denied = SeccompAction::Errno(libc::EPERM as u32);
    SeccompFilter::new(rules, denied, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?.try_into()
}

#[cfg(test)]
#[expect(unsafe_code, reason = "system calls that must fail")]
mod tests {
    use std::fs::File;
    use std::net::UdpSocket;
    use std::process::Command;

    use super::*;

    /// Runs `body` in a thread that is confined, and so cannot harm the other tests.
    fn confined<T: Send + 'static>(role: Role, body: impl FnOnce() -> T + Send + 'static) -> T {
        let filters = Filters::new().unwrap();
        let thread = std::thread::spawn(move || {
            filters.confine(role).unwrap();
            body()
        });
        thread.join().unwrap()
    }

    #[test]
    fn requests_are_those_of_linux_kvm_h() {
        assert_eq!([KVM_RUN, KVM_GET_REGS, KVM_GET_SREGS], [0xae80, 0x8090_ae81, 0x8138_ae83]);
        assert_eq!([KVM_GET_MP_STATE, KVM_GET_LAPIC, KVM_GET_MSRS], [0x8004_ae98, 0x8400_ae8e, 0xc008_ae88]);
    }

    #[test]
    fn a_confined_thread_opens_starts_and_connects_nothing() {
        for role in [Role::Waiter, Role::Vcpu] {
            let errors = confined(role, || {
                [
                    File::open("/proc/self/maps").unwrap_err().raw_os_error(),
                    Command::new("/bin/true").spawn().unwrap_err().raw_os_error(),
                    UdpSocket::bind("127.0.0.1:0").unwrap_err().raw_os_error(),
                ]
            });
            assert_eq!(errors, [Some(libc::EPERM); 3], "{role:?}");
        }
    }

    #[test]
    fn a_confined_thread_has_memory_but_none_to_execute() {
        let map = |protection| {
            // SAFETY: A fresh anonymous mapping that nothing refers to.
            let mapped = unsafe {
                libc::mmap(
                    std::ptr::null_mut(),
                    4096,
                    protection,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                )
            };
            mapped != libc::MAP_FAILED
        };
        let mapped = confined(Role::Vcpu, move || {
            let big = vec![1u8; 16 << 20];
            (big.len(), map(libc::PROT_READ | libc::PROT_WRITE), map(libc::PROT_READ | libc::PROT_EXEC))
        });
        assert_eq!(mapped, (16 << 20, true, false));
    }

    /// Signal 0 only asks whether a signal could be sent.
    #[test]
    fn a_confined_thread_reaches_its_own_process_and_no_other() {
        let own = std::process::id() as i32;
        let parent = std::os::unix::process::parent_id() as i32;
        let refused = |call: i64, arguments: [i64; 4]| {
            let [a, b, c, d] = arguments;
            // SAFETY: None of these calls is given an address but null; signal 0 is never delivered.
            let result = unsafe { libc::syscall(call, a, b, c, d) };
            (result < 0).then(|| io::Error::last_os_error().raw_os_error().unwrap_or(0))
        };
        let reached = confined(Role::Vcpu, move || {
            // SAFETY: The call has no preconditions.
            let thread = unsafe { libc::gettid() };
            (
                refused(libc::SYS_tgkill, [own.into(), thread.into(), 0, 0]),
                [
                    refused(libc::SYS_tgkill, [parent.into(), parent.into(), 0, 0]),
                    // The upper half of a register is no part of the number.
                    refused(libc::SYS_tgkill, [i64::from(parent) | 1 << 32, parent.into(), 0, 0]),
                    refused(libc::SYS_tkill, [parent.into(), 0, 0, 0]),
                    refused(libc::SYS_kill, [parent.into(), 0, 0, 0]),
                    refused(libc::SYS_rt_sigqueueinfo, [parent.into(), 0, 0, 0]),
                    refused(libc::SYS_rt_tgsigqueueinfo, [parent.into(), parent.into(), 0, 0]),
                    refused(libc::SYS_pidfd_open, [parent.into(), 0, 0, 0]),
                    refused(libc::SYS_pidfd_send_signal, [0, 0, 0, 0]),
                    refused(libc::SYS_prlimit64, [parent.into(), 0, 0, 0]),
                    refused(libc::SYS_sched_getaffinity, [parent.into(), 0, 0, 0]),
                    refused(libc::SYS_sched_setaffinity, [parent.into(), 0, 0, 0]),
                    refused(libc::SYS_setpriority, [0, parent.into(), 19, 0]),
                    refused(libc::SYS_process_vm_readv, [parent.into(), 0, 0, 0]),
                    refused(libc::SYS_ptrace, [16, parent.into(), 0, 0]),
                ],
            )
        });
        assert_eq!(reached, (None, [Some(libc::EPERM); 14]));
    }

    #[test]
    fn a_confined_thread_has_no_capabilities() {
        let counts = confined(Role::Waiter, || {
            [CapSet::Effective, CapSet::Permitted, CapSet::Inheritable].map(|set| caps::read(None, set))
        });
        // Reading them is denied, too: what is seen here is the refusal, so the proof is before the filter.
        assert!(counts.iter().all(Result::is_err));
        let left = std::thread::spawn(|| {
            drop_capabilities().unwrap();
            caps::read(None, CapSet::Permitted).unwrap().len()
                + caps::read(None, CapSet::Effective).unwrap().len()
        });
        assert_eq!(left.join().unwrap(), 0);
    }
}
