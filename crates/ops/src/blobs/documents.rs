//! What is kept of a container's blobs beside their bytes, and how a change of both is made one.
//!
//! The document of a blob is the truth: a file that no document names is nothing. So bytes are on the disk before the
//! document that names them is committed, and files are removed after the one that does not. Writers of one blob take turns, see
//! [`Container::turn`].

use super::files::{Content, Files, Piece};
use super::no;
use super::ranges::Stretch;
use crate::control;
use crate::env::Env;
use model::error::BlobFault;
use model::{Error, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use store::{Change, Expect, Scan, ShardId, tables};
use tokio::sync::{Mutex, MutexGuard};

/// How many blobs can be written at once, of all containers.
const TURNS: usize = 64;
/// Documents that are read or deleted at once.
const PAGE: usize = 500;

/// Whose turn it is to write. Clones of an environment share it.
#[derive(Debug)]
pub struct Turns([Mutex<()>; TURNS]);

impl Default for Turns {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Mutex::default()))
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) enum Kind {
    BlockBlob,
    AppendBlob,
}

impl Kind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::BlockBlob => "BlockBlob",
            Self::AppendBlob => "AppendBlob",
        }
    }
}

/// Where the bytes are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Stored {
    /// In one file.
    File(String),
    /// In a file for each block; the list is kept under this id.
    Blocks(String),
}

/// What a blob says of its bytes to whoever reads them.
#[derive(Clone, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Properties {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) content_md5: Option<String>,
}

/// A blob, under its name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Blob {
    pub(super) kind: Kind,
    pub(super) created: Timestamp,
    pub(super) modified: Timestamp,
    pub(super) length: u64,
    pub(super) stored: Stored,
    /// Of an append blob: how many blocks were appended.
    #[serde(default)]
    pub(super) appended: u32,
    pub(super) properties: Properties,
    pub(super) metadata: BTreeMap<String, String>,
}

/// A block of a content: id, file, bytes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Block(pub(super) String, pub(super) String, pub(super) u64);

/// Under which generation the blocks of a blob wait that are not committed, and how many they are.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Stage {
    pub(super) generation: String,
    pub(super) count: u32,
    /// When the last one came.
    pub(super) at: Timestamp,
}

/// A blob as it was read, with the revision by which it is told from itself later.
pub(super) type Found = Option<(Blob, u64)>;

/// A container whose blobs are asked for. It was there when the gates said yes.
pub(super) struct Container<'a> {
    env: &'a Env,
    uid: String,
    shard: ShardId,
    files: Files,
}

impl<'a> Container<'a> {
    pub(super) fn of(env: &'a Env, uid: &str) -> Result<Self, Error> {
        let shard =
            ShardId::target(uid).map_err(|it| Error::Internal { message: it.to_string() })?;
        let files = Files::of(&env.settings.data_dir);
        Ok(Self { env, uid: uid.to_owned(), shard, files })
    }

    pub(super) const fn files(&self) -> &Files {
        &self.files
    }

    pub(super) fn uid(&self) -> &str {
        &self.uid
    }

