//! Signing in to the console, and the tokens that a session gets from then on.

use crate::api::{Api, Ask, Told};
use crate::form::Form;
use crate::layout::{Frame, framed};
use crate::page::Page;
use crate::sessions::{Session, cookie, random_text, shown};
use crate::trouble::{Refused, Trouble};
use crate::visit::{MANAGEMENT, Visit, text};
use crate::{Console, ROOT, entra, paths};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{HeaderMap, Method};
use maud::html;
use model::{Secret, Timestamp};
use ring::digest::{SHA256, digest};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq as _;

/// The client that the console is: a public one, which the authority knows with its one address.
const CLIENT: &str = "9f6be937-0774-4fe1-bbd6-f539cb52cd1b";
/// What a browser carries on its way to the authority and back, and how long that may take, in seconds.
const BEGUN: &str = "__Host-hubward-begun";
const BEGUN_S: i64 = 3_600;
/// How long before its end a token is renewed, in seconds.
const EARLY_S: i64 = 120;
/// Entra's numbers for what conditional access refuses: signing in again would change nothing.
const CONDITIONAL: [i64; 2] = [53_003, 50_076];

/// To the authority, and back afterwards: an authorization code with a proof that it is ours (RFC 7636).
pub(crate) fn redirect(console: &Console, back: &str) -> Page {
    let (state, verifier) = (random_text(console), random_text(console));
    let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
    let (address, scope) = (address(console), scope(MANAGEMENT));
    let fields = [
        ("client_id", CLIENT),
        ("response_type", "code"),
        ("response_mode", "query"),
        ("redirect_uri", address.as_str()),
        ("scope", scope.as_str()),
        ("state", state.as_str()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let target = format!("/{}/oauth2/v2.0/authorize?{}", console.settings.tenant, encoded(&fields));
    let begun = format!("{state}.{verifier}.{}", paths::segment(back));
    Page::redirect(&target).with_cookie(cookie(BEGUN, &begun, BEGUN_S))
}

/// Where the authority sends the browser back to.
fn address(console: &Console) -> String {
    format!("{}{ROOT}/signed-in", console.settings.origin)
}

fn scope(audience: &str) -> String {
    format!("{audience}/.default offline_access openid profile")
}

fn encoded(fields: &[(&str, &str)]) -> String {
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", paths::segment(value))).collect();
    pairs.join("&")
}

/// Back from the authority, with a code or with why there is none.
pub(crate) async fn back_again(
    console: &Console,
    api: &Api,
    headers: &HeaderMap,
    query: &Form,
) -> Result<Page, Trouble> {
    let begun = shown(headers, BEGUN).unwrap_or_default();
    let mut parts = begun.splitn(3, '.');
    let (state, verifier) = (parts.next().unwrap_or(""), parts.next().unwrap_or(""));
    let to = back(&paths::decoded(parts.next().unwrap_or("")).unwrap_or_default());
    let is_ours = query.get("state").as_bytes().ct_eq(state.as_bytes());
    if verifier.is_empty() || !bool::from(is_ours) {
        // Begun in another browser, or long ago: it begins again, with nothing of what came.
        return Ok(redirect(console, ROOT));
    }
    if !query.get("error").is_empty() {
        let why = format!("{}: {}", query.get("error"), query.get("error_description"));
        return Err(Trouble::Bad { why });
    }
    let address = address(console);
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT),
        ("code", query.get("code")),
        ("redirect_uri", &address),
        ("code_verifier", verifier),
        ("scope", &scope(MANAGEMENT)),
    ];
    let told = ask_for_token(console, api, &fields).await;
    if !told.is_ok() {
        return Err(Refused::of(&told).into());
    }
    let claims = claims(text(&told.body, "/id_token"));
    let session = Session {
        upn: text(&claims, "/preferred_username").to_owned(),
        name: text(&claims, "/name").to_owned(),
        object_id: text(&claims, "/oid").to_owned(),
        forgery: random_text(console),
        refresh: Mutex::new(Secret::new(text(&told.body, "/refresh_token").to_owned())),
        tokens: Mutex::new(BTreeMap::new()),
    };
    keep(&session, MANAGEMENT, &told.body, console.now());
    let page = Page::redirect(&to).with_cookie(console.sessions.begin(console, session));
    Ok(page.with_cookie(cookie(BEGUN, "", 0)))
}

