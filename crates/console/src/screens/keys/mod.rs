//! "Shared access policies" of a hub or a provisioning service: their rights, their keys one at a time and only when
//! asked for, new keys, and the switch that ends all of them at once.
//!
//! What stands before the switch is in `keys/switch.rs`.

mod switch;

use crate::api::Told;
use crate::layout::{command, forgery};
use crate::page::Page;
use crate::paths;
use crate::screens::place::{Kind, Place};
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, text};
use hyper::Method;
use maud::{Markup, html};
use serde_json::{Value, json};

/// The pair of keys of every policy.
const KEYS: [(&str, &str); 2] = [("primaryKey", "primary"), ("secondaryKey", "secondary")];

/// A policy with its keys, on the page that answers the form which asked for them, and on no other.
struct Opened {
    policy: Value,
}

pub(crate) async fn view(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    let resource = visit.get(&paths::id(place.scope)).await?;
    if visit.query.has("review") && visit.form.is_none() {
        return switch::review(visit, place, None).await;
    }
    let (mut opened, mut refused) = (None, None);
    match visit.sent("do") {
        None => {}
        Some("show") => {
            let told = show(visit, place, visit.sent("policy").unwrap_or_default()).await?;
            match told.is_ok() {
                true => opened = Some(Opened { policy: told.body }),
                false => refused = Some(Refused::of(&told)),
            }
        }
        Some("renew") => {
            let told = renew(visit, place).await?;
            if told.is_ok() {
                return Ok(Page::redirect(&paths::view(place.scope, "keys")));
            }
            refused = Some(Refused::of(&told));
        }
        Some("allow") => return switch::set(visit, place, false).await,
        Some("deny") => return switch::set(visit, place, true).await,
        Some(other) => {
            return Err(Trouble::Bad { why: format!("Nothing here is called `{other}`.") });
        }
    }
    let listed = listed(visit, place.scope).await?;
    let content = html! {
        @if let Some(refused) = &refused { (refused.shown()) }
        (switch::shown(visit, place, &resource))
        @match &listed {
            Ok(all) => (table(visit, place, &resource, all, opened.as_ref())),
            Err(refused) => {
                p.note { "The policies are listed with their keys, and whoever reads keys reaches all data: "
                    code { (listing(place.kind)) } " is needed. " code { "Reader" } " does not have it, on purpose." }
                (refused.shown())
            }
        }
        (command(&listing_command(place)))
    };
    Ok(place.framed(visit, None, &content))
}

/// The policies as the API lists them. Their keys are dropped here.
async fn listed(visit: &Visit<'_>, scope: &str) -> Result<Result<Vec<Value>, Refused>, Trouble> {
    let told = visit.arm(Method::POST, &format!("{}/listkeys", paths::id(scope)), None).await?;
    if !told.is_ok() {
        return Ok(Err(Refused::of(&told)));
    }
    let all = told.body.get("value").and_then(Value::as_array).cloned().unwrap_or_default();
    let bare =
        |it: Value| json!({ "keyName": text(&it, "/keyName"), "rights": text(&it, "/rights") });
    Ok(Ok(all.into_iter().map(bare).collect()))
}

fn listing(kind: Kind) -> &'static str {
    if kind == Kind::Dps {
        "Microsoft.Devices/provisioningServices/listkeys/action"
    } else {
        "Microsoft.Devices/iotHubs/listkeys/action"
    }
}

fn listing_command(place: &Place<'_>) -> String {
    let (group, name) = (group_of(place.scope), super::policies::last(place.scope));
    if place.kind == Kind::Dps {
        format!("az iot dps policy list --dps-name {name} --resource-group {group}")
    } else {
        format!("az iot hub policy list --hub-name {name} --resource-group {group}")
    }
}

fn group_of(scope: &str) -> String {
    let parsed = model::Scope::parse(scope).ok();
    parsed.and_then(|it| it.resource_group().map(str::to_owned)).unwrap_or_default()
}

