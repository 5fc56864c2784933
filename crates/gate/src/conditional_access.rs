//! Conditional access: may this caller have a token for this, from there, by what it has shown?
//!
//! Asked where tokens are issued and nowhere else, once the caller is proven: a no ends the call before any other gate.
//! Every policy that applies counts, and none gives anything. What can be shown here is a password, a certificate, or
//! the token of another issuer; whatever else a policy demands is never fulfilled.
//!
//! Source: Microsoft Entra, "Building a Conditional Access policy", "Conditional Access for workload identities";
//! Microsoft Graph, "conditionalAccessPolicy resource type".

use crate::authentication::Client;
use crate::facts::Facts;
use model::error::{Denial, DenialKind, TokenFault};
use model::trace::{Caller, Condition, Finding, FindingKind, FindingResult, Gate, Step, Verdict};
use model::{Network, ObjectId, PrincipalKind};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
// Addresses as numbers: `core` knows no sockets.
use core::net::IpAddr;
use std::sync::Arc;

/// The applications that tokens are for, by resource. Source: Microsoft Entra, "Application IDs of commonly used
/// Microsoft applications".
const RESOURCES: &[(&str, &str)] = &[
    ("https://management.azure.com", "797f4846-ba00-4fd7-ba43-dac1f8f63013"),
    ("https://management.core.windows.net", "797f4846-ba00-4fd7-ba43-dac1f8f63013"),
    ("https://graph.microsoft.com", "00000003-0000-0000-c000-000000000000"),
    ("https://iothubs.azure.net", "89d10474-74af-4874-99a7-c23c2f643083"),
    ("https://azure-devices-provisioning.net", "0cd79364-7a90-4354-9984-6e36c841418d"),
    ("https://eventhubs.azure.net", "80369ed6-5f11-4dd9-bef3-692475845e77"),
    ("https://servicebus.azure.net", "80a10ef9-8168-493d-abf9-3297c4ef6e3c"),
    ("https://storage.azure.com", "e406a681-f3d4-42a8-90b6-c2b029497af1"),
];
/// The management origin itself is resource management, too.
const OWN_RESOURCE: &str = "797f4846-ba00-4fd7-ba43-dac1f8f63013";

/// All policies and named locations, by id.
#[derive(Clone, Debug, Default)]
pub struct ConditionalAccess {
    pub policies: BTreeMap<ObjectId, Arc<AccessPolicy>>,
    pub locations: BTreeMap<ObjectId, Arc<NamedLocation>>,
}

/// Networks by a name.
#[derive(Clone, Debug)]
pub struct NamedLocation {
    pub id: ObjectId,
    pub name: String,
    pub is_trusted: bool,
    pub networks: Vec<Network>,
}

/// A policy, read.
#[derive(Clone, Debug)]
pub struct AccessPolicy {
    pub id: ObjectId,
    pub name: String,
    pub state: State,
    pub users: Pick,
    pub groups: Pick,
    /// Service principals of this tenant, by object id.
    pub clients: Pick,
    pub applications: Pick,
    /// None where any place will do.
    pub locations: Option<Places>,
    /// Empty where any will do.
    pub client_types: Vec<ClientType>,
    pub grant: Grant,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    Enabled,
    Disabled,
    /// `enabledForReportingButNotEnforced`: told, and nobody is refused.
    ReportOnly,
}

/// Whom or what a policy names.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chosen {
    pub is_all: bool,
    pub ids: BTreeSet<ObjectId>,
}

impl Chosen {
    fn has(&self, id: ObjectId) -> bool {
        self.is_all || self.ids.contains(&id)
    }

    fn shown(&self) -> Value {
        match self.is_all {
            true => json!(["All"]),
            false => json!(self.ids),
        }
    }
}

/// What is meant, but for what is left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pick {
    pub include: Chosen,
    pub exclude: Chosen,
}

