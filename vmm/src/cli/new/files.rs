//! The files of a program of a user's own, from the templates in `vmm/templates`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use super::source::Source;

/// A file of the folder, and what it holds before names are put in.
type Template = (&'static str, &'static str);

/// A server, what builds it, and an experiment that measures it.
pub(super) const SERVER: [Template; 7] = [
    ("Cargo.toml", include_str!("../../../templates/server/Cargo.toml.template")),
    (".cargo/config.toml", include_str!("../../../templates/server/cargo-config.toml")),
    (".gitignore", include_str!("../../../templates/server/gitignore")),
    ("build.rs", include_str!("../../../templates/server/build.rs")),
    ("experiment.toml", include_str!("../../../templates/server/experiment.toml.template")),
    // The compiler that inkbed's own servers are built with.
    ("rust-toolchain.toml", include_str!("../../../../rust-toolchain.toml")),
    ("src/main.rs", include_str!("../../../templates/server/main.rs")),
];

/// Writes the files into a folder, which is made where it is not there. If that fails, those written before go.
pub(super) fn write(folder: &Path, files: &[Template], name: &str, source: &Source) -> anyhow::Result<()> {
    let is_new = !folder.exists();
    for (index, (file, template)) in files.iter().enumerate() {
        let text = template.replace("@name@", name).replace("@source@", &source.dependency());
        let path = folder.join(file);
        if let Err(error) = write_new(&path, &text) {
            remove(folder, &files[..=index], is_new);
            return Err(anyhow::Error::new(error).context(format!("cannot write {}", path.display())));
        }
    }
    Ok(())
}

/// Never into a file that is there.
fn write_new(path: &Path, text: &str) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)?;
    File::create_new(path)?.write_all(text.as_bytes())
}

/// Removes files, and the folders that are empty then. What cannot be removed stays.
fn remove(folder: &Path, files: &[Template], and_folder: bool) {
    for (file, _) in files {
        let path = folder.join(file);
        let _ = fs::remove_file(&path);
        let parent = path.parent().filter(|parent| *parent != folder);
        let _ = parent.map(fs::remove_dir);
    }
    if and_folder {
        let _ = fs::remove_dir(folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("x");
        let source = Source::Repository("https://example.org".to_owned());
        // No file can be where a folder has to be.
        let files = [("a", "1"), ("b/c", "2"), ("a/d", "3")];
        let error = write(&folder, &files, "x", &source).unwrap_err();
        assert!(error.to_string().contains("a/d"), "{error}");
        assert!(!folder.exists());
        fs::create_dir(&folder).unwrap();
        write(&folder, &files, "x", &source).unwrap_err();
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0, "the folder was there before");
    }

    #[test]
    fn every_name_is_put_in() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source::Repository("https://example.org".to_owned());
        write(folder.path(), &SERVER, "mine", &source).unwrap();
        for (file, _) in SERVER {
            let text = fs::read_to_string(folder.path().join(file)).unwrap();
            assert!(!text.contains('@'), "{file}: {text}");
            if file.ends_with(".toml") {
                toml::from_str::<toml::Table>(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
            }
        }
    }
}
