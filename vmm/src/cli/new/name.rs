//! What a program of a user's own may be called.

use abi::program::{ALL, SUFFIX_32};

use crate::cli::end::UsageError;
use crate::guest_image::is_program_name;

/// Names that cargo refuses for a program, because folders of a build have them, and the packages that every server is built of.
const TAKEN: [&str; 6] = ["abi", "build", "deps", "examples", "guest-servers", "incremental"];

/// Refuses a name that a package or a program may not have, or that a built-in one has.
pub(super) fn check(name: &str) -> Result<(), UsageError> {
    let refused = |why: &str, fix: &str| {
        Err(UsageError { message: format!("`{name}` cannot be the name: {why}"), fix: fix.to_owned() })
    };
    if !is_program_name(name) || !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        let fix = "use 1 to 64 letters, digits, `-` and `_`, a letter first, such as `busy`";
        return refused("it is none of a program", fix);
    }
    if name.ends_with(SUFFIX_32) {
        let why = format!("`{SUFFIX_32}` at the end marks the build of a program for 32 bits");
        return refused(&why, &format!("choose a name without `{SUFFIX_32}` at its end"));
    }
    if ALL.contains(&name) {
        return refused("a built-in program has it", "choose another name, such as `busy`");
    }
    if TAKEN.contains(&name) {
        return refused("cargo has another use for it", "choose another name, such as `busy`");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_crates_and_of_programs() {
        for name in ["busy", "b", "My-server_2", "null-2", "nulls", "core"] {
            assert!(check(name).is_ok(), "{name}");
        }
        let long = "a".repeat(65);
        for name in ["", "2nd", "_x", "-x", "a b", "a.b", "a/b", "..", "é", &long] {
            let error = check(name).unwrap_err();
            assert!(error.fix.contains("letters, digits"), "{name}: {error}");
        }
        assert!(check("busy-32").unwrap_err().message.contains("32 bits"));
        for name in ALL {
            assert!(check(name).unwrap_err().message.contains("built-in"), "{name}");
        }
        assert!(check("deps").unwrap_err().message.contains("cargo"));
    }
}
