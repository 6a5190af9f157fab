//! The devices behind the ports: a serial console that only sends.

use std::convert::Infallible;
use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use vm_superio::serial::NoEvents;
use vm_superio::{Serial, Trigger};

use crate::machine::guest::Console;
use crate::machine::printer::{Printer, Release};

/// Most that is kept of what a guest prints, bytes.
pub(crate) const CONSOLE_SIZE_MAX: usize = 1 << 20;

/// All devices of a guest, shared by its vCPUs.
pub(crate) struct Devices {
    serial: Mutex<Serial<NoInterrupt, NoEvents, Output>>,
    release: Option<Release>,
}

/// The guest polls its console; the interrupt line leads nowhere.
struct NoInterrupt;

impl Trigger for NoInterrupt {
    type E = Infallible;

    fn trigger(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

/// What the guest has printed, bounded.
struct Output {
    kept: Vec<u8>,
    printer: Option<Printer>,
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = CONSOLE_SIZE_MAX - self.kept.len();
        self.kept.extend(&bytes[..bytes.len().min(room)]);
        if let Some(printer) = &mut self.printer {
            printer.write(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Devices {
    pub(crate) fn new(console: Console) -> Devices {
        let printer = (console == Console::Stdout).then(|| Printer::new(io::stdout()));
        let release = printer.as_ref().map(Printer::releaser);
        let output = Output { kept: Vec::new(), printer };
        Devices { serial: Mutex::new(Serial::new(NoInterrupt, output)), release }
    }

    /// From now on no vCPU waits for a reader of standard output.
    pub(crate) fn release(&self) {
        if let Some(release) = &self.release {
            release.release();
        }
    }

    pub(crate) fn serial_write(&self, register: u8, bytes: &[u8]) {
        let mut serial = self.serial();
        for byte in bytes {
            // Neither interrupt line nor output can fail, see above.
            let _ = serial.write(register, *byte);
        }
    }

    pub(crate) fn serial_read(&self, register: u8, data: &mut [u8]) {
        data.fill_with(|| self.serial().read(register));
    }

    /// What the guest has printed, once that is on standard output, as far as somebody reads it.
    pub(crate) fn into_console(self) -> Vec<u8> {
        let output = self.serial.into_inner().unwrap_or_else(PoisonError::into_inner).into_writer();
        if let Some(printer) = &output.printer {
            printer.finish();
        }
        output.kept
    }

    fn serial(&self) -> MutexGuard<'_, Serial<NoInterrupt, NoEvents, Output>> {
        self.serial.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn console_is_kept_and_bounded() {
        let devices = Devices::new(Console::Capture);
        devices.serial_write(0, b"hello");
        let mut status = [0; 2];
        devices.serial_read(5, &mut status);
        assert_eq!(status[0] & 0x20, 0x20, "the transmitter is always empty");
        devices.serial_write(0, &vec![b'x'; CONSOLE_SIZE_MAX + 10]);
        let console = devices.into_console();
        assert_eq!(console.len(), CONSOLE_SIZE_MAX);
        assert!(console.starts_with(b"helloxxx"));
    }

    #[test]
    fn any_register_takes_any_byte() {
        let devices = Devices::new(Console::Capture);
        for register in 0..8 {
            for byte in 0..=255 {
                devices.serial_write(register, &[byte]);
                devices.serial_read(register, &mut [0]);
            }
        }
    }
}
