//! Whole blobs: put, and deleted.

use super::conditions::{self, Does};
use super::documents::{Blob, Kind, Stored, disk};
use super::files::file_name;
use super::{container, no, no_blob, properties, received, versioned};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::error::BlobFault;
use model::{Error, Op};
use std::collections::BTreeSet;

/// Puts a blob of blocks with its bytes, or an empty one to append to. Blocks that waited for it are gone.
pub(super) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let kind = match input.headers.said("x-ms-blob-type") {
        Some("BlockBlob") => Kind::BlockBlob,
        Some("AppendBlob") => Kind::AppendBlob,
        Some("PageBlob") => {
            let message = "page blobs are not served; make a block blob or an append blob";
            return Err(no(BlobFault::UnsupportedBlobType, message));
        }
        Some(_) => {
            return Err(no(
                BlobFault::InvalidHeaderValue,
                "`x-ms-blob-type` is `BlockBlob` or `AppendBlob`",
            ));
        }
        None => {
            return Err(no(
                BlobFault::MissingRequiredHeader,
                "`x-ms-blob-type` is missing: `BlockBlob` or `AppendBlob`",
            ));
        }
    };
    let container = container(permit, env)?;
    let (name, came) = (input.param("blob"), received(input)?);
    if kind == Kind::AppendBlob && came.length > 0 {
        return Err(no(
            BlobFault::InvalidHeaderValue,
            "an append blob is made empty; append to it then",
        ));
    }
    let mut told = properties::read(input);
    if kind == Kind::BlockBlob && told.content_md5.is_none() {
        told.content_md5 = Some(came.md5());
    }
    let metadata = properties::read_metadata(input)?;
    let _turn = container.turn(name).await;
    let found = container.find(name).await?;
    conditions::check(input, &found, Does::Write)?;
    if found.is_some() && permit.operation().op == Op::CreateBlob {
        return Err(no(
            BlobFault::BlobAlreadyExists,
            "somebody has made this blob meanwhile; call again",
        ));
    }
    let file = file_name(env.new_uuid());
    let (md5, length, crc64) = (came.md5(), came.length, came.crc64());
    container.files().keep(came, container.uid(), &file).await.map_err(|it| disk(&it))?;
    let now = env.now();
    let blob = Blob {
        kind,
        created: found.as_ref().map_or(now, |(it, _)| it.created),
        modified: now,
        length,
        stored: Stored::File(file.clone()),
        appended: 0,
        properties: told,
        metadata,
    };
    let used = BTreeSet::new();
    let outcome = container.replace(name, &found, Some(&blob), Vec::new(), &used).await;
    if outcome.is_err() {
        container.files().remove(container.uid(), vec![file]).await;
    }
    let reply =
        versioned(Reply::empty(201), outcome?, now).with_header("x-ms-content-crc64", crc64);
    Ok(if kind == Kind::BlockBlob { reply.with_header("Content-MD5", md5) } else { reply })
}

/// Deletes a blob with its bytes, and the blocks that waited for it.
pub(super) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let container = container(permit, env)?;
    let name = input.param("blob");
    let _turn = container.turn(name).await;
    let found = container.find(name).await?;
    conditions::check(input, &found, Does::Write)?;
    if found.is_none() {
        return Err(no_blob());
    }
    container.replace(name, &found, None, Vec::new(), &BTreeSet::new()).await?;
    Ok(Reply::empty(202).with_header("x-ms-delete-type-permanent", "true"))
}