/// The same of named locations.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Places {
    pub include: Chosen,
    pub exclude: Chosen,
    /// `AllTrusted` is among those meant, or those left out.
    pub includes_trusted: bool,
    pub excludes_trusted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClientType {
    Browser,
    MobileAppsAndDesktopClients,
    /// Whatever else Graph names. Nothing here is one.
    Other,
}

impl ClientType {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Browser => "browser",
            Self::MobileAppsAndDesktopClients => "mobileAppsAndDesktopClients",
            Self::Other => "other",
        }
    }
}

/// What a policy demands: all of it, or one thing of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Grant {
    pub is_any: bool,
    pub controls: Vec<Control>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Control {
    Block,
    /// An authentication strength: one of these ways of signing in.
    Strength {
        name: String,
        methods: Vec<Method>,
    },
    /// What nobody can show here, by its word: a second factor, a managed device.
    Unknown(String),
}

/// By what somebody has signed in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// A password, or the secret of an application.
    Password,
    Certificate,
    Federated,
}

impl Method {
    /// As Graph names it among the combinations of an authentication strength.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Certificate => "x509CertificateSingleFactor",
            Self::Federated => "federatedSingleFactor",
        }
    }
}

/// Who wants a token for what, from where, by what.
#[derive(Clone, Copy)]
pub struct Wish<'a> {
    pub caller: &'a Caller,
    /// The resource; empty where none could be read, and then only what is about all of them is about it.
    pub resource: &'a str,
    pub address: &'a str,
    pub method: Method,
}

/// What a policy says to a wish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Said {
    /// It is not about it.
    Nothing,
    Fulfilled,
    Unfulfilled,
    Blocks,
}

/// The step of a trace, and the denial where there is one; nothing where there are no policies.
pub(crate) fn step(wish: &Wish<'_>, facts: &Facts) -> Option<(Step, Option<Denial>)> {
    let policies = &facts.conditional_access.policies;
    if policies.is_empty() {
        return None;
    }
    let mut findings = Vec::new();
    let (mut blocking, mut unfulfilled) = (Vec::new(), Vec::new());
    for policy in policies.values() {
        let (said, conditions) = judge(policy, wish, facts);
        let refuses = matches!(said, Said::Blocks | Said::Unfulfilled);
        let (result, reason) = match (policy.state, said) {
            (State::Disabled, _) => (FindingResult::Disabled, "it is switched off"),
            (_, Said::Nothing) => (FindingResult::NoMatch, "it is not about this sign-in"),
            (_, Said::Fulfilled) => (FindingResult::Allow, "what it demands was shown"),
            (State::ReportOnly, _) => {
                (FindingResult::WouldDeny, "it would refuse, and only reports")
            }
            (State::Enabled, Said::Blocks) => (FindingResult::Deny, "it blocks this sign-in"),
            (State::Enabled, Said::Unfulfilled) => {
                (FindingResult::Deny, "it demands what was not shown")
            }
        };
        if refuses && policy.state == State::Enabled {
            let refusing = if said == Said::Blocks { &mut blocking } else { &mut unfulfilled };
            refusing.push(format!("`{}`", policy.name));
        }
        findings.push(Finding {
            kind: FindingKind::ConditionalAccessPolicy,
            id: policy.id.to_string(),
            name: policy.name.clone(),
            result,
            reason: reason.to_owned(),
            rule: None,
            role: None,
            lock: None,
            conditions,
        });
    }
    let denied = |fault, message: String| Denial {
        gate: Gate::ConditionalAccess,
        kind: DenialKind::Token(fault),
        message,
        violations: Vec::new(),
        target: wish.resource.to_owned(),
    };
    let (reason, denial) = match (blocking.as_slice(), unfulfilled.as_slice()) {
        ([], []) => ("no conditional access policy stands against it".to_owned(), None),
        ([_, ..], _) => {
            let sentence = format!(
                "access has been blocked by conditional access policies, which do not allow a token to be issued: {}; \
                 who manages them can exclude the caller.",
                blocking.join(", ")
            );
            (
                "a conditional access policy blocks it".to_owned(),
                Some(denied(TokenFault::Blocked, sentence)),
            )
        }
        ([], [_, ..]) => {
            let sentence = format!(
                "conditional access policies demand a stronger proof than `{}`, which was shown: {}.",
                wish.method.as_str(),
                unfulfilled.join(", ")
            );
            (
                "a conditional access policy demands a stronger proof".to_owned(),
                Some(denied(TokenFault::TooWeak, sentence)),
            )
        }
    };
    let verdict = if denial.is_some() { Verdict::Deny } else { Verdict::Allow };
    let gate = Gate::ConditionalAccess;
    Some((Step { gate, verdict, reason, took_ns: None, findings }, denial))
}

