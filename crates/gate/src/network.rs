//! Network rules: from where a hub, a provisioning service or a target of a hub may be reached, whoever calls and
//! whatever their rights.
//!
//! Public access may be off, and lists of rules may let some addresses in and others not. Two ways lead past both:
//! a private endpoint, for who comes through one, and the exception for trusted services, for a hub's own
//! system-assigned identity and for no other. Rules keep the addresses of data; the control plane is not theirs.
//! What is a private endpoint here, and why a provisioning service is not held to its hubs' rules, is written down in
//! `docs/decisions/0028-private-endpoints-and-trusted-services.md`.

use crate::decide::{Ask, Findings, Ruling};
use crate::facts::{Dps, Facts, Hub, Target};
// An address as a number: `core` knows no sockets.
use core::net::IpAddr;
use model::error::{Denial, DenialKind};
use model::trace::{Condition, Finding, FindingKind, FindingResult};
use model::{Gate, Network, Operation, Plane, Scope};
use serde_json::{Value, json};

/// What becomes of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IpAction {
    Accept,
    Reject,
}

/// What somebody wants to reach.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// What services call: of a target, all of it.
    Service,
    /// What devices call.
    Devices,
    /// The built-in endpoint, from which services read what devices have sent.
    Events,
}

impl Part {
    /// None for what does not lie at the address of a hub or provisioning service.
    pub fn of(operation: &Operation) -> Option<Self> {
        match operation.plane {
            Plane::Service if operation.is_built_in_endpoint() => Some(Self::Events),
            Plane::Service => Some(Self::Service),
            Plane::Device => Some(Self::Devices),
            Plane::Control | Plane::Directory | Plane::Open | Plane::Token => None,
        }
    }
}

/// One line of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IpRule {
    pub name: String,
    /// The network as it was written.
    pub mask: String,
    pub network: Network,
    pub action: IpAction,
    /// The one part that it is about; none where it is about all.
    pub part: Option<Part>,
}

/// A list of rules, of which the first that holds the address decides.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuleSet {
    /// Where it stands below `properties`: `networkRuleSets.ipRules`.
    pub place: &'static str,
    pub rules: Vec<IpRule>,
    /// What becomes of an address that no rule holds.
    pub otherwise: IpAction,
    /// Whether it is about the built-in endpoint, too.
    pub guards_events: bool,
}

impl RuleSet {
    fn is_open(&self) -> bool {
        self.otherwise == IpAction::Accept
            && self.rules.iter().all(|it| it.action == IpAction::Accept)
    }
}

/// From where something may be reached. What says nothing is open to everybody.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NetworkRules {
    /// `publicNetworkAccess` is `Disabled`.
    pub is_private: bool,
    /// Each has to let an address in.
    pub sets: Vec<RuleSet>,
    /// A private endpoint connection is approved.
    pub has_private_endpoint: bool,
    /// The exception for trusted services is made.
    pub trusts_services: bool,
}

/// How a hub shows itself to a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShownBy {
    SystemIdentity,
    UserIdentity,
    Key,
}

/// Where somebody comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Visitor {
    At {
        address: IpAddr,
        /// Through a private endpoint.
        is_private: bool,
    },
    /// A hub of this server, which has no address of its own.
    Hub(ShownBy),
}

/// What the rules say to somebody.
#[derive(Clone, PartialEq, Debug)]
pub struct Reach {
    pub passes: bool,
    /// One sentence, for traces.
    pub says: String,
    /// What was looked at, up to what decided.
    pub conditions: Vec<Condition>,
}

impl Reach {
    fn yes(says: impl Into<String>, conditions: Vec<Condition>) -> Self {
        Self { passes: true, says: says.into(), conditions }
    }

    fn no(says: impl Into<String>, conditions: Vec<Condition>) -> Self {
        Self { passes: false, says: says.into(), conditions }
    }
}

impl NetworkRules {
    /// True where everybody is let in, from wherever.
    pub fn is_open(&self) -> bool {
        !self.is_private && self.sets.iter().all(RuleSet::is_open)
    }

