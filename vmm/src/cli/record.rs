//! `inkbed record`.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use anyhow::Context;

use super::arguments::RecordArguments;
use super::end::UsageError;
use super::output::note;
use crate::host::{CpuFacts, SystemFacts};
use crate::printable::line;
use crate::requests::recording::{End, FORMAT, Header, Source, VERSION};
use crate::requests::write::Writer;
use crate::requests::{ptrace, strace, tracer};

/// What ptrace changes and cannot see.
const DISTORTION: [&str; 5] = [
    "each system call stops the thread twice, so durations and gaps are longer than without the recorder",
    "one recorder answers for all threads, so they overlap less",
    "calls that the vDSO answers, such as clock_gettime, and io_uring's requests are not seen",
    "mapped files show only as page faults, of which there is only a count",
    "a program that stops itself by SIGSTOP or SIGTSTP goes on at once",
];

/// What strace changes and cannot see.
const DISTORTION_OF_STRACE: [&str; 3] = [
    "this is a log of strace, which stops each system call twice as inkbed does",
    "times are rounded to microseconds",
    "without strace's option -y there are no descriptors, and with it a directory that is not listed counts as a file",
];

/// Records a command, and ends with its exit code; or reads a log.
pub(super) fn record(arguments: &RecordArguments) -> anyhow::Result<ExitCode> {
    if arguments.output.exists() && !arguments.overwrite {
        let message = format!("{} exists", arguments.output.display());
        return Err(UsageError { message, fix: "name another file, or add --overwrite".to_owned() }.into());
    }
    let (end, exit_code) = match &arguments.import {
        Some(log) => (import(arguments, log)?, 0),
        None => watch(arguments)?,
    };
    note!("{} requests in {}", end.requests, line(&arguments.output.display().to_string()));
    Ok(ExitCode::from(exit_code))
}

/// Runs the program, and writes what it asks for.
fn watch(arguments: &RecordArguments) -> anyhow::Result<(End, u8)> {
    // The terminal sends these to the program as well: it decides, and the recording gets its end.
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGQUIT] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let mut header = Header {
        program: program(arguments),
        host: format!("{}, Linux {}", CpuFacts::probe().model, SystemFacts::probe().kernel_release),
        ..header(arguments, Source::Ptrace, &DISTORTION)
    };
    header.run_time_without_recorder =
        arguments.baseline.then(|| run_time_without_recorder(arguments)).transpose()?;
    let mut writer = create(arguments, &header)?;
    let faults_before = ptrace::page_faults_of_children();
    let outcome = tracer::record(command(arguments), &mut writer);
    let outcome = outcome.inspect_err(|_| forget_empty(arguments, &writer))?;
    let page_faults =
        ptrace::page_faults_of_children().zip(faults_before).map(|(after, before)| after.since(before));
    let end = End {
        requests: writer.count(),
        run_time_with_recorder: Some(outcome.run_time),
        page_faults,
        exit_code: Some(outcome.exit_code),
    };
    writer.finish(end.clone())?;
    Ok((end, outcome.exit_code))
}

/// Reads a log of strace.
fn import(arguments: &RecordArguments, log: &Path) -> anyhow::Result<End> {
    let file = File::open(log).with_context(|| format!("cannot read {}", log.display()))?;
    let mut log = BufReader::with_capacity(1 << 16, file);
    // The first line names the program, if the log begins with its start.
    let first = log.fill_buf()?.split(|byte| *byte == b'\n').next().map(String::from_utf8_lossy);
    let header = Header {
        program: first.and_then(|line| strace::program(&line)).unwrap_or_else(|| "unknown".to_owned()),
        host: "not told by the log".to_owned(),
        ..header(arguments, Source::Strace, &DISTORTION_OF_STRACE)
    };
    let mut writer = create(arguments, &header)?;
    let imported = strace::import(log, &mut writer);
    let imported = imported.inspect_err(|_| forget(arguments))?;
    let run_time_with_recorder = Some(imported.run_time);
    let end = End {
        requests: writer.count(),
        run_time_with_recorder,
        page_faults: None,
        exit_code: imported.exit_code,
    };
    writer.finish(end.clone())?;
    Ok(end)
}

fn create(arguments: &RecordArguments, header: &Header) -> anyhow::Result<Writer<BufWriter<File>>> {
    let file = File::create(&arguments.output)
        .with_context(|| format!("cannot write {}", arguments.output.display()))?;
    Ok(Writer::new(BufWriter::new(file), header)?)
}

/// Nothing ran, or its requests cannot be kept: a file without an end would only look like a recording.
fn forget_empty(arguments: &RecordArguments, writer: &Writer<BufWriter<File>>) {
    if writer.count() == 0 {
        forget(arguments);
    }
}

fn forget(arguments: &RecordArguments) {
    let _ = std::fs::remove_file(&arguments.output);
}

fn command(arguments: &RecordArguments) -> Command {
    // Clap asks for at least one word.
    let mut command = Command::new(&arguments.command[0]);
    command.args(&arguments.command[1..]);
    command
}

fn run_time_without_recorder(arguments: &RecordArguments) -> anyhow::Result<u64> {
    let began = Instant::now();
    let status = command(arguments).stdout(Stdio::null()).status();
    status.with_context(|| format!("cannot start {}", program(arguments)))?;
    Ok(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

fn program(arguments: &RecordArguments) -> String {
    let name = Path::new(&arguments.command[0]).file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// What all recordings say; the program and the host are not known yet.
fn header(arguments: &RecordArguments, source: Source, distortion: &[&str]) -> Header {
    Header {
        format: FORMAT.to_owned(),
        version: VERSION,
        inkbed: env!("CARGO_PKG_VERSION").to_owned(),
        program: String::new(),
        program_version: arguments.program_version.clone(),
        host: String::new(),
        source,
        distortion: distortion.iter().copied().map(str::to_owned).collect(),
        run_time_without_recorder: None,
        instructions_absent: "this recorder counts no instructions".to_owned(),
    }
}
