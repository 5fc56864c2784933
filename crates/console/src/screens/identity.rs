//! The managed identities of a hub or a provisioning service: its own, on or off, and those that are attached to it.
//!
//! What is saved is the resource as it was read, with another `identity`, as `az iot hub identity assign` does it.

use crate::layout::{command, forgery};
use crate::page::Page;
use crate::paths;
use crate::screens::place::{Kind, Place};
use crate::trouble::{Refused, Trouble};
use crate::visit::{Visit, text};
use hyper::Method;
use maud::{Markup, html};
use model::Scope;
use serde_json::{Value, json};

const SYSTEM: &str = "SystemAssigned";
const USER: &str = "UserAssigned";

pub(crate) async fn view(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    let path = paths::id(place.scope);
    let resource = visit.get(&path).await?;
    let mut refused = None;
    if let Some(wanted) = wanted(visit, &resource)? {
        let mut body = resource.clone();
        model::json::set(&mut body, "identity", wanted);
        let told = visit.arm(Method::PUT, &path, Some(&body)).await?;
        if told.is_ok() {
            return Ok(Page::redirect(&paths::view(place.scope, "identity")));
        }
        refused = Some(Refused::of(&told));
    }
    let own = Own::of(&resource);
    let offered = offered(visit, place.scope, &own).await?;
    let content = html! {
        @if let Some(it) = &refused { (it.shown()) }
        p.lead { "As which principal this resource signs in elsewhere. What such a principal may do is said by the roles that it holds there." }
        (system(visit, place, &own))
        (attached(visit, place, &own))
        (attach(visit, place, &offered))
        (command(&lines(place)))
    };
    let page = place.framed(visit, None, &content);
    Ok(match refused {
        Some(it) => page.status(it.status),
        None => page,
    })
}

/// The identities of a resource, as it shows them.
struct Own {
    /// Of its own; empty where it has none.
    principal: String,
    has_system: bool,
    /// Ids with principal and client.
    attached: Vec<(String, String, String)>,
}

impl Own {
    fn of(resource: &Value) -> Self {
        let all = resource.pointer("/identity/userAssignedIdentities").and_then(Value::as_object);
        let told = |(id, it): (&String, &Value)| {
            (id.clone(), text(it, "/principalId").to_owned(), text(it, "/clientId").to_owned())
        };
        Self {
            principal: text(resource, "/identity/principalId").to_owned(),
            has_system: text(resource, "/identity/type").contains(SYSTEM),
            attached: all.into_iter().flatten().map(told).collect(),
        }
    }
}

/// `identity` as the form that came wants it; none where none came.
fn wanted(visit: &Visit<'_>, resource: &Value) -> Result<Option<Value>, Trouble> {
    let Some(what) = visit.sent("do") else { return Ok(None) };
    let own = Own::of(resource);
    let mut has_system = own.has_system;
    let mut ids: Vec<&str> = own.attached.iter().map(|(id, _, _)| id.as_str()).collect();
    let id = visit.sent("id").unwrap_or("");
    match what {
        "system" => has_system = visit.sent("status") == Some("on"),
        "attach" if Scope::parse(id).is_ok() && !id.is_empty() => ids.push(id),
        "remove" => ids.retain(|it| !it.eq_ignore_ascii_case(id)),
        _ => return Err(Trouble::Bad { why: "No identity was chosen.".into() }),
    }
    Ok(Some(identity(has_system, &ids)))
}

fn identity(has_system: bool, ids: &[&str]) -> Value {
    let kind = match (has_system, ids.is_empty()) {
        (false, true) => return json!({ "type": "None" }),
        (true, true) => SYSTEM.to_owned(),
        (false, false) => USER.to_owned(),
        (true, false) => format!("{SYSTEM}, {USER}"),
    };
    if ids.is_empty() {
        return json!({ "type": kind });
    }
    let all: serde_json::Map<String, Value> =
        ids.iter().map(|it| ((*it).to_owned(), json!({}))).collect();
    json!({ "type": kind, "userAssignedIdentities": all })
}

/// The user-assigned identities of the subscription that are not attached yet.
async fn offered(visit: &Visit<'_>, scope: &str, own: &Own) -> Result<Vec<String>, Trouble> {
    let place = Scope::parse(scope).ok().and_then(|it| it.subscription_scope());
    let Some(subscription) = place else { return Ok(Vec::new()) };
    let kind = "providers/Microsoft.ManagedIdentity/userAssignedIdentities";
    let all = visit.list(&format!("{}/{kind}", paths::id(subscription.as_str()))).await?;
    let is_new = |id: &&str| !own.attached.iter().any(|(it, _, _)| it.eq_ignore_ascii_case(id));
    Ok(all.iter().map(|it| text(it, "/id")).filter(is_new).map(str::to_owned).collect())
}

