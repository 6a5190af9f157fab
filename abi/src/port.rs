//! The I/O ports of the machine model. Writes to any other port are ignored; reads give all ones.
//!
//! No other machine has anything at the doorbell and at the exit: in QEMU's, 0x510 is its firmware's configuration and 0x600 its
//! power management.

/// Data register of the serial console (16550A, COM1); the line status register is at `+ 5`.
pub const SERIAL: u16 = 0x3f8;

/// Number of ports of the serial console.
pub const SERIAL_COUNT: u16 = 8;

/// Doorbell, 32-bit writes: the kernel announces one of [`doorbell`]. The exit that the write causes lets the VMM look
/// at its own clocks and KVM's statistics at exactly this point of the guest's execution.
///
/// Reads give [`OTHERS_MEASURE`] as long as guests that were started with this one still measure, else any other number.
pub const DOORBELL: u16 = 0x5c0;

/// Value that [`DOORBELL`] reads as: others still measure.
pub const OTHERS_MEASURE: u32 = 1;

/// Exit, 32-bit writes: the guest ends; the value is one of [`exit_code`].
pub const EXIT: u16 = 0x5c4;

/// Values for [`DOORBELL`].
pub mod doorbell {
    /// The measured part of the case begins.
    pub const MEASURE_BEGIN: u32 = 1;
    /// The measured part of the case has ended.
    pub const MEASURE_END: u32 = 2;
    /// All servers are loaded and their threads ready to run.
    pub const STARTED: u32 = 3;
    /// The part of the measurement that is this CPU's has ended; what it does from here on is in no count.
    pub const PART_MEASURED: u32 = 4;
}

/// Values for [`EXIT`].
pub mod exit_code {
    /// The case has finished, the report is complete.
    pub const FINISHED: u32 = 0;
    /// The kernel has panicked; [`crate::report::Report`] holds message and registers.
    pub const PANIC: u32 = 1;
    /// The kernel could not start the plan; [`crate::report::Report::message`] says why.
    pub const REFUSED: u32 = 2;
    /// The server that drives the case died; the report's faults say how.
    pub const DRIVER_DIED: u32 = 3;
    /// No thread can ever run again: every one waits, and no timer or interrupt is due.
    pub const DEADLOCK: u32 = 4;
}
