//! The nouns of a commit and of a read. They say what is asked; the engines do it.

use bytes::Bytes;

use crate::Table;

/// What is kept under one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The revision of the commit that last wrote it. Revisions count a shard's commits from 1:
    /// they grow with each, survive restarts, and are never used twice, also not after a delete.
    pub revision: u64,
    pub body: Bytes,
}

/// One step of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub table: Table,
    /// Any text, compared byte by byte.
    pub key: String,
    pub expect: Expect,
    pub write: Write,
}

impl Change {
    /// What this change weighs against [`crate::COMMIT_BYTES_MAX`].
    pub(crate) fn bytes(&self) -> usize {
        match &self.write {
            Write::Put(body) => self.key.len().saturating_add(body.len()),
            Write::Delete | Write::Check => self.key.len(),
        }
    }
}

/// What must hold for a commit to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Anything,
    Absent,
    Present,
    /// Present, and last written by the commit of this revision.
    Revision(u64),
}

impl Expect {
    /// True where a document found at this revision, or not found, is what was expected.
    pub(crate) fn holds(self, found: Option<u64>) -> bool {
        match self {
            Self::Anything => true,
            Self::Absent => found.is_none(),
            Self::Present => found.is_some(),
            Self::Revision(revision) => found == Some(revision),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Creates the document or replaces its body.
    Put(Bytes),
    /// Removes the document, if there is one.
    Delete,
    /// Writes nothing; only the expectation counts.
    Check,
}

/// The receipt of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The revision that every document it put now carries.
    pub revision: u64,
}

/// Which documents of a table to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Only keys that begin with this; empty for all.
    pub prefix: String,
    /// Only keys after this one: the last key of the page before.
    pub after: Option<String>,
    /// At most so many documents.
    pub limit: usize,
}
