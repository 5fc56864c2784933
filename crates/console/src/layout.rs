//! What every page has around it: the way to the other screens, who is signed in, and the parts that pages share.

use crate::page::Page;
use crate::sessions::Session;
use crate::visit::Visit;
use crate::{ROOT, paths};
use maud::{DOCTYPE, Markup, html};

/// The screens, in the order in which they are offered.
const SCREENS: [(&str, &str); 6] = [
    ("", "Overview"),
    ("/pulse", "Pulse"),
    ("/refusals", "Refusals"),
    ("/access", "Access"),
    ("/policies", "Policies"),
    ("/ask", "Ask"),
];

/// What stands around a page.
pub(crate) struct Frame<'a> {
    title: &'a str,
    /// The path of the screen behind [`ROOT`].
    screen: Option<&'a str>,
    session: Option<&'a Session>,
    /// Of [`crate::assets`], beside the one that every page has.
    script: Option<&'a str>,
}

impl<'a> Frame<'a> {
    /// Of a page outside every session.
    pub(crate) const fn alone(title: &'a str) -> Self {
        Self { title, screen: None, session: None, script: None }
    }

    pub(crate) fn of(title: &'a str, screen: &'a str, visit: &'a Visit<'_>) -> Self {
        Self { title, screen: Some(screen), session: Some(&visit.session), script: None }
    }

    pub(crate) const fn with_script(mut self, name: &'a str) -> Self {
        self.script = Some(name);
        self
    }
}

/// A page within its frame.
pub(crate) fn framed(frame: &Frame<'_>, content: &Markup) -> Page {
    Page::html(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (frame.title) " - Hubward" }
                link rel="icon" type="image/svg+xml" href={ (ROOT) "/files/mark.svg" };
                link rel="stylesheet" href={ (ROOT) "/files/console.css" };
                script src={ (ROOT) "/files/console.js" } defer {}
                @if let Some(name) = frame.script {
                    script src={ (ROOT) "/files/" (name) } defer {}
                }
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                header {
                    a.mark href=(ROOT) { img src={ (ROOT) "/files/mark.svg" } alt="" width="24" height="24"; " Hubward" }
                    @if let Some(session) = frame.session {
                        nav aria-label="Screens" {
                            @for (path, name) in SCREENS {
                                @let is_here = frame.screen == Some(path);
                                a href={ (ROOT) (path) } aria-current=[is_here.then_some("page")] { (name) }
                            }
                        }
                        form.out method="post" action={ (ROOT) "/sign-out" } {
                            (forgery(session))
                            span.who title=(session.upn) { (session.name) }
                            button { "Sign out" }
                        }
                    }
                }
                main id="content" tabindex="-1" { (content) }
            }
        }
    })
}

/// What makes a form one of this session's.
pub(crate) fn forgery(session: &Session) -> Markup {
    html! { input type="hidden" name="forgery" value=(session.forgery); }
}

/// The command that prints what a picture shows.
pub(crate) fn command(line: &str) -> Markup {
    html! { p.command-line { "The same on the command line: " code { (line) } } }
}

/// The views of a resource, as a row of links.
pub(crate) fn views(scope: &str, all: &[(&str, &str)], current: &str) -> Markup {
    html! {
        nav.views aria-label="Views" {
            @for (name, title) in all {
                a href=(paths::view(scope, name)) aria-current=[(*name == current).then_some("page")] { (title) }
            }
        }
    }
}

/// The way from the root to a place, each part a link.
pub(crate) fn crumbs(scope: &str) -> Markup {
    let segments: Vec<&str> = scope.split('/').filter(|it| !it.is_empty()).collect();
    let mut ends = Vec::new();
    let mut path = String::new();
    for pair in segments.chunks(2) {
        for part in pair {
            path.push('/');
            path.push_str(part);
        }
        // The provider's namespace is no place of its own.
        if pair.first().is_some_and(|it| !it.eq_ignore_ascii_case("providers")) && pair.len() == 2 {
            ends.push((path.clone(), pair.get(1).copied().unwrap_or_default()));
        }
    }
    html! {
        nav.crumbs aria-label="Place" {
            a href=(paths::at("/")) { "tenant" }
            @for (path, name) in &ends {
                span aria-hidden="true" { "/" }
                a href=(paths::at(path)) { (name) }
            }
        }
    }
}
