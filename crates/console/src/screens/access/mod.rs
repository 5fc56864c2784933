//! Who may do what at a place: principals, groups, roles and nested scopes, with the paths between them; as it was
//! before any of the newest changes; who can do something, and what somebody can do. Gives roles and takes them.

mod answers;
mod forms;
mod graph;
mod held;
mod picture;
mod tables;

use crate::layout::{Frame, command, framed};
use crate::page::Page;
use crate::paths;
use crate::screens::place::Place;
use crate::trouble::Trouble;
use crate::visit::{Visit, text};
use graph::Light;
use held::Held;
use hyper::Method;
use maud::{Markup, html};
use serde_json::json;

const SCRIPT: &str = "access.js";

/// The screen as its address asks for it.
struct Screen<'a> {
    scope: &'a str,
    light: Light,
    /// The node that was chosen, as its address names it.
    chosen: String,
    /// How many changes are to have been made; all where it says nothing.
    at: Option<usize>,
    /// What names in a matrix or a list must hold.
    find: &'a str,
    visit: &'a Visit<'a>,
}

impl Screen<'_> {
    /// The address of this screen with something else chosen.
    fn to(&self, chosen: &str, at: Option<usize>) -> String {
        let mut path = paths::view(self.scope, "access");
        let at = at.map_or_else(String::new, |it| it.to_string());
        for (name, value) in [("light", chosen), ("at", &at), ("find", self.find)] {
            if !value.is_empty() {
                path.push_str(&format!("&{name}={}", paths::segment(value)));
            }
        }
        path
    }

    /// What a form of this screen sends along, but for what it asks itself.
    fn kept(&self, without: &[&str]) -> Markup {
        let at = self.at.map_or_else(String::new, |it| it.to_string());
        let all = [
            ("view", "access"),
            ("light", self.chosen.as_str()),
            ("at", at.as_str()),
            ("find", self.find),
        ];
        let shown = all.into_iter().filter(|(name, it)| !it.is_empty() && !without.contains(name));
        html! { @for (name, value) in shown { input type="hidden" name=(name) value=(value); } }
    }
}

/// The access of everything, for who may read it; else a choice of what can be read.
pub(crate) async fn anywhere(visit: &Visit<'_>) -> Result<Page, Trouble> {
    let whole = "/providers/Microsoft.Authorization/roleAssignments?$filter=atScope()";
    if visit.arm(Method::GET, whole, None).await?.is_ok() {
        return Ok(Page::redirect(&paths::view("/", "access")));
    }
    let subscriptions = visit.list("/subscriptions").await?;
    if let [only] = subscriptions.as_slice() {
        return Ok(Page::redirect(&paths::view(text(only, "/id"), "access")));
    }
    let content = html! {
        h1 { "Access" }
        @if subscriptions.is_empty() {
            p { "You can read no subscription. Open the page of a resource that you can read, and choose Access there." }
        }
        ul.cards {
            @for it in &subscriptions {
                li { a.card href=(paths::view(text(it, "/id"), "access")) {
                    strong { (text(it, "/displayName")) } span { "Who may do what in this subscription" }
                } }
            }
        }
        (command("az role assignment list --all --output table"))
    };
    Ok(framed(&Frame::of("Access", "/access", visit), &content))
}

/// The view of a place.
pub(crate) async fn view(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    let refused = match forms::act(visit, place.scope).await? {
        forms::Done::Nothing => None,
        forms::Done::Changed => return Ok(Page::redirect(&paths::view(place.scope, "access"))),
        forms::Done::Refused(refused) => Some(refused),
    };
    let chosen = visit.query.get("light").to_owned();
    let at = visit.query.get("at").parse().ok();
    let find = visit.query.get("find");
    let light = Light::read(&chosen);
    let mut screen = Screen { scope: place.scope, light, chosen, at, find, visit };
    let held = Held::read(visit, place.scope, at).await?;
    let answer = answers::answer(&mut screen, &held).await?;
    let shown = html! {
        (picture::picture(&screen, &held))
        (tables::slider(&screen, &held))
        (tables::assignments(&screen, &held))
    };
    if visit.query.has("part") {
        return Ok(Page::json(&json!({ "html": shown.into_string() })));
    }
    let content = html! {
        @if let Some(it) = &refused { (it.shown()) }
        (answers::questions(&screen, &held))
        @if let Some(it) = answer { (it) }
        div #access { (shown) }
        (tables::denials(&held))
        (forms::give(&screen).await?)
        (command(&commands(place.scope)))
    };
    let page = place.framed(visit, Some(SCRIPT), &content);
    Ok(match refused {
        Some(it) => page.status(it.status),
        None => page,
    })
}

fn commands(scope: &str) -> String {
    match scope {
        "/" => "az role assignment list --scope / --output table".to_owned(),
        _ => format!("az role assignment list --scope {scope} --include-inherited --output table"),
    }
}
