//! Segment files: how they are named, made, recognised and read through.
//!
//! A segment is made under another name, filled with zeros, given its header, synced, renamed, and
//! its directory entry synced; only then is it one. So a file with a segment's name is whole, unless
//! somebody or something damaged it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::error::LogError;
use super::format::{
    Decoded, HEADER_BYTES, HEADER_COPIES, NUMBER_MAX, RECORDS_FROM, Seal, SegmentHeader, VERSION,
};
use super::index::{INDEX_BYTES_MAX, Index};
use super::walk::{Step, Walk};
use super::{DAMAGE_LISTED_MAX, SEGMENT_BYTES_MAX};

/// A segment file as its name and its header tell it.
pub(super) struct Head {
    pub(super) base: u64,
    pub(super) path: PathBuf,
    pub(super) file_bytes: u64,
    /// None where no copy is readable.
    pub(super) header: Option<SegmentHeader>,
    /// Where copies are unreadable.
    pub(super) bad_copies: Vec<u64>,
}

impl Head {
    /// How much of the log's offsets the segment takes.
    pub(super) fn capacity(&self) -> u64 {
        match &self.header {
            Some(header) => header.capacity,
            None => self.file_bytes.clamp(RECORDS_FROM, SEGMENT_BYTES_MAX),
        }
    }
}

/// What all segments of a log agree on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) salt: u64,
    pub(super) partitions: u16,
}

/// The segments in `directory`, by offset, and what they agree on; none where there is no segment.
/// Files of other names are not ours to judge.
///
/// # Errors
/// Where one cannot be part of the same log, or none has a header.
pub(super) fn heads(directory: &Path) -> Result<Option<(Kind, Vec<Head>)>, LogError> {
    let mut heads = Vec::new();
    for base in bases(directory).map_err(|source| LogError::io("list", directory, source))? {
        heads.push(head(&path(directory, base), base)?);
    }
    let Some(first) = heads.first() else { return Ok(None) };
    let kinds = heads.iter().filter_map(|it| Some((it, it.header.as_ref()?)));
    let mut kinds = kinds.map(|(head, header)| (head, kind(header)));
    let Some((_, agreed)) = kinds.next() else {
        return Err(LogError::UnreadableSegment { path: first.path.clone() });
    };
    let foreign = kinds.find(|(_, it)| *it != agreed).map(|(head, _)| head);
    let foreign = foreign.or(heads.iter().find(|it| it.base > NUMBER_MAX));
    let overlapping = heads.iter().zip(heads.iter().skip(1)).find_map(|(one, next)| {
        let is_apart = one.base.checked_add(one.capacity()).is_some_and(|it| it <= next.base);
        (!is_apart).then_some(next)
    });
    match foreign.or(overlapping) {
        Some(head) => Err(LogError::ForeignFile { path: head.path.clone() }),
        None => Ok(Some((agreed, heads))),
    }
}

fn kind(header: &SegmentHeader) -> Kind {
    // The header holds no more than `PARTITIONS_MAX`.
    let partitions = u16::try_from(header.starts.len()).unwrap_or(u16::MAX);
    Kind { salt: header.salt, partitions }
}

fn bases(directory: &Path) -> io::Result<Vec<u64>> {
    let mut bases = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let stem = name.to_str().and_then(|it| it.strip_suffix(ENDING));
        // Leaves no offset out: `u64::MAX` has 20 digits.
        let stem = stem.filter(|it| it.len() == 20 && it.bytes().all(|it| it.is_ascii_digit()));
        bases.extend(stem.and_then(|it| it.parse::<u64>().ok()));
    }
    bases.sort_unstable();
    Ok(bases)
}

fn head(path: &Path, base: u64) -> Result<Head, LogError> {
    let cannot = |source| LogError::io("read", path, source);
    let file = File::open(path).map_err(cannot)?;
    let file_bytes = file.metadata().map_err(cannot)?.len();
    let (mut header, mut bad_copies) = (None, Vec::new());
    for position in HEADER_COPIES {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        let mut copy = [0; HEADER_BYTES];
        match file.read_exact_at(&mut copy, position) {
            Ok(()) => bytes.extend(copy),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {}
            Err(error) => return Err(cannot(error)),
        }
        match SegmentHeader::decode(&bytes) {
            Decoded::Header(found) if found.base != base => {
                return Err(LogError::ForeignFile { path: path.to_owned() });
            }
            Decoded::Header(found) => header = header.or(Some(found)),
            Decoded::Newer(found) => {
                return Err(LogError::NewerFormat { path: path.to_owned(), found, known: VERSION });
            }
            Decoded::Bad => bad_copies.push(position),
        }
    }
    Ok(Head { base, path: path.to_owned(), file_bytes, header, bad_copies })
}

