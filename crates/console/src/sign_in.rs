//! Signing in to the console, and the tokens that a session gets from then on.

use crate::api::{Api, Ask, Told};
use crate::form::Form;
use crate::layout::{Frame, framed};
use crate::page::Page;
use crate::sessions::{Session, random_text};
use crate::trouble::Trouble;
use crate::visit::{MANAGEMENT, Visit, text};
use crate::{Console, ROOT, entra, paths};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HOST, HeaderValue};
use hyper::{HeaderMap, Method};
use maud::html;
use model::{Secret, Timestamp};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The client that the console is.
const CLIENT: &str = "04b07795-8ddb-461a-bbee-02f9e1bf7b46";
/// How long before its end a token is renewed, in seconds.
const EARLY_S: i64 = 120;

/// To the page where one signs in, and back afterwards.
pub(crate) fn redirect(_console: &Console, back: &str) -> Page {
    Page::redirect(&format!("{ROOT}/sign-in?back={}", paths::segment(back)))
}

pub(crate) async fn page(
    console: &Console,
    api: &Api,
    query: &Form,
    form: Option<&Form>,
) -> Result<Page, Trouble> {
    let back = back(form.unwrap_or(query).get("back"));
    let Some(form) = form else { return Ok(shown(&back, "", query.has("out"), None)) };
    let username = form.get("username");
    let fields = [
        ("grant_type", "password"),
        ("client_id", CLIENT),
        ("username", username),
        ("password", form.raw("password")),
        ("scope", &format!("{MANAGEMENT}/.default offline_access openid profile")),
    ];
    let told = ask_for_token(console, api, &fields).await;
    if !told.is_ok() {
        return Ok(shown(&back, username, false, Some(&told)).status(400));
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
    Ok(Page::redirect(&back).with_cookie(console.sessions.begin(console, session)))
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

fn shown(back: &str, username: &str, is_out: bool, refused: Option<&Told>) -> Page {
    framed(
        &Frame::alone("Sign in"),
        &html! {
            section.sign-in {
                h1 { "Sign in" }
                @if is_out { p { "You are signed out." } }
                @if let Some(told) = refused {
                    @let (_, message) = told.error();
                    div.refused role="alert" {
                        p { (message.lines().next().unwrap_or_default()) }
                        @if let Some(id) = told.tracking() {
                            p { span.command { "hubward explain " (id) } " says why" }
                        }
                    }
                }
                form method="post" action={ (ROOT) "/sign-in" } {
                    input type="hidden" name="back" value=(back);
                    label for="username" { "Name" }
                    input #username name="username" value=(username) autocomplete="username" required autofocus;
                    label for="password" { "Password" }
                    input #password name="password" type="password" autocomplete="current-password" required;
                    button.first { "Sign in" }
                }
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
        ("scope", &format!("{audience}/.default offline_access openid profile")),
    ];
    let told = ask_for_token(visit.console, visit.api, &fields).await;
    if !told.is_ok() {
        return Err(Trouble::SignedOut { back: visit.here.clone() });
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
    let pairs: Vec<String> =
        fields.iter().map(|(name, value)| format!("{name}={}", paths::segment(value))).collect();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    if let Ok(host) = HeaderValue::from_str(console.host()) {
        headers.insert(HOST, host);
    }
    let body = Bytes::from(pairs.join("&"));
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
