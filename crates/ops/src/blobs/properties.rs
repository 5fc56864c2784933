//! What a blob says of itself beside its bytes: headers that go with them, and metadata.

use super::conditions::{self, Does};
use super::documents::{Blob, Properties};
use super::{METADATA_BYTES_MAX, container, no, no_blob, versioned};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::Error;
use model::error::BlobFault;
use std::collections::BTreeMap;

const METADATA: &str = "x-ms-meta-";

/// What the headers of a write say; a type that is not told is bytes.
pub(super) fn read(input: &Input) -> Properties {
    let said =
        |name: &str| input.headers.said(&format!("x-ms-blob-{name}")).filter(|it| !it.is_empty());
    let own = |name: &str| said(name).map(str::to_owned);
    // Of a blob that comes whole the headers of the request tell as well, as clients without a library send them.
    let usual = |name: &str| own(name).or_else(|| input.headers.said(name).map(str::to_owned));
    let is_whole = input.query("comp").is_none();
    let told = |name: &str| if is_whole { usual(name) } else { own(name) };
    Properties {
        content_type: Some(
            told("content-type").unwrap_or_else(|| "application/octet-stream".to_owned()),
        ),
        content_encoding: told("content-encoding"),
        content_language: told("content-language"),
        content_disposition: own("content-disposition"),
        cache_control: told("cache-control"),
        content_md5: own("content-md5"),
    }
}

/// What the headers of a write say of metadata.
///
/// # Errors
/// A name that is none, or too much of it.
pub(super) fn read_metadata(input: &Input) -> Result<BTreeMap<String, String>, Error> {
    let mut metadata = BTreeMap::new();
    let mut bytes = 0;
    for (name, value) in &input.headers.storage {
        let Some(name) = name.strip_prefix(METADATA) else { continue };
        // Source: Azure Storage: names are those of C# identifiers.
        let is_name = name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_')
            && name.bytes().next().is_some_and(|it| !it.is_ascii_digit());
        if !is_name {
            return Err(no(
                BlobFault::InvalidMetadata,
                "a name of metadata is made of letters, digits and `_`, and does not begin with a digit",
            ));
        }
        bytes += name.len() + value.len();
        metadata.insert(name.to_owned(), value.clone());
    }
    match bytes <= METADATA_BYTES_MAX {
        true => Ok(metadata),
        false => Err(no(
            BlobFault::MetadataTooLarge,
            format!("metadata has at most {METADATA_BYTES_MAX} bytes"),
        )),
    }
}

/// What an answer says of a blob beside its bytes.
pub(super) fn tell(reply: Reply, blob: &Blob) -> Reply {
    let it = &blob.properties;
    let known = [
        ("Content-Type", &it.content_type),
        ("Content-Encoding", &it.content_encoding),
        ("Content-Language", &it.content_language),
        ("Content-Disposition", &it.content_disposition),
        ("Cache-Control", &it.cache_control),
    ];
    let mut reply = reply
        .with_header("x-ms-blob-type", blob.kind.as_str())
        .with_header("x-ms-creation-time", blob.created.rfc1123())
        .with_header("x-ms-lease-status", "unlocked")
        .with_header("x-ms-lease-state", "available")
        .with_header("Accept-Ranges", "bytes");
    for (name, value) in known {
        if let Some(value) = value {
            reply = reply.with_header(name, value);
        }
    }
    if blob.kind == super::documents::Kind::AppendBlob {
        reply = reply.with_header("x-ms-blob-committed-block-count", blob.appended.to_string());
    }
    let metadata =
        blob.metadata.iter().map(|(name, value)| (format!("{METADATA}{name}"), value.clone()));
    reply.more.extend(metadata);
    reply
}

/// `PUT ?comp=properties`: all of them anew; what is not told is nothing.
pub(super) async fn set(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let next = read(input);
    change(permit, input, env, |blob| blob.properties = next).await
}

/// `PUT ?comp=metadata`: all of it anew.
pub(super) async fn set_metadata(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let next = read_metadata(input)?;
    change(permit, input, env, |blob| blob.metadata = next).await
}

async fn change(
    permit: &Permit,
    input: &Input,
    env: &Env,
    change: impl FnOnce(&mut Blob),
) -> Result<Reply, Error> {
    let container = container(permit, env)?;
    let name = input.param("blob");
    let _turn = container.turn(name).await;
    let found = container.find(name).await?;
    conditions::check(input, &found, Does::Write)?;
    let (mut blob, revision) = found.ok_or_else(no_blob)?;
    change(&mut blob);
    blob.modified = env.now();
    let revision = container.update(name, &blob, revision).await?;
    Ok(versioned(Reply::empty(200), revision, blob.modified))
}
