//! The pages of sign-in: where people prove who they are to this server, for whichever client has sent them.
//!
//! Nothing is decided here. Who somebody is, which client may have a code, and where that goes, say operations of the
//! public API; a page asks them, and shows what they answer. Nothing changes by a GET: each change is a form of ours,
//! with a text that other sites cannot know.

mod authorize;
mod device;
mod leave;

use crate::api::{Api, Told};
use crate::form::Form;
use crate::layout::{Frame, framed};
use crate::page::Page;
use crate::sessions::{cookie, random_text, shown};
use crate::sign_in::post_form;
use crate::trouble::{Refused, Trouble};
use crate::visit::text;
use crate::{Console, paths};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::HeaderMap;
use hyper::http::request::Parts;
use maud::{Markup, html};
use ring::digest::{SHA256, digest};
use serde_json::Value;
use subtle::ConstantTimeEq as _;

/// Who is signed in at these pages, and what makes a form one of this browser's.
const SESSION: &str = "__Host-hubward-sign-in";
const BROWSER: &str = "__Host-hubward-form";
const BROWSER_S: i64 = 86_400;
/// Names that stand for the one tenant there is.
const ALIASES: [&str; 2] = ["common", "organizations"];
/// Entra's number for a password that was set by somebody else.
const TO_CHANGE: i64 = 50_055;

/// Which page a path is of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Authorize,
    Device,
    Leave,
}

fn at(path: &str) -> Option<(At, &str)> {
    let mut parts = path.strip_prefix('/')?.split('/');
    let (tenant, protocol) = (parts.next()?, parts.next());
    if tenant == "device" && protocol.is_none() {
        return Some((At::Device, "common"));
    }
    let mut last = parts.next()?;
    if protocol != Some("oauth2") {
        return None;
    }
    if last == "v2.0" {
        last = parts.next()?;
    }
    let found = match last {
        "authorize" => At::Authorize,
        "deviceauth" => At::Device,
        "logout" => At::Leave,
        _ => return None,
    };
    parts.next().is_none().then_some((found, tenant))
}

/// True where a path is one of these pages.
pub(crate) fn is_at(path: &str) -> bool {
    at(path).is_some()
}

/// A browser at one of these pages.
struct Guest<'a> {
    console: &'a Console,
    api: &'a Api,
    /// Of the session, where the browser shows one.
    session: Option<String>,
    /// What the browser's forms carry, and the cookie that goes with it where there was none.
    forgery: String,
    fresh: Option<String>,
    path: &'a str,
}

/// Who is signed in, and the cookie where that is new.
struct Person {
    session: String,
    name: String,
    cookie: Option<String>,
}

pub(crate) async fn page(
    console: &Console,
    api: &Api,
    parts: &Parts,
    query: &Form,
    form: Option<&Form>,
) -> Result<Page, Trouble> {
    let path = parts.uri.path();
    let Some((at, tenant)) = at(path) else {
        return Err(Trouble::NotFound { what: "There is no page at this address.".into() });
    };
    let own = &console.settings.tenant;
    if !tenant.eq_ignore_ascii_case(own) && !ALIASES.contains(&tenant) {
        let what = format!("There is no tenant of that name here; this server's is {own}.");
        return Err(Trouble::NotFound { what });
    }
    let guest = Guest::of(console, api, &parts.headers, path);
    if let Some(form) = form
        && !guest.has_sent(form)
    {
        return Err(Trouble::Forged);
    }
    let page = match at {
        At::Authorize => authorize::page(&guest, query, form).await?,
        At::Device => device::page(&guest, query, form).await?,
        At::Leave => leave::page(&guest, form).await,
    };
    Ok(match &guest.fresh {
        Some(fresh) => page.with_cookie(cookie(BROWSER, fresh, BROWSER_S)),
        None => page,
    })
}

impl<'a> Guest<'a> {
    fn of(console: &'a Console, api: &'a Api, headers: &HeaderMap, path: &'a str) -> Self {
        let known = shown(headers, BROWSER).filter(|it| !it.is_empty());
        let (browser, fresh) = match known {
            Some(known) => (known, None),
            None => {
                let fresh = random_text(console);
                (fresh.clone(), Some(fresh))
            }
        };
        let forgery = URL_SAFE_NO_PAD.encode(digest(&SHA256, format!("form {browser}").as_bytes()));
        let session = shown(headers, SESSION).filter(|it| !it.is_empty());
        Self { console, api, session, forgery, fresh, path }
    }

    /// True for a form that this browser got from here.
    fn has_sent(&self, form: &Form) -> bool {
        self.fresh.is_none()
            && bool::from(form.get("forgery").as_bytes().ct_eq(self.forgery.as_bytes()))
    }

    /// Asks an operation of sign-in.
    async fn ask(&self, what: &str, fields: &[(&str, &str)]) -> Told {
        let target = format!("/{}/signin/{what}", self.console.settings.tenant);
        post_form(self.console, self.api, target, fields).await
    }

    /// Who is signed in, as far as the session goes on.
    async fn known(&self) -> Option<Person> {
        let session = self.session.clone()?;
        let told = self.ask("session/show", &[("session", &session)]).await;
        let name = text(&told.body, "/userPrincipalName").to_owned();
        told.is_ok().then_some(Person { session, name, cookie: None })
    }

