//! WebSockets at hubs and provisioning services: for devices from where nothing but port 443 can be reached.
//!
//! A request at one path asks for one, and says in its subprotocol what it will speak. Once it is answered, the
//! connection is a stream of bytes like any other, see [`Messages`]: what is spoken in it is for the
//! front of that protocol. Nothing here proves anybody.
//!
//! Source: RFC 6455; the paths and words of the public SDKs.

mod messages;

pub(crate) use messages::{Allowance, Messages};

use crate::answer::Reply;
use crate::sent::Sent;
use crate::sessions::Spoken;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CONNECTION, HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode, Version};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

/// Where a WebSocket is asked for, by the clients of hubs and by those of event hubs; a query behind it counts for
/// nothing.
const PATHS: [[&str; 2]; 2] = [["$iothub", "websocket"], ["$servicebus", "websocket"]];
/// Source: RFC 6455, section 1.3.
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// Bytes of a `Sec-WebSocket-Key`. Source: RFC 6455, section 4.1.
const KEY_BYTES: usize = 16;
const VERSION: &str = "13";

impl Spoken {
    const ALL: [Self; 2] = [Self::Mqtt, Self::Amqp];

    /// The word in `Sec-WebSocket-Protocol`.
    const fn subprotocol(self) -> &'static str {
        match self {
            Self::Mqtt => "mqtt",
            Self::Amqp => "AMQPWSB10",
        }
    }
}

/// True where a request is for a WebSocket, whatever else it says.
pub(crate) fn is_asked_for(parts: &Parts) -> bool {
    crate::path::segments(parts.uri.path()).is_ok_and(|it| {
        let is = |path: &[&str; 2]| {
            it.len() == path.len() && it.iter().zip(path).all(|(a, b)| a.eq_ignore_ascii_case(b))
        };
        PATHS.iter().any(is)
    })
}

/// Answers a request for a WebSocket: what will be spoken in it, where it is granted.
pub(crate) fn answer(parts: &Parts) -> (Reply, Option<Spoken>) {
    match read(parts) {
        Ok((spoken, accept)) => {
            let mut reply = said(StatusCode::SWITCHING_PROTOCOLS, "");
            let headers = reply.headers_mut();
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(spoken.subprotocol()));
            (reply, Some(spoken))
        }
        Err(Fault { status, because }) => {
            let mut reply = said(status, because);
            if status == StatusCode::UPGRADE_REQUIRED {
                let headers = reply.headers_mut();
                headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static(VERSION));
            }
            (reply, None)
        }
    }
}

/// True where the request comes from a page of another place, shown in a browser: whoever sits there did not say
/// that the page may use the certificate that the browser shows for them.
pub(crate) fn is_from_elsewhere(parts: &Parts) -> bool {
    let text = |name: HeaderName| parts.headers.get(name).map(|it| it.to_str().unwrap_or(""));
    let plain = |it: &str| it.trim_end_matches(":443").to_ascii_lowercase();
    match text(ORIGIN) {
        None => false,
        Some(origin) => {
            let origin = origin.strip_prefix("https://").map(plain);
            origin.is_none() || origin != text(HOST).map(plain)
        }
    }
}

/// Why there is no WebSocket, in words for people: no client of this path reads more than the status.
struct Fault {
    status: StatusCode,
    because: &'static str,
}

fn read(parts: &Parts) -> Result<(Spoken, HeaderValue), Fault> {
    let bad = |because| Fault { status: StatusCode::BAD_REQUEST, because };
    let upgrade = |because| Fault { status: StatusCode::UPGRADE_REQUIRED, because };
    let headers = &parts.headers;
    if parts.version != Version::HTTP_11 || parts.method != Method::GET {
        return Err(upgrade("a WebSocket begins with GET over HTTP/1.1"));
    }
    if !has_word(headers, UPGRADE, "websocket") || !has_word(headers, CONNECTION, "upgrade") {
        return Err(upgrade("this path takes WebSockets only"));
    }
    let version = headers.get(SEC_WEBSOCKET_VERSION).and_then(|it| it.to_str().ok());
    if version != Some(VERSION) {
        return Err(upgrade("the version of WebSocket is 13"));
    }
    let mut keys = headers.get_all(SEC_WEBSOCKET_KEY).iter();
    let key = match (keys.next().and_then(|it| it.to_str().ok()), keys.next()) {
        (Some(key), None) => key,
        (_, _) => return Err(bad("one `Sec-WebSocket-Key` is required")),
    };
    if STANDARD.decode(key).map(|it| it.len()) != Ok(KEY_BYTES) {
        return Err(bad("a `Sec-WebSocket-Key` is base64 of 16 bytes"));
    }
    let spoken = words(headers, SEC_WEBSOCKET_PROTOCOL)
        .find_map(|word| Spoken::ALL.into_iter().find(|it| it.subprotocol() == word))
        .ok_or_else(|| bad("`Sec-WebSocket-Protocol` must offer `mqtt` or `AMQPWSB10`"))?;
    let accept = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}{GUID}").as_bytes());
    let accept = HeaderValue::from_str(&STANDARD.encode(accept))
        .map_err(|_| bad("the `Sec-WebSocket-Key` cannot be answered"))?;
    Ok((spoken, accept))
}

