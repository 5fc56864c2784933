//! Network rules of hubs and provisioning services: what a body may say of them, and what the gates decide by.
//!
//! Both are read by one function, so nothing is stored that is not enforced. Sources: the published contracts of
//! Microsoft.Devices, api-versions 2018-04-01 to 2023-06-30-preview (hubs) and 2020-03-01 to 2022-02-05 (provisioning
//! services); Azure documentation, "Use IP filters" of both.

use crate::private_endpoints;
use crate::resources::fields::Fields;
use gate::network::{IpAction, IpRule, NetworkRules, Part, RuleSet};
use model::json::set;
use model::{Error, Network};
use serde_json::{Value, json};

/// Most rules of a list. Source: IoT Hub documentation, "Use IP filters".
pub(crate) const IP_RULES_MAX: usize = 100;
/// Longest name of a rule. Source: as [`IP_RULES_MAX`].
const NAME_CHARACTERS_MAX: usize = 128;

/// Writes what `given` says of networks into `properties`, as it is stored. Private endpoint connections stay as they
/// were: they have operations of their own.
///
/// # Errors
/// The place in the body that breaks a rule.
pub(crate) fn store(
    given: &Fields<'_>,
    former: Option<&Value>,
    properties: &mut Value,
) -> Result<(), Error> {
    let rules = read(given)?;
    let set_of = |place: &str| rules.sets.iter().find(|it| it.place == place);
    let filters = set_of(FILTERS).map_or(&[][..], |it| &it.rules);
    let filters: Vec<Value> = filters.iter().map(|it| show(it, ["Accept", "Reject"])).collect();
    set(properties, FILTERS, Value::Array(filters));
    let connections = former.and_then(|it| it.get(private_endpoints::PROPERTY)).cloned();
    set(properties, private_endpoints::PROPERTY, connections.unwrap_or_else(|| json!([])));
    if let Some(access) = given.word("publicNetworkAccess", &ACCESS)? {
        set(properties, "publicNetworkAccess", json!(access));
    }
    if let Some(it) = set_of(RULE_SETS) {
        let all: Vec<Value> = it.rules.iter().map(|it| show(it, ["Allow", "Deny"])).collect();
        let otherwise = if it.otherwise == IpAction::Accept { "Allow" } else { "Deny" };
        let sets = json!({
            "defaultAction": otherwise,
            "applyToBuiltInEventHubEndpoint": it.guards_events,
            "ipRules": all,
        });
        set(properties, "networkRuleSets", sets);
    }
    Ok(())
}

/// What the gates decide by, from properties as they are stored.
///
/// # Errors
/// Says what cannot be read.
pub(crate) fn facts_of(resource: &Value) -> Result<NetworkRules, String> {
    let read = |resource| match Fields::of(resource)?.object("properties")? {
        Some(properties) => read(&properties),
        None => Ok(NetworkRules::default()),
    };
    read(resource).map_err(|it: Error| it.to_string())
}

/// Properties without all that the gates do not decide by.
pub(crate) fn alone(properties: &Value) -> Value {
    let names = [
        "publicNetworkAccess",
        FILTERS,
        "networkRuleSets",
        "networkAcls",
        private_endpoints::PROPERTY,
    ];
    let kept = names.iter().filter_map(|it| Some(((*it).to_owned(), properties.get(it)?.clone())));
    Value::Object(kept.collect())
}

const ACCESS: [&str; 2] = ["Enabled", "Disabled"];
const FILTERS: &str = "ipFilterRules";
const RULE_SETS: &str = "networkRuleSets.ipRules";

fn read(given: &Fields<'_>) -> Result<NetworkRules, Error> {
    let mut sets = Vec::new();
    let filters = read_rules(given, FILTERS, &["Accept", "Reject"])?;
    if !filters.is_empty() {
        // Who is named by no rule comes in, and nobody is kept from the built-in endpoint.
        let otherwise = IpAction::Accept;
        sets.push(RuleSet { place: FILTERS, rules: filters, otherwise, guards_events: false });
    }
    if let Some(given) = given.object("networkRuleSets")? {
        sets.push(RuleSet {
            place: RULE_SETS,
            rules: read_rules(&given, "ipRules", &["Allow"])?,
            otherwise: match given.word("defaultAction", &["Deny", "Allow"])? {
                Some("Allow") => IpAction::Accept,
                Some(_) | None => IpAction::Reject,
            },
            guards_events: given.bool("applyToBuiltInEventHubEndpoint")?.unwrap_or(false),
        });
    }
    Ok(NetworkRules {
        is_private: given.word("publicNetworkAccess", &ACCESS)? == Some("Disabled"),
        sets,
        has_private_endpoint: private_endpoints::is_any_approved(given.value()),
        // What hubs and provisioning services are reached by without an address does not ask their rules.
        trusts_services: false,
    })
}

/// The rules of a list, each with its place where it is refused.
fn read_rules(
    given: &Fields<'_>,
    list: &str,
    actions: &[&'static str],
) -> Result<Vec<IpRule>, Error> {
    let mut rules: Vec<IpRule> = Vec::new();
    for it in given.objects(list, IP_RULES_MAX)?.unwrap_or_default() {
        let name = it.text("filterName")?.filter(|name| is_name(name)).ok_or_else(|| {
            let because = format!("expected 1 to {NAME_CHARACTERS_MAX} letters, digits and - : . + % _ # * ? ! ( ) , = @ ; '");
            it.refuse("filterName", because)
        })?;
        if rules.iter().any(|its| its.name.eq_ignore_ascii_case(name)) {
            return Err(it.refuse("filterName", "a rule of this name stands in the list already"));
        }
        // Where there is but one word it need not be said.
        let only = actions.first().copied().filter(|_| actions.len() == 1);
        let Some(action) = it.word("action", actions)?.or(only) else {
            return Err(it.refuse("action", format!("required: {}", actions.join(" or "))));
        };
        let (mask, network) = read_mask(&it, "ipMask")?;
        rules.push(IpRule {
            name: name.to_owned(),
            mask: mask.to_owned(),
            network,
            action: if action == "Reject" { IpAction::Reject } else { IpAction::Accept },
            part: match it.word("target", &["all", "serviceApi", "deviceApi"])? {
                Some("serviceApi") => Some(Part::Service),
                Some("deviceApi") => Some(Part::Devices),
                Some(_) | None => None,
            },
        });
    }
    Ok(rules)
}

/// A network and how it was written.
pub(crate) fn read_mask<'a>(given: &Fields<'a>, name: &str) -> Result<(&'a str, Network), Error> {
    let mask = given.text(name)?.unwrap_or("");
    match Network::parse(mask) {
        Ok(network) => Ok((mask, network)),
        Err(because) => Err(given.refuse(name, because.to_string())),
    }
}

fn is_name(text: &str) -> bool {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-:.+%_#*?!(),=@;'".contains(&it);
    (1..=NAME_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// A rule as it is stored; its action in the words of its list.
pub(crate) fn show(rule: &IpRule, [accept, reject]: [&str; 2]) -> Value {
    let action = if rule.action == IpAction::Accept { accept } else { reject };
    let mut shown = json!({ "filterName": rule.name, "action": action, "ipMask": rule.mask });
    let target = match rule.part {
        None | Some(Part::Events) => None,
        Some(Part::Service) => Some("serviceApi"),
        Some(Part::Devices) => Some("deviceApi"),
    };
    if let Some(target) = target {
        set(&mut shown, "target", json!(target));
    }
    shown
}
