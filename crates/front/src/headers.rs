//! The request headers that mean something to an operation, and the host that the client named.
//!
//! A header that decides something may stand once: two readers of a doubled header could each take another
//! one. What only labels a request (ids for correlation) is dropped where it is not plain short text.

use hyper::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderMap, HeaderName, IF_MATCH,
    IF_NONE_MATCH, USER_AGENT,
};
use hyper::http::uri::Uri;
use model::Error;
use model::operations::Surface;
use ops::input::Headers;

/// Longest `x-ms-client-request-id`; clients send a GUID.
pub(crate) const REQUEST_ID_BYTES_MAX: usize = 128;
/// What is longer of `User-Agent` is cut off.
pub(crate) const AGENT_CHARS_MAX: usize = 200;
/// Longest `x-ms-continuation`; what it means is the operation's affair.
pub(crate) const CONTINUATION_BYTES_MAX: usize = 1_024;
/// Longest host name with its port. Source: RFC 1035, section 2.3.4: 255 octets; then `:65535`.
pub(crate) const HOST_BYTES_MAX: usize = 255 + 6;

const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
const RETURN_CLIENT_REQUEST_ID: HeaderName =
    HeaderName::from_static("x-ms-return-client-request-id");
const MAX_ITEM_COUNT: HeaderName = HeaderName::from_static("x-ms-max-item-count");
const CONTINUATION: HeaderName = HeaderName::from_static("x-ms-continuation");
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// Reads the headers of a request.
///
/// # Errors
/// [`Error::Invalid`] naming the header that stands twice or is not text; [`Error::NotTheContentType`]
/// where the body is compressed: nothing is ever inflated.
pub(crate) fn read(headers: &HeaderMap, surface: Surface) -> Result<Headers, Error> {
    // Of a blob it is a property, and nothing is inflated either.
    if surface != Surface::Blob
        && let Some(encoding) = single(headers, &CONTENT_ENCODING)?
        && !encoding.eq_ignore_ascii_case("identity")
        && !encoding.is_empty()
    {
        return Err(Error::NotTheContentType {
            got: crate::path::shown(encoding),
            wanted: "identity",
        });
    }
    let content_length = match single(headers, &CONTENT_LENGTH)? {
        Some(text) => {
            Some(text.parse().map_err(|_| Error::invalid("Content-Length", "it is not a number"))?)
        }
        None => None,
    };
    Ok(Headers {
        if_match: single(headers, &IF_MATCH)?.map(etag),
        if_none_match: single(headers, &IF_NONE_MATCH)?.map(etag),
        content_type: single(headers, &CONTENT_TYPE)?.map(str::to_owned),
        content_length,
        client_request_id: label(headers, &CLIENT_REQUEST_ID),
        prefer: preferences(headers),
        max_item_count: max_item_count(headers)?,
        continuation: continuation(headers)?,
        message: message(headers)?,
        storage: if surface == Surface::Blob { storage(headers)? } else { Vec::new() },
    })
}

/// Headers that a client wants back in the answer.
pub(crate) type WantedBack = Vec<(&'static str, String)>;

/// What the client wants back in the answer: its own id for the request where it says so. Storage gives it back always,
/// with the version that was asked for. Source: Azure Storage, "Common REST API response headers".
pub(crate) fn wanted_back(headers: &HeaderMap, read: &Headers, surface: Surface) -> WantedBack {
    let id = |it: String| ("x-ms-client-request-id", it);
    if surface == Surface::Blob {
        let version = read.said("x-ms-version").filter(|it| model::time::is_date(it));
        let version = version.map(|it| ("x-ms-version", it.to_owned()));
        return read.client_request_id.clone().map(id).into_iter().chain(version).collect();
    }
    let wants =
        label(headers, &RETURN_CLIENT_REQUEST_ID).is_some_and(|it| it.eq_ignore_ascii_case("true"));
    match wants {
        true => read.client_request_id.clone().map(id).into_iter().collect(),
        false => Vec::new(),
    }
}

/// The host that the client named, without a port and without the brackets of an IPv6 address; empty where
/// it named none.
///
/// # Errors
/// [`Error::Invalid`] at `Host`, where it stands twice or is not a host.
pub(crate) fn host(uri: &Uri, headers: &HeaderMap) -> Result<String, Error> {
    // HTTP/2 puts the host there, and HTTP/1.1 with an absolute address means that one.
    // Source: RFC 9112, section 3.2.2.
    let named = match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => single(headers, &HOST)?,
    };
    match named {
        None | Some("") => Ok(String::new()),
        Some(text) => host_of(text).ok_or_else(|| {
            Error::invalid("Host", format!("`{}` is not a host", crate::path::shown(text)))
        }),
    }
}

