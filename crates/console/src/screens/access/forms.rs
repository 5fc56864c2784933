//! Giving a role to somebody and taking it: the ordinary calls, with the answer of the gates where they refuse.

use super::Screen;
use super::held::Kind;
use crate::layout::{command, forgery};
use crate::paths;
use crate::trouble::{Refused, Trouble};
use crate::visit::{GRAPH, Visit, ok, text};
use hyper::Method;
use maud::{Markup, html};
use model::{ObjectId, Scope};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Most entries of each kind that the list of members offers; the beginning of a name finds the others.
const OFFERED_MAX: usize = 200;
/// Kinds of members that can be chosen from, with what they are called.
const MEMBERS: [(&str, &str); 6] = [
    ("", "Everybody"),
    ("users", "People"),
    ("groups", "Groups"),
    ("applications", "Applications"),
    ("system", "All system-assigned managed identities"),
    ("user", "User-assigned managed identities"),
];

/// What became of a form.
pub(super) enum Done {
    Nothing,
    Changed,
    Refused(Refused),
}

/// Does what the form that came asks for.
pub(super) async fn act(visit: &Visit<'_>, scope: &str) -> Result<Done, Trouble> {
    let told = match visit.sent("do") {
        None => return Ok(Done::Nothing),
        Some("give") => {
            let bad =
                |what: &str| Trouble::Bad { why: format!("{what} is an id, and none was chosen.") };
            let role = visit.sent("role").and_then(ObjectId::parse).ok_or_else(|| bad("A role"))?;
            let member = visit.sent("member").unwrap_or("");
            let (kind, id) = member.split_once(':').unwrap_or(("", member));
            let id = ObjectId::parse(id).ok_or_else(|| bad("A member"))?;
            let mut properties = json!({
                "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
                "principalId": id,
            });
            if !kind.is_empty() {
                model::json::set(&mut properties, "principalType", kind);
            }
            let name = guid(visit.console.random());
            let here = paths::id(scope.trim_end_matches('/'));
            let path = format!("{here}/providers/Microsoft.Authorization/roleAssignments/{name}");
            let body = json!({ "properties": properties });
            visit.arm(Method::PUT, &path, Some(&body)).await?
        }
        Some("take") => {
            let id = visit.sent("id").unwrap_or("");
            let kind = Scope::parse(id).ok().and_then(|it| it.resource_type()).unwrap_or_default();
            if !kind.eq_ignore_ascii_case("Microsoft.Authorization/roleAssignments") {
                return Err(Trouble::Bad {
                    why: "This is not the id of a role assignment.".into(),
                });
            }
            visit.arm(Method::DELETE, &paths::id(id), None).await?
        }
        Some(_) => return Err(Trouble::Bad { why: "There is no such form here.".into() }),
    };
    Ok(match told.is_ok() {
        true => Done::Changed,
        false => Done::Refused(Refused::of(&told)),
    })
}

/// A name for an assignment, which nobody else has: a random GUID, version 4.
fn guid(mut bytes: [u8; 16]) -> String {
    if let Some(it) = bytes.get_mut(6) {
        *it = *it & 0x0f | 0x40;
    }
    if let Some(it) = bytes.get_mut(8) {
        *it = *it & 0x3f | 0x80;
    }
    let hex: String = bytes.iter().map(|it| format!("{it:02x}")).collect();
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or("");
    [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
}

/// The form that gives a role: to people and managed identities alike.
pub(super) async fn give(screen: &Screen<'_>) -> Result<Markup, Trouble> {
    let visit = screen.visit;
    let kind = visit.query.get("members");
    let named = visit.query.get("named");
    let here = paths::id(screen.scope.trim_end_matches('/'));
    let roles =
        visit.list(&format!("{here}/providers/Microsoft.Authorization/roleDefinitions")).await?;
    let mut roles: Vec<(&str, &str)> =
        roles.iter().map(|it| (text(it, "/properties/roleName"), text(it, "/name"))).collect();
    // Roles for devices first: that is what this server is for.
    roles.sort_by_key(|(name, _)| (!name.contains("IoT"), name.to_lowercase()));
    let offered = members(visit, kind, named).await?;
    let is_cut = offered.is_cut;
    Ok(html! {
        section #give {
            h2 { "Give a role here" }
            form.line method="get" action={ (paths::view(screen.scope, "access")) "#give" } {
                (screen.kept(&[]))
                label for="members" { "Choose from" }
                select id="members" name="members" {
                    @for (value, title) in MEMBERS { option value=(value) selected[value == kind] { (title) } }
                }
                label for="named" { "whose name begins with" }
                input id="named" name="named" value=(named);
                button { "List" }
            }
            form.fields method="post" action=(paths::view(screen.scope, "access")) {
                (forgery(&visit.session))
                input type="hidden" name="do" value="give";
                label for="member" { "To whom" }
                select id="member" name="member" required {
                    @for (group, all) in &offered.groups {
                        optgroup label=(group) { @for (name, value) in all { option value=(value) { (name) } } }
                    }
                }
                @if is_cut { p.note { "There are more than " (OFFERED_MAX) " of a kind: name the beginning, and list again." } }
                @if offered.groups.is_empty() { p { "Nobody is like that." } }
                label for="role" { "Which role" }
                select id="role" name="role" required {
                    @for (name, id) in &roles { option value=(id) { (name) } }
                }
                button.first { "Give the role" }
            }
            (command(&format!("az role assignment create --assignee-object-id ID --assignee-principal-type TYPE --role NAME --scope {}", screen.scope)))
        }
    })
}