    /// Held from the look at a blob to the end of its change.
    pub(super) async fn turn(&self, name: &str) -> MutexGuard<'a, ()> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one((&self.uid, name));
        let place = usize::try_from(hash % TURNS as u64).unwrap_or_default();
        let turns = &self.env.blob_turns.0;
        turns.get(place).unwrap_or(&turns[0]).lock().await
    }

    pub(super) async fn find(&self, name: &str) -> Result<Found, Error> {
        control::get_in(self.env, &self.shard, tables::BLOBS, name).await
    }

    /// Blobs in the order of their names, from behind one on.
    pub(super) async fn page(&self, scan: Scan) -> Result<Vec<(String, Blob, u64)>, Error> {
        let page = self.env.store.scan(&self.shard, tables::BLOBS, scan).await;
        let page = page.map_err(|it| control::unread(&it))?;
        let read = |(name, document): (String, store::Document)| {
            let blob = control::parse(tables::BLOBS, &name, &document)?;
            Ok((name, blob, document.revision))
        };
        page.into_iter().map(read).collect()
    }

    pub(super) async fn commit(&self, changes: Vec<Change>) -> Result<u64, Error> {
        let committed = self.env.store.commit(&self.shard, changes).await;
        committed.map(|it| it.revision).map_err(|it| control::failed(&it))
    }

    /// The blocks that a content is made of; none for one file.
    pub(super) async fn blocks(&self, stored: &Stored) -> Result<Vec<Block>, Error> {
        let Stored::Blocks(id) = stored else { return Ok(Vec::new()) };
        match control::get_in(self.env, &self.shard, tables::BLOB_CONTENTS, id).await? {
            Some((blocks, _)) => Ok(blocks),
            // Replaced since the blob was read.
            None => {
                Err(no(BlobFault::ConditionNotMet, "the blob was changed meanwhile; read it again"))
            }
        }
    }

    /// The bytes of a stretch, to be sent.
    pub(super) async fn content(&self, blob: &Blob, stretch: Stretch) -> Result<Content, Error> {
        let Stretch { from, until } = stretch;
        let mut pieces = Vec::new();
        match &blob.stored {
            Stored::File(file) => {
                let length = until.saturating_sub(from);
                pieces.push(Piece { file: file.clone(), offset: from, length });
            }
            blocks @ Stored::Blocks(_) => {
                let mut start = 0_u64;
                for Block(_, file, length) in self.blocks(blocks).await? {
                    let end = start.saturating_add(length);
                    let (first, behind) = (from.max(start), until.min(end));
                    if first < behind {
                        let (offset, length) = (first - start, behind - first);
                        pieces.push(Piece { file, offset, length });
                    }
                    start = end;
                }
            }
        }
        pieces.retain(|it| it.length > 0);
        let content = Content::open(&self.files, &self.uid, pieces).await;
        content.map_err(|error| match error.kind() == std::io::ErrorKind::NotFound {
            true => no(BlobFault::ConditionNotMet, "the blob was changed meanwhile; read it again"),
            false => disk(&error),
        })
    }

    /// The key of a blob's stage.
    fn stage_key(name: &str) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
        digest.as_ref().iter().map(|it| format!("{it:02x}")).collect()
    }

    pub(super) async fn stage(&self, name: &str) -> Result<Option<Stage>, Error> {
        let key = Self::stage_key(name);
        let found = control::get_in(self.env, &self.shard, tables::BLOB_STAGES, &key).await?;
        Ok(found.map(|(it, _)| it))
    }

    /// What makes all blocks that wait for a blob nobody's.
    pub(super) fn unstage(name: &str) -> Change {
        control::delete(tables::BLOB_STAGES, Self::stage_key(name), Expect::Anything)
    }

    pub(super) fn put_stage(name: &str, stage: &Stage) -> Result<Change, Error> {
        control::put(tables::BLOB_STAGES, Self::stage_key(name), Expect::Anything, stage)
    }

    fn block_key(generation: &str, id: &str) -> String {
        format!("{generation}/{id}")
    }

    pub(super) fn put_block(generation: &str, block: &Block) -> Result<Change, Error> {
        control::put(
            tables::BLOB_BLOCKS,
            Self::block_key(generation, &block.0),
            Expect::Anything,
            block,
        )
    }

    pub(super) async fn staged_block(
        &self,
        generation: &str,
        id: &str,
    ) -> Result<Option<Block>, Error> {
        let key = Self::block_key(generation, id);
        let found = control::get_in(self.env, &self.shard, tables::BLOB_BLOCKS, &key).await?;
        Ok(found.map(|(it, _)| it))
    }

    /// The blocks of a generation by their ids.
    pub(super) async fn staged(&self, generation: &str) -> Result<BTreeMap<String, Block>, Error> {
        let prefix = format!("{generation}/");
        let all = control::all_in(self.env, &self.shard, tables::BLOB_BLOCKS, &prefix).await?;
        Ok(all.into_iter().map(|(_, it, _): (_, Block, _)| (it.0.clone(), it)).collect())
    }

    /// Forgets the blocks of a generation that is nobody's any more, and removes their files but for those in use.
    pub(super) async fn forget(
        &self,
        generation: &str,
        used: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let all: Vec<Block> = self.staged(generation).await?.into_values().collect();
        for some in all.chunks(PAGE) {
            let key = |it: &Block| Self::block_key(generation, &it.0);
            let gone = some
                .iter()
                .map(|it| control::delete(tables::BLOB_BLOCKS, key(it), Expect::Anything));
            self.commit(gone.collect()).await?;
        }
        let files = all.into_iter().map(|it| it.1).filter(|it| !used.contains(it));
        self.files.remove(&self.uid, files.collect()).await;
        Ok(())
    }

    /// The files of a content, and what forgets its list.
    pub(super) async fn parts(
        &self,
        stored: &Stored,
    ) -> Result<(Vec<String>, Option<Change>), Error> {
        Ok(match stored {
            Stored::File(file) => (vec![file.clone()], None),
            Stored::Blocks(id) => {
                let files = self.blocks(stored).await?.into_iter().map(|it| it.1).collect();
                (files, Some(control::delete(tables::BLOB_CONTENTS, id, Expect::Anything)))
            }
        })
    }

    /// Puts a blob in the place of what was there, or deletes it, with all that goes with the former content: its files,
    /// but for those in use, and the blocks that waited. The answer is the revision.
    pub(super) async fn replace(
        &self,
        name: &str,
        former: &Found,
        next: Option<&Blob>,
        more: Vec<Change>,
        used: &BTreeSet<String>,
    ) -> Result<u64, Error> {
        let expect = former.as_ref().map_or(Expect::Absent, |(_, it)| Expect::Revision(*it));
        let mut changes = vec![match next {
            Some(next) => control::put(tables::BLOBS, name, expect, next)?,
            None => control::delete(tables::BLOBS, name, expect),
        }];
        let stage = self.stage(name).await?;
        let (mut files, list) = match former {
            Some((blob, _)) => self.parts(&blob.stored).await?,
            None => (Vec::new(), None),
        };
        changes.extend(list);
        changes.extend(more);
        changes.push(Self::unstage(name));
        let revision = self.commit(changes).await?;
        files.retain(|it| !used.contains(it));
        self.files.remove(&self.uid, files).await;
        if let Some(stage) = stage {
            // What stays behind is nobody's, and the next start's.
            let _ = self.forget(&stage.generation, used).await;
        }
        Ok(revision)
    }

    /// Writes a blob whose content stays.
    pub(super) async fn update(
        &self,
        name: &str,
        blob: &Blob,
        revision: u64,
    ) -> Result<u64, Error> {
        let change = control::put(tables::BLOBS, name, Expect::Revision(revision), blob)?;
        self.commit(vec![change]).await
    }

    /// Every document of a table by its key.
    async fn each<T: for<'de> Deserialize<'de>>(
        &self,
        table: store::Table,
        mut see: impl FnMut(&str, T),
    ) -> Result<(), Error> {
        let mut after = None;
        loop {
            let scan = Scan { prefix: String::new(), after, limit: PAGE };
            let page = self.env.store.scan(&self.shard, table, scan).await;
            let page = page.map_err(|it| control::unread(&it))?;
            for (key, document) in &page {
                see(key, control::parse(table, key, document)?);
            }
            match page.last() {
                Some((key, _)) if page.len() == PAGE => after = Some(key.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Removes what a crash has left: blocks of no stage, files of no document. Only while nobody is served.
    pub(super) async fn mend(&self) -> Result<(), Error> {
        let mut generations = BTreeSet::new();
        let stages = self.each(tables::BLOB_STAGES, |_, it: Stage| {
            generations.insert(it.generation);
        });
        stages.await?;
        let (mut named, mut lost) = (std::collections::HashSet::new(), Vec::new());
        self.each(tables::BLOB_BLOCKS, |key, it: Block| {
            let generation = key.split('/').next().unwrap_or_default();
            if generations.contains(generation) {
                named.insert(it.1);
            } else {
                lost.push(key.to_owned());
            }
        })
        .await?;
        for some in lost.chunks(PAGE) {
            let gone =
                some.iter().map(|it| control::delete(tables::BLOB_BLOCKS, it, Expect::Anything));
            self.commit(gone.collect()).await?;
        }
        self.each(tables::BLOB_CONTENTS, |_, it: Vec<Block>| {
            named.extend(it.into_iter().map(|it| it.1))
        })
        .await?;
        self.each(tables::BLOBS, |_, it: Blob| {
            if let Stored::File(file) = it.stored {
                named.insert(file);
            }
        })
        .await?;
        self.files.keep_only(&self.uid, named).await.map_err(|it| disk(&it))
    }

    /// Forgets blocks that waited since before a time.
    pub(super) async fn forget_old(&self, before: Timestamp) -> Result<(), Error> {
        let mut old = Vec::new();
        self.each(tables::BLOB_STAGES, |key, it: Stage| {
            if it.at < before {
                old.push((key.to_owned(), it.generation));
            }
        })
        .await?;
        for (key, generation) in old {
            self.commit(vec![control::delete(tables::BLOB_STAGES, key, Expect::Anything)]).await?;
            self.forget(&generation, &BTreeSet::new()).await?;
        }
        Ok(())
    }
}

/// What the disk said, as the caller's error.
pub(super) fn disk(error: &std::io::Error) -> Error {
    Error::Unavailable {
        message: format!("the bytes of the blob could not be kept or read: {error}"),
    }
}
