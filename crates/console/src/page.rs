//! What the console sends: a page, a redirection, a picture's numbers or a file, each under the strictest rules that a
//! browser keeps.

use bytes::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, SET_COOKIE, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use hyper::{Response, StatusCode};
use maud::Markup;
use serde_json::Value;

/// Only files of this origin, no inline script or style, no frame around it, and of forms what stands behind it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'self'";
/// What browsers keep under every answer, beside the policy.
const HEADERS: [(HeaderName, HeaderValue); 6] = [
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000")),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        HeaderValue::from_static("same-origin"),
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        HeaderValue::from_static("same-origin"),
    ),
];

/// An answer of the console.
#[derive(Debug)]
pub(crate) struct Page {
    status: StatusCode,
    kind: &'static str,
    body: Bytes,
    location: Option<String>,
    cookies: Vec<String>,
    /// Of a file that browsers may keep.
    etag: Option<String>,
    /// Where forms may lead beside this origin: browsers hold redirections that come of a form to it as well.
    forms_to: Option<String>,
}

impl Page {
    fn of(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Self {
        let (location, cookies, etag, forms_to) = (None, Vec::new(), None, None);
        Self { status, kind, body: body.into(), location, cookies, etag, forms_to }
    }

    pub(crate) fn html(markup: Markup) -> Self {
        Self::of(StatusCode::OK, "text/html; charset=utf-8", markup.into_string())
    }

    pub(crate) fn json(value: &Value) -> Self {
        Self::of(StatusCode::OK, "application/json; charset=utf-8", value.to_string())
    }

    /// To a path of the console: seen with GET, whatever was asked with.
    pub(crate) fn redirect(path: &str) -> Self {
        let page = Self::of(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", "");
        Self { location: Some(path.to_owned()), ..page }
    }

    pub(crate) fn file(kind: &'static str, text: &'static str, etag: String) -> Self {
        Self { etag: Some(etag), ..Self::of(StatusCode::OK, kind, text) }
    }

    pub(crate) fn not_modified(etag: String) -> Self {
        Self {
            etag: Some(etag),
            ..Self::of(StatusCode::NOT_MODIFIED, "text/plain; charset=utf-8", "")
        }
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self
    }

    pub(crate) fn with_cookie(mut self, cookie: String) -> Self {
        self.cookies.push(cookie);
        self
    }

    /// Lets forms lead to an address as well.
    pub(crate) fn with_forms_to(mut self, address: &str) -> Self {
        self.forms_to = source(address);
        self
    }

    pub(crate) fn response(self) -> Response<Bytes> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let out = response.headers_mut();
        out.extend(HEADERS);
        out.insert(CONTENT_TYPE, HeaderValue::from_static(self.kind));
        let policy = self.forms_to.map_or_else(|| POLICY.to_owned(), |it| format!("{POLICY} {it}"));
        let policy = HeaderValue::from_str(&policy);
        out.insert(CONTENT_SECURITY_POLICY, policy.unwrap_or(HeaderValue::from_static(POLICY)));
        // Pages hold what one person may see; files hold nothing of anybody.
        let cached = if self.etag.is_some() { "no-cache" } else { "no-store" };
        out.insert(CACHE_CONTROL, HeaderValue::from_static(cached));
        let texts = self.cookies.into_iter().map(|it| (SET_COOKIE, it));
        let texts = texts.chain(self.location.map(|it| (LOCATION, it)));
        for (name, text) in texts.chain(self.etag.map(|it| (ETAG, it))) {
            if let Ok(value) = HeaderValue::from_str(&text) {
                out.append(name, value);
            }
        }
        response
    }
}

/// An address as a source of a policy: its origin, or its scheme where that is a program's own. None where it is none, or
/// could say more than that.
fn source(address: &str) -> Option<String> {
    let (scheme, rest) = address.split_once(':')?;
    let is_plain = |it: &str, more: &[u8]| {
        !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric() || more.contains(&it))
    };
    if !is_plain(scheme, b"+-.") {
        return None;
    }
    if !matches!(scheme, "http" | "https") {
        return Some(format!("{scheme}:"));
    }
    let host = rest.strip_prefix("//")?.split(['/', '?', '#']).next()?;
    is_plain(host, b".-:").then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_lead_to_an_origin_and_to_nothing_that_an_address_smuggles_in() {
        let check = |address: &str, expected: Option<&str>| {
            assert_eq!(source(address).as_deref(), expected, "{address}");
        };
        check("http://localhost:8400/x?y", Some("http://localhost:8400"));
        check("https://app.example/back", Some("https://app.example"));
        check("my.app://auth", Some("my.app:"));
        for wrong in
            ["https://a b", "https://a;script-src", "https://", "back", "", "https://u@h/", "a b:c"]
        {
            check(wrong, None);
        }
    }
}
