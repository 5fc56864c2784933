//! Where a device code is entered: by whom, for which client, and once more whether that is meant.
//!
//! Whoever sends somebody a code of the own client would be signed in as that person. So the page says which client
//! waits and from where it asked, before it takes a yes.

use super::{Guest, Person, hidden, said, with};
use crate::api::Told;
use crate::form::Form;
use crate::layout::{Frame, framed};
use crate::page::Page;
use crate::trouble::Trouble;
use crate::visit::text;
use maud::html;

pub(super) async fn page(
    guest: &Guest<'_>,
    query: &Form,
    form: Option<&Form>,
) -> Result<Page, Trouble> {
    let request = form.unwrap_or(query);
    let code = match request.get("user_code") {
        "" => request.get("otc"),
        code => code,
    };
    let kept = hidden("user_code", code);
    let step = form.map_or("", |it| it.get("step"));
    let person = match (form, step) {
        (Some(form), "password" | "change") => match guest.signs_in(form, &kept).await {
            Ok(person) => Some(person),
            Err(page) => return Ok(*page),
        },
        (_, "other") => None,
        (_, _) => guest.known().await,
    };
    let Some(person) = person else { return Ok(guest.form("", &kept, None)) };
    let session = ("session", person.session.as_str());
    let page = match step {
        "code" => {
            let told = guest.ask("device", &[session, ("user_code", code)]).await;
            match told.is_ok() {
                true => confirms(guest, &person, &told),
                false => enters(guest, &person, code, Some(&told)),
            }
        }
        "approve" | "decline" => {
            let fields = [session, ("user_code", code), ("answer", step)];
            let told = guest.ask("device/answer", &fields).await;
            match told.is_ok() {
                true => done(step == "approve"),
                false => enters(guest, &person, code, Some(&told)),
            }
        }
        _ => enters(guest, &person, code, None),
    };
    Ok(with(page, person.cookie))
}

fn enters(guest: &Guest<'_>, person: &Person, code: &str, refused: Option<&Told>) -> Page {
    let page = framed(
        &Frame::alone("Enter a code"),
        &html! {
            section.sign-in {
                h1 { "Enter a code" }
                @if let Some(told) = refused {
                    @let (_, message) = told.error();
                    (said(&message, told.tracking()))
                }
                p { "Signed in as " strong { (person.name) } ". Enter the code that your program or device shows." }
                form method="post" action=(guest.path) {
                    (guest.carried(&html! {}))
                    label for="user_code" { "Code" }
                    input #user_code name="user_code" value=(code) autocomplete="off" spellcheck="false" required autofocus;
                    button.first name="step" value="code" { "Next" }
                }
                form method="post" action=(guest.path) {
                    (guest.carried(&hidden("user_code", code)))
                    button name="step" value="other" { "Somebody else" }
                }
            }
        },
    );
    if refused.is_some() { page.status(400) } else { page }
}

fn confirms(guest: &Guest<'_>, person: &Person, told: &Told) -> Page {
    let of = |pointer: &str| text(&told.body, pointer);
    framed(
        &Frame::alone("Is this you?"),
        &html! {
            section.sign-in {
                h1 { "Are you signing in to " (of("/client/name")) "?" }
                p {
                    "It asked from " code { (of("/askedFrom")) } " at " (of("/askedAt")) ", and will do whatever "
                    strong { (person.name) } " may do. Its id is " code { (of("/client/id")) } "."
                }
                p { "Say no if somebody has sent you this code, or you did not begin it yourself." }
                form method="post" action=(guest.path) {
                    (guest.carried(&hidden("user_code", of("/userCode"))))
                    button.first name="step" value="approve" { "Yes, continue" }
                    button name="step" value="decline" { "No" }
                }
            }
        },
    )
}

fn done(is_yes: bool) -> Page {
    let said = match is_yes {
        true => "You are signed in there. You can close this page.",
        false => "Nobody was signed in. You can close this page.",
    };
    framed(&Frame::alone("Done"), &html! { section.sign-in { h1 { "Done" } p { (said) } } })
}
