//! A place in the tree of resources: what is there, and the views of it.

use crate::layout::{Frame, command, crumbs, framed, views};
use crate::page::Page;
use crate::screens::{access, bench, device, devices, identity, keys, me, policies, provisioning};
use crate::trouble::Trouble;
use crate::visit::{Visit, text};
use maud::{Markup, html};
use model::Scope;
use serde_json::Value;

/// What a place is, and so which views it has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Root,
    Subscription,
    Group,
    Hub,
    Dps,
    PolicyAssignment,
    PolicyDefinition,
    /// An initiative or an exemption.
    PolicyOther,
    Resource,
}

impl Kind {
    fn of(scope: &Scope) -> Self {
        let kind = scope.resource_type().unwrap_or_default();
        let is = |it: &str| kind.eq_ignore_ascii_case(it);
        match scope.segments().count() {
            0 => Self::Root,
            2 => Self::Subscription,
            4 if scope.resource_group().is_some() => Self::Group,
            _ if is("Microsoft.Devices/IotHubs") => Self::Hub,
            _ if is("Microsoft.Devices/provisioningServices") => Self::Dps,
            _ if is("Microsoft.Authorization/policyAssignments") => Self::PolicyAssignment,
            _ if is("Microsoft.Authorization/policyDefinitions") => Self::PolicyDefinition,
            _ if is("Microsoft.Authorization/policySetDefinitions")
                || is("Microsoft.Authorization/policyExemptions") =>
            {
                Self::PolicyOther
            }
            _ => Self::Resource,
        }
    }

    /// Names of views with their titles; the first is shown where none is asked for.
    pub(crate) const fn views(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Root | Self::Subscription | Self::Group | Self::Resource => {
                &[("overview", "Overview"), ("access", "Access"), ("policies", "Policies")]
            }
            Self::Hub => &[
                ("overview", "Overview"),
                ("devices", "Devices"),
                ("access", "Access"),
                ("policies", "Policies"),
                ("keys", "Shared access policies"),
                ("identity", "Identity"),
                ("me", "Who am I here"),
            ],
            Self::Dps => &[
                ("overview", "Overview"),
                ("provisioning", "Provisioning"),
                ("access", "Access"),
                ("policies", "Policies"),
                ("keys", "Shared access policies"),
                ("identity", "Identity"),
            ],
            Self::PolicyDefinition => &[("overview", "Policy"), ("bench", "Bench")],
            Self::PolicyAssignment | Self::PolicyOther => &[("overview", "Policy")],
        }
    }
}

/// What the views of a place share.
pub(crate) struct Place<'a> {
    pub(crate) scope: &'a str,
    pub(crate) kind: Kind,
    pub(crate) view: &'a str,
}

pub(crate) async fn page(visit: &Visit<'_>, scope: &str) -> Result<Page, Trouble> {
    let parsed = Scope::parse(scope).map_err(|it| Trouble::Bad { why: it.to_string() })?;
    let kind = Kind::of(&parsed);
    let asked = visit.query.get("view");
    let view = kind.views().iter().map(|(it, _)| *it).find(|it| *it == asked).unwrap_or("overview");
    let place = Place { scope: parsed.as_str(), kind, view };
    match (view, kind) {
        // One of them, and no view of its own in the row of views.
        (_, Kind::Hub) if asked == "device" => {
            device::page(visit, &Place { view: "devices", ..place }).await
        }
        ("devices", _) => devices::page(visit, &place).await,
        ("access", _) => access::view(visit, &place).await,
        ("identity", _) => identity::view(visit, &place).await,
        ("provisioning", _) => provisioning::view(visit, &place).await,
        ("policies", _) => policies::view(visit, &place).await,
        ("keys", _) => keys::view(visit, &place).await,
        ("me", _) => me::view(visit, &place).await,
        ("bench", _) => bench::view(visit, &place).await,
        (_, Kind::PolicyAssignment | Kind::PolicyDefinition | Kind::PolicyOther) => {
            policies::resource::view(visit, &place).await
        }
        (_, _) => overview(visit, &place).await,
    }
}

impl Place<'_> {
    /// A page of this place.
    pub(crate) fn framed(&self, visit: &Visit<'_>, script: Option<&str>, content: &Markup) -> Page {
        let name = self.scope.rsplit('/').next().filter(|it| !it.is_empty()).unwrap_or("Tenant");
        let whole = html! {
            (crumbs(self.scope))
            h1 { (name) }
            (views(self.scope, self.kind.views(), self.view))
            (content)
        };
        let is_policy = matches!(
            self.kind,
            Kind::PolicyAssignment | Kind::PolicyDefinition | Kind::PolicyOther
        );
        let screen = match self.view {
            "access" => "/access",
            _ if is_policy => "/policies",
            _ => "",
        };
        let frame = Frame::of(name, screen, visit);
        match script {
            Some(script) => framed(&frame.with_script(script), &whole),
            None => framed(&frame, &whole),
        }
    }
}

async fn overview(visit: &Visit<'_>, place: &Place<'_>) -> Result<Page, Trouble> {
    if place.kind == Kind::Root {
        let content = html! { p { "The root of the tenant: everything lies below it." } };
        return Ok(place.framed(visit, None, &content));
    }
    let resource = match visit.get(place.scope).await {
        // A data role opens no resource: what would is said.
        Err(Trouble::Refused(it)) if it.is_decision() && place.kind == Kind::Hub => {
            let content = me::closed(visit, place, &it);
            return Ok(place.framed(visit, None, &content).status(it.status));
        }
        other => other?,
    };
    let content = html! {
        dl.facts {
            @for (name, pointer) in [("Type", "/type"), ("Location", "/location"), ("Host", "/properties/hostName"),
                ("State", "/properties/state"), ("Tier", "/sku/name"), ("Identity", "/identity/type")] {
                @if !text(&resource, pointer).is_empty() { dt { (name) } dd { (text(&resource, pointer)) } }
            }
            @if place.kind == Kind::Hub {
                dt { "Keys" }
                dd {
                    @if resource.pointer("/properties/disableLocalAuth").and_then(Value::as_bool) == Some(true) {
                        "switched off: only Entra opens the service API"
                    } @else { "count, beside Entra" }
                }
            }
        }
        details { summary { "As JSON" } pre { code { (format!("{resource:#}")) } } }
        (command(&format!("az resource show --ids {}", place.scope)))
    };
    Ok(place.framed(visit, None, &content))
}