/// Who may be chosen, under the names of their kinds.
struct Offered {
    groups: BTreeMap<String, Vec<(String, String)>>,
    is_cut: bool,
}

async fn members(visit: &Visit<'_>, kind: &str, named: &str) -> Result<Offered, Trouble> {
    let mut offered = Offered { groups: BTreeMap::new(), is_cut: false };
    let is = |it: &str| kind.is_empty() || kind == it;
    let sets = [
        ("users", is("users"), ""),
        ("groups", is("groups"), ""),
        ("servicePrincipals", is("applications"), "servicePrincipalType eq 'Application'"),
        (
            "servicePrincipals",
            is("system") || is("user"),
            "servicePrincipalType eq 'ManagedIdentity'",
        ),
    ];
    for (set, is_asked, only) in sets {
        if !is_asked {
            continue;
        }
        let begins = match named.is_empty() {
            true => String::new(),
            false => format!("startswith(displayName,'{}')", named.replace('\'', "''")),
        };
        let clauses: Vec<&str> = [only, &begins].into_iter().filter(|it| !it.is_empty()).collect();
        let filter = match clauses.is_empty() {
            true => String::new(),
            false => format!("&$filter={}", paths::segment(&clauses.join(" and "))),
        };
        let target = format!("/v1.0/{set}?$top={OFFERED_MAX}{filter}");
        let page = ok(visit.as_person(GRAPH, None, Method::GET, target, None).await?)?;
        offered.is_cut |= page.get("@odata.nextLink").is_some();
        for it in page.get("value").and_then(Value::as_array).into_iter().flatten() {
            offered.add(set, kind, it);
        }
    }
    for all in offered.groups.values_mut() {
        all.sort_by_key(|(name, _)| name.to_lowercase());
    }
    Ok(offered)
}

impl Offered {
    /// A managed identity has the name of its resource, and stands under the kind of it.
    fn add(&mut self, set: &str, kind: &str, object: &Value) {
        let what = match set {
            "users" => Kind::Person,
            "groups" => Kind::Group,
            _ => Kind::of(object),
        };
        let (title, given) = match what {
            Kind::Person => ("People".to_owned(), "User"),
            Kind::Group => ("Groups".to_owned(), "Group"),
            Kind::System if matches!(kind, "" | "system") => (
                format!("All system-assigned managed identities: {}", resource_kind(object)),
                "ServicePrincipal",
            ),
            Kind::User if matches!(kind, "" | "user") => {
                ("User-assigned managed identities".to_owned(), "ServicePrincipal")
            }
            Kind::Application => ("Applications".to_owned(), "ServicePrincipal"),
            Kind::System | Kind::User | Kind::Everyone | Kind::Gone => return,
        };
        let mut name = text(object, "/displayName").to_owned();
        if what == Kind::Person {
            name.push_str(&format!(" ({})", text(object, "/userPrincipalName")));
        }
        self.groups
            .entry(title)
            .or_default()
            .push((name, format!("{given}:{}", text(object, "/id"))));
    }
}

/// What the resource of an identity is, in the words of the portal.
fn resource_kind(object: &Value) -> String {
    let scope = Scope::parse(text(object, "/alternativeNames/1")).ok();
    let kind = scope.and_then(|it| it.resource_type()).unwrap_or_default();
    match () {
        () if kind.eq_ignore_ascii_case("Microsoft.Devices/IotHubs") => "IoT hubs".to_owned(),
        () if kind.eq_ignore_ascii_case("Microsoft.Devices/provisioningServices") => {
            "Provisioning services".to_owned()
        }
        () => kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_name_is_a_guid() {
        let name = guid([0xff; 16]);
        assert_eq!(name, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert!(ObjectId::parse(&name).is_some());
    }
}
