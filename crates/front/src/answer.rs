//! An answer, to the bytes of a response. Adds what every response carries and nothing of its own.

use crate::sent::Sent;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Response, StatusCode};
use ops::Answer;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What a listener sends.
pub(crate) type Reply = Response<Sent>;

const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
/// What stands before the name of a message's own property.
const PROPERTY: &str = "iothub-app-";
const KEPT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const NO_CACHE: HeaderValue = HeaderValue::from_static("no-cache");
/// A year: an address that once spoke HTTPS is never spoken to in the clear.
const A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");
const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");

/// Puts an answer into the form of HTTP. `wanted_back` are headers that the client wants back.
pub(crate) fn response(
    answer: Answer,
    method: &Method,
    wanted_back: Vec<(&'static str, String)>,
) -> Reply {
    let Answer { status, body, message, content, headers, more, tracking: _, error: _ } = answer;
    let status = StatusCode::from_u16(status)
        .ok()
        .filter(|it| !it.is_informational())
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let has_body = *method != Method::HEAD
        && !matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let (bytes, kind) = match (&message, body) {
        (Some(message), _) if has_body => (message.body.clone(), BYTES),
        (None, Some(body)) if has_body => (Bytes::from(body.to_string()), JSON),
        (_, _) => (Bytes::new(), JSON),
    };
    let sent = match content {
        Some(content) if has_body => Sent::read(*content),
        Some(_) | None => Sent::Whole(Full::new(bytes.clone())),
    };
    let mut response = Response::new(sent);
    *response.status_mut() = status;
    let out = response.headers_mut();
    if !bytes.is_empty() {
        out.insert(CONTENT_TYPE, kind);
    }
    out.insert(CACHE_CONTROL, NO_CACHE);
    out.insert(STRICT_TRANSPORT_SECURITY, A_YEAR);
    out.insert(X_CONTENT_TYPE_OPTIONS, NOSNIFF);
    let own = headers.into_iter().chain(wanted_back);
    for (name, value) in own {
        let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else { continue };
        out.insert(name, header_value(&value));
    }
    for (name, value) in more {
        if let Ok(name) = HeaderName::from_bytes(name.as_bytes()) {
            out.insert(name, header_value(&value));
        }
    }
    for (name, value) in message.into_iter().flat_map(|it| it.properties) {
        if let Some(name) = property_name(&name) {
            out.append(name, header_value(&value));
        }
    }
    response
}

/// What cannot stand in the name of a header is percent-encoded; case is lost, as in every header.
fn property_name(name: &str) -> Option<HeaderName> {
    let whole = format!("{PROPERTY}{name}");
    let encoded = || format!("{PROPERTY}{}", utf8_percent_encode(name, KEPT));
    HeaderName::from_bytes(whole.as_bytes())
        .or_else(|_| HeaderName::from_bytes(encoded().as_bytes()))
        .ok()
}

/// Control characters become spaces: a header never starts a second one.
fn header_value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| {
        let cleaned: String =
            text.chars().map(|it| if it.is_control() { ' ' } else { it }).collect();
        HeaderValue::from_bytes(cleaned.trim().as_bytes()).unwrap_or(HeaderValue::from_static(""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::body::Body;
    use model::TrackingId;
    use serde_json::{Value, json};

    fn answer(status: u16, body: Option<Value>, headers: Vec<(&'static str, String)>) -> Answer {
        Answer {
            status,
            body,
            message: None,
            content: None,
            headers,
            more: Vec::new(),
            tracking: TrackingId(Default::default()),
            error: None,
        }
    }

    fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
        reply.headers().get(name).map(|it| it.to_str().unwrap())
    }

    #[test]
    fn a_json_answer_says_what_it_is() {
        let reply = response(
            answer(200, Some(json!({ "a": "é" })), vec![]),
            &Method::GET,
            vec![("x-ms-client-request-id", "6f1".into())],
        );
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.body().size_hint().exact(), Some(10));
        assert_eq!(header(&reply, "content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(header(&reply, "cache-control"), Some("no-cache"));
        assert_eq!(header(&reply, "strict-transport-security"), Some("max-age=31536000"));
        assert_eq!(header(&reply, "x-ms-client-request-id"), Some("6f1"));
    }

    #[test]
    fn an_answers_own_headers_win() {
        let own = vec![
            ("Cache-Control", "no-store".to_owned()),
            ("WWW-Authenticate", "Bearer".to_owned()),
        ];
        let reply = response(answer(401, None, own), &Method::GET, vec![]);
        assert_eq!(header(&reply, "cache-control"), Some("no-store"));
        assert_eq!(header(&reply, "www-authenticate"), Some("Bearer"));
        assert_eq!(header(&reply, "x-ms-client-request-id"), None);
    }

    #[test]
    fn some_answers_have_no_body() {
        for (method, status) in [(Method::HEAD, 404), (Method::GET, 204), (Method::GET, 304)] {
            let reply = response(answer(status, Some(json!({})), vec![]), &method, vec![]);
            assert_eq!(reply.body().size_hint().exact(), Some(0), "{method} {status}");
            assert_eq!(header(&reply, "content-type"), None, "{method} {status}");
        }
    }

    #[test]
    fn a_value_or_status_that_http_cannot_carry_breaks_nothing() {
        let own = vec![
            ("x-a", "one\r\nx-b: two".to_owned()),
            ("not a name", "x".to_owned()),
            ("location", "https://h/é".to_owned()),
        ];
        let reply = response(answer(200, None, own), &Method::GET, vec![]);
        assert_eq!(header(&reply, "x-a"), Some("one  x-b: two"));
        assert_eq!(header(&reply, "x-b"), None);
        assert_eq!(reply.headers().get("location").unwrap().as_bytes(), "https://h/é".as_bytes());
        for status in [0, 99, 100, 1_000, u16::MAX] {
            assert_eq!(
                response(answer(status, None, vec![]), &Method::GET, vec![]).status(),
                500,
                "{status}"
            );
        }
    }
}
