//! Which page is at a path.

use crate::api::Api;
use crate::form::Form;
use crate::page::Page;
use crate::screens::{access, ask, decision, overview, place, policies, pulse, refusals};
use crate::trouble::Trouble;
use crate::visit::Visit;
use crate::{Asked, Console, ROOT, assets, entra, paths, sign_in};
use hyper::Method;
use hyper::header::{HOST, ORIGIN};
use hyper::http::request::Parts;
use subtle::ConstantTimeEq as _;

pub(crate) async fn page(console: &Console, asked: Asked, api: &Api) -> Result<Page, Trouble> {
    let Asked { parts, body } = asked;
    let path = parts.uri.path();
    // Cookies belong to one host, and so do pages.
    if parts.method == Method::GET && !is_at_origin(console, &parts) {
        let target = parts.uri.path_and_query().map_or(ROOT, |it| it.as_str());
        return Ok(Page::redirect(&format!("{}{target}", console.settings.origin)));
    }
    if path == "/" {
        return Ok(Page::redirect(ROOT));
    }
    let below = path.strip_prefix(ROOT).unwrap_or("");
    if let Some(name) = below.strip_prefix("/files/") {
        let none = || Trouble::NotFound { what: "There is no such file.".into() };
        return assets::file(name, &parts.headers).ok_or_else(none);
    }
    let query = Form::read(parts.uri.query().unwrap_or("").as_bytes());
    let is_post = match parts.method {
        Method::GET | Method::HEAD => false,
        Method::POST => true,
        _ => return Err(Trouble::Bad { why: "Pages are asked for with GET and POST.".into() }),
    };
    if is_post && is_from_elsewhere(console, &parts) {
        return Err(Trouble::Forged);
    }
    let form = is_post.then(|| Form::read(&body));
    if entra::is_at(path) {
        return entra::page(console, api, &parts, &query, form.as_ref()).await;
    }
    if below == "/signed-in" && !is_post {
        return sign_in::back_again(console, api, &parts.headers, &query).await;
    }
    if below == "/signed-out" && !is_post {
        return Ok(sign_in::signed_out(console));
    }
    let here = parts.uri.path_and_query().map_or(ROOT, |it| it.as_str()).to_owned();
    let session = console.sessions.of(&parts.headers, console.now());
    let session = session.ok_or_else(|| Trouble::SignedOut { back: here.clone() })?;
    if let Some(form) = &form {
        let is_own = form.get("forgery").as_bytes().ct_eq(session.forgery.as_bytes());
        if !bool::from(is_own) {
            return Err(Trouble::Forged);
        }
    }
    if below == "/sign-out" && is_post {
        let cookie = console.sessions.end(&parts.headers);
        return Ok(Page::redirect(&format!("{ROOT}/signed-out")).with_cookie(cookie));
    }
    let visit = Visit { console, api, session, query, form, here };
    match below.trim_end_matches('/') {
        "" => overview::page(&visit).await,
        "/pulse" => pulse::page(&visit).await,
        "/pulse.json" => pulse::numbers(&visit).await,
        "/refusals" => refusals::page(&visit).await,
        "/refusals.json" => refusals::numbers(&visit).await,
        "/policies" => policies::page(&visit).await,
        "/access" => access::anywhere(&visit).await,
        "/ask" => ask::page(&visit).await,
        "/decisions" => decision::find(&visit),
        other => {
            if let Some(id) = other.strip_prefix("/decisions/") {
                return decision::page(&visit, id).await;
            }
            let none = || Trouble::NotFound { what: "There is no page at this address.".into() };
            let scope = other.strip_prefix("/at").ok_or_else(none)?;
            place::page(&visit, &paths::decoded(scope).ok_or_else(none)?).await
        }
    }
}

fn is_at_origin(console: &Console, parts: &Parts) -> bool {
    // HTTP/2 puts the host there.
    let named = parts.uri.authority().map(|it| it.as_str());
    let named = named.or_else(|| parts.headers.get(HOST)?.to_str().ok());
    named.is_some_and(|it| it.eq_ignore_ascii_case(console.host()))
}

/// True where a browser says that another site sends this, or where nobody says who does.
fn is_from_elsewhere(console: &Console, parts: &Parts) -> bool {
    let said = |name: &str| parts.headers.get(name).and_then(|it| it.to_str().ok());
    match (said("sec-fetch-site"), said(ORIGIN.as_str())) {
        (Some(site), _) => site != "same-origin",
        (None, Some(origin)) => origin != console.settings.origin,
        (None, None) => true,
    }
}
