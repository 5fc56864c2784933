//! The files of the repository, as a fresh clone has them.

use std::fs;
use std::path::Path;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What a build or a run leaves behind, and what is not ours; the bytes that a fuzzer starts from and finds.
const SKIPPED: &[&str] = &["target", "hubward-data", ".git", "corpus", "artifacts"];
/// Files that hold no text.
const BINARY: &[&str] = &["png", "ico", "woff2"];

/// A text file, by its path from the root of the repository.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl File {
    /// True for Rust sources of ours.
    pub(crate) fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|it| it == "rs")
    }

    pub(crate) fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// The folder that the file lies in, without a trailing slash.
    pub(crate) fn folder(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(folder, _)| folder)
    }
}

/// Every text file, by path.
pub(crate) fn all() -> Vec<File> {
    let mut found = Vec::new();
    walk(Path::new(ROOT), &mut found);
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

/// Every Rust source, by path.
pub(crate) fn rust() -> Vec<File> {
    let mut found = all();
    found.retain(File::is_rust);
    found
}

/// One file that must be there.
pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(path))
        .unwrap_or_else(|error| panic!("cannot read `{path}`: {error}"))
}

/// The names of the folders in a folder, in order.
pub(crate) fn folders(path: &str) -> Vec<String> {
    let mut names: Vec<String> = entries(&Path::new(ROOT).join(path))
        .filter(|it| it.path().is_dir())
        .map(|it| it.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Compares a page with what it must be, and writes it where that is asked for.
pub(crate) fn expect_fresh(path: &str, wanted: &str) {
    if fs::read_to_string(Path::new(ROOT).join(path)).is_ok_and(|it| it == wanted) {
        return;
    }
    if !is_blessed() {
        panic!(
            "`{path}` is stale: run `HUBWARD_BLESS=1 cargo test --test tidy` and commit the result"
        );
    }
    fs::write(Path::new(ROOT).join(path), wanted)
        .unwrap_or_else(|error| panic!("cannot write `{path}`: {error}"));
}

#[expect(clippy::disallowed_methods, reason = "a switch of this test, not of the product")]
fn is_blessed() -> bool {
    std::env::var("HUBWARD_BLESS").is_ok_and(|it| it == "1")
}

fn walk(folder: &Path, found: &mut Vec<File>) {
    for entry in entries(folder) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if SKIPPED.contains(&name.as_str()) || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            walk(&path, found);
        } else if !path.extension().is_some_and(|it| BINARY.iter().any(|binary| it == *binary)) {
            let shown =
                path.strip_prefix(ROOT).unwrap_or(&path).to_string_lossy().replace('\\', "/");
            let text = fs::read_to_string(&path)
                .unwrap_or_else(|error| panic!("`{shown}` is no text: {error}"));
            found.push(File { path: shown, text });
        }
    }
}

fn entries(folder: &Path) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("cannot list `{}`: {error}", folder.display()))
        .map(|it| it.expect("a folder that was opened can be read"))
}
