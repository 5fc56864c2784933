//! Blobs as they are read: the bytes, whole or a stretch of them, and what goes with them.

use super::conditions::{self, Does};
use super::documents::Blob;
use super::ranges::{self, Asked, Stretch};
use super::{checks, container, no, no_blob, properties, versioned};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::Error;
use model::error::BlobFault;

/// Longest stretch whose MD5 or CRC-64 is told on demand. Source: Azure Storage, "Get Blob".
const SUMMED_BYTES_MAX: u64 = 4 << 20;

/// Headers that a signature may say anew for whoever uses it.
const OVERRIDES: [(&str, &str); 5] = [
    ("rsct", "Content-Type"),
    ("rsce", "Content-Encoding"),
    ("rscl", "Content-Language"),
    ("rscd", "Content-Disposition"),
    ("rscc", "Cache-Control"),
];

/// `GET`: the bytes.
pub(super) async fn get(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let container = container(permit, env)?;
    let found = container.find(input.param("blob")).await?;
    conditions::check(input, &found, Does::Read)?;
    let (blob, revision) = found.ok_or_else(no_blob)?;
    let header = input.headers.said("x-ms-range").or_else(|| input.headers.said("range"));
    let whole = Stretch { from: 0, until: blob.length };
    let (status, stretch) = match ranges::read(header, blob.length) {
        Asked::Whole => (200, whole),
        Asked::Part(stretch) => (206, stretch),
        Asked::Outside => {
            let message =
                format!("the blob has {} bytes, and none of those that are asked for", blob.length);
            return Err(no(BlobFault::InvalidRange { length: blob.length }, message));
        }
    };
    let mut reply = told(&blob, revision, input, status);
    let length = stretch.until.saturating_sub(stretch.from);
    if status == 206 {
        let last = stretch.until.saturating_sub(1);
        reply = reply
            .with_header("Content-Range", format!("bytes {}-{last}/{}", stretch.from, blob.length));
    }
    let wants =
        |name: &str| input.headers.said(name).is_some_and(|it| it.eq_ignore_ascii_case("true"));
    let (md5, crc64) = (wants("x-ms-range-get-content-md5"), wants("x-ms-range-get-content-crc64"));
    if md5 || crc64 {
        if status != 206 || length > SUMMED_BYTES_MAX || (md5 && crc64) {
            let message =
                format!("one sum is told, of a range of at most {SUMMED_BYTES_MAX} bytes");
            return Err(no(BlobFault::InvalidHeaderValue, message));
        }
        let mut sums = checks::Sums::default();
        let mut content = container.content(&blob, stretch).await?;
        while let Some(chunk) = content.next().await.map_err(|it| super::documents::disk(&it))? {
            sums.add(&chunk);
        }
        reply = match md5 {
            true => reply.with_header("Content-MD5", sums.md5()),
            false => reply.with_header("x-ms-content-crc64", sums.crc64()),
        };
    }
    reply.content = Some(Box::new(container.content(&blob, stretch).await?));
    Ok(reply)
}

/// `HEAD`, and `?comp=metadata`: all but the bytes.
pub(super) async fn properties(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let container = container(permit, env)?;
    let found = container.find(input.param("blob")).await?;
    conditions::check(input, &found, Does::Read)?;
    let (blob, revision) = found.ok_or_else(no_blob)?;
    let reply = told(&blob, revision, input, 200);
    Ok(match input.query("comp") {
        Some(_) => reply,
        None => reply.with_header("Content-Length", blob.length.to_string()),
    })
}

fn told(blob: &Blob, revision: u64, input: &Input, status: u16) -> Reply {
    let mut reply =
        properties::tell(versioned(Reply::empty(status), revision, blob.modified), blob);
    if let Some(md5) = &blob.properties.content_md5 {
        // Of a stretch it would be the sum of something else.
        let name = if status == 206 { "x-ms-blob-content-md5" } else { "Content-MD5" };
        reply = reply.with_header(name, md5);
    }
    if input.query("sig").is_some() {
        for (field, header) in OVERRIDES {
            if let Some(value) = input.query(field) {
                reply.headers.retain(|(name, _)| *name != header);
                reply = reply.with_header(header, value);
            }
        }
    }
    reply
}
