//! `inkbed new`: a folder with a program of the user's own, outside of inkbed's source.

mod files;
mod name;
mod source;

use std::borrow::Cow;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::arguments::{NewArguments, NewProgram, NewServerArguments};
use super::end::{End, UsageError};
use super::output;

pub(super) fn new(arguments: &NewArguments) -> anyhow::Result<End> {
    match &arguments.program {
        NewProgram::Server(arguments) => server(arguments),
    }
}

fn server(arguments: &NewServerArguments) -> anyhow::Result<End> {
    let name = &arguments.name;
    name::check(name)?;
    let folder = arguments.path.clone().unwrap_or_else(|| PathBuf::from(name));
    let source = source::find(arguments.inkbed.as_deref())?;
    require_free(&folder)?;
    files::write(&folder, &files::SERVER, name, &source)?;
    output::print(&told(&folder))?;
    Ok(End::Success)
}

/// Refuses a folder in which anything is.
fn require_free(folder: &Path) -> anyhow::Result<()> {
    let refused = |what: &str| UsageError {
        message: format!("{} {what}", folder.display()),
        fix: "give another folder with --path: `inkbed new` replaces nothing".to_owned(),
    };
    match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(refused("is there already and is not empty").into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(refused("is no folder, or lies in none").into())
        }
        Err(error) => Err(error).with_context(|| format!("cannot read {}", folder.display())),
    }
}

/// What was made, and the commands that build and measure it.
fn told(folder: &Path) -> String {
    let variables = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"];
    let target = variables.into_iter().find_map(env::var_os).filter(|folder| !folder.is_empty());
    let built =
        target.map_or_else(|| PathBuf::from("target"), PathBuf::from).join("x86_64-unknown-none/release");
    format!(
        "Made in {folder}: a server (src/main.rs), what builds it, and an experiment that measures it (experiment.toml).\n\
         Build it, then measure it:\n\n  cd {word} && cargo build --release\n  {program} run experiment.toml --servers {built}\n",
        folder = folder.display(),
        word = shell_word(folder),
        program = shell_word(&program()),
        built = shell_word(&built),
    )
}

/// What a shell has to be told to run this program again, from any folder.
fn program() -> PathBuf {
    let called = PathBuf::from(env::args_os().next().unwrap_or_default());
    match env::current_exe() {
        // Without a folder it was found in PATH.
        Ok(program) if called.components().count() > 1 => program,
        _ => called,
    }
}

/// A path as one word for a shell. One with a NUL byte is no path.
fn shell_word(path: &Path) -> String {
    let text = path.to_string_lossy().into_owned();
    shlex::try_quote(&text).map(Cow::into_owned).unwrap_or(text)
}
