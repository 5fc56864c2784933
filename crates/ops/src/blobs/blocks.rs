//! Blobs that come in blocks: each waits until a list names it.

use super::conditions::{self, Does};
use super::documents::{Blob, Block, Container, Found, Kind, Stage, Stored, disk};
use super::files::file_name;
use super::xml::{Xml, read_flat};
use super::{container, no, no_blob, properties, received, reply_xml, versioned};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Permit;
use model::Error;
use model::error::BlobFault;
use std::collections::{BTreeMap, BTreeSet};
use store::{Expect, tables};

/// Most blocks of a blob. Source: Azure Storage, "Scalability and performance targets for Blob storage".
pub(super) const BLOCKS_MAX: usize = 50_000;
/// Most blocks that wait for one blob. Source: likewise.
const WAITING_MAX: u32 = 100_000;
/// Longest id of a block, decoded. Source: Azure Storage, "Put Block".
const ID_BYTES_MAX: usize = 64;

fn check_id(id: &str) -> Result<(), Error> {
    match STANDARD.decode(id) {
        Ok(bytes) if (1..=ID_BYTES_MAX).contains(&bytes.len()) => Ok(()),
        Ok(_) | Err(_) => Err(no(
            BlobFault::InvalidBlockId,
            format!("the id of a block is base64 of 1 to {ID_BYTES_MAX} bytes"),
        )),
    }
}

fn check_kind(found: &Found) -> Result<(), Error> {
    match found {
        Some((blob, _)) if blob.kind != Kind::BlockBlob => Err(no(
            BlobFault::InvalidBlobType,
            "this is an append blob; it has no blocks of its own",
        )),
        Some(_) | None => Ok(()),
    }
}

/// `PUT ?comp=block`: keeps a block. One of the same id that waits is replaced.
pub(super) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let container = container(permit, env)?;
    let (name, came) = (input.param("blob"), received(input)?);
    let id = input.query("blockid").unwrap_or_default();
    check_id(id)?;
    if came.length == 0 {
        return Err(no(
            BlobFault::InvalidHeaderValue,
            "a block has at least one byte; `Content-Length` is 0",
        ));
    }
    let (md5, crc64) = (came.md5(), came.crc64());
    let _turn = container.turn(name).await;
    check_kind(&container.find(name).await?)?;
    let at = env.now();
    let mut stage = match container.stage(name).await? {
        Some(stage) => Stage { at, ..stage },
        None => Stage { generation: file_name(env.new_uuid()), count: 0, at },
    };
    let former = container.staged_block(&stage.generation, id).await?;
    if former.is_none() {
        stage.count = stage.count.saturating_add(1);
    }
    if stage.count > WAITING_MAX {
        let message = format!("at most {WAITING_MAX} blocks wait for one blob; commit a list");
        return Err(no(BlobFault::BlockCountExceedsLimit, message));
    }
    let block = Block(id.to_owned(), file_name(env.new_uuid()), came.length);
    container.files().keep(came, container.uid(), &block.1).await.map_err(|it| disk(&it))?;
    let changes =
        vec![Container::put_stage(name, &stage)?, Container::put_block(&stage.generation, &block)?];
    let outcome = container.commit(changes).await;
    // Which of the two files is nobody's, the commit has decided.
    let gone = if outcome.is_ok() { former.map(|it| it.1) } else { Some(block.1) };
    container.files().remove(container.uid(), gone.into_iter().collect()).await;
    outcome?;
    let reply = Reply::empty(201).with_header("x-ms-content-crc64", crc64);
    Ok(reply.with_header("Content-MD5", md5))
}

