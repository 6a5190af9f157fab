//! `inkbed selftest`.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::arguments::SelftestArguments;
use super::end::{End, UsageError};
use super::interrupt::Interrupt;
use super::output::{self, note};
use crate::case::keys;
use crate::experiment::overrides::Overrides;
use crate::guest_image::GuestImage;
use crate::machine::guest::Pin;
use crate::printable::{json, line};
use crate::record::atomic::{Flush, write_atomically};
use crate::run::host::Host;
use crate::run::session::{KvmRunner, now};
use crate::selftest::{self, CHECKS, SelftestRecord, Setup, Verdict};

/// Round trips of every case in the short form.
const SHORT_SAMPLES: u32 = 10;

pub(super) fn selftest(arguments: &SelftestArguments) -> anyhow::Result<End> {
    let image = GuestImage::embedded();
    let host = Host::probe()?.with_segments(&image)?;
    let record = host.record(&Pin::Auto);
    let path = arguments.out.clone().unwrap_or_else(|| file_name(&record.name));
    check_is_free(&path, arguments.overwrite)?;
    let interrupt = Interrupt::listen()?;
    let guests = KvmRunner { stop: interrupt.stop.clone() };
    let setup = Setup {
        guests: &guests,
        image: &image,
        facts: host.facts(),
        host: &record,
        limits: &host.limits(image.programs()),
        overrides: &overrides(arguments.short),
    };
    let mut begun = 0;
    let record = selftest::run(&setup, &mut |name| {
        begun += 1;
        note!("{begun} of {}: {name}", CHECKS.len());
    })?;
    if record.is_interrupted && record.checks.is_empty() {
        note!("interrupted before the first check: nothing is written");
        return Ok(End::Interrupted);
    }
    check_is_free(&path, arguments.overwrite)?;
    let text = json(&serde_json::to_string_pretty(&record)?) + "\n";
    write_atomically(&path, Flush::Now, |file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))?;
    output::print(&record.table(u16::try_from(output::width()).unwrap_or(u16::MAX)))?;
    let (path, done) = (path.display().to_string(), record.checks.len());
    if record.is_interrupted {
        note!("interrupted: {done} of {} checks are written to {}", CHECKS.len(), line(&path));
    } else {
        note!("written to {}: the file to send", line(&path));
    }
    Ok(end_of(&record))
}

fn overrides(is_short: bool) -> Overrides {
    match is_short {
        true => Overrides::default().with(&keys::SAMPLES, SHORT_SAMPLES).with(&keys::LAUNCHES, 1),
        false => Overrides::default(),
    }
}

fn end_of(record: &SelftestRecord) -> End {
    if record.is_interrupted {
        return End::Interrupted;
    }
    if record.count(Verdict::Differs) > 0 { End::Failure } else { End::Success }
}

/// `inkbed-selftest-<host>-<UTC time>.json`.
fn file_name(host: &str) -> PathBuf {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let host: String = host.chars().map(plain).collect();
    PathBuf::from(format!("inkbed-selftest-{host}-{}.json", now().replace(['-', ':'], "")))
}

fn check_is_free(path: &Path, overwrite: bool) -> Result<(), UsageError> {
    if overwrite || path.symlink_metadata().is_err() {
        return Ok(());
    }
    let message = format!("the file {} exists", path.display());
    Err(UsageError { message, fix: "name another one with --out, or replace it with --overwrite".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::run::ToolRecord;
    use crate::reduce::tests::run_record;
    use crate::selftest::{CheckRecord, SELFTEST_SCHEMA, SELFTEST_VERSION};

    fn record(verdicts: &[Verdict]) -> SelftestRecord {
        let run = run_record();
        let check = |verdict: &Verdict| CheckRecord {
            name: "clock".to_owned(),
            question: "Why?".to_owned(),
            verdict: *verdict,
            found: "much".to_owned(),
            took_ms: 1,
            cases: Vec::new(),
        };
        SelftestRecord {
            schema: SELFTEST_SCHEMA.to_owned(),
            version: SELFTEST_VERSION,
            inkbed: ToolRecord::this(),
            guest: run.guest,
            host: run.host,
            started_utc: run.started_utc,
            is_interrupted: false,
            checks: verdicts.iter().map(check).collect(),
        }
    }

    #[test]
    fn one_difference_is_a_failure() {
        assert_eq!(end_of(&record(&[Verdict::Agrees, Verdict::NotPossibleHere])), End::Success);
        assert_eq!(end_of(&record(&[Verdict::Agrees, Verdict::Differs])), End::Failure);
        let stopped = SelftestRecord { is_interrupted: true, ..record(&[Verdict::Differs]) };
        assert_eq!(end_of(&stopped), End::Interrupted);
    }

    #[test]
    fn a_file_that_exists_is_kept() {
        let file = tempfile::NamedTempFile::new().unwrap();
        assert!(check_is_free(file.path(), false).is_err());
        assert!(check_is_free(file.path(), true).is_ok());
        assert!(check_is_free(&file.path().join("none"), false).is_ok());
    }
}
