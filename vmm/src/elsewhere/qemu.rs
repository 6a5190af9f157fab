//! QEMU without KVM: its translator executes every instruction, ring 0 and ring 3 alike, and counts them (`-icount shift=0`). An
//! instruction takes a nanosecond of the guest's time, so ticks of the time-stamp counter are instructions.
//!
//! The guest's memory is a file that QEMU shares with this process. The exit port is QEMU's device `isa-debug-exit`.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use abi::port::EXIT;

use crate::machine::boot::{Clocks, Processor};
use crate::machine::boot_image::BootImage;
use crate::machine::devices::CONSOLE_SIZE_MAX;
use crate::machine::error::{MachineError, host};
use crate::machine::exit::End;
use crate::machine::guest::{GuestConfig, GuestRun};
use crate::machine::memory::GuestMemory;
use crate::machine::outcome::{self, Guest};
use crate::machine::page_table::LargestPage;
use crate::machine::stop::StopFlag;
use crate::machine::threads::Stopped;
use crate::machine::{plan, report};

/// Ways of counting that work there.
pub const LENSES: [&str; 2] = ["tsc", "kernel"];

/// The program that is looked for on PATH.
const PROGRAM: &str = "qemu-system-x86_64";

/// Memory that QEMU's firmware has for itself, above the guest's: bytes.
const FIRMWARE_BYTES: u64 = 16 << 20;

/// What QEMU tells its guests, and nothing else: no PCIDs and no x2APIC in its translator (QEMU 7.2).
const PROCESSOR: Processor = Processor { largest_page: LargestPage::Mebibytes2, has_x2apic: false };

/// One tick of both clocks is a nanosecond of the guest's time (QEMU: `hw/intc/apic.c`, `softmmu/icount.c`).
const CLOCKS: Clocks = Clocks { tsc_hz: TSC_HZ, apic_timer_hz: TSC_HZ };
const TSC_HZ: u64 = 1_000_000_000;

/// How often the end of a guest is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// QEMU on this host.
#[derive(Clone, Debug)]
pub struct Qemu {
    /// As it tells it: `7.2.17 (Debian 1:7.2+dfsg-7+deb12u13)`.
    pub version: String,
}

impl Qemu {
    /// Looks for QEMU on PATH.
    pub fn find() -> Result<Qemu, MachineError> {
        let output = Command::new(PROGRAM).arg("--version").output().map_err(MachineError::NoQemu)?;
        let text = String::from_utf8_lossy(&output.stdout);
        let first = text.lines().next().unwrap_or_default();
        Ok(Qemu { version: first.trim_start_matches("QEMU emulator version ").to_owned() })
    }

    /// Boots one guest and runs it to its end: its own, the deadline's, or the stop flag's.
    pub fn run(&self, config: &GuestConfig, stop: &StopFlag) -> Result<GuestRun, MachineError> {
        let start = Instant::now();
        plan::check(config)?;
        let image = BootImage::new(config, PROCESSOR, CLOCKS)?;
        let folder = tempfile::tempdir().map_err(host("make a folder for QEMU's files"))?;
        let (elf, memory) = (folder.path().join("guest.elf"), folder.path().join("memory"));
        write(&elf, &image.elf).map_err(host("write the guest for QEMU"))?;
        let file = File::create_new(&memory).map_err(host("make the guest's memory for QEMU"))?;
        file.set_len(config.memory_bytes + FIRMWARE_BYTES)
            .map_err(host("make the guest's memory for QEMU"))?;

        let mut child = command(&elf, &memory, config)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(MachineError::NoQemu)?;
        let entered = start.elapsed();
        let (end, console, complaints) = watch(&mut child, config.deadline, stop)?;
        drop(folder);
        let memory = GuestMemory::of_file(&file, config.memory_bytes)?;
        let guest = Guest { config, memory: &memory, layout: &image.layout, vcpus: &[] };
        let run = match end {
            Ended::Stopped(stopped) => outcome::collect(&guest, &stopped)?,
            Ended::By(status) => {
                let run = outcome::collect(&guest, &Stopped::Vcpu(0, end_of(status)))?;
                // QEMU ends with the same code where it could not begin.
                if run.state == 0 && status.code() == Some(1) {
                    return Err(MachineError::QemuFailed(complaints.trim().to_owned()));
                }
                run
            }
        };
        let create_ns = u64::try_from(entered.as_nanos()).unwrap_or(u64::MAX);
        // Nobody looked at the first mark, so this is what the report says at the end.
        let round_trips_announced = report::read_announced(&memory, &image.layout);
        let ran_elsewhere = true;
        Ok(GuestRun { round_trips_announced, ran_elsewhere, console, tsc_hz: TSC_HZ, create_ns, ..run })
    }
}

