//! The Blob service of storage accounts: containers, and the blobs in them.
//!
//! A container is the same document as in Azure Resource Manager, see `targets/`; its blobs are documents in a shard of
//! its own (`documents.rs`) and files below the data directory (`files.rs`). What a call may do was decided before it came
//! here; what it depends on beside is in `conditions.rs`. What is served, and what is not, is told in
//! `docs/reference/blobs.md`.

mod append;
mod blocks;
mod checks;
mod conditions;
pub(crate) mod containers;
mod delegation;
mod documents;
mod files;
mod list;
mod properties;
mod put;
mod ranges;
mod read;
pub mod tidy;
mod xml;

pub use documents::Turns;
pub use files::{Content, Received};

use crate::call::{BodyFault, BodyReader};
use crate::env::Env;
use crate::input::{Input, Message, Reply};
use documents::Container;
use files::Fault;
use gate::Permit;
use gate::facts::{Instance, Target};
use model::error::BlobFault;
use model::{Error, Op};
use std::sync::Arc;

/// Largest blob that comes at once, and largest block. Azure takes 5,000 and 4,000 MiB.
pub const BLOCK_BYTES_MAX: usize = 1 << 30;
/// Largest block that is appended. Source: Azure Storage, "Append Block".
pub const APPEND_BYTES_MAX: usize = 100 << 20;
/// Largest list of blocks: 50,000 of them, each with the longest id.
pub const LIST_BYTES_MAX: usize = 8 << 20;
/// Longest name of a blob, in characters. Source: Azure Storage, "Naming containers, blobs, and metadata".
pub const NAME_CHARACTERS_MAX: usize = 1_024;
/// What a caller is taken to speak who names no `x-ms-version`.
const VERSION: &str = "2021-08-06";
/// Most bytes of all metadata of a blob. Source: likewise.
pub const METADATA_BYTES_MAX: usize = 8 << 10;

/// Headers that would change what a call means, and mean nothing here.
const UNSERVED_HEADERS: &[&str] = &[
    "x-ms-copy-source",
    "x-ms-encryption-key",
    "x-ms-encryption-scope",
    "x-ms-if-tags",
    "x-ms-immutability-policy-until-date",
    "x-ms-legal-hold",
    "x-ms-rename-source",
    "x-ms-structured-body",
    "x-ms-tags",
];
/// Parts of a query, likewise.
const UNSERVED_QUERY: &[&str] = &["snapshot", "versionid", "deletetype"];

/// A refusal of this service.
pub(crate) fn no(fault: BlobFault, message: impl Into<String>) -> Error {
    Error::Blob { fault, message: message.into() }
}

/// The version of a blob or container as it is told: it changes with each write.
fn etag(revision: u64) -> String {
    format!("0x{revision:X}")
}

/// How many bytes the body of an operation may have.
pub(crate) const fn bytes_max(op: Op) -> usize {
    match op {
        Op::AppendBlock => APPEND_BYTES_MAX,
        Op::PutBlockList => LIST_BYTES_MAX,
        _ => BLOCK_BYTES_MAX,
    }
}

/// Reads a body into a file, once the gates have said yes.
///
/// # Errors
/// [`Error::BodyTooLarge`]; [`Error::BodyIncomplete`]; [`Error::Unavailable`] where the disk failed.
pub(crate) async fn receive(
    env: &Env,
    op: Op,
    input: &Input,
    reader: BodyReader,
) -> Result<Received, Error> {
    if env.facts.load().entity(&input.scope).is_none() {
        return Err(no_container());
    }
    let limit = bytes_max(op);
    if input.headers.content_length.is_some_and(|it| it > limit as u64) {
        return Err(Error::BodyTooLarge { limit });
    }
    let read = |sender: files::Sender| async move {
        // Who has the body already hands it over whole.
        let whole = reader(limit, Some(sender.clone())).await?;
        if !whole.is_empty() {
            sender.send(whole).await.map_err(|_| BodyFault::Incomplete)?;
        }
        Ok(())
    };
    let received = files::received(&env.settings.data_dir, read).await.map_err(|it| match it {
        Fault::Body(BodyFault::TooLarge) => Error::BodyTooLarge { limit },
        Fault::Body(BodyFault::Incomplete) => Error::BodyIncomplete,
        Fault::Disk(error) => documents::disk(&error),
    })?;
    check_sums(input, &received)?;
    Ok(received)
}

/// What came must be what was sent, where the sender says by what that is told.
fn check_sums(input: &Input, received: &Received) -> Result<(), Error> {
    let differs = |header: &str, is: &str| input.headers.said(header).is_some_and(|it| it != is);
    if differs("content-md5", &received.md5()) {
        return Err(no(
            BlobFault::Md5Mismatch,
            "the bytes that came have another MD5 than `Content-MD5` says",
        ));
    }
    match differs("x-ms-content-crc64", &received.crc64()) {
        true => Err(no(
            BlobFault::Crc64Mismatch,
            "the bytes that came have another CRC-64 than `x-ms-content-crc64` says",
        )),
        false => Ok(()),
    }
}