fn host_of(text: &str) -> Option<String> {
    if text.len() > HOST_BYTES_MAX {
        return None;
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, after.strip_prefix(':').or(after.is_empty().then_some(""))?)
        }
        None => {
            let (name, port) = text.split_once(':').unwrap_or((text, ""));
            let is_name = |it: u8| it.is_ascii_alphanumeric() || b"-._".contains(&it);
            if name.is_empty() || !name.bytes().all(is_name) {
                return None;
            }
            (name.strip_suffix('.').unwrap_or(name), port)
        }
    };
    let is_port = port.len() <= 5 && port.bytes().all(|it| it.is_ascii_digit());
    is_port.then(|| host.to_owned())
}

/// Without quotes and without the mark of a weak validator: a version is a version.
fn etag(text: &str) -> String {
    let text = text.strip_prefix("W/").or_else(|| text.strip_prefix("w/")).unwrap_or(text);
    let bare = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    bare.unwrap_or(text).to_owned()
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Error> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match value.to_str() {
            Ok(text) => Ok(Some(text.trim())),
            Err(_) => Err(Error::invalid(
                name.as_str(),
                "the header holds characters that are not printable ASCII",
            )),
        },
        (Some(_), Some(_)) => {
            Err(Error::invalid(name.as_str(), "the header stands more than once"))
        }
    }
}

fn label(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (1..=REQUEST_ID_BYTES_MAX).contains(&text.len()).then(|| text.to_owned())
}

/// What a client calls itself, as far as that is plain short text.
pub(crate) fn agent(headers: &HeaderMap) -> Option<Box<str>> {
    let text = headers.get(USER_AGENT)?.to_str().ok()?.trim();
    let end = text.char_indices().nth(AGENT_CHARS_MAX).map_or(text.len(), |(at, _)| at);
    text.get(..end).filter(|it| !it.is_empty()).map(Box::from)
}

fn max_item_count(headers: &HeaderMap) -> Result<Option<usize>, Error> {
    let wrong = || Error::invalid(MAX_ITEM_COUNT.as_str(), "it is not a whole number");
    match single(headers, &MAX_ITEM_COUNT)? {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| wrong()),
    }
}

/// `single` lets tabs pass; here they are refused, too.
fn continuation(headers: &HeaderMap) -> Result<Option<String>, Error> {
    match single(headers, &CONTINUATION)? {
        None | Some("") => Ok(None),
        Some(text) if text.len() <= CONTINUATION_BYTES_MAX && !text.contains(char::is_control) => {
            Ok(Some(text.to_owned()))
        }
        Some(_) => Err(Error::invalid(
            CONTINUATION.as_str(),
            format!("expected at most {CONTINUATION_BYTES_MAX} printable characters"),
        )),
    }
}

/// What a device says of a message beside its body. Values may be any text: the public clients send them as they
/// are, in UTF-8.
fn message(headers: &HeaderMap) -> Result<Vec<(String, String)>, Error> {
    let is_of_message = |name: &str| name.starts_with("iothub-") || name == "dt-subject";
    let all = headers.iter().filter(|(name, _)| is_of_message(name.as_str()));
    all.map(|(name, value)| match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => Ok((name.as_str().to_owned(), text.trim().to_owned())),
        Err(_) => Err(Error::invalid(name.as_str(), "the header is not UTF-8")),
    })
    .collect()
}

