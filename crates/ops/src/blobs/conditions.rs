//! On what a call depends: `If-Match` and its kin. Source: Azure Storage, "Specifying conditional headers for Blob
//! service operations".

use super::documents::Found;
use super::{etag, no};
use crate::input::Input;
use model::error::BlobFault;
use model::{Error, Timestamp};

/// Whether the call changes anything decides what an unmet condition is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Does {
    Read,
    Write,
}

/// # Errors
/// `ConditionNotMet`, which a reader knows as 304 where it has the blob already; `BlobAlreadyExists` for who wants to
/// make it.
pub(super) fn check(input: &Input, found: &Found, does: Does) -> Result<(), Error> {
    let unmet = |what: &str| {
        no(BlobFault::ConditionNotMet, format!("the blob does not fulfil `{what}`; read it again"))
    };
    let kept = |what: &str| match does {
        Does::Read => no(BlobFault::NotModified, format!("nothing has changed, as `{what}` asks")),
        Does::Write => unmet(what),
    };
    let tag = found.as_ref().map(|(_, revision)| etag(*revision));
    let is = |wanted: &str| wanted == "*" || tag.as_deref() == Some(wanted);
    if let Some(wanted) = input.headers.if_match.as_deref()
        && (tag.is_none() || !is(wanted))
    {
        return Err(unmet("If-Match"));
    }
    if let Some(unwanted) = input.headers.if_none_match.as_deref()
        && tag.is_some()
        && is(unwanted)
    {
        return Err(match (unwanted, does) {
            ("*", Does::Write) => no(BlobFault::BlobAlreadyExists, "the blob is there already"),
            (_, _) => kept("If-None-Match"),
        });
    }
    let since = |name: &str| match input.headers.said(name) {
        Some(text) => Timestamp::parse_http(text).map(Some).ok_or_else(|| {
            no(BlobFault::InvalidHeaderValue, format!("`{name}` is no date of HTTP"))
        }),
        None => Ok(None),
    };
    let (changed, unchanged) = (since("if-modified-since")?, since("if-unmodified-since")?);
    let Some((blob, _)) = found else { return Ok(()) };
    // Dates of HTTP count in seconds.
    let modified = Timestamp::from_seconds(blob.modified.seconds());
    match (changed, unchanged) {
        (Some(date), _) if modified <= date => Err(kept("If-Modified-Since")),
        (_, Some(date)) if modified > date => Err(unmet("If-Unmodified-Since")),
        (_, _) => Ok(()),
    }
}
