//! Signing out of the pages of sign-in. No address to go to afterwards is taken from anybody.

use super::{Guest, SESSION};
use crate::form::Form;
use crate::layout::{Frame, framed};
use crate::page::Page;
use crate::sessions::cookie;
use maud::html;

pub(super) async fn page(guest: &Guest<'_>, form: Option<&Form>) -> Page {
    if form.is_none() {
        return framed(
            &Frame::alone("Sign out"),
            &html! {
                section.sign-in {
                    h1 { "Sign out" }
                    p { "The next application asks for your password again. Those where you are signed in go on." }
                    form method="post" action=(guest.path) {
                        (guest.carried(&html! {}))
                        button.first { "Sign out" }
                    }
                }
            },
        );
    }
    if let Some(session) = &guest.session {
        // One that has ended already is refused, and gone all the same.
        guest.ask("session/end", &[("session", session)]).await;
    }
    let said = html! { section.sign-in { h1 { "You are signed out" } } };
    framed(&Frame::alone("Signed out"), &said).with_cookie(cookie(SESSION, "", 0))
}
