//! Where the source of inkbed is, which a program of a user's own is built with.

use std::path::{Path, PathBuf};

use crate::cli::end::UsageError;

/// What cargo is told of the package `guest-servers`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Absolute path of the package.
    Folder(String),
    /// URL of a repository that holds it.
    Repository(String),
}

impl Source {
    /// Part of a dependency in Cargo.toml.
    pub(super) fn dependency(&self) -> String {
        let (key, value) = match self {
            Source::Folder(path) => ("path", path),
            Source::Repository(url) => ("git", url),
        };
        format!("{key} = {}", toml::Value::from(value.as_str()))
    }
}

/// The source that the user gives, or the one that this program was built from.
pub(super) fn find(given: Option<&str>) -> Result<Source, UsageError> {
    match given {
        Some(url) if url.contains("://") => Ok(Source::Repository(url.to_owned())),
        Some(folder) => package(Path::new(folder)).map_err(|reason| UsageError {
            message: format!("there is no source of inkbed in {folder}: {reason}"),
            fix: "give --inkbed the folder of a clone, in which `guest-servers` is, or a URL such as \
                  https://example.org/inkbed"
                .to_owned(),
        }),
        None => built_from(Path::new(env!("CARGO_MANIFEST_DIR"))),
    }
}

/// The source below whose folder the package of this program was.
fn built_from(package_of_program: &Path) -> Result<Source, UsageError> {
    let folder = package_of_program.parent().unwrap_or(package_of_program);
    let found = match is_of_cargo(folder) {
        true => Err("that folder is cargo's, which clears it at some time".to_owned()),
        false => package(folder),
    };
    found.map_err(|reason| UsageError {
        message: format!(
            "this program was built from the source in {}, which cannot be used: {reason}",
            folder.display()
        ),
        fix: "give --inkbed the folder of a clone of inkbed, or the URL of its repository".to_owned(),
    })
}

/// Whether cargo has checked a repository out here: `cargo install --git` does.
fn is_of_cargo(folder: &Path) -> bool {
    let names: Vec<_> = folder.iter().collect();
    names.windows(2).any(|names| names == ["git", "checkouts"])
}

/// The package in the folder of a clone.
fn package(clone: &Path) -> Result<Source, String> {
    let folder = clone.join("guest-servers");
    let manifest = folder.join("Cargo.toml");
    if !manifest.is_file() {
        return Err(format!("{} is no file", manifest.display()));
    }
    let folder: PathBuf = folder.canonicalize().map_err(|error| error.to_string())?;
    folder.into_os_string().into_string().map(Source::Folder).map_err(|_| "its path is no UTF-8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_folder_or_a_repository() {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap();
        let package = Source::Folder(workspace.join("guest-servers").to_str().unwrap().to_owned());
        assert_eq!(find(workspace.to_str()).unwrap(), package);
        assert_eq!(find(Some("..")).unwrap(), package, "the tests run in the package");
        assert_eq!(find(None).unwrap(), package);
        let url = "https://example.org/inkbed";
        assert_eq!(find(Some(url)).unwrap().dependency(), format!("git = \"{url}\""));
        let odd = Source::Folder("/a \"b\"\\c".to_owned()).dependency();
        assert_eq!(toml::from_str::<toml::Table>(&odd).unwrap()["path"].as_str(), Some("/a \"b\"\\c"));
    }

    #[test]
    fn what_is_no_source_is_refused_with_its_reason() {
        let empty = tempfile::tempdir().unwrap();
        let error = find(empty.path().to_str()).unwrap_err();
        assert!(error.message.contains("guest-servers/Cargo.toml is no file"), "{error}");
        assert!(error.fix.contains("--inkbed"), "{}", error.fix);
        let error = built_from(&empty.path().join("vmm")).unwrap_err();
        assert!(error.message.contains("was built from") && error.fix.contains("--inkbed"), "{error}");
        let error = built_from(Path::new("/home/a/.cargo/git/checkouts/inkbed-1/2/vmm")).unwrap_err();
        assert!(error.message.contains("cargo's"), "{error}");
    }
}