/// What callers of storage say, each once.
fn storage(headers: &HeaderMap) -> Result<Vec<(String, String)>, Error> {
    let is_read = |name: &str| {
        let others = ["range", "date", "if-modified-since", "if-unmodified-since", "cache-control"];
        name.starts_with("x-ms-") || name.starts_with("content-") || others.contains(&name)
    };
    let mut all = Vec::new();
    for name in headers.keys().filter(|it| is_read(it.as_str())) {
        if let Some(value) = single(headers, name)? {
            all.push((name.as_str().to_owned(), value.to_owned()));
        }
    }
    Ok(all)
}

/// A list that may be spread over several headers. Source: RFC 7240, section 2.
fn preferences(headers: &HeaderMap) -> Option<String> {
    let all: Vec<&str> = headers.get_all(PREFER).iter().filter_map(|it| it.to_str().ok()).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn map(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        headers
    }

    #[test]
    fn an_etag_is_read_without_its_quotes() {
        let check = |sent: &str, expected: &str| {
            let read =
                read(&map(&[("if-match", sent), ("if-none-match", sent)]), Surface::Hub).unwrap();
            assert_eq!(read.if_match.as_deref(), Some(expected), "{sent}");
            assert_eq!(read.if_none_match.as_deref(), Some(expected), "{sent}");
        };
        check("\"AAAA=\"", "AAAA=");
        check("W/\"AAAA=\"", "AAAA=");
        check("AAAA=", "AAAA=");
        check("*", "*");
        check("\"*\"", "*");
        check("\"", "\"");
        check("\"\"", "");
        check("\"a\", \"b\"", "a\", \"b");
    }

    #[test]
    fn a_header_that_decides_something_stands_once() {
        for name in [
            "if-match",
            "if-none-match",
            "content-type",
            "content-encoding",
            "content-length",
            "x-ms-max-item-count",
            "x-ms-continuation",
        ] {
            let doubled = map(&[(name, "1"), (name, "1")]);
            assert!(
                matches!(read(&doubled, Surface::Hub), Err(Error::Invalid { at: Some(at), .. }) if at == name),
                "{name}"
            );
            assert!(read(&map(&[(name, "\u{e9}")]), Surface::Hub).is_err(), "{name}");
        }
        let hosts = map(&[("host", "a"), ("host", "b")]);
        assert!(host(&Uri::from_static("/"), &hosts).is_err());
    }

    #[test]
    fn a_compressed_body_is_refused() {
        for encoding in ["gzip", "GZIP", "deflate", "br", "identity, gzip", "x\\y"] {
            let refused = read(&map(&[("content-encoding", encoding)]), Surface::Hub).unwrap_err();
            assert!(
                matches!(refused, Error::NotTheContentType { wanted: "identity", .. }),
                "{encoding}"
            );
        }
        for encoding in ["identity", "Identity", ""] {
            assert!(
                read(&map(&[("content-encoding", encoding)]), Surface::Hub).is_ok(),
                "{encoding}"
            );
        }
    }

    #[test]
    fn an_id_that_is_no_plain_short_text_is_dropped() {
        let check = |id: &str, expected: Option<&str>| {
            let headers =
                map(&[("x-ms-client-request-id", id), ("x-ms-return-client-request-id", "True")]);
            let read = read(&headers, Surface::Hub).unwrap();
            let back = wanted_back(&headers, &read, Surface::Hub);
            assert_eq!(back.first().map(|(_, it)| it.as_str()), expected, "{id}");
        };
        check("6f1", Some("6f1"));
        check("", None);
        check("é", None);
        check(&"a".repeat(REQUEST_ID_BYTES_MAX), Some(&"a".repeat(REQUEST_ID_BYTES_MAX)));
        check(&"a".repeat(REQUEST_ID_BYTES_MAX + 1), None);
        let unasked = map(&[("x-ms-client-request-id", "6f1")]);
        let read_back = read(&unasked, Surface::Hub).unwrap();
        assert_eq!(wanted_back(&unasked, &read_back, Surface::Hub), []);
    }

    #[test]
    fn what_asks_for_a_page_is_short_and_plain() {
        let check = |name: &'static str, sent: &str| read(&map(&[(name, sent)]), Surface::Hub);
        assert_eq!(check("x-ms-max-item-count", "10").unwrap().max_item_count, Some(10));
        assert_eq!(check("x-ms-max-item-count", "").unwrap().max_item_count, None);
        for hostile in ["-1", "1.5", "x", "99999999999999999999999"] {
            assert!(check("x-ms-max-item-count", hostile).is_err(), "{hostile}");
        }
        let longest = "a".repeat(CONTINUATION_BYTES_MAX);
        let continued = check("x-ms-continuation", &longest).unwrap();
        assert_eq!(continued.continuation, Some(longest));
        assert_eq!(check("x-ms-continuation", "").unwrap().continuation, None);
        for hostile in ["a\tb", "\u{e9}", &"a".repeat(CONTINUATION_BYTES_MAX + 1)] {
            assert!(check("x-ms-continuation", hostile).is_err(), "{hostile}");
        }
    }

    #[test]
    fn what_is_said_of_a_message_is_kept_in_order_and_is_text() {
        let sent = [
            ("iothub-app-b", "ä 1"),
            ("accept", "*/*"),
            ("iothub-app-a", ""),
            ("iothub-app-a", "2"),
            ("dt-subject", "pump"),
        ];
        let read_back = read(&map(&sent), Surface::Hub).unwrap().message;
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected = [
            pair("iothub-app-b", "ä 1"),
            pair("iothub-app-a", ""),
            pair("iothub-app-a", "2"),
            pair("dt-subject", "pump"),
        ];
        assert_eq!(read_back, expected);
        let mut hostile = HeaderMap::new();
        hostile.insert("iothub-app-a", HeaderValue::from_bytes(b"\xff").unwrap());
        assert!(read(&hostile, Surface::Hub).is_err());
    }

    #[test]
    fn preferences_may_be_spread_over_headers() {
        let headers =
            read(&map(&[("prefer", "return=minimal"), ("prefer", "error=flat")]), Surface::Hub)
                .unwrap();
        assert_eq!(headers.prefer.as_deref(), Some("return=minimal, error=flat"));
    }

    #[test]
    fn a_host_is_read_without_its_port() {
        let check = |sent: &str, expected: Option<&str>| {
            let found = host(&Uri::from_static("/"), &map(&[("host", sent)])).ok();
            assert_eq!(found.as_deref(), expected, "{sent}");
        };
        check("127.71.3.2", Some("127.71.3.2"));
        check("127.71.3.2:8443", Some("127.71.3.2"));
        check("Hub.example.:443", Some("Hub.example"));
        check("localhost:", Some("localhost"));
        check("[::1]:8443", Some("::1"));
        check("[::1]", Some("::1"));
        check("", Some(""));
        for hostile in [
            "[::1",
            "[::1]8443",
            "[x]",
            "::1",
            "a:b",
            "a:123456",
            "a@b",
            "a/b",
            "a b",
            ":443",
            "a\u{e9}",
            "a%2eb",
        ] {
            check(hostile, None);
        }
        check(&"a".repeat(HOST_BYTES_MAX + 1), None);
        assert_eq!(host(&Uri::from_static("/"), &map(&[])).unwrap(), "");
        let absolute = Uri::from_static("https://first:8443/x");
        assert_eq!(host(&absolute, &map(&[("host", "second")])).unwrap(), "first");
        assert!(host(&Uri::from_static("https://user@first/x"), &map(&[])).is_err());
    }
}