/// The account at whose address the call came in.
fn account<'a>(facts: &'a gate::Facts, input: &Input) -> Result<&'a Arc<Target>, Error> {
    facts.target_around(&input.scope).ok_or_else(|| gone("account"))
}

fn gone(what: &str) -> Error {
    no(BlobFault::ResourceNotFound, format!("there is no such {what}"))
}

/// What nobody here serves is refused before anything is looked at.
///
/// # Errors
/// The header or the part of the query; an account that is another one than the address's.
pub(crate) fn check(instance: Option<Instance<'_>>, input: &Input) -> Result<(), Error> {
    if let Some(Instance::Target(target)) = instance
        && !target.scope.name().eq_ignore_ascii_case(input.param("account"))
    {
        return Err(no(
            BlobFault::ResourceNotFound,
            format!("at this address the account `{}` answers, and no other", target.scope.name()),
        ));
    }
    if input.headers.said("x-ms-lease-id").is_some() {
        return Err(no(
            BlobFault::LeaseNotPresent,
            "there are no leases here, and so none of this id",
        ));
    }
    if let Some(name) = UNSERVED_HEADERS.iter().find(|it| input.headers.said(it).is_some()) {
        return Err(no(
            BlobFault::UnsupportedHeader,
            format!("`{name}` is not served here; leave it out"),
        ));
    }
    if let Some(name) =
        UNSERVED_QUERY.iter().find(|it| input.query(it).is_some_and(|it| !it.is_empty()))
    {
        let message = format!("`{name}` is not served here; leave it out");
        return Err(no(BlobFault::UnsupportedQueryParameter, message));
    }
    let blob = input.param("blob");
    if blob.chars().count() > NAME_CHARACTERS_MAX {
        return Err(no(
            BlobFault::InvalidResourceName,
            format!("a blob's name has at most {NAME_CHARACTERS_MAX} characters"),
        ));
    }
    Ok(())
}

/// The row by which a call is judged: who may only make new blobs may put none in the place of another.
pub(crate) async fn judged(op: Op, input: &Input, env: &Env) -> Result<Op, Error> {
    if op != Op::PutBlob {
        return Ok(op);
    }
    let facts = env.facts.load();
    let Some(entity) = facts.entity(&input.scope) else { return Ok(op) };
    let found = Container::of(env, &entity.uid)?.find(input.param("blob")).await?;
    Ok(if found.is_none() { Op::CreateBlob } else { op })
}

/// The container that a call is about.
fn container<'a>(permit: &Permit, env: &'a Env) -> Result<Container<'a>, Error> {
    match env.facts.load().entity(permit.scope()) {
        Some(entity) => Container::of(env, &entity.uid),
        None => Err(no_container()),
    }
}

fn no_container() -> Error {
    no(BlobFault::ContainerNotFound, "there is no such container in this account")
}

fn no_blob() -> Error {
    no(BlobFault::BlobNotFound, "there is no such blob in this container")
}

/// What came as the body.
fn received(input: &Input) -> Result<Arc<Received>, Error> {
    input.received.clone().ok_or(Error::BodyIncomplete)
}

/// An answer of XML.
fn reply_xml(text: String) -> Reply {
    let message = Message { body: text.into(), properties: Vec::new() };
    Reply { message: Some(Box::new(message)), ..Reply::empty(200) }
        .with_header("Content-Type", "application/xml")
}

/// What every answer about something says of its version.
fn versioned(reply: Reply, revision: u64, modified: model::Timestamp) -> Reply {
    reply
        .with_header("ETag", format!("\"{}\"", etag(revision)))
        .with_header("Last-Modified", modified.rfc1123())
}

/// Does what the permit allows.
pub(crate) async fn act(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    match permit.operation().op {
        Op::ListBlobContainers => containers::list(permit, input, env).await,
        Op::GetUserDelegationKey => delegation::issue(permit, input, env),
        Op::CreateBlobContainer => containers::create(permit, input, env).await,
        Op::GetBlobContainer => containers::get(permit, input, env).await,
        Op::DeleteBlobContainer => containers::delete(permit, input, env).await,
        Op::ListBlobs => list::list(permit, input, env).await,
        Op::PutBlob | Op::CreateBlob => put::put(permit, input, env).await,
        Op::AppendBlock => append::append(permit, input, env).await,
        Op::PutBlock => blocks::put(permit, input, env).await,
        Op::PutBlockList => blocks::commit(permit, input, env).await,
        Op::GetBlockList => blocks::list(permit, input, env).await,
        Op::GetBlob => read::get(permit, input, env).await,
        Op::GetBlobProperties => read::properties(permit, input, env).await,
        Op::SetBlobProperties => properties::set(permit, input, env).await,
        Op::SetBlobMetadata => properties::set_metadata(permit, input, env).await,
        Op::DeleteBlob => put::delete(permit, input, env).await,
        op => Err(Error::Internal { message: format!("`{op:?}` is no operation on blobs") }),
    }
}
