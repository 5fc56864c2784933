//! Whether the files of a log are in order, read from the first byte to the last.

use std::path::Path;

use super::error::LogError;
use super::format::Mark;
use super::segment::{self, Head};
use super::{DAMAGE_LISTED_MAX, Damage};

/// What [`verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    let mut verified =
        Verified { segments: 0, records: 0, bad: 0, damage: Vec::new(), torn_tail: false };
    let Some((kind, heads)) = segment::heads(directory)? else { return Ok(verified) };
    let mut expected = None;
    let mut marks: Vec<Mark> = Vec::new();
    let mut last_bad = 0;
    for (at, head) in heads.iter().enumerate() {
        if let Some(expected) = expected.filter(|it| *it < head.base) {
            verified.bad += 1;
            verified.list(&head.path, expected, head.base - expected);
        }
        if let Some(header) = &head.header {
            verified.compare(&mut marks, &header.starts, last_bad, head);
        }
        let scanned = segment::scan(head, kind, at + 1 == heads.len())?;
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