fn has_word(headers: &HeaderMap, name: HeaderName, wanted: &str) -> bool {
    words(headers, name).any(|it| it.eq_ignore_ascii_case(wanted))
}

/// The items of a header that is a list, in all of its lines.
fn words(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(name).into_iter().filter_map(|it| it.to_str().ok());
    lines.flat_map(|it| it.split(',')).map(str::trim)
}

fn said(status: StatusCode, text: &'static str) -> Reply {
    let mut reply = Response::new(Sent::Whole(Full::new(Bytes::from_static(text.as_bytes()))));
    *reply.status_mut() = status;
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::Request;

    const ASKED: [(&str, &str); 5] = [
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-protocol", "other, mqtt"),
    ];

    fn parts(target: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn one_path_is_for_websockets_with_any_query() {
        let check = |target: &str, expected: bool| {
            assert_eq!(is_asked_for(&parts(target, &[])), expected, "{target}");
        };
        check("/$iothub/websocket", true);
        check("/$iothub/websocket?iothub-no-client-cert=true", true);
        check("/%24iothub/WebSocket", true);
        check("/$servicebus/websocket", true);
        check("/$servicebus/$iothub", false);
        check("/$iothub/websocket/more", false);
        check("/$iothub/websocket10", false);
        check("/devices", false);
    }

    /// The key and its answer are those of RFC 6455, section 1.3.
    #[test]
    fn a_websocket_is_granted_with_the_answer_to_its_key() {
        let (reply, protocol) = answer(&parts("/$iothub/websocket", &ASKED));
        assert_eq!(
            (reply.status(), protocol),
            (StatusCode::SWITCHING_PROTOCOLS, Some(Spoken::Mqtt))
        );
        assert_eq!(reply.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(reply.headers()[SEC_WEBSOCKET_PROTOCOL], "mqtt");
        // Whoever offers several gets the first that is spoken here.
        let others = ASKED.into_iter().filter(|it| it.0 != "sec-websocket-protocol");
        let amqp: Vec<_> = others.chain([("sec-websocket-protocol", "AMQPWSB10, mqtt")]).collect();
        let (reply, protocol) = answer(&parts("/$servicebus/websocket", &amqp));
        assert_eq!(protocol, Some(Spoken::Amqp));
        assert_eq!(reply.headers()[SEC_WEBSOCKET_PROTOCOL], "AMQPWSB10");
    }

    #[test]
    fn what_is_no_request_for_one_that_is_spoken_here_is_refused() {
        let check = |name: &str, value: Option<&str>, expected: u16| {
            let kept = ASKED.into_iter().filter(|it| it.0 != name);
            let changed: Vec<_> = kept.chain(value.map(|it| (name, it))).collect();
            let (reply, protocol) = answer(&parts("/$iothub/websocket", &changed));
            assert_eq!((reply.status().as_u16(), protocol), (expected, None), "{name}: {value:?}");
        };
        check("connection", Some("close"), 426);
        check("upgrade", Some("h2c"), 426);
        check("sec-websocket-version", Some("8"), 426);
        check("sec-websocket-key", None, 400);
        check("sec-websocket-key", Some("dGhlIHNhbXBsZQ=="), 400);
        check("sec-websocket-protocol", None, 400);
        check("sec-websocket-protocol", Some("mqttv3, MQTT, amqp"), 400);
    }

    #[test]
    fn a_page_of_another_place_is_told_from_a_device() {
        let check = |origin: Option<&str>, expected: bool| {
            let origin = origin.map(|it| ("origin", it));
            let headers: Vec<_> = [("host", "127.71.3.2:8443")].into_iter().chain(origin).collect();
            assert_eq!(is_from_elsewhere(&parts("/", &headers)), expected, "{origin:?}");
        };
        check(None, false);
        check(Some("https://127.71.3.2:8443"), false);
        check(Some("https://127.71.3.2"), true);
        check(Some("http://127.71.3.2:8443"), true);
        check(Some("https://evil.example"), true);
        check(Some("null"), true);
    }
}