/// What reading a whole segment found.
#[derive(Default)]
pub(super) struct Scanned {
    pub(super) index: Index,
    /// Damaged places, from the start of the file: the first few.
    pub(super) bad: Vec<(u64, u64)>,
    pub(super) bad_count: u64,
    /// Where the last records are torn: bad bytes behind which there is no record.
    pub(super) torn: Option<(u64, u64)>,
    /// Per partition, the sequence behind the last one seen, also on a damaged record, and the most
    /// records that may have been lost behind it.
    pub(super) beyond: Vec<(u64, u64)>,
}

/// Reads the whole segment. Only the newest one may have a torn end; bad bytes at the end of
/// another are damage.
pub(super) fn scan(head: &Head, kind: Kind, is_newest: bool) -> Result<Scanned, LogError> {
    let cannot = |source| LogError::io("read", &head.path, source);
    let file = File::open(&head.path).map_err(cannot)?;
    let end = head.capacity().min(head.file_bytes);
    let seal = Seal::new(kind.salt);
    let mut walk = Walk::new(&file, head.base, seal, RECORDS_FROM, end, SCAN_PIECE_BYTES);
    let partitions = usize::from(kind.partitions);
    let mut scanned = Scanned {
        index: Index::new(partitions, RECORDS_FROM),
        bad: Vec::new(),
        bad_count: 0,
        torn: None,
        beyond: vec![(0, 0); partitions],
    };
    for position in &head.bad_copies {
        scanned.note(*position, *position + HEADER_BYTES as u64);
    }
    // Bad places behind which no record was found yet.
    let mut pending: Vec<(u64, u64)> = Vec::new();
    while let Some(step) = walk.step().map_err(cannot)? {
        match step {
            Step::Record { header, position } if header.partition < kind.partitions => {
                for (from, to) in pending.drain(..) {
                    scanned.note(from, to);
                }
                scanned.saw(header.partition, header.sequence);
                scanned.index.add(&header, position);
            }
            Step::Record { header, position } | Step::BadPayload { header, position } => {
                scanned.saw(header.partition, header.sequence);
                pending.push((position, position + header.bytes()));
            }
            Step::Lost { from, to } => {
                scanned.lost(to - from);
                pending.push((from, to));
            }
            Step::Rest { from, content_end } if content_end > from => {
                pending.push((from, content_end));
            }
            Step::Rest { .. } => {}
        }
    }
    if let (Some((from, _)), Some((_, to))) = (pending.first(), pending.last())
        && is_newest
    {
        scanned.torn = Some((*from, *to));
    } else {
        for (from, to) in pending {
            scanned.note(from, to);
        }
        if !is_newest && end < head.capacity() {
            scanned.note(end, head.capacity());
        }
    }
    Ok(scanned)
}

impl Scanned {
    fn note(&mut self, from: u64, to: u64) {
        self.bad_count += 1;
        if self.bad.len() < DAMAGE_LISTED_MAX {
            self.bad.push((from, to));
        }
    }

    fn saw(&mut self, partition: u16, sequence: u64) {
        if let Some(beyond) = self.beyond.get_mut(usize::from(partition)) {
            *beyond = (sequence.saturating_add(1), 0);
        }
    }

    fn lost(&mut self, bytes: u64) {
        let records = bytes / super::format::record_bytes(0);
        for (_, lost) in &mut self.beyond {
            *lost += records;
        }
    }
}

