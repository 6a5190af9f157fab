//! Where the report leads to: files beside it.

use std::path::{Component, Path, PathBuf};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands for itself in a part of a relative address.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The address of `file` for a page in the folder `from`; both as the reader named them.
pub(super) fn address(file: &Path, from: &Path) -> String {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let relative = pathdiff::diff_paths(plain(&absolute(file)), plain(&absolute(from)));
    let relative = relative.unwrap_or_else(|| file.to_owned());
    let part = |part: Component<'_>| match part {
        Component::RootDir => String::new(),
        Component::ParentDir => "..".to_owned(),
        part => utf8_percent_encode(&part.as_os_str().to_string_lossy(), PLAIN).to_string(),
    };
    let parts: Vec<String> = relative.components().map(part).collect();
    parts.join("/")
}

/// Without `.`, which `absolute` keeps in the middle.
fn plain(path: &Path) -> PathBuf {
    path.components().filter(|part| *part != Component::CurDir).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_relative_and_escaped() {
        let address = |file: &str, from: &str| address(Path::new(file), Path::new(from));
        assert_eq!(address("results/ipc/results.json", "results/ipc"), "results.json");
        assert_eq!(address("results/ipc/results.json", "."), "results/ipc/results.json");
        assert_eq!(address("/a/b c/#1?.csv", "/a/d"), "../b%20c/%231%3F.csv");
        assert_eq!(address("javascript:alert(1)/x", "."), "javascript%3Aalert%281%29/x");
    }
}
