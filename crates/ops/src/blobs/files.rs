//! The bytes of blobs: a file for each blob that came whole, and for each block.
//!
//! A file is written beside the others, synced, and gets its name in the container; the folder is synced before anybody
//! is told. Which file is whose stand in documents. A crash may leave files that no document names: those are removed at the
//! next start, before anybody is served.

use super::checks::Sums;
use crate::call::BodyFault;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use std::collections::HashSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::NamedTempFile;
use tokio::sync::mpsc;
use uuid::Uuid;

/// Where what comes is written before it has a place.
const INCOMING: &str = "incoming";

/// A file's name: 128 random bits in 22 characters.
pub(super) fn file_name(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

/// The folder of all blobs.
#[derive(Clone, Debug)]
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("blobs"))
    }

    fn folder(&self, container: &str) -> PathBuf {
        self.0.join(container)
    }

    pub(super) fn path(&self, container: &str, file: &str) -> PathBuf {
        self.folder(container).join(file)
    }

    /// Writes what comes to a file that goes away unless it is [`kept`](Files::keep). Ends when nobody sends any more.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) async fn receive(&self, mut bytes: mpsc::Receiver<Bytes>) -> io::Result<Received> {
        let folder = self.0.join(INCOMING);
        blocking(move || {
            make_folder(&folder)?;
            let mut file = NamedTempFile::new_in(&folder)?;
            let (mut length, mut sums) = (0_u64, Sums::default());
            while let Some(chunk) = bytes.blocking_recv() {
                file.write_all(&chunk)?;
                sums.add(&chunk);
                length = length.saturating_add(chunk.len() as u64);
            }
            file.as_file().sync_all()?;
            Ok(Received { file, length, sums })
        })
        .await
    }

    /// Gives what came a place in a container. When this returns it is there, whatever happens.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn keep(
        &self,
        received: Arc<Received>,
        container: &str,
        name: &str,
    ) -> io::Result<()> {
        let (folder, path) = (self.folder(container), self.path(container, name));
        blocking(move || {
            make_folder(&folder)?;
            // A second link and not a rename: the first goes away by itself, and who holds it need not be asked.
            std::fs::hard_link(received.file.path(), &path)?;
            File::open(&folder)?.sync_all()
        })
        .await
    }

    /// Writes what came into a file that is there, from `offset` on: what stood behind it was never acknowledged.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn append(
        &self,
        received: Arc<Received>,
        container: &str,
        name: &str,
        offset: u64,
    ) -> io::Result<()> {
        let path = self.path(container, name);
        blocking(move || {
            let mut to = OpenOptions::new().write(true).open(&path)?;
            to.seek(SeekFrom::Start(offset))?;
            io::copy(&mut received.file.reopen()?, &mut to)?;
            to.sync_all()
        })
        .await
    }

    /// Removes files that no document names any more. One that is gone already, or cannot be removed, is the next
    /// start's.
    pub(super) async fn remove(&self, container: &str, names: Vec<String>) {
        let folder = self.folder(container);
        let _ = blocking(move || {
            names.iter().for_each(|it| drop(std::fs::remove_file(folder.join(it))));
            Ok(())
        })
        .await;
    }

    /// Removes a container's files, all of them.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn remove_all(&self, container: &str) -> io::Result<()> {
        let folder = self.folder(container);
        blocking(move || match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            outcome => outcome,
        })
        .await
    }

    /// Removes what never got a place. Only while nobody is served.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn drop_incoming(&self) -> io::Result<()> {
        self.remove_all(INCOMING).await
    }

    /// The containers that have a folder.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn containers(&self) -> io::Result<Vec<String>> {
        let folder = self.0.clone();
        blocking(move || Ok(names(&folder)?.into_iter().filter(|it| it != INCOMING).collect()))
            .await
    }

    /// Removes the files of a container that are not among the named.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn keep_only(
        &self,
        container: &str,
        named: HashSet<String>,
    ) -> io::Result<()> {
        let folder = self.folder(container);
        blocking(move || {
            for name in names(&folder)?.into_iter().filter(|it| !named.contains(it)) {
                std::fs::remove_file(folder.join(name))?;
            }
            Ok(())
        })
        .await
    }

    /// Opens a file to read.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn open(&self, container: &str, name: &str) -> io::Result<Arc<File>> {
        let path = self.path(container, name);
        blocking(move || File::open(path).map(Arc::new)).await
    }
}

fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    // The folder's own name has to last, too.
    path.parent().map_or(Ok(()), |it| File::open(it)?.sync_all())
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|it| it.map(|it| it.file_name().to_string_lossy().into_owned())).collect()
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|it| Err(io::Error::other(it)))
}

/// Bytes that came and are on the disk, without a place yet. Gone with its last holder.
pub struct Received {
    file: NamedTempFile,
    pub(super) length: u64,
    sums: Sums,
}

impl std::fmt::Debug for Received {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Received({})", self.length)
    }
}

impl Received {
    pub(super) fn md5(&self) -> String {
        self.sums.clone().md5()
    }

    pub(super) fn crc64(&self) -> String {
        self.sums.crc64()
    }

    /// What came, where that is text of a few bytes: a list, not a blob.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) fn bytes(&self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.file.reopen()?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

/// How much of a file is read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// A stretch of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) file: String,
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Bytes that are read as they are sent: stretches of files, one after the other.
#[derive(Clone, Debug)]
pub struct Content {
    files: Files,
    container: String,
    /// Those that are still to come, the next one last.
    pieces: Vec<Piece>,
    open: Option<Arc<File>>,
    length: u64,
}

impl PartialEq for Content {
    fn eq(&self, other: &Self) -> bool {
        (&self.container, &self.pieces) == (&other.container, &other.pieces)
    }
}

impl Content {
    /// The first file is opened at once: who is promised its bytes gets them, though the blob may be gone by then.
    ///
    /// # Errors
    /// What the disk says.
    pub(super) async fn open(
        files: &Files,
        container: &str,
        mut pieces: Vec<Piece>,
    ) -> io::Result<Self> {
        let length = pieces.iter().map(|it| it.length).sum();
        let open = match pieces.first() {
            Some(first) => Some(files.open(container, &first.file).await?),
            None => None,
        };
        pieces.reverse();
        Ok(Self { files: files.clone(), container: container.to_owned(), pieces, open, length })
    }

    /// How many bytes are still to come.
    pub const fn length(&self) -> u64 {
        self.length
    }

    /// The next bytes, or none at the end.
    ///
    /// # Errors
    /// What the disk says; a file that is shorter than promised.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Some(piece) = self.pieces.last_mut() else { return Ok(None) };
        let file = match &self.open {
            Some(file) => Arc::clone(file),
            None => self.files.open(&self.container, &piece.file).await?,
        };
        let wanted = usize::try_from(piece.length).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
        let (from, reading) = (piece.offset, Arc::clone(&file));
        let chunk = blocking(move || {
            let mut chunk = vec![0; wanted];
            reading.read_exact_at(&mut chunk, from)?;
            Ok(Bytes::from(chunk))
        })
        .await?;
        let read = chunk.len() as u64;
        piece.offset = piece.offset.saturating_add(read);
        piece.length = piece.length.saturating_sub(read);
        self.length = self.length.saturating_sub(read);
        self.open = Some(file);
        if piece.length == 0 {
            self.pieces.pop();
            self.open = None;
        }
        Ok(Some(chunk))
    }
}

/// Sends what a body brings, as it comes. The other end is [`Files::receive`].
pub(crate) type Sender = mpsc::Sender<Bytes>;

/// Both at once: a body that is read, and its bytes on their way to a file.
///
/// # Errors
/// The body's fault, or what the disk says.
pub(crate) async fn received<F>(
    data_dir: &Path,
    read: impl FnOnce(Sender) -> F,
) -> Result<Received, Fault>
where
    F: Future<Output = Result<(), BodyFault>>,
{
    let (sender, bytes) = mpsc::channel(CHUNKS_WAITING_MAX);
    let files = Files::of(data_dir);
    let (read, written) = tokio::join!(read(sender), files.receive(bytes));
    // Where the disk failed, the body could not be read on either.
    let received = written.map_err(Fault::Disk)?;
    read.map_err(Fault::Body)?;
    Ok(received)
}

/// Most chunks between a socket and the disk.
const CHUNKS_WAITING_MAX: usize = 4;

/// Why a body did not become a file.
pub(crate) enum Fault {
    Body(BodyFault),
    Disk(io::Error),
}
