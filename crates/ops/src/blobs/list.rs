//! The blobs of a container, by name, a page at a time.

use super::documents::Blob;
use super::xml::Xml;
use super::{container, etag, no, reply_xml};
use crate::env::Env;
use crate::input::{Input, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gate::Permit;
use model::Error;
use model::error::BlobFault;
use store::Scan;

/// Most entries of a page. Source: Azure Storage, "List Blobs".
pub(super) const PAGE_MAX: usize = 5_000;
/// Blobs that are read at once.
const READ_AT_ONCE: usize = 500;
/// Sorts behind every name with the same beginning.
const LAST: char = char::MAX;

/// How many entries a page has, as the query asks.
///
/// # Errors
/// What is no number, or nothing.
pub(super) fn page_of(input: &Input) -> Result<usize, Error> {
    match input.query("maxresults").map(str::parse::<usize>) {
        None => Ok(PAGE_MAX),
        Some(Ok(0)) => {
            Err(no(BlobFault::OutOfRangeQueryParameterValue, "`maxresults` is at least 1"))
        }
        Some(Ok(count)) => Ok(count.min(PAGE_MAX)),
        Some(Err(_)) => Err(no(BlobFault::InvalidQueryParameterValue, "`maxresults` is no number")),
    }
}

/// Where the page before ended.
///
/// # Errors
/// A marker that no page had.
pub(super) fn marker_of(input: &Input) -> Result<Option<String>, Error> {
    let Some(marker) = input.query("marker").filter(|it| !it.is_empty()) else { return Ok(None) };
    let read = URL_SAFE_NO_PAD.decode(marker).ok().and_then(|it| String::from_utf8(it).ok());
    read.map(Some)
        .ok_or_else(|| no(BlobFault::InvalidQueryParameterValue, "`marker` is of no page before"))
}

/// What the next page is asked for with.
pub(super) fn marker(after: &str) -> String {
    URL_SAFE_NO_PAD.encode(after)
}

enum Entry {
    Blob(String, Box<Blob>, u64),
    /// What several names have in common up to the delimiter.
    Prefix(String),
}

/// `GET ?restype=container&comp=list`.
pub(super) async fn list(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let container = container(permit, env)?;
    let prefix = input.query("prefix").unwrap_or_default().to_owned();
    let delimiter = input.query("delimiter").filter(|it| !it.is_empty());
    let include = input.query("include").unwrap_or_default();
    let with_metadata = include.split(',').any(|it| it.trim().eq_ignore_ascii_case("metadata"));
    let (most, mut after) = (page_of(input)?, marker_of(input)?);
    let mut entries: Vec<Entry> = Vec::new();
    let mut next = None;
    'pages: loop {
        let limit = READ_AT_ONCE.min(most.saturating_sub(entries.len()).saturating_add(1));
        let page =
            container.page(Scan { prefix: prefix.clone(), after: after.clone(), limit }).await?;
        let is_last = page.len() < limit;
        for (name, blob, revision) in page {
            if entries.len() == most {
                next = after.take();
                break 'pages;
            }
            let behind = name.get(prefix.len()..).unwrap_or_default();
            let common =
                delimiter.and_then(|it| behind.find(it).map(|at| prefix.len() + at + it.len()));
            match common.and_then(|it| name.get(..it)) {
                Some(common) => {
                    // All of it is one entry: the look goes on behind it.
                    after = Some(format!("{common}{LAST}"));
                    entries.push(Entry::Prefix(common.to_owned()));
                    continue 'pages;
                }
                None => {
                    after = Some(name.clone());
                    entries.push(Entry::Blob(name, Box::new(blob), revision));
                }
            }
        }
        if is_last {
            break;
        }
    }
    let facts = env.facts.load();
    let account = super::account(&facts, input)?;
    let endpoint = super::containers::endpoint(account, env);
    let place = [("ServiceEndpoint", endpoint.as_str()), ("ContainerName", permit.scope().name())];
    let mut xml = Xml::new();
    xml.with("EnumerationResults", &place, |xml| {
        xml.known("Prefix", input.query("prefix")).known("Marker", input.query("marker"));
        xml.known("MaxResults", input.query("maxresults")).known("Delimiter", delimiter);
        xml.within("Blobs", |xml| {
            for entry in &entries {
                match entry {
                    Entry::Prefix(name) => {
                        xml.within("BlobPrefix", |xml| {
                            xml.text("Name", name);
                        });
                    }
                    Entry::Blob(name, blob, revision) => {
                        show(xml, name, blob, *revision, with_metadata)
                    }
                }
            }
        });
        xml.text("NextMarker", next.as_deref().map(marker).unwrap_or_default());
    });
    Ok(reply_xml(xml.done()))
}

fn show(xml: &mut Xml, name: &str, blob: &Blob, revision: u64, with_metadata: bool) {
    xml.within("Blob", |xml| {
        xml.text("Name", name);
        xml.within("Properties", |xml| {
            let it = &blob.properties;
            xml.text("Creation-Time", blob.created.rfc1123())
                .text("Last-Modified", blob.modified.rfc1123())
                .text("Etag", etag(revision))
                .text("Content-Length", blob.length)
                .known("Content-Type", it.content_type.as_deref())
                .known("Content-Encoding", it.content_encoding.as_deref())
                .known("Content-Language", it.content_language.as_deref())
                .known("Content-MD5", it.content_md5.as_deref())
                .known("Content-Disposition", it.content_disposition.as_deref())
                .known("Cache-Control", it.cache_control.as_deref())
                .text("BlobType", blob.kind.as_str())
                .text("LeaseStatus", "unlocked")
                .text("LeaseState", "available");
        });
        if with_metadata {
            xml.within("Metadata", |xml| {
                for (name, value) in &blob.metadata {
                    xml.text(name, value);
                }
            });
        }
    });
}