/// What one policy says, whatever its state, and each of its conditions.
pub fn judge(policy: &AccessPolicy, wish: &Wish<'_>, facts: &Facts) -> (Said, Vec<Condition>) {
    let about = [
        whom(policy, wish.caller, facts),
        application(policy, wish, facts),
        place(policy, wish, facts),
        client_type(policy, wish, facts),
    ];
    let is_about = about.iter().all(|it| it.result);
    let mut conditions = about.to_vec();
    if !is_about {
        return (Said::Nothing, conditions);
    }
    let (said, told) = granted(&policy.grant, wish.method);
    conditions.push(told);
    (said, conditions)
}

fn condition(
    path: &str,
    operator: &str,
    expected: Value,
    actual: Value,
    result: bool,
) -> Condition {
    Condition {
        path: format!("conditions.{path}"),
        left: "value".into(),
        expression: path.to_owned(),
        operator: operator.to_owned(),
        expected,
        actual: Some(actual),
        result,
        error: None,
    }
}

fn whom(policy: &AccessPolicy, caller: &Caller, facts: &Facts) -> Condition {
    let actual = json!({ "kind": caller.kind.as_str(), "id": caller.object_id });
    let Some(id) = caller.object_id else {
        return condition("users", "includes", Value::Null, actual, false);
    };
    match caller.kind {
        PrincipalKind::User => {
            let groups = facts.groups.of(id);
            let is_in = |it: &Chosen| groups.iter().any(|its| it.ids.contains(&its.group));
            let (users, of_groups) = (&policy.users, &policy.groups);
            let is_left_out = users.exclude.has(id) || is_in(&of_groups.exclude);
            let is_meant = users.include.has(id) || is_in(&of_groups.include);
            let expected = json!({
                "includeUsers": users.include.shown(), "includeGroups": of_groups.include.ids,
                "excludeUsers": users.exclude.shown(), "excludeGroups": of_groups.exclude.ids,
            });
            condition("users", "includes", expected, actual, is_meant && !is_left_out)
        }
        PrincipalKind::ServicePrincipal => {
            let clients = &policy.clients;
            let is_meant = clients.include.has(id) && !clients.exclude.has(id);
            let expected = json!({
                "includeServicePrincipals": clients.include.shown(),
                "excludeServicePrincipals": clients.exclude.shown(),
            });
            condition("clientApplications", "includes", expected, actual, is_meant)
        }
        // None of these signs in by what it shows: who attaches a managed identity is asked then.
        PrincipalKind::ManagedIdentity
        | PrincipalKind::Group
        | PrincipalKind::Device
        | PrincipalKind::SasKey
        | PrincipalKind::Anyone
        | PrincipalKind::System => condition("users", "includes", Value::Null, actual, false),
    }
}

