//! Network rules of targets: of namespaces at an address of their own (`networkRuleSets/default`), of storage accounts
//! among their properties (`networkAcls`).
//!
//! They are read by one function whenever they are written and whenever facts are made of them. What nobody could
//! enforce here is refused: virtual networks, access by resource.

use super::TargetDocument;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::network::{IP_RULES_MAX, read_mask};
use crate::resources::fields::Fields;
use gate::Permit;
use gate::network::{IpAction, IpRule, NetworkRules, RuleSet};
use model::Error;
use model::json::set;
use serde_json::{Value, json};

const ACCESS: [&str; 2] = ["Enabled", "Disabled"];

/// Whose words a rule set has.
#[derive(Clone, Copy)]
pub(super) enum Words {
    OfNamespace,
    OfAccount,
}

impl Words {
    /// What a rule calls its network.
    const fn mask(self) -> &'static str {
        match self {
            Self::OfNamespace => "ipMask",
            Self::OfAccount => "value",
        }
    }
}

/// What a rule set says beside public access, as it is stored, and what the gates decide by.
pub(super) struct Read {
    pub(super) shown: Value,
    pub(super) rules: NetworkRules,
}

/// # Errors
/// The place in the body that breaks a rule.
pub(super) fn read(given: &Fields<'_>, words: Words) -> Result<Read, Error> {
    let mask = words.mask();
    for unknown in ["virtualNetworkRules", "resourceAccessRules", "ipv6Rules"] {
        if given.array(unknown, IP_RULES_MAX)?.is_some_and(|it| !it.is_empty()) {
            let because = "nobody could enforce it here, so it is refused and not ignored; name addresses in `ipRules`";
            return Err(given.refuse(unknown, because));
        }
    }
    let mut rules = Vec::new();
    for it in given.objects("ipRules", IP_RULES_MAX)?.unwrap_or_default() {
        it.word("action", &["Allow"])?;
        let (text, network) = read_mask(&it, mask)?;
        let part = None;
        rules.push(IpRule {
            name: text.to_owned(),
            mask: text.to_owned(),
            network,
            action: IpAction::Accept,
            part,
        });
    }
    let otherwise = match given.word("defaultAction", &["Allow", "Deny"])? {
        Some("Deny") => IpAction::Reject,
        None if !rules.is_empty() => IpAction::Reject,
        Some(_) | None => IpAction::Accept,
    };
    let shown: Vec<Value> =
        rules.iter().map(|it| json!({ mask: it.mask, "action": "Allow" })).collect();
    let mut shown = json!({
        "defaultAction": if otherwise == IpAction::Accept { "Allow" } else { "Deny" },
        "ipRules": shown,
        "virtualNetworkRules": [],
    });
    let trusts_services = match words {
        Words::OfNamespace => {
            let trusts = given.bool("trustedServiceAccessEnabled")?.unwrap_or(false);
            set(&mut shown, "trustedServiceAccessEnabled", json!(trusts));
            trusts
        }
        Words::OfAccount => {
            let bypass = read_bypass(given)?;
            set(&mut shown, "bypass", json!(bypass.join(", ")));
            set(&mut shown, "resourceAccessRules", json!([]));
            bypass.contains(&TRUSTED)
        }
    };
    let set = RuleSet { place: "ipRules", rules, otherwise, guards_events: true };
    let sets = if set.otherwise == IpAction::Accept { Vec::new() } else { vec![set] };
    let rules = NetworkRules { sets, trusts_services, ..NetworkRules::default() };
    Ok(Read { shown, rules })
}

const TRUSTED: &str = "AzureServices";

fn read_bypass(given: &Fields<'_>) -> Result<Vec<&'static str>, Error> {
    let known = ["None", "Logging", "Metrics", TRUSTED];
    let text = given.text("bypass")?.unwrap_or(TRUSTED);
    let mut bypass = Vec::new();
    for word in text.split(',').map(str::trim) {
        let found = known.iter().find(|it| it.eq_ignore_ascii_case(word)).ok_or_else(|| {
            given.refuse(
                "bypass",
                format!("expected a list, with commas, of some of {}", known.join(", ")),
            )
        })?;
        bypass.push(*found);
    }
    Ok(bypass)
}

/// What the gates decide by, from a document as it is stored.
///
/// # Errors
/// Says what cannot be read.
pub(super) fn facts_of(document: &TargetDocument) -> Result<NetworkRules, String> {
    let nothing = json!({});
    let acls = model::json::at(&document.resource, &["properties", "networkAcls"]);
    let (given, words) = match (&document.network, acls) {
        (Some(it), _) => (it, Words::OfNamespace),
        (None, Some(it)) => (it, Words::OfAccount),
        (None, None) => (&nothing, Words::OfNamespace),
    };
    let read = Fields::of(given).and_then(|it| read(&it, words)).map_err(|it| it.to_string())?;
    let access = model::json::text(&document.resource, &["properties", "publicNetworkAccess"]);
    Ok(NetworkRules { is_private: access == Some("Disabled"), ..read.rules })
}

/// The rule set of a namespace, as ARM shows it.
fn show(document: &TargetDocument) -> Result<Value, Error> {
    let nothing = json!({});
    let given = document.network.as_ref().unwrap_or(&nothing);
    let mut properties = read(&Fields::of(given)?, Words::OfNamespace)?.shown;
    let text = |path: &[&str]| model::json::text(&document.resource, path).unwrap_or_default();
    set(
        &mut properties,
        "publicNetworkAccess",
        json!(text(&["properties", "publicNetworkAccess"])),
    );
    Ok(json!({
        "id": format!("{}/networkRuleSets/default", text(&["id"])),
        "name": "default",
        "type": format!("{}/networkRuleSets", text(&["type"])),
        "location": text(&["location"]),
        "properties": properties,
    }))
}

/// # Errors
/// `ResourceNotFound` for the namespace.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (document, _) = super::top(input, env).await?;
    Ok(Reply::ok(show(&document)?))
}

/// # Errors
/// As [`get`].
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (document, _) = super::top(input, env).await?;
    Ok(Reply::list(vec![show(&document)?]))
}

/// # Errors
/// As [`get`]; the place in the body that breaks a rule; [`Error::Stale`].
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (mut document, revision) = super::top(input, env).await?;
    let fields = Fields::of(&input.body)?;
    let nothing = json!({});
    let given = fields.object("properties")?.map_or_else(|| Fields::of(&nothing), Ok)?;
    document.network = Some(read(&given, Words::OfNamespace)?.shown);
    if let Some(access) = given.word("publicNetworkAccess", &ACCESS)?
        && let Some(properties) = document.resource.get_mut("properties")
    {
        set(properties, "publicNetworkAccess", json!(access));
    }
    super::save(permit, env, &document, Some(revision)).await?;
    Ok(Reply::ok(show(&document)?))
}
