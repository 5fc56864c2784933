//! Whether the files of a log are in order, read from the first byte to the last.

use std::io;
use std::path::Path;

use super::error::LogError;
use super::format::Mark;
use super::segment::{self, Head, Kind, Scanned};
use super::{DAMAGE_LISTED_MAX, Damage};

/// What [`verify`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    pub segments: u64,
    pub records: u64,
    /// Places where records should be and are not, unreadable copies of headers, and missing
    /// segments.
    pub bad: u64,
    /// The first [`DAMAGE_LISTED_MAX`] of the places.
    pub damage: Vec<Damage>,
    /// The newest segment ends in bad bytes, which is what a crash leaves of records that were not
    /// acknowledged. Opening the log clears them.
    pub torn_tail: bool,
}

/// Reads all of the log in `directory`, open or not, and changes nothing.
///
/// Where the log is being written to, the newest records may show as a torn tail. Blocks.
///
/// # Errors
/// [`LogError::Io`]; [`LogError::NewerFormat`], [`LogError::ForeignFile`] or
/// [`LogError::UnreadableSegment`] where the files are not what they should be.
pub fn verify(directory: &Path) -> Result<Verified, LogError> {
    verify_watched(directory, |_, _| {})
}

/// As [`verify`], and tells before each segment how many of how many were read.
///
/// # Errors
/// As [`verify`].
pub fn verify_watched(
    directory: &Path,
    mut progress: impl FnMut(usize, usize),
) -> Result<Verified, LogError> {
    for _ in 1..LOOKS_MAX {
        match look(directory, &mut progress) {
            // A segment was trimmed while the heads of all were read.
            Err(it) if is_gone(&it, directory) => {}
            looked => return looked,
        }
    }
    look(directory, &mut progress)
}

fn look(directory: &Path, progress: &mut impl FnMut(usize, usize)) -> Result<Verified, LogError> {
    let mut verified = Verified::default();
    let Some((kind, heads)) = segment::heads(directory)? else { return Ok(verified) };
    let mut expected = None;
    let mut marks: Vec<Mark> = Vec::new();
    let mut last_bad = 0;
    for (at, head) in heads.iter().enumerate() {
        progress(at, heads.len());
        if let Some(expected) = expected.filter(|it| *it < head.base) {
            verified.bad += 1;
            verified.list(&head.path, expected, head.base - expected);
            last_bad = 1;
        }
        if let Some(header) = &head.header {
            verified.compare(&mut marks, &header.starts, last_bad, head);
        }
        let scanned = match at + 1 == heads.len() {
            true => scan_newest(head, kind),
            false => segment::scan(head, kind, false),
        };
        let scanned = match scanned {
            // Trimmed since the directory was listed, and whatever came before it: the log begins behind it now.
            Err(it) if is_gone(&it, directory) => {
                verified = Verified::default();
                (expected, last_bad) = (None, 0);
                marks.clear();
                continue;
            }
            scanned => scanned?,
        };
        scanned.index.advance(&mut marks);
        last_bad = scanned.bad_count;
        verified.segments += 1;
        verified.records += scanned.index.records;
        verified.bad += scanned.bad_count;
        verified.torn_tail |= scanned.torn.is_some();
        for (from, to) in scanned.bad {
            verified.list(&head.path, head.base.saturating_add(from), to - from);
        }
        expected = head.base.checked_add(head.capacity());
    }
    Ok(verified)
}

/// True where a segment is not there any more.
fn is_gone(error: &LogError, directory: &Path) -> bool {
    matches!(error, LogError::Io { path, source, .. }
        if source.kind() == io::ErrorKind::NotFound && path != directory)
}

/// A reader that meets the writer may see a record and not yet the one before it. Damage stays as
/// it is, so it counts once two looks agree on it.
fn scan_newest(head: &Head, kind: Kind) -> Result<Scanned, LogError> {
    let mut scanned = segment::scan(head, kind, true)?;
    for _ in 1..LOOKS_MAX {
        if scanned.bad_count == 0 {
            break;
        }
        let before = std::mem::replace(&mut scanned, segment::scan(head, kind, true)?);
        if before.bad == scanned.bad && before.bad_count == scanned.bad_count {
            break;
        }
    }
    Ok(scanned)
}

/// How often what changes while it is read is looked at.
const LOOKS_MAX: usize = 5;

impl Verified {
    /// Takes over what a header says of the partitions, and counts it as damage where that is more
    /// than the segments before it hold and nothing there was found to be damaged.
    fn compare(&mut self, marks: &mut Vec<Mark>, starts: &[Mark], last_bad: u64, head: &Head) {
        let is_ahead =
            |(mark, start): (&Mark, &Mark)| start.last.is_some() && start.last != mark.last;
        if last_bad == 0 && marks.iter().zip(starts).any(is_ahead) {
            self.bad += 1;
            self.list(&head.path, head.base, 0);
        }
        *marks = starts.to_vec();
    }

    fn list(&mut self, path: &Path, offset: u64, bytes: u64) {
        if self.damage.len() < DAMAGE_LISTED_MAX {
            self.damage.push(Damage { path: path.to_owned(), offset, bytes });
        }
    }
}
