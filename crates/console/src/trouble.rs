//! What goes wrong on the way to a page, and the page that says so: what, why, and what to do next.

use crate::api::Told;
use crate::layout::{Frame, framed};
use crate::page::Page;
use crate::{Console, ROOT, paths, sign_in};
use maud::{Markup, html};

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// Nobody is signed in, or no longer; comes back to this path afterwards.
    SignedOut {
        back: String,
    },
    Refused(Refused),
    NotFound {
        what: String,
    },
    /// What was sent cannot be meant.
    Bad {
        why: String,
    },
    /// Not from a page of ours.
    Forged,
}

/// A call of the API that was refused or failed.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) status: u16,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) tracking: Option<String>,
}

impl Refused {
    pub(crate) fn of(told: &Told) -> Self {
        let (code, message) = told.error();
        Self { status: told.status, code, message, tracking: told.tracking().map(str::to_owned) }
    }

    /// True where a gate said no: its decision is kept and can be shown.
    pub(crate) const fn is_decision(&self) -> bool {
        matches!(self.status, 401 | 403)
    }

    /// A part of a page in place of what would have been there.
    pub(crate) fn shown(&self) -> Markup {
        html! {
            section.refused role="alert" {
                h3 { "Refused: " (self.code) }
                p { (self.message) }
                @if let Some(id) = &self.tracking {
                    p {
                        @if self.is_decision() {
                            a.button href=(paths::decision(id)) { "Why? Show the decision" }
                            " "
                        }
                        span.command { "hubward explain " (id) }
                    }
                }
            }
        }
    }
}

impl From<Refused> for Trouble {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Trouble {
    /// Shows a refusal in place of the part of a page that it left without content; other trouble stays trouble.
    pub(crate) fn in_place(part: Result<Markup, Self>) -> Result<Markup, Self> {
        match part {
            Err(Self::Refused(refused)) => Ok(refused.shown()),
            other => other,
        }
    }

    pub(crate) fn page(self, console: &Console) -> Page {
        let (status, title, said) = match self {
            Self::SignedOut { back } => return sign_in::redirect(console, &back),
            Self::Refused(refused) => (refused.status, "Refused", refused.shown()),
            Self::NotFound { what } => (
                404,
                "Not found",
                html! {
                    p { (what) }
                    p { a href=(ROOT) { "Go to the overview" } }
                },
            ),
            Self::Bad { why } => (
                400,
                "This cannot be meant",
                html! {
                    p { (why) }
                    p { "Go back, change it, and send it again." }
                },
            ),
            Self::Forged => (
                403,
                "Not from here",
                html! {
                    p { "This form did not come from a page of this console, or from one of another session. Nothing was \
                         changed. Open the page again and send it from there." }
                    p { a href=(ROOT) { "Go to the overview" } }
                },
            ),
        };
        let markup = html! { h1 { (title) } (said) };
        framed(&Frame::alone(title), &markup).status(status)
    }
}