/// What a token is for, or the client that asks: either may be named.
fn application(policy: &AccessPolicy, wish: &Wish<'_>, facts: &Facts) -> Condition {
    let bare = wish.resource.trim_end_matches('/');
    let known = RESOURCES.iter().find(|(it, _)| it.eq_ignore_ascii_case(bare)).map(|(_, id)| *id);
    let known = known.or((bare == facts.origin).then_some(OWN_RESOURCE));
    let resource = known.and_then(ObjectId::parse);
    let named = |it: &Chosen| {
        it.is_all || resource.into_iter().chain(wish.caller.app_id).any(|id| it.ids.contains(&id))
    };
    let pick = &policy.applications;
    let expected = json!({
        "includeApplications": pick.include.shown(), "excludeApplications": pick.exclude.shown(),
    });
    let actual = json!({ "resource": resource, "client": wish.caller.app_id });
    let is_meant = named(&pick.include) && !named(&pick.exclude);
    condition("applications", "includes", expected, actual, is_meant)
}

fn place(policy: &AccessPolicy, wish: &Wish<'_>, facts: &Facts) -> Condition {
    let Some(places) = &policy.locations else {
        return condition("locations", "includes", Value::Null, json!(wish.address), true);
    };
    let address: Option<IpAddr> = wish.address.parse().ok();
    let lies_in = |it: &NamedLocation| {
        address.is_some_and(|address| it.networks.iter().any(|net| net.contains(address)))
    };
    let known = &facts.conditional_access.locations;
    let is_in = |chosen: &Chosen, has_trusted: bool| {
        chosen.is_all
            || chosen.ids.iter().filter_map(|id| known.get(id)).any(|it| lies_in(it))
            || (has_trusted && known.values().any(|it| it.is_trusted && lies_in(it)))
    };
    let is_meant = is_in(&places.include, places.includes_trusted)
        && !is_in(&places.exclude, places.excludes_trusted);
    let expected = json!({
        "includeLocations": places.include.shown(), "includesTrusted": places.includes_trusted,
        "excludeLocations": places.exclude.shown(), "excludesTrusted": places.excludes_trusted,
    });
    condition("locations", "includes", expected, json!(wish.address), is_meant)
}

fn client_type(policy: &AccessPolicy, wish: &Wish<'_>, facts: &Facts) -> Condition {
    let client = wish.caller.app_id.and_then(|it| Client::find(it, facts));
    let its = match (wish.caller.kind, client) {
        (PrincipalKind::User, Some(client)) if client.is_of_browsers() => ClientType::Browser,
        (PrincipalKind::User, _) => ClientType::MobileAppsAndDesktopClients,
        (_, _) => ClientType::Other,
    };
    let is_meant = policy.client_types.is_empty() || policy.client_types.contains(&its);
    let expected: Vec<&str> = policy.client_types.iter().map(|it| it.as_str()).collect();
    condition("clientAppTypes", "in", json!(expected), json!(its.as_str()), is_meant)
}

fn granted(grant: &Grant, method: Method) -> (Said, Condition) {
    let is_met = |it: &Control| match it {
        Control::Block | Control::Unknown(_) => false,
        Control::Strength { methods, .. } => methods.contains(&method),
    };
    let blocks = grant.controls.contains(&Control::Block);
    let is_fulfilled = match grant.is_any {
        true => grant.controls.iter().any(is_met),
        false => grant.controls.iter().all(is_met),
    };
    let said = match (blocks, is_fulfilled) {
        (true, _) => Said::Blocks,
        (false, true) => Said::Fulfilled,
        (false, false) => Said::Unfulfilled,
    };
    let told: Vec<&str> = grant
        .controls
        .iter()
        .map(|it| match it {
            Control::Block => "block",
            Control::Strength { name, .. } | Control::Unknown(name) => name,
        })
        .collect();
    let operator = if grant.is_any { "anyOf" } else { "allOf" };
    let mut condition =
        condition("", operator, json!(told), json!(method.as_str()), said == Said::Fulfilled);
    condition.path = "grantControls".into();
    condition.expression = "grantControls".into();
    (said, condition)
}
