//! How many cases a file may ask for: its lists are multiplied as numbers before anything is built from them.

use std::ops::Range;

use toml::{Spanned, Table, Value};

use super::error::ConfigError;
use super::file::ExperimentFile;
use super::overrides::Overrides;
use crate::workload;

/// Most cases of a file. With one that ran for a second each, this many take three hours.
pub const CASES_MAX: u128 = 10_000;

/// Refuses a file whose lists multiply to more cases than anybody runs.
pub(super) fn check(file: &ExperimentFile, overrides: &Overrides) -> Result<(), ConfigError> {
    // It has been read once, so it can be read again; here only the lengths of lists count, whatever their keys.
    let Ok(content) = toml::from_str::<Table>(&file.text) else { return Ok(()) };
    let set = overrides.describe();
    let none = Table::new();
    let defaults = content.get("defaults").and_then(Value::as_table).unwrap_or(&none);
    let cases = content.get("case").and_then(Value::as_array).into_iter().flatten();
    let mut sum: u128 = 0;
    for (case, entry) in cases.filter_map(Value::as_table).zip(&file.content.cases) {
        let inherited = defaults.iter().filter(|(key, _)| !case.contains_key(*key));
        let factors: Vec<(&str, usize)> = (case.iter().chain(inherited))
            .filter_map(|(key, value)| Some((key.as_str(), value.as_array()?.len())))
            .filter(|(key, length)| *length > 1 && !set.contains_key(*key) && multiplies(key))
            .collect();
        let product =
            factors.iter().fold(1u128, |product, (_, length)| product.saturating_mul(*length as u128));
        if product > CASES_MAX {
            return Err(too_many(file, entry, &factors, product));
        }
        sum += product;
    }
    if sum > CASES_MAX {
        let message = format!("the file asks for {sum} cases; one file may have {CASES_MAX}");
        return Err(ConfigError::in_file(
            &file.path,
            message,
            "take the experiment apart into several files",
        ));
    }
    Ok(())
}

/// Some lists describe a case, and do not multiply it.
fn multiplies(key: &str) -> bool {
    workload::key(key).is_none_or(|key| !key.describes_by_list())
}

fn too_many<T>(
    file: &ExperimentFile,
    entry: &Spanned<T>,
    factors: &[(&str, usize)],
    product: u128,
) -> ConfigError {
    let keys: Vec<String> = factors.iter().map(|(key, length)| format!("`{key}` ({length})")).collect();
    let message = format!("{} make {product} cases; one file may have {CASES_MAX}", keys.join(" × "));
    let start: Range<usize> = entry.span().start..entry.span().start;
    file.error_at(start, message, "shorten these lists, or take the experiment apart into several files")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn check_text(cases: &str, overrides: &Overrides) -> Result<(), ConfigError> {
        let text = format!("# Why?\nname = \"x\"\nquestion = \"Why?\"\n{cases}");
        check(&ExperimentFile::parse(Path::new("x.toml"), text).unwrap(), overrides)
    }

    fn numbers(count: usize) -> String {
        format!("[{}]", vec!["1"; count].join(", "))
    }

    #[test]
    fn a_product_is_refused_by_the_names_of_its_keys() {
        let (few, many) = (numbers(3), numbers(1000));
        let case = format!(
            "[defaults]\nvcpus = {many}\nguests = {few}\n[[case]]\nworkload = \"call\"\nwords = {many}\n\
             guests = {many}\nclient = \"user\"\n"
        );
        let error = check_text(&case, &Overrides::default()).unwrap_err();
        for part in ["`words` (1000)", "`vcpus` (1000)", "`guests` (1000)", "make 1000000000 cases"] {
            assert!(error.message.contains(part), "{}", error.message);
        }
        assert!(error.place.is_some_and(|place| place.text == "[[case]]"));
        // What the command line sets is no list any more.
        let mut overrides = Overrides::default();
        overrides.set("guests=1").unwrap();
        overrides.set("vcpus=1").unwrap();
        assert!(check_text(&case, &overrides).is_ok());
    }

    #[test]
    fn the_sum_is_bounded_too() {
        let case = format!("[[case]]\nworkload = \"call\"\nwords = {}\n", numbers(1000));
        assert!(check_text(&case.repeat(10), &Overrides::default()).is_ok());
        let error = check_text(&case.repeat(11), &Overrides::default()).unwrap_err();
        assert!(error.message.contains("11000 cases"), "{}", error.message);
    }

    #[test]
    fn no_product_is_too_large_to_be_counted() {
        let keys = ["words", "vcpus", "guests", "partners", "moved", "servers", "pages", "client_pages"];
        let lists = keys.map(|key| format!("{key} = {}\n", numbers(60_000))).concat();
        let error = check_text(&format!("[[case]]\nworkload = \"call\"\n{lists}"), &Overrides::default());
        assert!(error.unwrap_err().message.contains(" × "));
    }
}
