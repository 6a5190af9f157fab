//! Linux's ptrace, the part that a recorder needs. By libc: nix names no real-time signals, and a program must get those too.

#![expect(unsafe_code, reason = "system calls")]

use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr::null_mut;

use super::recording::PageFaults;

/// Why a thread stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Before or after a system call.
    SystemCall,
    /// It is about to get a signal.
    Signal(i32),
    /// It executes a program; before that its thread had this name.
    Exec {
        /// Linux's name of the thread.
        before: i32,
    },
    /// Something that needs no answer.
    Other,
    /// It has ended, with an exit code or 128 and the signal's number.
    Ended(u8),
}

/// Lets this process trace the one that the command starts.
pub(crate) fn be_traced(command: &mut Command) {
    let ask = || {
        // SAFETY: PTRACE_TRACEME reads no memory.
        let result = unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, null_mut::<u8>(), null_mut::<u8>()) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    };
    // SAFETY: between fork and exec there is one system call, which neither allocates nor takes a lock.
    unsafe { command.pre_exec(ask) };
}

/// Traces the children and threads of a stopped thread as well. They end with the recorder.
pub(crate) fn follow_children(thread: i32) -> io::Result<()> {
    let options = libc::PTRACE_O_TRACESYSGOOD
        | libc::PTRACE_O_TRACECLONE
        | libc::PTRACE_O_TRACEFORK
        | libc::PTRACE_O_TRACEVFORK
        | libc::PTRACE_O_TRACEEXEC
        | libc::PTRACE_O_EXITKILL;
    // SAFETY: PTRACE_SETOPTIONS reads no memory; its last argument is a number.
    let result = unsafe { libc::ptrace(libc::PTRACE_SETOPTIONS, thread, null_mut::<u8>(), options as usize) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Lets a stopped thread go on to the next system call, with this signal unless it is 0.
pub(crate) fn resume(thread: i32, signal: i32) {
    // SAFETY: PTRACE_SYSCALL reads no memory; its last argument is a number.
    unsafe { libc::ptrace(libc::PTRACE_SYSCALL, thread, null_mut::<u8>(), signal as usize) };
}

/// What a stop at a system call is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SystemCall {
    /// Before it.
    Entry {
        /// Its number in the table of the program's mode.
        number: u64,
        /// Its arguments.
        arguments: [u64; 6],
        /// Whether the thread is in 32-bit mode or uses its gate, whose numbers are others.
        is_32_bit: bool,
    },
    /// After it.
    Exit {
        /// Its result, or a negative error.
        result: i64,
    },
}

/// The system call that a thread stopped at; none if the thread is gone. Linux tells it from version 5.3 on.
pub(crate) fn system_call(thread: i32) -> io::Result<Option<SystemCall>> {
    /// Linux's name of the 64-bit table (`AUDIT_ARCH_X86_64` of linux/audit.h): machine 62, 64 bits, little-endian.
    const TABLE_OF_64_BIT: u32 = 0xc000_003e;
    // SAFETY: all bit patterns are a `ptrace_syscall_info`.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of_val(&info);
    // SAFETY: Linux writes at most `size` bytes to where the last argument points.
    let written = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, &raw mut info) };
    if written < 0 {
        let error = io::Error::last_os_error();
        return if error.raw_os_error() == Some(libc::ESRCH) { Ok(None) } else { Err(error) };
    }
    Ok(match info.op {
        libc::PTRACE_SYSCALL_INFO_ENTRY => {
            // SAFETY: at an entry, Linux has written this part of the union.
            let entry = unsafe { info.u.entry };
            let is_32_bit = info.arch != TABLE_OF_64_BIT;
            Some(SystemCall::Entry { number: entry.nr, arguments: entry.args, is_32_bit })
        }
        // SAFETY: at an exit, Linux has written this part of the union.
        libc::PTRACE_SYSCALL_INFO_EXIT => Some(SystemCall::Exit { result: unsafe { info.u.exit.sval } }),
        _ => None,
    })
}

/// Waits for a stop, and returns it with all others that there are by then; nothing if no child is left. Linux names the first
/// stopped thread of its list each time: whoever resumed each at once would never come to those at the end of the list.
pub(crate) fn wait() -> io::Result<Vec<(i32, Stop)>> {
    let mut stops = Vec::new();
    loop {
        let mut status = 0;
        let patience = if stops.is_empty() { 0 } else { libc::WNOHANG };
        // SAFETY: Linux writes one `int` to `status`.
        let thread = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL | patience) };
        if thread > 0 {
            stops.push((thread, stop(thread, status)));
            continue;
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            _ if thread == 0 => return Ok(stops),
            Some(libc::EINTR) => {}
            Some(libc::ECHILD) => return Ok(stops),
            _ => return Err(error),
        }
    }
}

fn stop(thread: i32, status: i32) -> Stop {
    if libc::WIFEXITED(status) {
        return Stop::Ended(libc::WEXITSTATUS(status) as u8);
    }
    if libc::WIFSIGNALED(status) {
        return Stop::Ended(128 + libc::WTERMSIG(status) as u8);
    }
    let signal = libc::WSTOPSIG(status);
    match status >> 16 {
        0 if signal == libc::SIGTRAP | 0x80 => Stop::SystemCall,
        0 => Stop::Signal(signal),
        libc::PTRACE_EVENT_EXEC => Stop::Exec { before: event_message(thread).unwrap_or(thread) },
        _ => Stop::Other,
    }
}

fn event_message(thread: i32) -> Option<i32> {
    let mut message: libc::c_ulong = 0;
    // SAFETY: Linux writes one `unsigned long` to where the last argument points.
    let result =
        unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, thread, null_mut::<u8>(), &raw mut message) };
    (result == 0).then(|| i32::try_from(message).ok()).flatten()
}

/// The process of a thread, by /proc; the thread itself if it is gone.
pub(crate) fn process_of(thread: i32) -> i32 {
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    let group = status.lines().find_map(|line| line.strip_prefix("Tgid:"));
    group.and_then(|text| text.trim().parse().ok()).unwrap_or(thread)
}

/// Page faults of all children that have been waited for.
pub(crate) fn page_faults_of_children() -> Option<PageFaults> {
    // SAFETY: all bit patterns are a `rusage`.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: Linux writes one `rusage`.
    let result = unsafe { libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage) };
    let count = |faults: libc::c_long| u64::try_from(faults).unwrap_or(0);
    (result == 0).then(|| PageFaults { minor: count(usage.ru_minflt), major: count(usage.ru_majflt) })
}