/// `PUT ?comp=blocklist`: makes a blob of the blocks that the body names, of those that wait and of those that it has.
pub(super) async fn commit(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let container = container(permit, env)?;
    let (name, came) = (input.param("blob"), received(input)?);
    let body = came.bytes().map_err(|it| disk(&it))?;
    let wrong = |because: &str| {
        no(BlobFault::InvalidXml, format!("the list of blocks cannot be read: {because}"))
    };
    let wanted = read_flat(&body, "BlockList").map_err(wrong)?;
    if wanted.len() > BLOCKS_MAX {
        let message = format!("a blob has at most {BLOCKS_MAX} blocks");
        return Err(no(BlobFault::BlockCountExceedsLimit, message));
    }
    let (told, metadata) = (properties::read(input), properties::read_metadata(input)?);
    let _turn = container.turn(name).await;
    let found = container.find(name).await?;
    conditions::check(input, &found, Does::Write)?;
    check_kind(&found)?;
    let waiting = match container.stage(name).await? {
        Some(stage) => container.staged(&stage.generation).await?,
        None => BTreeMap::new(),
    };
    let committed: BTreeMap<String, Block> = match &found {
        Some((blob, _)) => {
            container.blocks(&blob.stored).await?.into_iter().map(|it| (it.0.clone(), it)).collect()
        }
        None => BTreeMap::new(),
    };
    let mut blocks = Vec::with_capacity(wanted.len());
    for (from, id) in &wanted {
        let block = match from.as_str() {
            "Latest" => waiting.get(id).or_else(|| committed.get(id)),
            "Uncommitted" => waiting.get(id),
            "Committed" => committed.get(id),
            _ => return Err(wrong("an element is `Latest`, `Uncommitted` or `Committed`")),
        };
        let Some(block) = block else {
            return Err(no(
                BlobFault::InvalidBlockList,
                "the list names a block that is not there",
            ));
        };
        blocks.push(block.clone());
    }
    let used: BTreeSet<String> = blocks.iter().map(|it| it.1.clone()).collect();
    let list = file_name(env.new_uuid());
    let now = env.now();
    let blob = Blob {
        kind: Kind::BlockBlob,
        created: found.as_ref().map_or(now, |(it, _)| it.created),
        modified: now,
        length: blocks.iter().map(|it| it.2).sum(),
        stored: Stored::Blocks(list.clone()),
        appended: 0,
        properties: told,
        metadata,
    };
    let more = vec![control::put(tables::BLOB_CONTENTS, list, Expect::Absent, &blocks)?];
    let revision = container.replace(name, &found, Some(&blob), more, &used).await?;
    Ok(versioned(Reply::empty(201), revision, now).with_header("x-ms-content-crc64", came.crc64()))
}

/// `GET ?comp=blocklist`: the blocks that the blob has, those that wait, or both.
pub(super) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (shows_committed, shows_waiting) = match input.query("blocklisttype").unwrap_or("committed")
    {
        it if it.eq_ignore_ascii_case("committed") => (true, false),
        it if it.eq_ignore_ascii_case("uncommitted") => (false, true),
        it if it.eq_ignore_ascii_case("all") => (true, true),
        _ => {
            let message = "`blocklisttype` is `committed`, `uncommitted` or `all`";
            return Err(no(BlobFault::InvalidQueryParameterValue, message));
        }
    };
    let container = container(permit, env)?;
    let name = input.param("blob");
    let found = container.find(name).await?;
    conditions::check(input, &found, Does::Read)?;
    check_kind(&found)?;
    let stage = container.stage(name).await?;
    if found.is_none() && stage.is_none() {
        return Err(no_blob());
    }
    let committed = match &found {
        Some((blob, _)) if shows_committed => container.blocks(&blob.stored).await?,
        Some(_) | None => Vec::new(),
    };
    let waiting = match &stage {
        Some(stage) if shows_waiting => container.staged(&stage.generation).await?,
        Some(_) | None => BTreeMap::new(),
    };
    let mut text = Xml::new();
    text.within("BlockList", |xml| {
        let show = |xml: &mut Xml, it: &Block| {
            xml.within("Block", |xml| {
                xml.text("Name", &it.0).text("Size", it.2);
            });
        };
        if shows_committed {
            xml.within("CommittedBlocks", |xml| committed.iter().for_each(|it| show(xml, it)));
        }
        if shows_waiting {
            xml.within("UncommittedBlocks", |xml| waiting.values().for_each(|it| show(xml, it)));
        }
    });
    let reply = reply_xml(text.done());
    Ok(match found {
        Some((blob, revision)) => versioned(reply, revision, blob.modified)
            .with_header("x-ms-blob-content-length", blob.length.to_string()),
        None => reply,
    })
}
