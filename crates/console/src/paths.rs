//! Addresses of the console's own pages.

use crate::ROOT;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands as it is in one segment of a path.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same with the slashes of a resource's id.
const ID: &AsciiSet = &SEGMENT.remove(b'/');

/// One segment of a path, or one value of a query.
pub(crate) fn segment(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A resource's id as a path of the API.
pub(crate) fn id(text: &str) -> String {
    utf8_percent_encode(text, ID).to_string()
}

/// The id in the address of a resource's page; none where it is no text.
pub(crate) fn decoded(path: &str) -> Option<String> {
    let whole = if path.is_empty() { "/" } else { path };
    percent_encoding::percent_decode_str(whole).decode_utf8().ok().map(|it| it.into_owned())
}

/// The page of a resource, by its id.
pub(crate) fn at(scope: &str) -> String {
    format!("{ROOT}/at{}", id(scope))
}

/// A view of a resource.
pub(crate) fn view(scope: &str, view: &str) -> String {
    format!("{}?view={view}", at(scope))
}

/// The page of a kept decision.
pub(crate) fn decision(id: &str) -> String {
    format!("{ROOT}/decisions/{}", segment(id))
}

/// A device's page at its hub's.
pub(crate) fn device(hub: &str, device: &str) -> String {
    format!("{}?view=device&device={}", at(hub), segment(device))
}
