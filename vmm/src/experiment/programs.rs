//! Programs that a file puts in the place of the workload's own, and what they are told.

use abi::program::{self, SUFFIX_32};

use super::check::Limits;
use super::error::{ConfigError, suggest};
use super::file::{CaseEntry, ExperimentFile};
use super::table::Given;
use crate::case::key::{Key, Kind};
use crate::case::value::Value;
use crate::case::{Parameters, keys};
use crate::system::plan::module_name;

/// Names of all built-in programs, as files.
pub(super) fn built_in() -> Vec<String> {
    let of_32_bits = program::ALL.map(|name| format!("{name}{SUFFIX_32}"));
    program::ALL.map(str::to_owned).into_iter().chain(of_32_bits).collect()
}

/// Which program a key names, and which key has its arguments.
const PLACES: [(&Key, &Key); 2] =
    [(&keys::CLIENT_PROGRAM, &keys::CLIENT_ARGUMENTS), (&keys::SERVER_PROGRAM, &keys::SERVER_ARGUMENTS)];

/// Puts into the case what the file says of programs.
pub(super) fn read(
    file: &ExperimentFile,
    limits: &Limits,
    entry: &CaseEntry,
    case: &mut Parameters,
) -> Result<(), ConfigError> {
    for (program, arguments) in PLACES {
        if let (Some(given), None) = (entry.keys.get(arguments), entry.keys.text(program)) {
            let (arguments, program) = (arguments.name, program.name);
            let message = format!("`{arguments}` needs `{program}`");
            let fix = match entry.workload.get_ref().keys().iter().any(|key| key.name == program) {
                false if program == keys::SERVER_PROGRAM.name => {
                    format!("remove `{arguments}`: this workload has no `{program}`")
                }
                _ => format!(
                    "name the program that understands them with `{program}`, or remove `{arguments}`"
                ),
            };
            return Err(file.error_at(given.span.clone(), message, fix));
        }
    }
    case.client_program = named(file, limits, entry, &keys::CLIENT_PROGRAM)?;
    case.client_arguments = numbers(file, entry, &keys::CLIENT_ARGUMENTS)?;
    case.server_program = named(file, limits, entry, &keys::SERVER_PROGRAM)?;
    case.server_arguments = numbers(file, entry, &keys::SERVER_ARGUMENTS)?;
    Ok(())
}

/// The program that a key names.
fn named(
    file: &ExperimentFile,
    limits: &Limits,
    entry: &CaseEntry,
    key: &Key,
) -> Result<Option<String>, ConfigError> {
    let Some(program) = entry.keys.text(key) else { return Ok(None) };
    let name = program.get_ref();
    let is_at_hand = |file: &String| file.strip_suffix(SUFFIX_32).unwrap_or(file) == name;
    if limits.programs.iter().any(is_at_hand) {
        return Ok(Some(name.clone()));
    }
    let fix = whence(name, &limits.programs);
    Err(file.error_at(program.span(), format!("there is no program `{name}`"), fix))
}

/// Which programs there are, and where others come from.
pub fn whence(name: &str, programs: &[String]) -> String {
    let known = programs.iter().map(String::as_str).filter(|known| !known.ends_with(SUFFIX_32));
    format!("{}; --servers DIR adds the programs of a folder", suggest(name, known))
}

fn numbers(file: &ExperimentFile, entry: &CaseEntry, key: &Key) -> Result<Vec<u64>, ConfigError> {
    let Some(Given { span, values, .. }) = entry.keys.get(key) else { return Ok(Vec::new()) };
    if let Kind::Numbers(most) = key.kind
        && values.len() > most
    {
        let message = format!("`{}` has {} numbers", key.name, values.len());
        return Err(file.error_at(span.clone(), message, format!("give at most {most}")));
    }
    let number = |value: &toml::Spanned<Value>| match *value.get_ref() {
        Value::Number(number) if number >= 0 => Ok(number.unsigned_abs()),
        _ => {
            let message = format!("an argument in `{}` is negative", key.name);
            Err(file.error_at(value.span(), message, "write a number from 0 on"))
        }
    };
    values.iter().map(number).collect()
}

/// Refuses a program in a place that it was not built for.
pub(super) fn check(
    file: &ExperimentFile,
    limits: &Limits,
    entry: &CaseEntry,
    case: &Parameters,
) -> Result<(), ConfigError> {
    let placements = [Some(case.client), case.server];
    for ((key, _), placement) in PLACES.into_iter().zip(placements) {
        let (Some(program), Some(placement)) = (entry.keys.text(key), placement) else { continue };
        let module = module_name(program.get_ref(), placement);
        if !limits.programs.contains(&module) {
            let bits = if placement.is_32_bit() { 32 } else { 64 };
            let message = format!(
                "`{}` cannot run in `{placement}`: there is no build for {bits} bits",
                program.get_ref()
            );
            let fix = format!(
                "put its build into the folder of --servers as `{module}`, or choose another placement"
            );
            return Err(file.error_at(program.span(), message, fix));
        }
    }
    Ok(())
}

/// Their parts of a case's name.
pub(super) fn in_name(entry: &CaseEntry) -> String {
    let mut text = String::new();
    let parts = ["client-program", "client-arguments", "program", "server-arguments"];
    for (key, part) in PLACES.iter().flat_map(|(program, arguments)| [program, arguments]).zip(parts) {
        let Some(given) = entry.keys.get(key) else { continue };
        let names = given.texts.iter().map(|name| name.get_ref().clone());
        let numbers = given.values.iter().map(|value| key.kind.text(*value.get_ref()));
        let values: Vec<String> = names.chain(numbers).collect();
        if !values.is_empty() {
            text.push_str(&format!("/{part}={}", values.join("+")));
        }
    }
    text
}
