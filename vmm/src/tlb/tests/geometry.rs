//! Impossible geometries are refused with the fix.

use super::text;
use crate::tlb::Model;

fn refusal(text: &str) -> String {
    Model::from_toml(text).unwrap_err().to_string()
}

#[test]
fn impossible_shapes_are_refused_with_the_fix() {
    let shape =
        |entries, ways: &str, replacement: &str| refusal(&text("none", entries, ways, replacement, ""));
    assert_eq!(
        shape(64, "6", "lru"),
        "L1: 6 ways do not divide 64 entries; use a divisor of 64, or ways = \"full\""
    );
    assert_eq!(
        shape(3072, "8", "lru"),
        "L1: 3072 entries in 8 ways make 384 sets, which is not a power of two; use ways = 6 or 12"
    );
    assert_eq!(
        shape(72, "\"full\"", "tree-plru"),
        "L1: tree-plru needs a power of two of at most 64 ways, not 72; use replacement = \"lru\" or \"random\""
    );
    assert!(shape(0, "1", "lru").contains("0 entries; give 1 to"));
    assert!(shape(8, "0", "lru").contains("0 ways do not divide"));
    assert!(shape(128, "\"full\"", "tree-plru").contains("at most 64"));
}

#[test]
fn impossible_models_are_refused_with_the_fix() {
    let good = text("none", 8, "8", "lru", "");
    assert!(Model::from_toml(&good).is_ok());
    let changed = |from: &str, to: &str| refusal(&good.replace(from, to));
    assert!(changed("paging_levels = 4", "paging_levels = 1").contains("x86 has 2"));
    assert!(changed("level = 1\nuse", "level = 3\nuse").contains("only levels 1 and 2"));
    assert!(changed("\"fetch\", \"read\", \"write\"", "").contains("use is empty; name at least one"));
    assert!(changed("[\"4KiB\"]", "[]").contains("page_sizes is empty"));
    assert!(changed("\"write\"", "\"read\"").contains("use = [\"write\"]"));
    assert!(changed("[\"4KiB\"]", "[\"2MiB\"]").contains("no level-1 array holds 4KiB pages"));
    let (top, array) = good.split_at(good.find("[[tlb]]").unwrap());
    assert!(refusal(&format!("{top}{array}{array}")).contains("two arrays are named \"L1\""));
}

#[test]
fn walk_caches_must_fit_the_page_tables() {
    let cache = |name| {
        format!(
            "[[walk_cache]]\nname = \"{name}\"\nholds = \"pml4e\"\nentries = 2\nways = 2\nreplacement = \"lru\"\n\
             source = \"\"\nverified = false\n"
        )
    };
    let with = |caches: &str| text("none", 8, "8", "lru", caches);
    assert!(Model::from_toml(&with(&cache("a"))).is_ok());
    assert!(refusal(&with(&(cache("a") + &cache("b")))).contains("\"b\" caches the same entries"));
    let two_levels = with(&cache("a")).replace("paging_levels = 4", "paging_levels = 2");
    assert!(refusal(&two_levels).contains("2-level page tables do not have; remove it"));
}

#[test]
fn unknown_words_and_files_are_refused() {
    let good = text("none", 8, "8", "lru", "");
    let parse = |text: &str| {
        let error = Model::from_toml(text).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    assert!(parse(&good.replace("source", "sauce")).contains("missing field `source`"));
    let misspelt = parse(&good.replace("ways = 8", "ways = 8\nsets = 1"));
    assert!(misspelt.contains("unknown field `sets`"), "{misspelt}");
    let no_number = parse(&good.replace("ways = 8", "ways = \"all\""));
    assert!(no_number.contains("ways: a number, or \"full\""), "{no_number}");
    assert!(parse(&format!("colour = 1\n{good}")).contains("unknown field `colour`"));
    let unknown = Model::load("no-such-geometry").unwrap_err().to_string();
    assert!(unknown.contains("pentium-p54c, skylake-sp, ice-lake-sp, zen3, zen4"), "{unknown}");
}

#[test]
fn a_file_is_loaded_by_its_path() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text("none", 8, "8", "lru", "")).unwrap();
    assert_eq!(Model::load(file.path().to_str().unwrap()).unwrap().name, "test");
    let folder = tempfile::tempdir().unwrap();
    let error = Model::load(folder.path().to_str().unwrap()).unwrap_err().to_string();
    assert!(error.starts_with("cannot read geometry file"), "{error}");
}
