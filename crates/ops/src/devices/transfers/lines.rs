//! The lines of a blob, a piece at a time: whatever its length, and that of its lines, little of it is held.

use super::run::Stop;
use super::storage::Storage;
use bytes::{Buf as _, Bytes, BytesMut};

/// Longest line, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 1 << 20;
/// How much is asked for at once.
const PIECE_BYTES: u64 = 1 << 20;
/// Some editors begin a text with it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Finds lines in pieces that are put in one after the other.
pub(super) struct Splitter {
    buffer: BytesMut,
    /// The offset of the buffer's first byte.
    at: u64,
    /// The line that the buffer begins with is too long: what comes of it is dropped.
    is_skipping: bool,
}

/// A line, and the offset behind it.
#[derive(PartialEq, Eq, Debug)]
pub(super) struct Line {
    /// Without its end; `None` of one that is too long.
    pub(super) text: Option<Bytes>,
    pub(super) end: u64,
}

impl Splitter {
    pub(super) fn new(at: u64) -> Self {
        Self { buffer: BytesMut::new(), at, is_skipping: false }
    }

    /// The offset behind what was put in.
    pub(super) fn end(&self) -> u64 {
        self.at + self.buffer.len() as u64
    }

    pub(super) fn put(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// The next whole line; the last needs no end where nothing more comes.
    pub(super) fn next(&mut self, is_last: bool) -> Option<Line> {
        let end = self.buffer.iter().position(|it| *it == b'\n').map(|it| it + 1);
        let Some(end) = end.or_else(|| (is_last && self.is_begun()).then_some(self.buffer.len()))
        else {
            if self.is_skipping || self.buffer.len() > LINE_BYTES_MAX {
                self.is_skipping = true;
                self.at = self.end();
                self.buffer.clear();
            }
            return None;
        };
        let is_first = self.at == 0;
        let mut text = self.buffer.split_to(end).freeze();
        self.at += end as u64;
        let is_too_long = std::mem::take(&mut self.is_skipping);
        while text.last().is_some_and(|it| b"\r\n".contains(it)) {
            text.truncate(text.len() - 1);
        }
        if is_first && text.starts_with(BYTE_ORDER_MARK) {
            text.advance(BYTE_ORDER_MARK.len());
        }
        let is_too_long = is_too_long || text.len() > LINE_BYTES_MAX;
        Some(Line { text: (!is_too_long).then_some(text), end: self.at })
    }

    fn is_begun(&self) -> bool {
        self.is_skipping || !self.buffer.is_empty()
    }
}

/// Reads the lines of a blob that stays what it is.
pub(super) struct Lines {
    storage: Storage,
    etag: String,
    pub(super) bytes: u64,
    splitter: Splitter,
}

impl Lines {
    /// From an offset on; `etag` is that of the blob when it was read before.
    ///
    /// # Errors
    /// Where it is not there, or is another than it was.
    pub(super) async fn open(
        mut storage: Storage,
        from: u64,
        etag: Option<&str>,
    ) -> Result<Self, Stop> {
        let properties = storage.blobs.properties(&storage.blob).await;
        let properties = properties.map_err(|it| storage.failed(&it))?;
        if etag.is_some_and(|it| it != properties.etag) {
            let told = "the blob was changed while it was imported; begin another import";
            return Err(Stop::Failed(format!("`{}`: {told}", storage.blob)));
        }
        let (bytes, etag) = (properties.bytes, properties.etag);
        Ok(Self { storage, etag, bytes, splitter: Splitter::new(from) })
    }

    /// The offset of the line that comes next.
    pub(super) const fn at(&self) -> u64 {
        self.splitter.at
    }

    pub(super) fn etag(&self) -> &str {
        &self.etag
    }

    pub(super) async fn next(&mut self) -> Result<Option<Line>, Stop> {
        loop {
            let from = self.splitter.end();
            let is_last = from >= self.bytes;
            if let Some(line) = self.splitter.next(is_last) {
                return Ok(Some(line));
            }
            if is_last {
                return Ok(None);
            }
            let Storage { blobs, blob, .. } = &mut self.storage;
            let got = blobs.get(blob, from, PIECE_BYTES, Some(&self.etag)).await;
            let piece = got.map_err(|it| self.storage.failed(&it))?;
            if piece.is_empty() {
                let told = "it ends before its length".to_owned();
                return Err(Stop::Failed(format!("`{}`: {told}", self.storage.blob)));
            }
            self.splitter.put(&piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines of a text that comes in pieces, a long one as `None`.
    fn lines(text: &[u8], piece: usize) -> Vec<(Option<String>, u64)> {
        let mut splitter = Splitter::new(0);
        let mut found = Vec::new();
        let mut take = |splitter: &mut Splitter, is_last| {
            while let Some(it) = splitter.next(is_last) {
                let text = it.text.map(|it| String::from_utf8(it.to_vec()).unwrap());
                found.push((text, it.end));
            }
        };
        for piece in text.chunks(piece) {
            splitter.put(piece);
            take(&mut splitter, false);
            assert!(splitter.buffer.len() <= LINE_BYTES_MAX + piece.len());
        }
        take(&mut splitter, true);
        assert_eq!(splitter.end(), text.len() as u64);
        found
    }

    fn some(text: &str, end: u64) -> (Option<String>, u64) {
        (Some(text.to_owned()), end)
    }

    #[test]
    fn lines_are_found_in_whatever_pieces_they_come() {
        for piece in [1, 2, 5, 100] {
            let found = lines(b"\xef\xbb\xbfa\r\n\nbc\nd", piece);
            assert_eq!(found, [some("a", 6), some("", 7), some("bc", 10), some("d", 11)]);
            assert_eq!(lines(b"", piece), []);
            assert_eq!(lines(b"a\n", piece), [some("a", 2)]);
        }
    }

    /// Threat 61: a line of any length is passed over, and none of it is held.
    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let fits = vec![b'x'; LINE_BYTES_MAX];
        let long = vec![b'x'; 3 * LINE_BYTES_MAX + 1];
        let text = [&fits[..], b"\n", &long, b"\nlast\n", &long].concat();
        let length = text.len() as u64;
        let first = LINE_BYTES_MAX as u64 + 1;
        let second = first + long.len() as u64 + 1;
        for piece in [1 << 16, 1 << 20, text.len()] {
            let found = lines(&text, piece);
            assert_eq!(found[0].0.as_ref().map(String::len), Some(LINE_BYTES_MAX));
            assert_eq!(found[0].1, first);
            assert_eq!(found[1..], [(None, second), some("last", second + 5), (None, length)]);
        }
    }
}