async fn show(visit: &Visit<'_>, place: &Place<'_>, policy: &str) -> Result<Told, Trouble> {
    let below = if place.kind == Kind::Dps { "keys" } else { "IotHubKeys" };
    let path = format!("{}/{below}/{}/listkeys", paths::id(place.scope), paths::segment(policy));
    visit.arm(Method::POST, &path, None).await
}

/// Makes one key of one policy anew: the other policies are named without keys and keep theirs, and of this one the key
/// that is left out is made.
async fn renew(visit: &Visit<'_>, place: &Place<'_>) -> Result<Told, Trouble> {
    let sent = |name: &str| visit.sent(name).unwrap_or_default();
    let all = match listed(visit, place.scope).await? {
        Ok(all) => all,
        Err(refused) => return Err(refused.into()),
    };
    let told = show(visit, place, sent("policy")).await?;
    if !told.is_ok() {
        return Ok(told);
    }
    let kept = KEYS.iter().map(|(it, _)| *it).find(|it| *it != sent("key")).unwrap_or_default();
    let policies: Vec<Value> = all
        .into_iter()
        .map(|mut it| {
            if text(&it, "/keyName") == sent("policy") {
                let key = text(&told.body, &format!("/{kept}")).to_owned();
                model::json::set(&mut it, kept, key);
            }
            it
        })
        .collect();
    let body = json!({ "properties": { "authorizationPolicies": policies } });
    visit.arm(Method::PATCH, &paths::id(place.scope), Some(&body)).await
}

fn table(
    visit: &Visit<'_>,
    place: &Place<'_>,
    resource: &Value,
    all: &[Value],
    opened: Option<&Opened>,
) -> Markup {
    let action = paths::view(place.scope, "keys");
    html! {
        h2 { "Policies" }
        table.keys {
            thead { tr { th scope="col" { "Policy" } th scope="col" { "Rights" } th scope="col" { "Keys" } } }
            tbody {
                @for it in all {
                    @let name = text(it, "/keyName");
                    @let shown = opened.filter(|it| text(&it.policy, "/keyName") == name);
                    tr {
                        th scope="row" { (name) }
                        td { @for right in text(it, "/rights").split(',') { span.badge { (right.trim()) } " " } }
                        td {
                            @match shown {
                                Some(shown) => (keys(resource, place, &shown.policy)),
                                None => form method="post" action=(action) {
                                    (forgery(&visit.session))
                                    input type="hidden" name="do" value="show";
                                    input type="hidden" name="policy" value=(name);
                                    button aria-label={ "Show keys of " (name) } { "Show keys" }
                                },
                            }
                            (renewing(visit, &action, name))
                        }
                    }
                }
            }
        }
    }
}

fn keys(resource: &Value, place: &Place<'_>, policy: &Value) -> Markup {
    let name = text(policy, "/keyName");
    let host = if place.kind == Kind::Dps {
        text(resource, "/properties/serviceOperationsHostName")
    } else {
        text(resource, "/properties/hostName")
    };
    html! {
        div.opened role="status" {
            @for (member, title) in KEYS {
                @let key = text(policy, &format!("/{member}"));
                p { strong { "The " (title) " key" } br; code { (key) } }
                p { "As a connection string" br;
                    code { "HostName=" (host) ";SharedAccessKeyName=" (name) ";SharedAccessKey=" (key) } }
            }
            p { a href=(paths::view(place.scope, "keys")) { "Hide them" } }
        }
    }
}

fn renewing(visit: &Visit<'_>, action: &str, policy: &str) -> Markup {
    html! {
        details.do {
            summary aria-label={ "New key for " (policy) } { "New key" }
            p { "Whoever signs with the old one is refused at once. Move them to the other key first." }
            @for (member, title) in KEYS {
                form.line method="post" action=(action) {
                    (forgery(&visit.session))
                    input type="hidden" name="do" value="renew";
                    input type="hidden" name="policy" value=(policy);
                    input type="hidden" name="key" value=(member);
                    button.danger { "Make a new " (title) " key" }
                }
            }
        }
    }
}
