//! What can go wrong with the log, in sentences for an operator.
//!
//! Errors are `Clone`, because one failed sync answers every append that shared it.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{APPEND_BYTES_MAX, APPEND_RECORDS_MAX};

/// The log could not do what it was asked.
#[derive(Clone, Debug)]
pub enum LogError {
    /// The file system said no. `doing` completes "cannot … `path`".
    Io { doing: &'static str, path: PathBuf, source: Arc<io::Error> },
    /// A file has a segment's name and belongs to no log, to another, or to another place in this
    /// one.
    ForeignFile { path: PathBuf },
    /// A segment was written by a newer program.
    NewerFormat { path: PathBuf, found: u32, known: u32 },
    /// No segment of the log has a readable header left, so that its records cannot be told from
    /// other bytes.
    UnreadableSegment { path: PathBuf },
    /// The log was made with another number of partitions.
    PartitionsChanged { path: PathBuf, found: u16, asked: u16 },
    /// Another process, or this one, has the log open.
    InUse { path: PathBuf },
    /// An option of the log is not within its limits.
    OptionOutOfRange { option: &'static str, value: u64, least: u64, most: u64 },
    /// The log has no such partition.
    NoSuchPartition { partition: u16, partitions: u16 },
    /// The caller's record is longer than the log takes.
    RecordTooLarge { bytes: usize, most: usize },
    /// The caller asked for too much in one append.
    AppendTooLarge { records: usize, bytes: usize },
    /// A write or a sync failed, so that what the disk holds is uncertain until the log is opened
    /// anew.
    WriterStopped { path: PathBuf, source: Arc<LogError> },
    /// The log was closed.
    Closed,
}

impl LogError {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        Self::Io { doing, path: path.into(), source: Arc::new(source) }
    }
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { doing, path, .. } => write!(f, "cannot {doing} `{}`", path.display()),
            Self::ForeignFile { path } => write!(
                f,
                "`{}` is not a segment of this log; move it out of the directory",
                path.display()
            ),
            Self::NewerFormat { path, found, known } => write!(
                f,
                "`{}` has format version `{found}`, and this program knows versions up to `{known}`; \
                 start the program that wrote it or a newer one",
                path.display()
            ),
            Self::UnreadableSegment { path } => write!(
                f,
                "`{}` has no readable header, nor has any other segment of its log; \
                 restore one from a backup, or move them all away to start an empty log",
                path.display()
            ),
            Self::PartitionsChanged { path, found, asked } => write!(
                f,
                "the log in `{}` has `{found}` partitions for good and was opened for `{asked}`",
                path.display()
            ),
            Self::InUse { path } => write!(
                f,
                "the log in `{}` is open already; stop the other process first",
                path.display()
            ),
            Self::OptionOutOfRange { option, value, least, most } => {
                write!(f, "`{option}` is `{value}` and must be from `{least}` to `{most}`")
            }
            Self::NoSuchPartition { partition, partitions } => {
                write!(
                    f,
                    "there is no partition `{partition}` among `{partitions}`, counted from 0"
                )
            }
            Self::RecordTooLarge { bytes, most } => {
                write!(f, "a record of `{bytes}` bytes is over the limit of `{most}`")
            }
            Self::AppendTooLarge { records, bytes } => write!(
                f,
                "an append of `{records}` records and `{bytes}` bytes is over the limit of \
                 `{APPEND_RECORDS_MAX}` records and `{APPEND_BYTES_MAX}` bytes"
            ),
            Self::WriterStopped { path, .. } => write!(
                f,
                "the log in `{}` takes no records since a write to it failed; \
                 see to the disk, then restart",
                path.display()
            ),
            Self::Closed => write!(f, "the log is closed"),
        }
    }
}

impl Error for LogError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source.as_ref()),
            Self::WriterStopped { source, .. } => Some(source.as_ref()),
            Self::ForeignFile { .. }
            | Self::NewerFormat { .. }
            | Self::UnreadableSegment { .. }
            | Self::PartitionsChanged { .. }
            | Self::InUse { .. }
            | Self::OptionOutOfRange { .. }
            | Self::NoSuchPartition { .. }
            | Self::RecordTooLarge { .. }
            | Self::AppendTooLarge { .. }
            | Self::Closed => None,
        }
    }
}
