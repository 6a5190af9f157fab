//! Standard output as a guest's console, that nobody may be reading: a thread of its own writes it, and the guest waits for that
//! thread only as long as it is let.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::printable::Stream;

/// Bytes that wait to be written before the guest waits, too.
const ROOM: usize = 64 << 10;

/// How long the last bytes may take between two signs that somebody reads.
const PATIENCE: Duration = Duration::from_millis(500);

/// What goes to the reader, shown as [`crate::printable`] does.
pub(crate) struct Printer {
    shared: Arc<Shared>,
    /// Taken by the thread, which starts with the first byte: starting it is some of the time that a guest takes to its first output.
    writer: Option<Box<dyn Write + Send>>,
}

/// Lets go of a guest that waits for the reader.
#[derive(Clone)]
pub(crate) struct Release(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// The thread has taken bytes that it has not written yet.
    is_writing: bool,
    /// Pieces written so far.
    written: u64,
    /// Nobody waits any more: what has no room is dropped.
    is_released: bool,
    /// There is no reader, or no thread.
    is_broken: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while<'a>(
        &self,
        state: MutexGuard<'a, State>,
        is_so: impl Fn(&State) -> bool,
    ) -> MutexGuard<'a, State> {
        self.changed.wait_while(state, |state| is_so(state)).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Release {
    /// From now on nobody waits for the reader.
    pub(crate) fn release(&self) {
        self.0.lock().is_released = true;
        self.0.changed.notify_all();
    }
}

impl Printer {
    pub(crate) fn new(writer: impl Write + Send + 'static) -> Printer {
        Printer { shared: Arc::default(), writer: Some(Box::new(writer)) }
    }

    pub(crate) fn releaser(&self) -> Release {
        Release(Arc::clone(&self.shared))
    }

    /// Writes, or waits for room until it is released.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        if let Some(writer) = self.writer.take() {
            let shared = Arc::clone(&self.shared);
            let started =
                thread::Builder::new().name("console".to_owned()).spawn(move || shared.serve(writer));
            self.shared.lock().is_broken = started.is_err();
        }
        let full = |state: &State| state.waiting.len() >= ROOM && !state.is_broken;
        let state = self.shared.lock();
        let mut state = self.shared.wait_while(state, |state| full(state) && !state.is_released);
        if !full(&state) && !state.is_broken {
            state.waiting.extend(bytes);
            self.shared.changed.notify_all();
        }
    }

    /// Waits until all is written, for as long as somebody reads.
    pub(crate) fn finish(&self) {
        let mut state = self.shared.lock();
        while !state.is_broken && (state.is_writing || !state.waiting.is_empty()) {
            let written = state.written;
            let waited = self
                .shared
                .changed
                .wait_timeout_while(state, PATIENCE, |state| !state.is_broken && state.written == written);
            let (now, timeout) = waited.unwrap_or_else(PoisonError::into_inner);
            if timeout.timed_out() {
                return;
            }
            state = now;
        }
    }
}

impl Shared {
    /// The life of the thread. It ends with the reader, or with the process.
    fn serve(&self, mut writer: Box<dyn Write + Send>) {
        let mut stream = Stream::default();
        loop {
            let mut state = self.wait_while(self.lock(), |state| state.waiting.is_empty());
            let bytes = std::mem::take(&mut state.waiting);
            state.is_writing = true;
            drop(state);
            // There is room again.
            self.changed.notify_all();
            let is_written = write_pieces(&mut writer, &stream.push(&bytes), || {
                self.lock().written += 1;
                self.changed.notify_all();
            });
            let mut state = self.lock();
            state.is_writing = false;
            state.written += 1;
            // A closed pipe behind standard output is no reason to end the guest.
            state.is_broken |= is_written.is_err();
            let is_over = state.is_broken;
            drop(state);
            self.changed.notify_all();
            if is_over {
                return;
            }
        }
    }
}

/// Writes the text in pieces that a pipe takes at once, and says so after each.
fn write_pieces(writer: &mut impl Write, text: &str, mut written: impl FnMut()) -> io::Result<()> {
    for piece in text.as_bytes().chunks(1024) {
        writer.write_all(piece)?;
        writer.flush()?;
        written();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_read_comes_whole_and_in_order_and_shows_its_escapes() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            theirs.read_to_string(&mut text).unwrap();
            text
        });
        let mut printer = Printer::new(ours);
        let mut sent = String::new();
        for number in 0..50_000 {
            let piece = format!("{number}\u{1b}");
            sent.push_str(&format!("{number}\\u{{1b}}"));
            printer.write(piece.as_bytes());
        }
        printer.finish();
        // The thread waits for more: its writer is closed by shutting the other half down.
        let state = printer.shared.lock();
        assert!(state.waiting.is_empty() && !state.is_writing);
        drop(state);
        printer.shared.lock().is_broken = true;
        printer.shared.lock().waiting.push(b'!');
        printer.shared.changed.notify_all();
        sent.push('!');
        assert_eq!(reader.join().unwrap(), sent);
    }

    #[test]
    fn a_guest_waits_for_a_reader_until_it_is_released() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let mut printer = Printer::new(ours);
        let release = printer.releaser();
        let guest = thread::spawn(move || {
            // More than any socket and the room hold.
            (0..(16 << 20) / 1024).for_each(|_| printer.write(&[b'x'; 1024]));
            printer.finish();
        });
        thread::sleep(Duration::from_millis(100));
        assert!(!guest.is_finished(), "it waits");
        release.release();
        guest.join().unwrap();
        drop(theirs);
    }

    #[test]
    fn without_a_reader_the_guest_goes_on() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let mut printer = Printer::new(ours);
        (0..(4 << 20) / 1024).for_each(|_| printer.write(&[b'x'; 1024]));
        printer.finish();
        assert!(printer.shared.lock().is_broken);
    }
}
