//! Random kernels, from a seed each: whatever they do, the VMM does not panic, ends them by their deadline, keeps little of
//! them, and calls none of them finished that did not measure what it was asked to.
//!
//! `INKBED_HOSTILE_KERNELS` is how many, `INKBED_HOSTILE_SEED` the first seed. 20,000 take a minute on two CPUs; the command is in
//! docs/invariants.md.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use abi::report::{FAULTS_KEPT, MESSAGE_SIZE};
use inkbed::case::Case;
use inkbed::experiment::check::Limits;
use inkbed::experiment::expand::expand;
use inkbed::experiment::file::ExperimentFile;
use inkbed::experiment::overrides::Overrides;
use inkbed::host::HostFacts;
use inkbed::lens::Measured;
use inkbed::lens::trace::TraceAbsent;
use inkbed::record::run::HostRecord;
use inkbed::reduce::case::{case_record, channels};
use inkbed::reduce::launch::Reduced;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::long::{MEMORY_MAX, number, peak_memory};
use super::*;

const DEADLINE: Duration = Duration::from_millis(100);

/// A guest that hangs is ended at its deadline; so much more only a machine that is very busy takes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Most of a case's record, bytes.
const RECORD_MAX: usize = 256 << 10;

/// What every one of them is asked to do.
fn case() -> Case {
    let text = "# Why?\nname = \"x\"\nquestion = \"Why?\"\n[[case]]\nworkload = \"call\"\nclient = \"user\"\n\
        server = \"kernel\"\nsamples = 20\npcid = \"off\"\n";
    let file = ExperimentFile::parse(Path::new("x.toml"), text.to_owned()).unwrap();
    expand(&file, &Overrides::default(), &Limits::any_host()).unwrap().cases.remove(0)
}

/// A kernel, and whether it measures what it was asked to, as far as anybody can tell.
struct Hostile {
    code: Vec<u8>,
    is_honest: bool,
    vcpus: u32,
}

fn assembled(write: impl FnOnce(&mut CodeAssembler) -> Assembled) -> Vec<u8> {
    let mut assembler = CodeAssembler::new(64).unwrap();
    write(&mut assembler).unwrap();
    assembler.assemble(KERNEL_CODE).unwrap()
}

fn hostile(random: &mut ChaCha8Rng) -> Hostile {
    let vcpus = random.random_range(1..4);
    match random.random_range(0..4) {
        0 => Hostile { code: bytes(random), is_honest: false, vcpus },
        1 => {
            // It finds its report first, so that what follows can hit something.
            let mut code = assembled(find_report);
            code.extend(bytes(random));
            Hostile { code, is_honest: false, vcpus }
        }
        2 => Hostile { code: assembled(|a| stream(a, random)), is_honest: false, vcpus },
        _ => liar(random),
    }
}

fn bytes(random: &mut ChaCha8Rng) -> Vec<u8> {
    let mut bytes = vec![0; random.random_range(1..600)];
    random.fill_bytes(&mut bytes);
    bytes
}

/// A 32-bit value of the kind that breaks things.
fn value(random: &mut ChaCha8Rng) -> u32 {
    match random.random_range(0..5) {
        0 => random.random_range(0..32),
        1 => u32::MAX - random.random_range(0..4),
        2 => 1 << random.random_range(0..32),
        3 => (1 << random.random_range(0..32)) - 1,
        _ => random.random(),
    }
}

fn any_port(random: &mut ChaCha8Rng) -> u32 {
    let known =
        [port::SERIAL, port::SERIAL + 3, port::SERIAL + 5, port::DOORBELL, port::EXIT, 0x20, 0xcf8, 0x64];
    match random.random_bool(0.8) {
        true => u32::from(known[random.random_range(0..known.len())]),
        false => random.random_range(0..0x1_0000),
    }
}