/// Makes a file of `bytes` zeros, synced, under a name that no segment has. Blocks for as long as
/// the disk takes. None where it was told to stop.
///
/// Goes on with one that was left: removing 64 MiB took a third of a second, measured, and would
/// have to be waited for when a log is opened.
pub(super) fn make_spare(
    directory: &Path,
    bytes: u64,
    stop: &AtomicBool,
) -> Result<Option<File>, LogError> {
    let path = directory.join(SPARE);
    let cannot = |source| LogError::io("create", &path, source);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(cannot)?;
    let left = file.metadata().map_err(cannot)?.len();
    if left > bytes {
        file.set_len(bytes).map_err(cannot)?;
    }
    // The last piece may not have been synced.
    let mut at = left.min(bytes).saturating_sub(SPARE_PIECE_BYTES);
    while at < bytes {
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let to = bytes.min(at + SPARE_PIECE_BYTES);
        // In pieces, so that an append's sync in between does not wait for all of it.
        zero(&file, at, to).and_then(|()| file.sync_data()).map_err(cannot)?;
        at = to;
    }
    file.sync_all().map_err(cannot)?;
    Ok(Some(file))
}

/// Makes the spare file a segment, which then survives a power cut.
pub(super) fn install(
    directory: &Path,
    spare: &File,
    header: &SegmentHeader,
) -> Result<PathBuf, LogError> {
    let (from, to) = (directory.join(SPARE), path(directory, header.base));
    let bytes = header.encode();
    for copy in HEADER_COPIES {
        spare.write_all_at(&bytes, copy).map_err(|source| LogError::io("write", &from, source))?;
    }
    spare.sync_all().map_err(|source| LogError::io("sync", &from, source))?;
    fs::rename(&from, &to).map_err(|source| LogError::io("create", &to, source))?;
    sync_directory(directory)?;
    Ok(to)
}

/// Writes zeros from `from` up to `to`.
pub(super) fn zero(file: &File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).unwrap_or(ZEROS_BYTES).min(ZEROS_BYTES);
        file.write_all_at(zeros.get(..length).unwrap_or(&zeros), at)?;
        at += length as u64;
    }
    Ok(())
}

/// The index that lies beside a closed segment, if it is one.
pub(super) fn read_index(head: &Head, kind: Kind) -> Option<Index> {
    let file = File::open(index_path(&head.path)).ok()?;
    if file.metadata().ok()?.len() > INDEX_BYTES_MAX {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(INDEX_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Index::decode(&bytes, kind.salt, head.base, usize::from(kind.partitions))
        .filter(|it| it.end <= head.capacity().min(head.file_bytes))
}

/// Puts a closed segment's index beside it.
///
/// # Errors
/// Are of no consequence: the next opening reads the segment instead.
pub(super) fn write_index(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (made, wanted) = (path.with_extension("idx-new"), index_path(path));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(&made)?.write_all(bytes)?;
    fs::rename(made, wanted)
}

/// Removes a segment and its index; one that is gone already counts as removed.
pub(super) fn remove(path: &Path) -> Result<(), LogError> {
    // The segment first: an index without it means nothing.
    for file in [path, &index_path(path)] {
        remove_file(file)?;
    }
    Ok(())
}

/// Removes what a crash has left: half an index, and indexes without a segment.
pub(super) fn tidy(directory: &Path) -> Result<(), LogError> {
    let cannot = |source| LogError::io("list", directory, source);
    for entry in fs::read_dir(directory).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        let ending = path.extension().and_then(|it| it.to_str());
        let is_left = match ending {
            Some("idx-new") => true,
            Some("idx") => !path.with_extension("seg").exists(),
            Some(_) | None => false,
        };
        if is_left {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Makes the directory's entries survive a power cut.
pub(super) fn sync_directory(directory: &Path) -> Result<(), LogError> {
    File::open(directory)
        .and_then(|it| it.sync_all())
        .map_err(|source| LogError::io("sync", directory, source))
}

fn remove_file(path: &Path) -> Result<(), LogError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(LogError::io("remove", path, error))
        }
        _ => Ok(()),
    }
}

fn path(directory: &Path, base: u64) -> PathBuf {
    directory.join(format!("{base:020}{ENDING}"))
}

fn index_path(segment: &Path) -> PathBuf {
    segment.with_extension("idx")
}

/// What a segment's file name ends in.
const ENDING: &str = ".seg";

/// The file that will be the next segment.
const SPARE: &str = "spare";

/// How much of a segment is read at once when all of it is.
const SCAN_PIECE_BYTES: usize = 1024 * 1024;

/// How much of a spare is synced at once.
const SPARE_PIECE_BYTES: u64 = 4 * 1024 * 1024;

const ZEROS_BYTES: usize = 256 * 1024;
