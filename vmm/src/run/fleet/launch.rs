//! Starting the process of a guest, and what is left of it at its end.

#![expect(unsafe_code, reason = "system calls")]

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::PROCESS_COMMAND;
use super::message::{self, Order};
use super::programs::Programs;
use crate::machine::clock::now_ns;

/// This very executable, whatever has become of its file in the meantime.
const EXECUTABLE: &str = "/proc/self/exe";

/// Most that is kept of what a process says on standard error, bytes.
const WORDS_SIZE_MAX: u64 = 16 << 10;

/// How long a process that has said all may take to end by itself.
const END_PATIENCE: Duration = Duration::from_secs(2);

/// The process of one guest.
pub(super) struct Process {
    child: Child,
    stream: UnixStream,
    /// When it was started, ns of CLOCK_MONOTONIC.
    pub spawned_ns: u64,
}

/// A process that has ended.
#[derive(Clone, Debug)]
pub(super) struct Remains {
    /// How it ended, in words.
    pub end: String,
    /// What it said on standard error.
    pub words: String,
    /// CPU time of its whole life, in user mode and in the host's kernel (which is where guests run), ns.
    pub user_ns: u64,
    pub system_ns: u64,
}

impl Process {
    /// Starts the process; `enter` does with its number what has to be done before it gets its order.
    pub(super) fn start(
        order: &Order,
        programs: &Programs,
        enter: impl FnOnce(u32) -> io::Result<()>,
    ) -> io::Result<Process> {
        let (ours, theirs) = UnixStream::pair()?;
        let spawned_ns = now_ns();
        let child = Command::new(EXECUTABLE)
            .arg0("inkbed")
            .arg(PROCESS_COMMAND)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            // Ctrl-C on the terminal is for this process, which then ends the guests itself.
            .process_group(0)
            .spawn()?;
        let process = Process { child, stream: ours, spawned_ns };
        let told = enter(process.id()).and_then(|()| process.give(order, programs));
        match told {
            Ok(()) => Ok(process),
            Err(error) => {
                process.kill_and_reap();
                Err(error)
            }
        }
    }

    /// A process that does nothing, and the end of the connection at which a test speaks in its place.
    #[cfg(test)]
    pub(super) fn stand_in() -> io::Result<(Process, UnixStream)> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let spawned_ns = now_ns();
        let child = Command::new("sleep").arg("600").stderr(Stdio::piped()).spawn()?;
        Ok((Process { child, stream: ours, spawned_ns }, theirs))
    }

    fn give(&self, order: &Order, programs: &Programs) -> io::Result<()> {
        let bytes = message::encode(order, 0)?;
        let (first, rest) = bytes.split_at(1);
        let sent = self.stream.send_with_fd(first, programs.file.as_raw_fd());
        sent.map_err(|errno| io::Error::from_raw_os_error(errno.errno()))?;
        (&self.stream).write_all(rest)?;
        self.stream.set_nonblocking(true)
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn socket(&self) -> RawFd {
        self.stream.as_raw_fd()
    }

    /// Reads what has come. `Ok(0)`: nothing will come any more; `Err(WouldBlock)`: nothing for now.
    pub(super) fn read(&self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match (&self.stream).read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Says one byte to it: [`message::GO`] or [`message::DONE`].
    pub(super) fn tell(&self, word: u8) {
        // If it is gone, the end of its messages says so.
        let _ = (&self.stream).write(&[word]);
    }

    /// Ends the process now.
    pub(super) fn kill(&mut self) {
        // It cannot be somebody else's: it has not been waited for.
        let _ = self.child.kill();
    }

    pub(super) fn kill_and_reap(mut self) -> Remains {
        self.kill();
        self.reap()
    }

    /// Waits for the end of a process that has closed its connection, or was killed. One that lingers is killed.
    pub(super) fn reap(mut self) -> Remains {
        let begin = Instant::now();
        loop {
            match wait(self.id(), libc::WNOHANG) {
                Ok(None) if begin.elapsed() < END_PATIENCE => std::thread::sleep(Duration::from_millis(2)),
                Ok(None) => {
                    self.kill();
                    let remains = wait(self.id(), 0).ok().flatten();
                    return self.remains(remains);
                }
                Ok(ended) => return self.remains(ended),
                Err(_) => return self.remains(None),
            }
        }
    }

    fn remains(mut self, ended: Option<(ExitStatus, libc::rusage)>) -> Remains {
        let mut words = Vec::new();
        if let Some(stderr) = self.child.stderr.take() {
            // The only writer has ended, so this ends.
            let _ = stderr.take(WORDS_SIZE_MAX).read_to_end(&mut words);
        }
        let end = ended.map_or_else(|| "ended".to_owned(), |(status, _)| describe(status));
        let time = |field: fn(&libc::rusage) -> libc::timeval| {
            ended.map_or(0, |(_, usage)| {
                let time = field(&usage);
                time.tv_sec as u64 * 1_000_000_000 + time.tv_usec as u64 * 1_000
            })
        };
        Remains {
            end,
            words: String::from_utf8_lossy(&words).trim().to_owned(),
            user_ns: time(|usage| usage.ru_utime),
            system_ns: time(|usage| usage.ru_stime),
        }
    }
}

/// As `waitpid`, with what the process has used.
fn wait(process: u32, flags: i32) -> io::Result<Option<(ExitStatus, libc::rusage)>> {
    let mut status = 0;
    // SAFETY: rusage consists of integers, for which zero is a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: The kernel writes to `status` and `usage`, which are ours. The process is a child that nobody else waits
        // for.
        match unsafe { libc::wait4(process as libc::pid_t, &mut status, flags, &mut usage) } {
            0 => return Ok(None),
            -1 => match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => {}
                error => return Err(error),
            },
            _ => return Ok(Some((ExitStatus::from_raw(status), usage))),
        }
    }
}

fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(libc::SIGKILL), _) => {
            "was killed (signal 9); if nobody did that by hand, the host ran out of memory".to_owned()
        }
        (Some(signal), _) => format!("died of signal {signal}"),
        (None, Some(code)) => format!("ended with exit code {code} without a result"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        assert!(describe(ExitStatus::from_raw(9)).contains("signal 9"));
        assert_eq!(describe(ExitStatus::from_raw(11)), "died of signal 11");
        assert_eq!(describe(ExitStatus::from_raw(1 << 8)), "ended with exit code 1 without a result");
    }
}
