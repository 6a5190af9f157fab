//! The process of one guest: from the order on its standard input to the guest's end.

#![expect(unsafe_code, reason = "system calls")]

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use vmm_sys_util::sock_ctrl_msg::ScmSocket;

use super::confine::Filters;
use super::message::{self, DONE, GO, Notice, Order};
use super::programs;
use crate::lens::measure;
use crate::machine::clock::now_ns;
use crate::machine::guest::GuestConfig;
use crate::machine::stages::{Role, Stage, Stages};
use crate::machine::{MachineError, StopFlag};
use crate::printable::chain;

/// The whole life of a guest's process. `entered_ns` is when its first own code ran.
///
/// The exit code is 0 when the one who gave the order has been told how it went.
pub fn main() -> ExitCode {
    let entered_ns = now_ns();
    // What `ps` and `top` show; the executable is started by a name that says nothing.
    // SAFETY: The name is a string that ends with a zero.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"inkbed-guest".as_ptr()) };
    match serve(entered_ns) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to be told but those who read what a guest's process says at its end.
            let _ = writeln!(io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(entered_ns: u64) -> io::Result<()> {
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let received = receive_order(&mut stream).map_err(|error| {
        io::Error::other(format!("`inkbed run` starts this command; it is of no use by hand ({error})"))
    })?;
    let (notice, samples) = match run(&received, &stream, entered_ns) {
        Ok(ended) => ended,
        Err(reason) => (Notice::Failed { reason }, Vec::new()),
    };
    message::send(&mut stream, &notice, &samples)
}

/// An order and the programs for it.
struct Received {
    order: Order,
    programs: fs::File,
}

fn receive_order(stream: &mut UnixStream) -> io::Result<Received> {
    let mut first = [0];
    let (size, file) =
        stream.recv_with_fd(&mut first).map_err(|errno| io::Error::from_raw_os_error(errno.errno()))?;
    let programs = file.filter(|_| size == 1).ok_or_else(|| io::Error::other("there is no order"))?;
    let order: Order = message::receive(stream, first[0])?;
    die_with(order.parent)?;
    // When memory runs out, a guest is to go, not the process that has the results. Raising the score is always allowed.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    Ok(Received { order, programs })
}

/// Has the system kill this process when the thread that started it ends, whatever ends it.
fn die_with(parent: u32) -> io::Result<()> {
    // SAFETY: The call takes plain numbers.
    if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
        return Err(io::Error::last_os_error());
    }
    if std::os::unix::process::parent_id() != parent {
        return Err(io::Error::other("the process that gave the order has ended"));
    }
    Ok(())
}

/// Runs the guest; its end with its samples, or why there was none.
fn run(received: &Received, stream: &UnixStream, entered_ns: u64) -> Result<(Notice, Vec<u8>), String> {
    let order = &received.order;
    let file = received.programs.try_clone().map_err(|error| chain(&error))?;
    let (kernel, modules) =
        programs::open(file, &order.kernel, &order.modules).map_err(|error| chain(&error))?;
    let config = GuestConfig { kernel, modules, ..order.config.clone() };
    let filters = Filters::new().map_err(|error| chain(&error))?;
    let teller = Teller { stream, filters, entered_ns, waits_for_others: AtomicBool::new(false) };
    // Nobody raises it: a guest's process is stopped from outside.
    let stop = StopFlag::new().map_err(|error| chain(&error))?;
    let measured = measure::run_staged(&config, &order.lenses, &stop, Some(&teller));
    let measured = measured.map_err(|error| chain(&error))?;
    let (mut run, lenses) = (measured.run, measured.lenses);
    let samples = message::samples_to_bytes(&std::mem::take(&mut run.samples));
    Ok((Notice::Ended { began_ns: run.began_at_ns, run: Box::new(run), lenses }, samples))
}

/// Gives what making the guest took of the heap, and does not take any more, back to the host.
fn trim_heap() {
    #[cfg(target_env = "gnu")]
    // SAFETY: The call has no preconditions.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Tells how far the guest is, and holds it at the barrier.
struct Teller<'a> {
    stream: &'a UnixStream,
    filters: Filters,
    entered_ns: u64,
    /// Its guest has measured, and nobody has said that all have.
    waits_for_others: AtomicBool,
}

impl Teller<'_> {
    fn tell(&self, notice: &Notice) -> io::Result<()> {
        message::send(&mut &*self.stream, notice, &[])
    }
}

impl Stages for Teller<'_> {
    fn created(&self, memory: &[(u64, u64)]) -> Result<(), MachineError> {
        trim_heap();
        let notice =
            Notice::Created { at_ns: now_ns(), entered_ns: self.entered_ns, memory: memory.to_vec() };
        self.tell(&notice).map_err(|source| MachineError::Host { action: "report to `inkbed run`", source })
    }

    fn confine(&self, role: Role) -> Result<(), MachineError> {
        self.filters.confine(role)
    }

    fn reached(&self, stage: Stage) {
        let at_ns = now_ns();
        // A broken connection means that the other side is gone, and this process is about to be killed.
        match stage {
            Stage::Started => {
                let _ = self.tell(&Notice::Started { at_ns });
            }
            Stage::Measuring { round_trips } => {
                let mut answer = [0];
                let told = self.tell(&Notice::Ready { at_ns, round_trips });
                let _ = told.and_then(|()| (&mut &*self.stream).read_exact(&mut answer));
                debug_assert!(answer == [GO] || answer == [0], "{answer:?}");
            }
            Stage::Measured => {
                let _ = self.tell(&Notice::Measured { at_ns });
                self.waits_for_others.store(true, Ordering::SeqCst);
            }
        }
    }

    fn others_measure(&self) -> bool {
        if !self.waits_for_others.load(Ordering::SeqCst) {
            return false;
        }
        let mut answer = [0];
        // SAFETY: The kernel writes at most one byte, into `answer`; the descriptor is the stream's.
        let size =
            unsafe { libc::recv(self.stream.as_raw_fd(), answer.as_mut_ptr().cast(), 1, libc::MSG_DONTWAIT) };
        // One byte, or the end of the connection: nobody measures any more.
        let is_over = size >= 0 || io::Error::last_os_error().kind() != io::ErrorKind::WouldBlock;
        if is_over {
            debug_assert!(size != 1 || answer == [DONE], "{answer:?}");
            self.waits_for_others.store(false, Ordering::SeqCst);
        }
        !is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_an_order_it_says_so() {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(receive_order(&mut ours).is_err());
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        theirs.write_all(b"hello, world!").unwrap();
        let Err(error) = receive_order(&mut ours) else { panic!("a text is no order") };
        assert_eq!(error.to_string(), "there is no order");
    }

    #[test]
    fn a_process_dies_with_its_own_parent_only() {
        let parent = std::os::unix::process::parent_id();
        assert!(die_with(parent + 1).is_err());
        // SAFETY: The call takes plain numbers; 0 takes the order back.
        unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
    }
}