/// How a guest came to its end.
enum Ended {
    By(ExitStatus),
    Stopped(Stopped),
}

/// How QEMU is started with a guest: `elf` is its file, `memory` the one that becomes its memory.
pub fn command(elf: &Path, memory: &Path, config: &GuestConfig) -> Command {
    let mut command = Command::new(PROGRAM);
    let bytes = config.memory_bytes + FIRMWARE_BYTES;
    command
        .args([
            "-machine",
            "microvm,pit=off,pic=off,rtc=off,memory-backend=memory",
            "-accel",
            "tcg,thread=single",
        ])
        .args(["-cpu", "max", "-icount", "shift=0,sleep=off", "-smp", &config.vcpus.to_string()])
        .args(["-m", &format!("{}K", bytes >> 10), "-object"])
        .arg(format!("memory-backend-file,id=memory,share=on,size={bytes},mem-path={}", option_path(memory)))
        .args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none", "-serial", "stdio"])
        .args(["-device", &format!("isa-debug-exit,iobase={EXIT:#x},iosize=4"), "-kernel"])
        .arg(elf);
    command
}

/// A path in an option of QEMU's, where a comma stands twice.
fn option_path(path: &Path) -> String {
    path.display().to_string().replace(',', ",,")
}

fn write(path: &PathBuf, bytes: &[u8]) -> std::io::Result<()> {
    File::create_new(path)?.write_all(bytes)
}

/// Waits for the end, and keeps what the guest prints and what QEMU complains of.
fn watch(
    child: &mut Child,
    deadline: Option<Duration>,
    stop: &StopFlag,
) -> Result<(Ended, Vec<u8>, String), MachineError> {
    let (console, complaints) = (keep(child.stdout.take()), keep(child.stderr.take()));
    let start = Instant::now();
    let end = loop {
        if let Some(status) = child.try_wait().map_err(host("wait for QEMU"))? {
            break Ended::By(status);
        }
        if stop.is_raised() {
            break Ended::Stopped(Stopped::User);
        }
        if let Some(deadline) = deadline.filter(|deadline| start.elapsed() >= *deadline) {
            break Ended::Stopped(Stopped::Deadline(deadline));
        }
        thread::sleep(LOOK_EVERY);
    };
    // One that has ended already is none the worse for it.
    let _ = child.kill();
    child.wait().map_err(host("wait for QEMU"))?;
    let complaints = complaints.join().unwrap_or_default();
    Ok((end, console.join().unwrap_or_default(), String::from_utf8_lossy(&complaints).into_owned()))
}

/// Reads all of it, and keeps the beginning.
fn keep(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let Some(mut stream) = stream else { return Vec::new() };
        let mut kept = Vec::new();
        // What cannot be read is not there.
        let _ = stream.by_ref().take(CONSOLE_SIZE_MAX as u64).read_to_end(&mut kept);
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
        kept
    })
}

/// What the way in which QEMU ended says of the guest.
fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        // `isa-debug-exit` ends QEMU with twice the value, and one.
        (Some(code), _) if code & 1 == 1 => End::Code(code as u32 >> 1),
        // A reset: `-no-reboot`.
        (Some(0), _) => End::TripleFault,
        (Some(code), _) => End::Unexpected(format!("QEMU ended with code {code}")),
        (None, signal) => End::Unexpected(format!("QEMU was ended by signal {}", signal.unwrap_or_default())),
    }
}
