//! One device: what authenticates it, its twin, what it sends, what happened to it, and what can be done with it.
//!
//! Each part is asked for by itself, and where one is refused the others are still shown.

mod acts;
mod ladder;
mod story;
mod telemetry;
mod twin;

use crate::hub::Hub;
use crate::layout::{Frame, command, crumbs, forgery, framed, views};
use crate::page::Page;
use crate::paths;
use crate::screens::devices::{proof, state, title};
use crate::screens::place::Place;
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, ok, text};
use acts::Did;
use hyper::Method;
use maud::{Markup, html};
use serde_json::Value;

/// What the parts of the page share.
pub(super) struct Device<'a> {
    pub(super) visit: &'a Visit<'a>,
    pub(super) hub: &'a Hub,
    pub(super) id: &'a str,
}

/// What was asked for, or why it is not there.
type Told = Result<Value, Refused>;

impl Device<'_> {
    /// An address of the hub's own API.
    pub(super) fn path(&self, root: &str, rest: &str) -> String {
        format!("/{root}/{}{rest}", paths::segment(self.id))
    }

    async fn get(&self, root: &str, rest: &str) -> Result<Told, Trouble> {
        match self.hub.get(self.visit, &self.path(root, rest)).await {
            Ok(told) => Ok(Ok(told)),
            Err(Trouble::Refused(refused)) => Ok(Err(refused)),
            Err(other) => Err(other),
        }
    }

    /// This page.
    pub(super) fn here(&self) -> String {
        paths::device(&self.hub.scope, self.id)
    }

    /// A form of this page that does one thing; what it holds comes behind.
    pub(super) fn form(&self, act: &str, content: &Markup) -> Markup {
        html! {
            form.fields method="post" action={ (self.here()) "#" (act) } {
                (forgery(&self.visit.session))
                input type="hidden" name="act" value=(act);
                (content)
            }
        }
    }
}

pub(crate) async fn page(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    let id = visit.query.get("device");
    if id.is_empty() {
        return Err(Trouble::NotFound { what: "The address names no device.".into() });
    }
    let hub = Hub::reach(visit, place.scope).await?;
    let device = Device { visit, hub: &hub, id };
    if visit.query.get("part") == "telemetry" {
        return telemetry::step(&device).await;
    }
    let did = acts::perform(&device).await?;
    if let Did::Changed(what) = did {
        return Ok(Page::redirect(&format!("{}&done={what}", device.here())));
    }
    let content = content(&device, &did).await?;
    let whole = html! {
        (crumbs(place.scope))
        h1.name { (id) }
        (views(place.scope, place.kind.views(), place.view))
        (content)
    };
    let frame = Frame::of(id, "", visit).with_script("device.js");
    Ok(framed(&frame, &whole).status(did.status()))
}

async fn content(device: &Device<'_>, did: &Did) -> Result<Markup, Trouble> {
    let identity = device.get("devices", "").await?;
    let twin = device.get("twins", "").await?;
    let story = story::read(device).await?;
    let is_gone = matches!(&identity, Err(it) if it.status == 404);
    Ok(html! {
        (device.hub.told())
        @if let Some(done) = acts::done(device.visit.query.get("done")) { p.note.done role="status" { (done) } }
        @if let Did::Refused(refused) = did { (refused.shown()) }
        @match &identity {
            Ok(identity) => (head(identity)),
            Err(refused) => (refused.shown()),
        }
        (story::line(device, &story))
        @if !is_gone {
            div.two {
                @if let Ok(identity) = &identity { (ladder::shown(device, identity, &story, did).await?) }
                (acts::shown(device, identity.as_ref().ok(), did))
            }
            (twin::shown(device, &twin, did))
            (telemetry::shown(device).await?)
        }
        (story::shown(device, &story))
    })
}

fn head(identity: &Value) -> Markup {
    let state = state(identity);
    let time = |pointer: &str| {
        let at = text(identity, pointer);
        // The year 1 stands for what never happened.
        html! { @if !at.starts_with("0001") && !at.is_empty() { " since " time datetime=(at) { (at) } } }
    };
    let waits = identity.get("cloudToDeviceMessageCount").and_then(Value::as_u64).unwrap_or(0);
    html! {
        dl.facts {
            dt { "State" }
            dd {
                span.swatch data-state=(state) aria-hidden="true" {} strong { (title(state)) }
                (time(if state == "disabled" { "/statusUpdatedTime" } else { "/connectionStateUpdatedTime" }))
                @if !text(identity, "/statusReason").is_empty() { ": " (text(identity, "/statusReason")) }
            }
            dt { "Proves itself by" } dd { (proof(text(identity, "/authentication/type"))) }
            @if waits > 0 { dt { "Messages that wait" } dd { (waits) } }
        }
    }
}

/// A command that prints the same of this device.
fn printed(device: &Device<'_>, line: &str) -> Markup {
    command(&format!("{line} {}", shell(device.id)))
}

/// A word for a shell. Ids may hold `'`, `$` and `*`.
fn shell(word: &str) -> String {
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "-._:=@%,".contains(it);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// What a hub's API answers to a call of this page.
async fn call(
    device: &Device<'_>,
    method: Method,
    path: &str,
    body: Option<&Value>,
    if_match: Option<&str>,
) -> Result<Value, Trouble> {
    let quoted = if_match.map(|it| format!("\"{it}\""));
    let headers: Vec<(&'static str, &str)> =
        quoted.iter().map(|it| ("if-match", it.as_str())).collect();
    ok(device.hub.call_with(device.visit, method, path, body, &headers).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_word_in_a_shell() {
        assert_eq!(shell("pump-7"), "pump-7");
        assert_eq!(shell("a'$(x)*"), r"'a'\''$(x)*'");
    }
}
