//! The files that diagnostic records are written to: one per workspace, one line per record, one old
//! file kept.

use super::diagnostics::Message;
use crate::metrics::{self, Metrics};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use tokio::sync::mpsc;

/// A file that would grow beyond this is put aside as `.1`, in place of the one put aside before.
pub(super) const FILE_BYTES_MAX: u64 = 64 << 20;
/// Files held open at once; above, all are closed and opened again as needed.
const OPEN_FILES_MAX: usize = 64;
/// Shortest and longest name of a workspace.
/// Source: Azure resource naming rules, Microsoft.OperationalInsights.
const WORKSPACE_NAME_CHARACTERS: std::ops::RangeInclusive<usize> = 4..=63;

/// The stem of a workspace's file: its name, for people, and a hash of its id, which tells namesakes
/// apart. Nothing of the id can name another directory.
pub(super) fn stem(workspace: &str) -> String {
    let id = workspace.trim_end_matches('/').to_ascii_lowercase();
    let last = id.rsplit('/').next().unwrap_or("");
    let kept: String =
        last.chars().filter(|it| matches!(it, 'a'..='z' | '0'..='9' | '-')).collect();
    let name = match WORKSPACE_NAME_CHARACTERS.contains(&kept.len()) {
        true => kept.as_str(),
        false => "workspace",
    };
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    let hash: String = digest.as_ref().iter().take(6).map(|it| format!("{it:02x}")).collect();
    format!("{name}-{hash}")
}

/// Writes what comes until it is told to stop or nobody is left to send.
pub(super) fn write(directory: PathBuf, mut waiting: mpsc::Receiver<Message>, counters: &Metrics) {
    let mut files = Files::new(directory);
    let mut has_complained = false;
    while let Some(message) = waiting.blocking_recv() {
        match message {
            Message::Record { stem, line } => match files.append(&stem, line.as_bytes()) {
                Ok(()) => has_complained = false,
                Err(error) => {
                    counters.count_dropped_record();
                    // Once per run of failures: a full disk would fill the log as well.
                    if !has_complained {
                        has_complained = true;
                        let message = format!(
                            "a diagnostic record could not be written to `{stem}`: {error}"
                        );
                        metrics::log(&json!({ "level": "error", "message": message }));
                    }
                }
            },
            Message::Flush(done) => {
                // Nobody waits any more where this fails.
                let _ = done.send(());
            }
            Message::Stop => break,
        }
    }
    files.sync();
}

/// Open files by stem.
struct Files {
    directory: PathBuf,
    open: BTreeMap<String, OpenFile>,
    file_bytes_max: u64,
}

struct OpenFile {
    file: File,
    bytes: u64,
}

impl Files {
    const fn new(directory: PathBuf) -> Self {
        Self { directory, open: BTreeMap::new(), file_bytes_max: FILE_BYTES_MAX }
    }

    fn append(&mut self, stem: &str, line: &[u8]) -> io::Result<()> {
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let path = self.directory.join(format!("{stem}.jsonl"));
        let mut current = match self.open.remove(stem) {
            Some(current) => current,
            None => self.open_file(&path)?,
        };
        if current.bytes > 0 && current.bytes.saturating_add(length) > self.file_bytes_max {
            std::fs::rename(&path, self.directory.join(format!("{stem}.jsonl.1")))?;
            current = self.open_file(&path)?;
        }
        // On an error the file is not put back: the next record opens it afresh.
        current.file.write_all(line)?;
        current.bytes = current.bytes.saturating_add(length);
        if self.open.len() >= OPEN_FILES_MAX {
            self.open.clear();
        }
        self.open.insert(stem.to_owned(), current);
        Ok(())
    }

    fn open_file(&self, path: &Path) -> io::Result<OpenFile> {
        DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(OpenFile { file, bytes })
    }

    /// Records are evidence: at a regular end they are on the disk, not only with the kernel.
    fn sync(&self) {
        for (stem, open) in &self.open {
            if let Err(error) = open.file.sync_data() {
                let message = format!("the diagnostic file `{stem}` could not be synced: {error}");
                metrics::log(&json!({ "level": "error", "message": message }));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    /// A directory of this test's own, gone at its end.
    struct Directory(PathBuf);

    impl Directory {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("hubward-files-{name}-{}", std::process::id()));
            Self(path)
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_file_is_named_after_its_workspace_and_nothing_else() {
        let check = |id: &str, name: &str| {
            let stem = stem(id);
            let (found, hash) = stem.rsplit_once('-').unwrap();
            assert_eq!(found, name, "{id}");
            assert_eq!(hash.len(), 12, "{stem}");
            assert!(
                stem.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-'),
                "{stem}"
            );
        };
        let in_group = |name: &str| {
            format!(
                "/subscriptions/s/resourceGroups/rg/providers/Microsoft.OperationalInsights/workspaces/{name}"
            )
        };
        check(&in_group("Audit-7"), "audit-7");
        check(&in_group("Audit-7/"), "audit-7");
        check(&in_group("abc"), "workspace");
        check(&in_group("a.b_c d"), "abcd");
        check(&in_group("äöü"), "workspace");
        check(&in_group(".."), "workspace");
        check(&in_group(&"a".repeat(63)), &"a".repeat(63));
        check(&in_group(&"a".repeat(64)), "workspace");
        check("", "workspace");
    }

    #[test]
    fn namesakes_in_other_groups_have_files_of_their_own() {
        let one = stem("/subscriptions/s/resourceGroups/rg1/providers/p/workspaces/audit");
        let other = stem("/subscriptions/s/resourceGroups/rg10/providers/p/workspaces/audit");
        assert_ne!(one, other);
        assert_eq!(one, stem("/subscriptions/S/resourcegroups/RG1/providers/P/Workspaces/AUDIT"));
    }

    #[test]
    fn a_full_file_is_put_aside_and_one_old_file_is_kept() {
        let directory = Directory::new("full");
        let mut files = Files {
            directory: directory.0.join("diagnostics"),
            open: BTreeMap::new(),
            file_bytes_max: 8,
        };
        for line in ["one\n", "two\n", "three\n", "a line beyond the bound\n", "five\n"] {
            files.append("audit", line.as_bytes()).unwrap();
        }
        let read = |name: &str| {
            std::fs::read_to_string(directory.0.join("diagnostics").join(name)).unwrap()
        };
        assert_eq!(read("audit.jsonl"), "five\n");
        assert_eq!(read("audit.jsonl.1"), "a line beyond the bound\n");
        assert_eq!(std::fs::read_dir(directory.0.join("diagnostics")).unwrap().count(), 2);
    }

    #[test]
    fn an_existing_file_is_continued_and_only_its_owner_may_read_it() {
        let directory = Directory::new("existing");
        let path = directory.0.join("diagnostics");
        for line in ["one\n", "two\n"] {
            let mut files =
                Files { directory: path.clone(), open: BTreeMap::new(), file_bytes_max: 8 };
            files.append("audit", line.as_bytes()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path.join("audit.jsonl")).unwrap(), "one\ntwo\n");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("audit.jsonl"))), (0o700, 0o600));
    }

    #[test]
    fn many_workspaces_do_not_hold_many_files_open() {
        let directory = Directory::new("many");
        let mut files = Files::new(directory.0.clone());
        for number in 0..=OPEN_FILES_MAX {
            files.append(&format!("w{number}"), b"line\n").unwrap();
            assert!(files.open.len() <= OPEN_FILES_MAX);
        }
        assert_eq!(std::fs::read_dir(&directory.0).unwrap().count(), OPEN_FILES_MAX + 1);
    }
}
