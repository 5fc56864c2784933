//! The authorization endpoint: a client sends somebody here, and gets a code back by the same browser.
//!
//! An answer goes to an address that is registered on the client, and nowhere else: where that is not certain, a page says
//! so and the browser stays.

use super::{Guest, Person, extended, hidden, refused, with};
use crate::api::Told;
use crate::form::Form;
use crate::layout::{Frame, framed};
use crate::page::Page;
use crate::trouble::Trouble;
use crate::visit::text;
use maud::{Markup, html};
use serde_json::{Value, json};

/// What of a request makes the answer. Source: Microsoft identity platform, "OAuth 2.0 authorization code flow".
const FIELDS: [&str; 9] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
];

pub(super) async fn page(
    guest: &Guest<'_>,
    query: &Form,
    form: Option<&Form>,
) -> Result<Page, Trouble> {
    let request = form.unwrap_or(query);
    let fields: Vec<(&str, &str)> = FIELDS.iter().map(|it| (*it, request.raw(it))).collect();
    let client = guest.ask("authorization", &fields).await;
    if !client.is_ok() {
        return Ok(refused(&client));
    }
    // The address is the client's: from here on it can be told what is wrong, and forms may end up there.
    let page = of_client(guest, query, form, &fields, &client).await;
    Ok(page.with_forms_to(request.raw("redirect_uri")))
}

async fn of_client(
    guest: &Guest<'_>,
    query: &Form,
    form: Option<&Form>,
    fields: &[(&str, &str)],
    client: &Told,
) -> Page {
    if let Some(answer) = client.body.get("answer") {
        return sent(answer);
    }
    let kept = html! { @for (name, value) in fields { (hidden(name, value)) } };
    let Some(form) = form else {
        let who = guest.known().await;
        return match (query.get("prompt"), who) {
            // Nothing is given by a GET, so nothing without the person.
            ("none", who) => sent(&unasked(fields, who.is_some())),
            ("login", _) | (_, None) => guest.form(query.get("login_hint"), &kept, None),
            (_, Some(person)) => goes_on(guest, &person, client, &kept),
        };
    };
    let person = match form.get("step") {
        "password" | "change" => match guest.signs_in(form, &kept).await {
            Ok(person) => person,
            Err(page) => return *page,
        },
        "continue" => match guest.known().await {
            Some(person) => person,
            None => return guest.form("", &kept, None),
        },
        _ => return guest.form("", &kept, None),
    };
    let mut asked = fields.to_vec();
    asked.push(("session", &person.session));
    let given = guest.ask("code", &asked).await;
    let page = if given.is_ok() { sent(&given.body) } else { refused(&given) };
    with(page, person.cookie)
}

/// What is sent to a client that wants an answer without the person being asked.
fn unasked(fields: &[(&str, &str)], is_known: bool) -> Value {
    let of = |name: &str| fields.iter().find(|(it, _)| *it == name).map_or("", |(_, it)| it);
    let (word, said) = match is_known {
        true => ("interaction_required", "the person has to say yes"),
        false => ("login_required", "nobody is signed in"),
    };
    let mut parameters = json!({ "error": word, "error_description": said });
    if let (Some(all), false) = (parameters.as_object_mut(), of("state").is_empty()) {
        all.insert("state".into(), of("state").into());
    }
    json!({
        "redirectUri": of("redirect_uri"), "responseMode": of("response_mode"), "parameters": parameters,
    })
}

/// Somebody is signed in already, and says whether it is who is meant.
fn goes_on(guest: &Guest<'_>, person: &Person, client: &Told, kept: &Markup) -> Page {
    let (name, id) = (text(&client.body, "/client/name"), text(&client.body, "/client/id"));
    framed(
        &Frame::alone("Sign in"),
        &html! {
            section.sign-in {
                h1 { "Sign in to " (name) }
                p { "The application's id is " code { (id) } "." }
                form method="post" action=(guest.path) {
                    (guest.carried(kept))
                    button.first name="step" value="continue" { "Continue as " (person.name) }
                    button name="step" value="other" { "Somebody else" }
                }
            }
        },
    )
}

/// Sends an answer to the client, by the browser.
fn sent(answer: &Value) -> Page {
    let address = text(answer, "/redirectUri");
    let parameters = answer.get("parameters").and_then(Value::as_object);
    let pairs: Vec<(String, String)> = parameters
        .into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect();
    match text(answer, "/responseMode") {
        "form_post" => posted(address, &pairs),
        "fragment" => Page::redirect(&extended(address, '#', &pairs)),
        _ => Page::redirect(&extended(address, '?', &pairs)),
    }
}

/// A form that a script sends, or the person.
fn posted(address: &str, pairs: &[(String, String)]) -> Page {
    framed(
        &Frame::alone("Back to the application").with_script("post.js"),
        &html! {
            section.sign-in {
                h1 { "Back to the application" }
                form #answer method="post" action=(address) {
                    @for (name, value) in pairs { (hidden(name, value)) }
                    button.first { "Continue" }
                }
            }
        },
    )
}