/// Only to a page of the console: a path of ours, and nothing that a browser reads as another host.
fn back(text: &str) -> String {
    let path = text.split(['?', '#']).next().unwrap_or("");
    let is_ours = Console::is_at(path)
        && !entra::is_at(path)
        && !text.contains(['\\', '\r', '\n'])
        && !text.starts_with("//");
    if is_ours { text.to_owned() } else { ROOT.to_owned() }
}

/// After signing out of the console: the browser may still be known to the authority.
pub(crate) fn signed_out(console: &Console) -> Page {
    let leave = format!("/{}/oauth2/v2.0/logout", console.settings.tenant);
    framed(
        &Frame::alone("Signed out"),
        &html! {
            section.sign-in {
                h1 { "You are signed out" }
                p { "of the console. This browser is still signed in here for other applications." }
                p { a.button href=(ROOT) { "Sign in again" } " " a.button href=(leave) { "Sign out everywhere" } }
            }
        },
    )
}

/// A token of the session's for an audience, from memory or with the refresh token.
pub(crate) async fn token(visit: &Visit<'_>, audience: &str) -> Result<Secret<String>, Trouble> {
    let now = visit.console.now();
    let session = &visit.session;
    let known = {
        let tokens = session.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        tokens.get(audience).filter(|(_, until)| now < *until).map(|(it, _)| it.clone())
    };
    if let Some(token) = known {
        return Ok(token);
    }
    let refresh = session.refresh.lock().unwrap_or_else(PoisonError::into_inner).reveal().clone();
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", CLIENT),
        ("refresh_token", refresh.as_str()),
        ("scope", &scope(audience)),
    ];
    let told = ask_for_token(visit.console, visit.api, &fields).await;
    if !told.is_ok() {
        let number = told.body.pointer("/error_codes/0").and_then(Value::as_i64);
        return Err(match number.is_some_and(|it| CONDITIONAL.contains(&it)) {
            true => Refused::of(&told).into(),
            false => Trouble::SignedOut { back: visit.here.clone() },
        });
    }
    if let Some(next) = told.body.get("refresh_token").and_then(Value::as_str) {
        let mut refresh = session.refresh.lock().unwrap_or_else(PoisonError::into_inner);
        *refresh = Secret::new(next.to_owned());
    }
    Ok(keep(session, audience, &told.body, now))
}

fn keep(session: &Session, audience: &str, body: &Value, now: Timestamp) -> Secret<String> {
    let token = Secret::new(text(body, "/access_token").to_owned());
    let lives_s = body.get("expires_in").and_then(Value::as_i64).unwrap_or(0);
    let until = now.plus_seconds(lives_s - EARLY_S);
    let mut tokens = session.tokens.lock().unwrap_or_else(PoisonError::into_inner);
    tokens.insert(audience.to_owned(), (token.clone(), until));
    token
}

async fn ask_for_token(console: &Console, api: &Api, fields: &[(&str, &str)]) -> Told {
    let target = format!("/{}/oauth2/v2.0/token", console.settings.tenant);
    post_form(console, api, target, fields).await
}

/// Asks what takes a form and no token: who signs in has none.
pub(crate) async fn post_form(
    console: &Console,
    api: &Api,
    target: String,
    fields: &[(&str, &str)],
) -> Told {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    if let Ok(host) = HeaderValue::from_str(console.host()) {
        headers.insert(HOST, host);
    }
    let body = Bytes::from(encoded(fields));
    api(Ask { host: None, method: Method::POST, target, headers, body }).await
}

/// What a token says that came straight from its issuer.
fn claims(token: &str) -> Value {
    let body = token.split('.').nth(1).unwrap_or("");
    let bytes = URL_SAFE_NO_PAD.decode(body).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or(Value::Null)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Threat 65.
    #[test]
    fn after_signing_in_one_comes_back_to_a_page_of_the_console_and_nowhere_else() {
        for ours in ["/console", "/console/at/subscriptions/x?view=keys", "/console/pulse"] {
            assert_eq!(back(ours), ours);
        }
        for elsewhere in [
            "",
            "https://evil.example/console",
            "//evil.example/console",
            "/console\\@evil.example",
            "/console\r\nset-cookie: a=b",
            "/consoles",
            "/subscriptions",
            "javascript:alert(1)",
        ] {
            assert_eq!(back(elsewhere), ROOT, "{elsewhere}");
        }
    }
}
