//! What opening a log does with its files: finds out how far each partition had come, and makes the
//! newest segment fit to go on in.
//!
//! Bad bytes at the end of the newest segment, with no record behind them, are what a crash left of
//! records that were not acknowledged: they are cleared. Bad bytes with a record behind them are
//! damage: they are kept as they are and reported. No number of a record that may have been there
//! is used again.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::LogOptions;
use super::error::LogError;
use super::files::{Segment, Shared};
use super::format::{Mark, RECORDS_FROM, record_bytes};
use super::segment::{self, Head, Kind, Scanned};
use super::writer::{Active, start_segment};
use crate::locked;

/// What the files hold.
pub(super) struct Recovered {
    pub(super) kind: Kind,
    pub(super) segments: Vec<Segment>,
    pub(super) marks: Vec<Mark>,
    /// File, its offset, and the first bad byte and the one behind the last, from the file's start.
    pub(super) damage: Vec<(PathBuf, u64, u64, u64)>,
    pub(super) newest: Newest,
}

/// Where to go on.
pub(super) enum Newest {
    /// In the newest segment, from its index's end on, after clearing up to `clear_to`.
    Segment { base: u64, clear_to: u64, file_bytes: u64 },
    /// In a new segment at this offset.
    New { base: u64 },
}

/// Makes the directory, takes its lock and removes what a crash has left.
pub(super) fn prepare(directory: &Path) -> Result<File, LogError> {
    let cannot = |source| LogError::io("create", directory, source);
    if !directory.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(cannot)?;
        let parent = directory.parent().filter(|it| !it.as_os_str().is_empty());
        segment::sync_directory(parent.unwrap_or(Path::new(".")))?;
    }
    let path = directory.join(LOCK);
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(|source| LogError::io("open", &path, source))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(fs::TryLockError::WouldBlock) => {
            return Err(LogError::InUse { path: directory.to_owned() });
        }
        Err(fs::TryLockError::Error(source)) => return Err(LogError::io("lock", path, source)),
    }
    segment::tidy(directory)?;
    Ok(file)
}

/// Reads the closed segments' indexes and the newest segment, and changes nothing but indexes.
pub(super) fn recover(directory: &Path, options: &LogOptions) -> Result<Recovered, LogError> {
    let fresh = || (Kind { salt: options.salt, partitions: options.partitions }, Vec::new());
    let (kind, heads) = segment::heads(directory)?.unwrap_or_else(fresh);
    if kind.partitions != options.partitions {
        let (found, asked) = (kind.partitions, options.partitions);
        return Err(LogError::PartitionsChanged { path: directory.to_owned(), found, asked });
    }
    let marks = vec![Mark::default(); usize::from(kind.partitions)];
    let newest = Newest::New { base: 0 };
    let mut recovered = Recovered { kind, segments: Vec::new(), marks, damage: Vec::new(), newest };
    for (at, head) in heads.iter().enumerate() {
        recovered.take(head, at + 1 == heads.len())?;
    }
    Ok(recovered)
}

impl Recovered {
    fn take(&mut self, head: &Head, is_newest: bool) -> Result<(), LogError> {
        let expected = self.segments.last().map(|it| it.base + it.capacity);
        if let Some(expected) = expected.filter(|it| *it < head.base) {
            // Somebody removed a segment in between.
            let gap = head.base - expected;
            self.damage.push((head.path.clone(), expected, 0, gap));
        }
        self.start_from(head, expected);
        let cached = if is_newest { None } else { segment::read_index(head, self.kind) };
        let is_cached = cached.is_some();
        let scanned = match cached {
            Some(index) => Scanned { index, ..Scanned::default() },
            None => segment::scan(head, self.kind, is_newest)?,
        };
        let Scanned { index, bad, torn, beyond, .. } = scanned;
        index.advance(&mut self.marks);
        for (mark, (next, lost)) in self.marks.iter_mut().zip(beyond) {
            // A torn end was not acknowledged, and its numbers are free.
            if torn.is_none() || !bad.is_empty() {
                mark.next_sequence = mark.next_sequence.max(next).saturating_add(lost);
            }
        }
        let is_sound = bad.is_empty() && head.bad_copies.is_empty();
        if !is_newest && !is_cached && is_sound {
            let bytes = index.encode(self.kind.salt, head.base);
            let _ = segment::write_index(&head.path, &bytes);
        }
        self.damage
            .extend(bad.into_iter().map(|(from, to)| (head.path.clone(), head.base, from, to)));
        let capacity = head.capacity();
        if is_newest {
            self.newest = match head.header {
                Some(_) => Newest::Segment {
                    base: head.base,
                    clear_to: torn.map_or(index.end, |(_, to)| to),
                    file_bytes: head.file_bytes,
                },
                // It says nowhere how large it is, so it is closed.
                None => Newest::New { base: head.base + capacity },
            };
        }
        let index = Mutex::new(index);
        let path = head.path.clone();
        self.segments.push(Segment { base: head.base, path, capacity, is_sound, index });
        Ok(())
    }

    /// What the segment's header says of the partitions counts more than what was found in those
    /// before it.
    fn start_from(&mut self, head: &Head, expected: Option<u64>) {
        if let Some(header) = &head.header {
            for (mark, start) in self.marks.iter_mut().zip(&header.starts) {
                *mark = *start;
            }
        } else if expected != Some(head.base) {
            // What came before is gone, and so is what was known of it. No partition can have had
            // more records than fit.
            let most = head.base / record_bytes(0);
            for mark in &mut self.marks {
                mark.next_sequence = mark.next_sequence.max(most);
            }
        }
    }
}

/// Makes the newest segment fit to go on in, or starts a new one.
pub(super) fn activate(
    shared: &Shared,
    newest: Newest,
    marks: &[Mark],
) -> Result<Active, LogError> {
    let (base, clear_to, file_bytes) = match newest {
        Newest::Segment { base, clear_to, file_bytes } => (base, clear_to, file_bytes),
        Newest::New { base } => {
            let active = start_segment(shared, base, marks, None)?;
            locked(&shared.state).segments.insert(base, active.segment.clone());
            return Ok(active);
        }
    };
    let segment = locked(&shared.state).segments.get(&base).cloned();
    // `recover` has just put it there.
    let segment = segment.ok_or(LogError::Closed)?;
    let file = OpenOptions::new().read(true).write(true).open(&segment.path);
    let file = file.map_err(|source| LogError::io("open", &segment.path, source))?;
    let position = locked(&segment.index).end.max(RECORDS_FROM);
    prepare_to_go_on(&file, position, clear_to, file_bytes, segment.capacity)
        .map_err(|source| LogError::io("prepare", &segment.path, source))?;
    Ok(Active { segment, file, position })
}

/// Clears a torn end, fills the file up to its size, and syncs it: readers are about to see what a
/// process that was killed may have written and not synced.
fn prepare_to_go_on(
    file: &File,
    position: u64,
    clear_to: u64,
    file_bytes: u64,
    capacity: u64,
) -> io::Result<()> {
    segment::zero(file, position, clear_to)?;
    segment::zero(file, file_bytes, capacity)?;
    file.sync_all()
}

/// The file whose lock says that the log is open. It stays when the log is closed.
const LOCK: &str = "lock";