/// Instructions that reach the VMM, KVM or the report, in any order, some of them again and again.
fn stream(a: &mut CodeAssembler, random: &mut ChaCha8Rng) -> Assembled {
    write_report(a)?;
    for _ in 0..random.random_range(1..60) {
        let (number, at) = (value(random), random.random_range(0..size_of::<Report>() / 4) * 4);
        match random.random_range(0..16) {
            0..4 => {
                a.mov(edx, any_port(random))?;
                a.mov(eax, number)?;
                match random.random_range(0..4) {
                    0 => a.out(dx, al)?,
                    1 => a.out(dx, ax)?,
                    2 => a.in_(eax, dx)?,
                    _ => a.out(dx, eax)?,
                }
            }
            4..8 => set(a, at, number)?,
            8 => {
                a.mov(edx, any_port(random))?;
                a.mov(rsi, KERNEL_DATA)?;
                a.mov(ecx, number % 5_000)?;
                a.rep().outsb()?;
            }
            9 => {
                let mut again = a.create_label();
                a.mov(r8d, number % 300)?;
                a.mov(edx, any_port(random))?;
                a.set_label(&mut again)?;
                a.mov(eax, r8d)?;
                a.out(dx, eax)?;
                a.dec(r8d)?;
                a.jg(again)?;
            }
            10 => {
                // x2APIC, counters, KVM's own, and any.
                let msr = [0x800 + number % 64, 0x186, 0xc1, 0x4b56_4d00 + number % 8, 0xc000_0080, number];
                a.mov(ecx, msr[random.random_range(0..msr.len())])?;
                a.mov(eax, value(random))?;
                a.mov(edx, value(random))?;
                if random.random_bool(0.5) { a.wrmsr()? } else { a.rdmsr()? }
            }
            11 => {
                // Anywhere in the map of physical memory, and behind it.
                a.mov(r9, PHYSICAL_MAP_BASE + u64::from(number) * random.random_range(0..3))?;
                a.mov(qword_ptr(r9), r9)?;
            }
            12 => {
                a.mov(rax, cr4)?;
                a.xor(eax, 1 << random.random_range(0..22))?;
                a.mov(cr4, rax)?;
            }
            13 => match random.random_range(0..6) {
                0 => a.sti()?,
                1 => a.cpuid()?,
                2 => a.hlt()?,
                3 => a.int(number as u8 as i32)?,
                4 => a.ud2()?,
                _ => a.rdtscp()?,
            },
            14 => {
                a.mov(rax, KERNEL_DATA)?;
                a.mov(qword_ptr(rax), rdi)?;
                a.lidt(tbyte_ptr(rax))?;
            }
            _ => ring(a, random.random_range(0..5))?,
        }
    }
    if random.random_bool(0.7) {
        out(a, port::EXIT, if random.random_bool(0.7) { exit_code::FINISHED } else { value(random) })?;
    }
    Ok(())
}

/// A kernel that writes a whole report, of which something may be wrong, and says that it has finished.
fn liar(random: &mut ChaCha8Rng) -> Hostile {
    let asked = 20;
    let mut fields = vec![
        (offset_of!(Report, round_trips_announced), asked),
        (offset_of!(Report, round_trips), asked),
        (offset_of!(Report, sample_count), asked),
        (offset_of!(Report, channel_count), 1),
    ];
    let lies = [
        (offset_of!(Report, round_trips_announced), random.random_range(0..asked)),
        (offset_of!(Report, round_trips), random.random_range(0..asked)),
        (offset_of!(Report, round_trips) + 4, value(random) | 1),
        (offset_of!(Report, sample_count), value(random) % asked),
        (offset_of!(Report, sample_count) + 4, value(random) | 1),
        (offset_of!(Report, channel_count), value(random).max(2)),
        (offset_of!(Report, driver_status), value(random) | 1),
        (offset_of!(Report, state), state::FINISHED + 1 + value(random) % 9),
        (offset_of!(Report, version), abi::VERSION + 1 + value(random) % 9),
        (offset_of!(Report, last_words_cpu), value(random) | 4),
        (offset_of!(Report, message_size), MESSAGE_SIZE as u32 + 1 + value(random) % 9),
        (offset_of!(Report, frames_in_use) + 4, value(random) | 1),
        (offset_of!(Report, magic) + 4, value(random) & 0xff),
    ];
    // These are none: they say what may be.
    let harmless = [
        (offset_of!(Report, features), value(random)),
        (offset_of!(Report, calls_failed), value(random)),
        (offset_of!(Report, message_size), value(random) % (MESSAGE_SIZE as u32 + 1)),
    ];
    let lie = random.random_bool(0.8).then(|| lies[random.random_range(0..lies.len())]);
    fields.extend(random.random_bool(0.5).then(|| harmless[random.random_range(0..harmless.len())]));
    fields.extend(lie);
    let has_marks = random.random_bool(0.8);
    let code = assembled(|a| {
        write_report(a)?;
        fields.iter().try_for_each(|(offset, value)| set(a, *offset, *value))?;
        if has_marks {
            ring(a, doorbell::MEASURE_BEGIN)?;
            ring(a, doorbell::MEASURE_END)?;
        }
        out(a, port::EXIT, exit_code::FINISHED)
    });
    // On one CPU: others could set a lie right again before it is read.
    Hostile { code, is_honest: lie.is_none() && has_marks, vcpus: 1 }
}