    /// Whether somebody may reach a part.
    pub fn reach(&self, part: Part, visitor: Visitor) -> Reach {
        if self.is_open() {
            return Reach::yes("it is open to every network", Vec::new());
        }
        match visitor {
            Visitor::Hub(shown_by) => self.reach_as_service(shown_by),
            Visitor::At { is_private: true, .. } if self.has_private_endpoint => {
                let found =
                    condition("privateEndpointConnections", "approved", json!(true), json!(true));
                Reach::yes("it was reached through its private endpoint", vec![found])
            }
            Visitor::At { address, .. } => self.reach_from(part, address),
        }
    }

    /// Only the system-assigned identity passes by the exception.
    /// Source: IoT Hub documentation, "IoT Hub support for managed identities".
    fn reach_as_service(&self, shown_by: ShownBy) -> Reach {
        let (is_trusted, who) = match shown_by {
            ShownBy::SystemIdentity => (true, "its system-assigned identity"),
            ShownBy::UserIdentity => (false, "a user-assigned identity"),
            ShownBy::Key => (false, "a key"),
        };
        let exception =
            condition("trustedServices", "exception", json!(true), json!(self.trusts_services));
        let identity =
            condition("caller", "identity", json!("its system-assigned identity"), json!(who));
        match (is_trusted, self.trusts_services) {
            (true, true) => Reach::yes(
                "a hub with its system-assigned identity passes by the exception for trusted services",
                vec![identity, exception],
            ),
            (true, false) => Reach::no(
                "it is closed to networks that it does not name, and makes no exception for trusted services",
                vec![identity, exception],
            ),
            (false, _) => Reach::no(
                format!(
                    "it is closed to networks that it does not name; only a hub's system-assigned identity passes by \
                     the exception for trusted services, and this hub comes with {who}"
                ),
                vec![identity],
            ),
        }
    }

    fn reach_from(&self, part: Part, address: IpAddr) -> Reach {
        if self.is_private {
            let found = condition(
                "publicNetworkAccess",
                "publicNetworkAccess",
                json!("Enabled"),
                json!("Disabled"),
            );
            let besides = match self.has_private_endpoint {
                true => format!("and {address} is not where its private endpoint leads from"),
                false => "and it has no approved private endpoint connection".to_owned(),
            };
            return Reach::no(format!("its public network access is off, {besides}"), vec![found]);
        }
        let mut looked_at = Vec::new();
        for set in self.sets.iter().filter(|it| part != Part::Events || it.guards_events) {
            if let Some(says) = set.refuses(part, address, &mut looked_at) {
                return Reach::no(says, looked_at);
            }
        }
        Reach::yes(format!("its network rules let {address} in"), looked_at)
    }
}

impl RuleSet {
    /// Why the address is not let in, where it is not.
    fn refuses(
        &self,
        part: Part,
        address: IpAddr,
        looked_at: &mut Vec<Condition>,
    ) -> Option<String> {
        let about = |it: &&IpRule| it.part.is_none_or(|its| its == part);
        let place = self.place;
        for (index, rule) in self.rules.iter().enumerate().filter(|(_, it)| about(it)) {
            let result = rule.network.contains(address);
            looked_at.push(Condition {
                path: format!("properties.{place}[{index}]"),
                left: "address".into(),
                expression: rule.name.clone(),
                operator: "in".into(),
                expected: json!(rule.mask),
                actual: Some(json!(address)),
                result,
                error: None,
            });
            match (result, rule.action) {
                (false, _) => {}
                (true, IpAction::Accept) => return None,
                (true, IpAction::Reject) => {
                    return Some(format!(
                        "the rule `{}` of its `{place}` rejects {address}",
                        rule.name
                    ));
                }
            }
        }
        match self.otherwise {
            IpAction::Accept => None,
            IpAction::Reject => Some(format!(
                "no rule of its `{place}` lets {address} in, and what none names is denied"
            )),
        }
    }
}

fn condition(place: &str, expression: &str, expected: Value, actual: Value) -> Condition {
    Condition {
        path: format!("properties.{place}"),
        left: "property".into(),
        expression: expression.into(),
        operator: "equals".into(),
        result: expected == actual,
        expected,
        actual: Some(actual),
        error: None,
    }
}