/// The beginning of a form of this view.
fn hidden(visit: &Visit<'_>, what: &str) -> Markup {
    html! {
        (forgery(&visit.session))
        input type="hidden" name="do" value=(what);
    }
}

fn principal(id: &str) -> Markup {
    html! { @if id.is_empty() { "none" } @else { code { (id) } } }
}

fn system(visit: &Visit<'_>, place: &Place<'_>, own: &Own) -> Markup {
    html! {
        section #system {
            h2 { "System-assigned" }
            p { "Made with the resource and removed with it. In the lists of members it has the resource's name." }
            form method="post" action=(paths::view(place.scope, "identity")) {
                (hidden(visit, "system"))
                fieldset.switch {
                    legend { "Status" }
                    label { input type="radio" name="status" value="off" checked[!own.has_system]; " Off" }
                    label { input type="radio" name="status" value="on" checked[own.has_system]; " On" }
                    button.first { "Save" }
                }
            }
            dl.facts {
                dt { "Object (principal) id" } dd { (principal(&own.principal)) }
                @if own.has_system { dt { "Its roles" } dd { (roles(place, &own.principal)) } }
            }
            @if own.has_system {
                p.note { "Off removes the identity with its principal. The roles that it holds stay behind without anybody, and another \
                    identity that is made later is another principal." }
            }
        }
    }
}

/// Where the roles of a principal are shown.
fn roles(place: &Place<'_>, principal: &str) -> Markup {
    let subscription = Scope::parse(place.scope).ok().and_then(|it| it.subscription_scope());
    let scope = subscription.map_or_else(|| "/".to_owned(), |it| it.as_str().to_owned());
    let path = format!(
        "{}&light={}",
        paths::view(&scope, "access"),
        paths::segment(&format!("who:{principal}"))
    );
    html! { a href=(path) { "Show what it may do" } }
}

fn attached(visit: &Visit<'_>, place: &Place<'_>, own: &Own) -> Markup {
    html! {
        section #attached {
            h2 { "User-assigned" }
            @if own.attached.is_empty() {
                p { "None is attached." }
            } @else {
                table {
                    thead { tr {
                        th scope="col" { "Identity" } th scope="col" { "Object (principal) id" } th scope="col" { "Client id" }
                        th scope="col" { "Its roles" } th scope="col" { "" }
                    } }
                    tbody { @for (id, object, client) in &own.attached { tr {
                        th scope="row" { a href=(paths::at(id)) { (name(id)) } div.name.soft { (id) } }
                        td { (principal(object)) }
                        td { (principal(client)) }
                        td { (roles(place, object)) }
                        td { form method="post" action=(paths::view(place.scope, "identity")) {
                            (hidden(visit, "remove"))
                            input type="hidden" name="id" value=(id);
                            button.danger aria-label={ "Remove " (name(id)) } { "Remove" }
                        } }
                    } } }
                }
                p { "Removing one deletes nothing: the identity stays where it is." }
            }
        }
    }
}

fn name(id: &str) -> &str {
    id.rsplit('/').next().unwrap_or(id)
}

fn attach(visit: &Visit<'_>, place: &Place<'_>, offered: &[String]) -> Markup {
    html! {
        section #attach {
            h3 { "Add a user-assigned identity" }
            @if offered.is_empty() {
                p { "There is no other one in this subscription that you can read. Make one with:" }
                p.command { "az identity create --resource-group GROUP --name NAME" }
            } @else {
                form.fields method="post" action=(paths::view(place.scope, "identity")) {
                    (hidden(visit, "attach"))
                    label for="identity" { "User-assigned managed identities of this subscription" }
                    select id="identity" name="id" size=(offered.len().clamp(2, 8)) required {
                        @for it in offered { option value=(it) { (name(it)) " (" (group(it)) ")" } }
                    }
                    button.first { "Select" }
                }
            }
        }
    }
}

fn group(id: &str) -> String {
    let scope = Scope::parse(id).ok();
    scope.as_ref().and_then(|it| it.resource_group()).unwrap_or("").to_owned()
}

fn lines(place: &Place<'_>) -> String {
    let name = name(place.scope);
    match place.kind == Kind::Hub {
        true => format!("az iot hub identity show --name {name}"),
        false => format!("az resource show --ids {} --query identity", place.scope),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_says_its_type_by_what_it_has() {
        assert_eq!(identity(false, &[]), json!({ "type": "None" }));
        assert_eq!(identity(true, &[]), json!({ "type": "SystemAssigned" }));
        let both = json!({ "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": { "/a": {} } });
        assert_eq!(identity(true, &["/a"]), both);
        assert_eq!(identity(false, &["/a"])["type"], "UserAssigned");
    }
}
