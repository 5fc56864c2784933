//! What a body may say of a conditional access policy, read into what the gates judge by.

use crate::entra::{Object, properties, shown};
use gate::conditional_access::{
    AccessPolicy, Chosen, ClientType, Control, Grant, Method, Pick, Places, State,
};
use model::{Error, ObjectId};
use serde_json::{Value, json};

/// Most entries of a list.
const LIST_MAX: usize = 1_000;

/// Built-in authentication strengths. All of them want two factors, or one that nobody has here.
/// Source: Microsoft Entra, "Conditional Access authentication strength".
const STRENGTHS: [(&str, &str); 3] = [
    ("00000000-0000-0000-0000-000000000002", "Multifactor authentication"),
    ("00000000-0000-0000-0000-000000000003", "Passwordless MFA"),
    ("00000000-0000-0000-0000-000000000004", "Phishing-resistant MFA"),
];
/// Controls that are known, and that nothing shown here fulfils.
const UNFULFILLED: [&str; 6] = [
    "mfa",
    "compliantDevice",
    "domainJoinedDevice",
    "approvedApplication",
    "compliantApplication",
    "passwordChange",
];

/// Every member of a policy. Source: Microsoft Graph, "conditionalAccessPolicy resource type".
pub(super) fn defaults() -> Object {
    properties::object(json!({
        "displayName": null,
        "state": null,
        "conditions": {
            "applications": { "includeApplications": [], "excludeApplications": [], "includeUserActions": [] },
            "users": {
                "includeUsers": [], "excludeUsers": [], "includeGroups": [], "excludeGroups": [],
                "includeRoles": [], "excludeRoles": [],
            },
            "clientApplications": null,
            "clientAppTypes": ["all"],
            "locations": null,
            "platforms": null,
            "devices": null,
            "signInRiskLevels": [],
            "userRiskLevels": [],
            "servicePrincipalRiskLevels": [],
        },
        "grantControls": null,
        "sessionControls": null,
    }))
}

/// Reads a whole policy.
///
/// # Errors
/// [`Error::Invalid`], with the place in the policy.
pub(super) fn read(id: ObjectId, body: &Value) -> Result<AccessPolicy, Error> {
    let name = model::json::text(body, &["displayName"])
        .ok_or_else(|| Error::invalid("displayName", "this text is required"))?;
    let state = match model::json::text(body, &["state"]) {
        Some("enabled") => State::Enabled,
        Some("disabled") => State::Disabled,
        Some("enabledForReportingButNotEnforced") => State::ReportOnly,
        Some(_) | None => {
            let sentence = "this is `enabled`, `disabled` or `enabledForReportingButNotEnforced`";
            return Err(Error::invalid("state", sentence));
        }
    };
    let conditions = part(body, "conditions");
    only(
        conditions,
        "conditions",
        &["applications", "users", "clientApplications", "clientAppTypes", "locations"],
    )?;
    only(part(body, "sessionControls"), "sessionControls", &[])?;
    let (users, groups) = people(part(conditions, "users"))?;
    let clients = clients(part(conditions, "clientApplications"))?;
    let is_about_nobody = |it: &Pick| !it.include.is_all && it.include.ids.is_empty();
    if [&users, &groups, &clients].into_iter().all(is_about_nobody) {
        let sentence = "whom the policy is about is required: users, groups, or service principals in `clientApplications`";
        return Err(Error::invalid("conditions.users", sentence));
    }
    let at = "conditions.applications";
    let told = part(conditions, "applications");
    only(told, at, &["includeApplications", "excludeApplications"])?;
    let applications = Pick {
        include: chosen(told, at, "includeApplications", &["All"])?,
        exclude: chosen(told, at, "excludeApplications", &[])?,
    };
    Ok(AccessPolicy {
        id,
        name: name.to_owned(),
        state,
        users,
        groups,
        clients,
        applications,
        locations: places(part(conditions, "locations"))?,
        client_types: client_types(conditions)?,
        grant: grant(part(body, "grantControls"))?,
    })
}

fn part<'a>(of: &'a Value, name: &str) -> &'a Value {
    model::json::member(of, name).unwrap_or(&Value::Null)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.iter().all(|(name, it)| name.starts_with('@') || is_empty(it)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// Refuses what is said beyond the members that are known.
fn only(of: &Value, at: &str, known: &[&str]) -> Result<(), Error> {
    match of {
        Value::Null => Ok(()),
        Value::Object(all) => {
            let is_unknown = |(name, it): &(&String, &Value)| {
                !known.contains(&name.as_str()) && !name.starts_with('@') && !is_empty(it)
            };
            match all.iter().find(is_unknown) {
                None => Ok(()),
                Some((name, _)) => Err(Error::invalid(
                    format!("{at}.{name}"),
                    "this server cannot look at it, and a policy without it would be another one; leave it out",
                )),
            }
        }
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(Error::invalid(at, "this is a JSON object"))
        }
    }
}

fn texts<'a>(of: &'a Value, at: &str, name: &str) -> Result<Vec<&'a str>, Error> {
    let refused = || {
        Error::invalid(
            format!("{at}.{name}"),
            format!("this is a list of at most {LIST_MAX} texts"),
        )
    };
    match part(of, name) {
        Value::Null => Ok(Vec::new()),
        Value::Array(all) if all.len() <= LIST_MAX => {
            all.iter().map(|it| it.as_str().ok_or_else(refused)).collect()
        }
        Value::Bool(_)
        | Value::Number(_)
        | Value::String(_)
        | Value::Array(_)
        | Value::Object(_) => Err(refused()),
    }
}