fn ring(a: &mut CodeAssembler, value: u32) -> Assembled {
    out(a, port::DOORBELL, value)
}

/// Runs the kernel of this seed and judges what comes of it. Whether it was called finished.
fn judge(case: &Case, seed: u64) -> bool {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let Hostile { code, is_honest, vcpus } = hostile(&mut random);
    let mut case = case.clone();
    let mut config = guest(kernel_of(&code));
    config.vcpus = vcpus;
    config.deadline = Some(DEADLINE);
    config.memory_bytes = 24 << 20;
    (case.parameters.vcpus, case.parameters.memory_bytes) = (config.vcpus, config.memory_bytes);
    let begin = Instant::now();
    let run = machine::run(&config, &StopFlag::new().unwrap())
        .unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let took = begin.elapsed();
    assert!(took < DEADLINE + PATIENCE, "seed {seed}: {took:?}");
    assert!(run.samples.len() as u64 <= config.sample_capacity, "seed {seed}");
    assert!(run.console.len() <= 1 << 20 && run.faults.len() <= FAULTS_KEPT, "seed {seed}");
    assert_eq!(run.cpus.len(), config.vcpus as usize, "seed {seed}");
    let absent = || Err(TraceAbsent::new("not asked for"));
    let launches = [Reduced::new(&case, Measured::from(run).into(), None)];
    let figures = channels(&case, &launches);
    let record = case_record(&case, &launches, figures, &absent(), &HostRecord::default());
    let is_finished = record.outcome.is_success();
    assert_eq!(is_finished, is_honest, "seed {seed}: {}", record.outcome);
    let written = serde_json::to_vec(&record).unwrap().len();
    assert!(written <= RECORD_MAX, "seed {seed}: a record of {written} bytes");
    is_finished
}

#[test]
fn random_kernels_break_nothing_and_deceive_nobody() {
    if !require_kvm() {
        return;
    }
    if HostFacts::probe().ring0.known().is_some_and(|ring0| ring0.tsc_counts_instructions) {
        println!("skipped: Bochs 2.7 does not interrupt a VMX guest whose own interrupts are off");
        return;
    }
    let (first, count) = (number("INKBED_HOSTILE_SEED", 0), number("INKBED_HOSTILE_KERNELS", 500));
    let (case, next, finished) = (case(), AtomicU64::new(0), AtomicU64::new(0));
    let run = || loop {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if index >= count {
            return;
        }
        finished.fetch_add(judge(&case, first + index).into(), Ordering::Relaxed);
        if index > 0 && index.is_multiple_of(1_000) {
            println!("{index} kernels, at most {} MiB", peak_memory() >> 20);
        }
    };
    // Most of them wait for their deadline.
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(run))));
    assert!(peak_memory() <= MEMORY_MAX, "{} bytes", peak_memory());
    // Those that do as they were asked are taken, so the others are not refused for a reason of the test's.
    assert!(count < 100 || finished.into_inner() > 0);
}