impl Facts {
    /// The rules of the hub or provisioning service at a scope, or of the target that it is or lies in, where one is
    /// there.
    pub fn network_rules(&self, scope: &Scope) -> Option<&NetworkRules> {
        let hub = self.hub(scope).map(|it| &it.network);
        let dps = || self.dps(scope).map(|it| &it.network);
        hub.or_else(dps).or_else(|| self.target_around(scope).map(|it| &it.network))
    }

    /// The same facts with other rules there.
    pub fn with_network_rules(&self, scope: &Scope, network: NetworkRules) -> Option<Self> {
        let mut changed = self.clone();
        if let Some(hub) = self.hub(scope) {
            changed.put_hub(Hub { network, ..(**hub).clone() });
        } else if let Some(dps) = self.dps(scope) {
            changed.put_dps(Dps { network, ..(**dps).clone() });
        } else {
            let target = self.target_around(scope)?;
            changed.put_target(Target { network, ..(**target).clone() });
        }
        Some(changed)
    }
}

/// The refusal, where the network rules of what is called stand against the call.
pub(crate) fn rule(
    ask: &Ask<'_>,
    facts: &Facts,
    rules: &NetworkRules,
    findings: &mut Findings,
) -> Option<Ruling> {
    let part = Part::of(ask.operation).filter(|_| !rules.is_open())?;
    let channel = &ask.head.channel;
    // INVARIANT: no front says on whose behalf a client calls; registrations alone do, which run in this process.
    if channel.on_behalf_of.is_some() {
        let says = "a provisioning service reaches its hubs from within; their network rules are for who comes from outside";
        findings.add(|| finding(ask, FindingResult::NoMatch, says, Vec::new()));
        return None;
    }
    let reach = match channel.address.parse() {
        Ok(_) if let Some(shown_by) = as_hub(ask, facts) => {
            rules.reach(part, Visitor::Hub(shown_by))
        }
        Ok(address) => rules.reach(part, Visitor::At { address, is_private: channel.is_private }),
        // INVARIANT: fronts name the peer of every call. Only a question comes from nowhere.
        Err(_) if channel.address.is_empty() => {
            let says =
                "it has network rules; a question comes from no address, so they were not asked";
            findings.add(|| finding(ask, FindingResult::NoMatch, says, Vec::new()));
            return None;
        }
        Err(_) => Reach::no("the caller's address cannot be read", Vec::new()),
    };
    let result = if reach.passes { FindingResult::Allow } else { FindingResult::Deny };
    let Reach { passes, says, conditions } = reach;
    findings.add(|| finding(ask, result, &says, conditions));
    if passes {
        return None;
    }
    let name = ask.scope.name();
    let denial = Denial {
        gate: Gate::Resource,
        kind: DenialKind::Network,
        // As Azure's, it does not say which rule.
        message: format!("`{name}` takes no such call from where this one comes"),
        violations: Vec::new(),
        target: name.to_owned(),
    };
    Some(Ruling { denial: Some(denial), reason: says })
}

/// How a hub shows itself here, where one does. Only what comes from within is one: an address that a hub has signed as
/// its identity is in anybody's hands.
fn as_hub(ask: &Ask<'_>, facts: &Facts) -> Option<ShownBy> {
    if !ask.head.channel.is_within {
        return None;
    }
    facts.target_around(ask.scope)?;
    let principal = ask.caller.object_id.and_then(|it| facts.principals.get(&it));
    let resource = principal.and_then(|it| it.resource.as_ref());
    match resource {
        Some(resource) if facts.hub(resource).is_some() => Some(ShownBy::SystemIdentity),
        Some(_) => Some(ShownBy::UserIdentity),
        None => Some(ShownBy::Key),
    }
}

fn finding(
    ask: &Ask<'_>,
    result: FindingResult,
    says: &str,
    conditions: Vec<Condition>,
) -> Finding {
    Finding {
        kind: FindingKind::Network,
        id: ask.scope.as_str().to_owned(),
        name: ask.scope.name().to_owned(),
        result,
        reason: says.to_owned(),
        rule: None,
        role: None,
        lock: None,
        conditions,
    }
}

#[cfg(test)]
mod tests;
