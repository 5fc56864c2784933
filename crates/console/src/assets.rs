//! The files that pages refer to. They are in the program, and their tags come of their content.

use crate::page::Page;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::HeaderMap;
use hyper::header::IF_NONE_MATCH;
use ring::digest::{SHA256, digest};

const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// Name, kind and content.
const FILES: &[(&str, &str, &str)] = &[
    ("console.css", STYLE, include_str!("../assets/console.css")),
    ("access.js", SCRIPT, include_str!("../assets/access.js")),
    ("console.js", SCRIPT, include_str!("../assets/console.js")),
    ("bench.js", SCRIPT, include_str!("../assets/bench.js")),
    ("devices.js", SCRIPT, include_str!("../assets/devices.js")),
    ("device.js", SCRIPT, include_str!("../assets/device.js")),
    ("pulse.js", SCRIPT, include_str!("../assets/pulse.js")),
    ("post.js", SCRIPT, include_str!("../assets/post.js")),
    ("mark.svg", PICTURE, include_str!("../assets/mark.svg")),
];

/// A file by its name.
pub(crate) fn file(name: &str, headers: &HeaderMap) -> Option<Page> {
    let (_, kind, text) = FILES.iter().find(|(it, _, _)| *it == name)?;
    let tag = URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()));
    let etag = format!("\"{tag}\"");
    let known = headers.get(IF_NONE_MATCH).and_then(|it| it.to_str().ok());
    Some(match known == Some(etag.as_str()) {
        true => Page::not_modified(etag),
        false => Page::file(kind, text, etag),
    })
}