    /// Signs somebody in by what a form says.
    ///
    /// # Errors
    /// The page to show in place of what comes next: the form again, or one for another password.
    async fn signs_in(&self, form: &Form, kept: &Markup) -> Result<Person, Box<Page>> {
        let username = form.get("username");
        let mut password = form.raw("password").to_owned();
        if form.get("step") == "change" {
            let wanted = form.raw("new_password");
            if wanted != form.raw("again") {
                let said = "The new password and its repetition differ.";
                return Err(Box::new(self.change(username, kept, Some(said), None)));
            }
            let fields =
                [("username", username), ("password", &password), ("new_password", wanted)];
            let told = self.ask("password", &fields).await;
            if !told.is_ok() {
                let (_, message) = told.error();
                return Err(Box::new(self.change(username, kept, Some(&message), told.tracking())));
            }
            password = wanted.to_owned();
        }
        let told = self.ask("session", &[("username", username), ("password", &password)]).await;
        if told.is_ok() {
            let session = text(&told.body, "/session").to_owned();
            let lives_s = told.body.get("livesSeconds").and_then(Value::as_i64).unwrap_or(0);
            let cookie = Some(cookie(SESSION, &session, lives_s));
            let name = text(&told.body, "/userPrincipalName").to_owned();
            return Ok(Person { session, name, cookie });
        }
        let number = told.body.pointer("/error_codes/0").and_then(Value::as_i64);
        Err(Box::new(match number == Some(TO_CHANGE) {
            true => self.change(username, kept, None, None),
            false => self.form(username, kept, Some(&told)).status(400),
        }))
    }

    /// The form for name and password. `kept` comes back with it.
    fn form(&self, username: &str, kept: &Markup, refused: Option<&Told>) -> Page {
        framed(
            &Frame::alone("Sign in"),
            &html! {
                section.sign-in {
                    h1 { "Sign in" }
                    @if let Some(told) = refused {
                        @let (_, message) = told.error();
                        (said(&message, told.tracking()))
                    }
                    form method="post" action=(self.path) {
                        (self.carried(kept))
                        input type="hidden" name="step" value="password";
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

    /// The form for another password, in place of one that somebody else has set.
    fn change(
        &self,
        username: &str,
        kept: &Markup,
        message: Option<&str>,
        tracking: Option<&str>,
    ) -> Page {
        framed(
            &Frame::alone("Choose a password"),
            &html! {
                section.sign-in {
                    h1 { "Choose a password" }
                    p { "Somebody else has set the password of " strong { (username) } ". Choose one that you alone know." }
                    @if let Some(message) = message { (said(message, tracking)) }
                    form method="post" action=(self.path) {
                        (self.carried(kept))
                        input type="hidden" name="step" value="change";
                        input type="hidden" name="username" value=(username);
                        label for="password" { "Password so far" }
                        input #password name="password" type="password" autocomplete="current-password" required autofocus;
                        label for="new_password" { "New password" }
                        input #new_password name="new_password" type="password" autocomplete="new-password" required;
                        label for="again" { "New password, once more" }
                        input #again name="again" type="password" autocomplete="new-password" required;
                        button.first { "Change and sign in" }
                    }
                }
            },
        )
        .status(if message.is_some() { 400 } else { 200 })
    }

    /// What each form carries unseen.
    fn carried(&self, kept: &Markup) -> Markup {
        html! {
            input type="hidden" name="forgery" value=(self.forgery);
            (kept)
        }
    }
}

/// A refusal above a form.
fn said(message: &str, tracking: Option<&str>) -> Markup {
    html! {
        div.refused role="alert" {
            p { (message.lines().next().unwrap_or_default()) }
            @if let Some(id) = tracking {
                p { span.command { "hubward explain " (id) } " says why" }
            }
        }
    }
}

fn with(page: Page, cookie: Option<String>) -> Page {
    match cookie {
        Some(cookie) => page.with_cookie(cookie),
        None => page,
    }
}

fn refused(told: &Told) -> Page {
    let refused = Refused::of(told);
    let status = refused.status;
    let markup = html! { section.sign-in { h1 { "This cannot go on" } (refused.shown()) } };
    framed(&Frame::alone("Refused"), &markup).status(status)
}

/// A form's field with what a request had for it.
fn hidden(name: &str, value: &str) -> Markup {
    html! { input type="hidden" name=(name) value=(value); }
}

/// An address with more in its query or fragment.
fn extended(address: &str, mode: char, pairs: &[(String, String)]) -> String {
    let told: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{key}={}", paths::segment(value))).collect();
    let joint = match mode {
        '?' if address.contains('?') => '&',
        other => other,
    };
    format!("{address}{joint}{}", told.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn these_pages_have_their_addresses_and_no_others() {
        for (path, expected) in [
            ("/device", Some((At::Device, "common"))),
            ("/common/oauth2/deviceauth", Some((At::Device, "common"))),
            ("/t/oauth2/v2.0/authorize", Some((At::Authorize, "t"))),
            ("/t/oauth2/authorize", Some((At::Authorize, "t"))),
            ("/t/oauth2/v2.0/logout", Some((At::Leave, "t"))),
            ("/t/oauth2/v2.0/token", None),
            ("/t/oauth2/v2.0/authorize/more", None),
            ("/t/other/v2.0/authorize", None),
            ("/device/x", None),
            ("/devices", None),
            ("/", None),
            ("", None),
        ] {
            assert_eq!(at(path), expected, "{path}");
        }
    }

    #[test]
    fn what_is_added_to_an_address_cannot_end_it() {
        let pairs = [("code".to_owned(), "a&b#c".to_owned())];
        assert_eq!(extended("https://a/b", '?', &pairs), "https://a/b?code=a%26b%23c");
        assert_eq!(extended("https://a/b?x=1", '?', &pairs), "https://a/b?x=1&code=a%26b%23c");
        assert_eq!(extended("https://a/b?x=1", '#', &pairs), "https://a/b?x=1#code=a%26b%23c");
    }
}