/// Ids, or one of the words for all; `None` names nobody.
fn chosen(of: &Value, at: &str, name: &str, all_words: &[&str]) -> Result<Chosen, Error> {
    let mut found = Chosen::default();
    for text in texts(of, at, name)? {
        match ObjectId::parse(text) {
            Some(id) => {
                found.ids.insert(id);
            }
            None if all_words.contains(&text) => found.is_all = true,
            None if text == "None" => {}
            None => {
                let sentence = format!(
                    "`{}` is neither an id{}",
                    shown(text),
                    match all_words {
                        [] => String::new(),
                        words => format!(", nor `{}` or `None`", words.join("`, `")),
                    }
                );
                return Err(Error::invalid(format!("{at}.{name}"), sentence));
            }
        }
    }
    Ok(found)
}

fn people(of: &Value) -> Result<(Pick, Pick), Error> {
    let at = "conditions.users";
    only(of, at, &["includeUsers", "excludeUsers", "includeGroups", "excludeGroups"])?;
    let users = Pick {
        include: chosen(of, at, "includeUsers", &["All"])?,
        exclude: chosen(of, at, "excludeUsers", &[])?,
    };
    let groups = Pick {
        include: chosen(of, at, "includeGroups", &[])?,
        exclude: chosen(of, at, "excludeGroups", &[])?,
    };
    Ok((users, groups))
}

fn clients(of: &Value) -> Result<Pick, Error> {
    let at = "conditions.clientApplications";
    only(of, at, &["includeServicePrincipals", "excludeServicePrincipals"])?;
    Ok(Pick {
        include: chosen(of, at, "includeServicePrincipals", &["ServicePrincipalsInMyTenant"])?,
        exclude: chosen(of, at, "excludeServicePrincipals", &[])?,
    })
}

fn places(of: &Value) -> Result<Option<Places>, Error> {
    if is_empty(of) {
        return Ok(None);
    }
    let at = "conditions.locations";
    only(of, at, &["includeLocations", "excludeLocations"])?;
    // Which is which is told by a word of their own.
    let has_trusted = |name| Ok::<_, Error>(texts(of, at, name)?.contains(&"AllTrusted"));
    let without = |name, words: &[&str]| {
        let ids: Vec<&str> =
            texts(of, at, name)?.into_iter().filter(|it| *it != "AllTrusted").collect();
        chosen(&json!({ name: ids }), at, name, words)
    };
    Ok(Some(Places {
        include: without("includeLocations", &["All"])?,
        exclude: without("excludeLocations", &[])?,
        includes_trusted: has_trusted("includeLocations")?,
        excludes_trusted: has_trusted("excludeLocations")?,
    }))
}

fn client_types(conditions: &Value) -> Result<Vec<ClientType>, Error> {
    let mut found = Vec::new();
    for text in texts(conditions, "conditions", "clientAppTypes")? {
        found.push(match text {
            "all" => return Ok(Vec::new()),
            "browser" => ClientType::Browser,
            "mobileAppsAndDesktopClients" => ClientType::MobileAppsAndDesktopClients,
            "exchangeActiveSync" | "easSupported" | "other" => ClientType::Other,
            _ => {
                let sentence = "these are `all`, `browser`, `mobileAppsAndDesktopClients`, `exchangeActiveSync`, \
                                `easSupported` and `other`";
                return Err(Error::invalid("conditions.clientAppTypes", sentence));
            }
        });
    }
    Ok(found)
}

fn grant(of: &Value) -> Result<Grant, Error> {
    let at = "grantControls";
    only(of, at, &["operator", "builtInControls", "authenticationStrength"])?;
    let is_any = match model::json::text(of, &["operator"]) {
        Some("OR") => true,
        Some("AND") => false,
        Some(_) | None => {
            return Err(Error::invalid("grantControls.operator", "this is `AND` or `OR`"));
        }
    };
    let mut controls = Vec::new();
    for text in texts(of, at, "builtInControls")? {
        controls.push(match text {
            "block" => Control::Block,
            it if UNFULFILLED.contains(&it) => Control::Unknown(it.to_owned()),
            _ => {
                let sentence = format!(
                    "these are `block`, and `{}`, which nobody fulfils here",
                    UNFULFILLED.join("`, `")
                );
                return Err(Error::invalid("grantControls.builtInControls", sentence));
            }
        });
    }
    let strength = part(of, "authenticationStrength");
    if !is_empty(strength) {
        controls.push(self::strength(strength)?);
    }
    if controls.is_empty() || (controls.contains(&Control::Block) && controls.len() > 1) {
        let sentence = "this is `block` alone, or what is demanded: controls, an authentication strength, or both";
        return Err(Error::invalid("grantControls.builtInControls", sentence));
    }
    Ok(Grant { is_any, controls })
}

/// A built-in strength by its id, or one that lists its combinations in the policy itself: strengths of one's own are no
/// objects here.
fn strength(of: &Value) -> Result<Control, Error> {
    let at = "grantControls.authenticationStrength";
    let combinations = texts(of, at, "allowedCombinations")?;
    let id = model::json::text(of, &["id"]);
    let built_in = STRENGTHS.iter().find(|(its, _)| id == Some(*its));
    match (built_in, combinations.as_slice()) {
        (Some((_, name)), []) => {
            Ok(Control::Strength { name: (*name).to_owned(), methods: Vec::new() })
        }
        (None, [_, ..]) if id.is_none() => {
            let all = [Method::Password, Method::Certificate, Method::Federated];
            let methods =
                all.into_iter().filter(|it| combinations.contains(&it.as_str())).collect();
            Ok(Control::Strength { name: combinations.join(" or "), methods })
        }
        _ => {
            let sentence = "this has the `id` of a built-in strength, or `allowedCombinations` such as \
                            `x509CertificateSingleFactor` and `federatedSingleFactor`";
            Err(Error::invalid(at, sentence))
        }
    }
}
