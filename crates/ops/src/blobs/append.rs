//! Blobs that grow: bytes go behind those that are there, in one file. What stands in the file behind the length of the
//! document was never acknowledged, and the next bytes stand in its place.

use super::conditions::{self, Does};
use super::documents::{Kind, Stored, disk};
use super::{container, no, no_blob, received, versioned};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::Error;
use model::error::BlobFault;

/// Most blocks of an append blob. Source: Azure Storage, "Scalability and performance targets for Blob storage".
const BLOCKS_MAX: u32 = 50_000;

/// `PUT ?comp=appendblock`.
pub(super) async fn append(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let container = container(permit, env)?;
    let (name, came) = (input.param("blob"), received(input)?);
    if came.length == 0 {
        return Err(no(
            BlobFault::InvalidHeaderValue,
            "there is nothing to append; `Content-Length` is 0",
        ));
    }
    let number = |name: &str| match input.headers.said(name).map(str::parse::<u64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(no(BlobFault::InvalidHeaderValue, format!("`{name}` is no number"))),
    };
    let position = number("x-ms-blob-condition-appendpos")?;
    let most = number("x-ms-blob-condition-maxsize")?;
    let _turn = container.turn(name).await;
    let found = container.find(name).await?;
    conditions::check(input, &found, Does::Write)?;
    let (mut blob, revision) = found.ok_or_else(no_blob)?;
    let (Kind::AppendBlob, Stored::File(file)) = (blob.kind, blob.stored.clone()) else {
        return Err(no(
            BlobFault::InvalidBlobType,
            "this is a block blob; only append blobs are appended to",
        ));
    };
    let offset = blob.length;
    if position.is_some_and(|it| it != offset) {
        return Err(no(BlobFault::AppendPosition, format!("the blob has {offset} bytes")));
    }
    let length = offset.saturating_add(came.length);
    if most.is_some_and(|it| length > it) {
        return Err(no(BlobFault::MaxBlobSize, format!("the blob would have {length} bytes")));
    }
    if blob.appended >= BLOCKS_MAX {
        return Err(no(
            BlobFault::BlockCountExceedsLimit,
            format!("an append blob has at most {BLOCKS_MAX} blocks"),
        ));
    }
    let (md5, crc64) = (came.md5(), came.crc64());
    let written = container.files().append(came, container.uid(), &file, offset).await;
    written.map_err(|it| disk(&it))?;
    blob.length = length;
    blob.appended += 1;
    blob.modified = env.now();
    let revision = container.update(name, &blob, revision).await?;
    Ok(versioned(Reply::empty(201), revision, blob.modified)
        .with_header("Content-MD5", md5)
        .with_header("x-ms-content-crc64", crc64)
        .with_header("x-ms-blob-append-offset", offset.to_string())
        .with_header("x-ms-blob-committed-block-count", blob.appended.to_string()))
}
