//! What was written, kept in a file: a run that was broken off goes on where it was, and what has not changed since is
//! not sent again.
//!
//! Each line is `{"deviceId", "sha256", "etag"}`, appended behind its answer and synced with each batch; of several
//! lines about a device the last counts. A line that was torn by a crash is none: its policy is written once more,
//! with the same content. The first line names the hub: another's record is refused.

use crate::IngestError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

/// The file, and what it says.
pub struct Record {
    path: PathBuf,
    file: File,
    written: HashMap<String, Written>,
    pending: Vec<u8>,
}

#[derive(Clone)]
struct Written {
    sha256: String,
    etag: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    device_id: String,
    sha256: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    hub: String,
}

impl Record {
    /// # Errors
    /// What of the file cannot be read, or that it is another hub's.
    pub fn open(path: &Path, hub: &str) -> Result<Self, IngestError> {
        let refuse = |why: &str| IngestError(format!("the record in `{}`: {why}", path.display()));
        let mut options = OpenOptions::new();
        let opened = options.read(true).append(true).create(true).open(path);
        let mut file = opened.map_err(|it| refuse(&it.to_string()))?;
        let mut written = HashMap::new();
        let (mut is_begun, mut whole) = (false, 0_u64);
        let mut from = BufReader::new(&file);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).map_err(|it| refuse(&it.to_string()))? > 0 {
            if !line.ends_with(b"\n") {
                break;
            }
            whole += line.len() as u64;
            if is_begun {
                // One in the middle that cannot be read costs a request, and nothing else.
                if let Ok(Line { device_id, sha256, etag }) = serde_json::from_slice(&line) {
                    written.insert(device_id, Written { sha256, etag });
                }
            } else {
                let head: Head = serde_json::from_slice(&line).map_err(|_| {
                    refuse("it is no record of what was written; name another file")
                })?;
                if !head.hub.eq_ignore_ascii_case(hub) {
                    let why = format!("it is of the hub `{}`; name another file", head.hub);
                    return Err(refuse(&why));
                }
                is_begun = true;
            }
            line.clear();
        }
        let mut pending = Vec::new();
        if is_begun {
            // Behind a torn line nothing could be read.
            file.set_len(whole).map_err(|it| refuse(&it.to_string()))?;
        } else {
            file.set_len(0).map_err(|it| refuse(&it.to_string()))?;
            pending = to_line(&Head { hub: hub.to_owned() });
        }
        file.seek(SeekFrom::End(0)).map_err(|it| refuse(&it.to_string()))?;
        Ok(Self { path: path.to_owned(), file, written, pending })
    }

    /// True where this content is what was written last.
    pub(crate) fn has(&self, device: &str, content: &[u8]) -> bool {
        self.written.get(device).is_some_and(|it| it.sha256 == hash(content))
    }

    /// The etag of what was written last.
    pub(crate) fn etag(&self, device: &str) -> Option<&str> {
        self.written.get(device)?.etag.as_deref()
    }

    pub(crate) fn note(&mut self, device: &str, content: &[u8], etag: Option<String>) {
        let sha256 = hash(content);
        let line = Line { device_id: device.to_owned(), sha256, etag };
        self.pending.extend(to_line(&line));
        let Line { device_id, sha256, etag } = line;
        self.written.insert(device_id, Written { sha256, etag });
    }

    /// Brings what was noted to disk.
    pub(crate) fn sync(&mut self) -> Result<(), IngestError> {
        let kept = self.file.write_all(&self.pending).and_then(|()| self.file.sync_data());
        self.pending.clear();
        kept.map_err(|it| {
            IngestError(format!("the record in `{}` cannot be kept: {it}", self.path.display()))
        })
    }
}

fn to_line(it: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(it).unwrap_or_default();
    line.push(b'\n');
    line
}

fn hash(content: &[u8]) -> String {
    STANDARD_NO_PAD.encode(digest(&SHA256, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_there_again_and_a_torn_line_is_none() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("written.jsonl");
        let mut record = Record::open(&path, "/hubs/one").unwrap();
        record.note("pump-1", b"{}", Some("\"e1\"".into()));
        record.note("pump-1", b"{1}", Some("\"e2\"".into()));
        record.note("pump-2", b"null", None);
        record.sync().unwrap();
        drop(record);
        let mut torn = OpenOptions::new().append(true).open(&path).unwrap();
        torn.write_all(b"{\"deviceId\":\"pump-3\",\"sha2").unwrap();
        for _ in 0..2 {
            let mut record = Record::open(&path, "/HUBS/one").unwrap();
            assert!(record.has("pump-1", b"{1}") && !record.has("pump-1", b"{}"));
            assert_eq!((record.etag("pump-1"), record.etag("pump-2")), (Some("\"e2\""), None));
            assert!(record.has("pump-2", b"null") && !record.has("pump-3", b""));
            record.note("pump-4", b"4", None);
            record.sync().unwrap();
        }
        assert!(Record::open(&path, "/hubs/one").unwrap().has("pump-4", b"4"));
        let other = Record::open(&path, "/hubs/one0").err().unwrap();
        assert!(other.0.contains("/hubs/one"), "{other}");
        std::fs::write(&path, "notes\n").unwrap();
        assert!(Record::open(&path, "/hubs/one").is_err());
    }
}
