//! What the body of a security policy, or of a hub's security settings, may say: each member in its range, and none
//! that is not known.

use crate::resources::fields::Fields;
use model::Error;
use model::principal::AuthType;
use model::security::{
    OperationClass, SecurityAction, SecurityMember, SecurityPolicy, TlsVersion, WrittenNetwork,
};
use serde_json::Value;

/// Most ranges of addresses of a policy.
const NETWORKS_MAX: usize = 100;
/// Longest life of a key that a policy can ask for, in days.
const KEY_AGE_DAYS_MAX: i64 = 3_650;
/// Most messages in a minute that a policy can speak of.
const MESSAGES_PER_MINUTE_MAX: i64 = 1_000_000;

/// What a resource has beside its `properties`. It comes back with what was read, and changes nothing.
const OF_RESOURCE: [&str; 5] = ["properties", "id", "name", "type", "etag"];

/// What stands below `properties`, and it alone.
///
/// # Errors
/// The member that is not known, or that `properties` is missing.
pub(super) fn properties(body: &Value) -> Result<Fields<'_>, Error> {
    let fields = Fields::of(body)?;
    fields.only(&OF_RESOURCE)?;
    fields.object("properties")?.ok_or_else(|| fields.refuse("properties", "required"))
}

pub(super) fn policy(body: &Value) -> Result<SecurityPolicy, Error> {
    members(&properties(body)?)
}

/// The members of a policy. What is absent limits nothing.
pub(super) fn members(fields: &Fields<'_>) -> Result<SecurityPolicy, Error> {
    let mut known = SecurityMember::ALL.map(SecurityMember::as_str).to_vec();
    known.push("action");
    fields.only(&known)?;
    let auth = [AuthType::Sas, AuthType::X509].map(|it| (it.as_str(), it));
    let classes = OperationClass::ALL.map(|it| (it.as_str(), it));
    let versions = TlsVersion::ALL.map(TlsVersion::as_str);
    let tls = fields.word("minimumTlsVersion", &versions)?;
    Ok(SecurityPolicy {
        allowed_authentication: some_of(fields, "allowedAuthentication", &auth)?,
        max_key_age_days: number(fields, "maxKeyAgeDays", KEY_AGE_DAYS_MAX)?,
        minimum_tls_version: TlsVersion::ALL.into_iter().find(|it| Some(it.as_str()) == tls),
        allowed_networks: networks(fields)?,
        allowed_operations: some_of(fields, "allowedOperations", &classes)?,
        max_messages_per_minute: number(fields, "maxMessagesPerMinute", MESSAGES_PER_MINUTE_MAX)?,
        action: action(fields, "action")?,
    })
}

pub(super) fn action(fields: &Fields<'_>, name: &str) -> Result<Option<SecurityAction>, Error> {
    let word = fields.word(name, &SecurityAction::ALL.map(SecurityAction::as_str))?;
    Ok(SecurityAction::ALL.into_iter().find(|it| Some(it.as_str()) == word))
}

fn number(fields: &Fields<'_>, name: &str, most: i64) -> Result<Option<u32>, Error> {
    Ok(fields.integer(name, 1..=most)?.and_then(|it| u32::try_from(it).ok()))
}

/// The texts of a list, each with its place. An empty list would shut the device out, which is a matter of its status.
fn texts<'a>(
    fields: &Fields<'a>,
    name: &str,
    most: usize,
) -> Result<Option<Vec<(String, &'a str)>>, Error> {
    let Some(items) = fields.array(name, most)? else { return Ok(None) };
    if items.is_empty() {
        let because =
            "an empty list allows nothing; leave it out to allow all, or disable the device";
        return Err(fields.refuse(name, because));
    }
    let text = |(index, item): (usize, &'a Value)| {
        let at = format!("{name}[{index}]");
        let text = item.as_str().ok_or_else(|| fields.refuse(&at, "expected a text"))?;
        Ok((at, text))
    };
    items.iter().enumerate().map(text).collect::<Result<_, _>>().map(Some)
}

/// Some of a few words.
fn some_of<T: Copy>(
    fields: &Fields<'_>,
    name: &str,
    all: &[(&str, T)],
) -> Result<Option<Vec<T>>, Error> {
    let Some(given) = texts(fields, name, all.len())? else { return Ok(None) };
    let one = |(at, text): (String, &str)| {
        let found = all.iter().find(|(word, _)| word.eq_ignore_ascii_case(text));
        let words = || all.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        found
            .map(|(_, it)| *it)
            .ok_or_else(|| fields.refuse(&at, format!("expected one of {}", words())))
    };
    given.into_iter().map(one).collect::<Result<_, _>>().map(Some)
}

fn networks(fields: &Fields<'_>) -> Result<Option<Vec<WrittenNetwork>>, Error> {
    let Some(given) = texts(fields, "allowedNetworks", NETWORKS_MAX)? else { return Ok(None) };
    let one = |(at, text): (String, &str)| {
        WrittenNetwork::parse(text).map_err(|it| fields.refuse(&at, it.to_string()))
    };
    given.into_iter().map(one).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_policy_is_read_and_written_as_the_same_members() {
        let all = json!({
            "allowedAuthentication": ["sas", "x509"], "maxKeyAgeDays": 90, "minimumTlsVersion": "1.3",
            "allowedNetworks": ["10.0.0.0/8", "::1"], "allowedOperations": ["telemetry", "files"],
            "maxMessagesPerMinute": 60, "action": "audit",
        });
        let read = policy(&json!({ "properties": all })).unwrap();
        assert_eq!(serde_json::to_value(&read).unwrap(), all);
        assert_eq!(serde_json::from_value::<SecurityPolicy>(all).unwrap(), read);
        assert_eq!(policy(&json!({ "properties": {} })).unwrap(), SecurityPolicy::default());
    }

    #[test]
    fn one_past_each_limit_is_refused_with_its_place() {
        let check = |properties: Value, expected: &str| {
            let refusal = policy(&json!({ "properties": properties })).unwrap_err();
            let Error::Invalid { at: Some(at), .. } = &refusal else { panic!("{refusal:?}") };
            assert_eq!(at, &format!("properties.{expected}"), "{refusal}");
        };
        check(json!({ "maxKeyAgeDays": 0 }), "maxKeyAgeDays");
        check(json!({ "maxKeyAgeDays": 3_651 }), "maxKeyAgeDays");
        check(json!({ "maxKeyAge": 90 }), "maxKeyAge");
        check(json!({ "minimumTlsVersion": "1.1" }), "minimumTlsVersion");
        check(json!({ "minimumTlsVersion": 1.2 }), "minimumTlsVersion");
        check(json!({ "allowedAuthentication": [] }), "allowedAuthentication");
        check(json!({ "allowedAuthentication": ["sas", "entra"] }), "allowedAuthentication[1]");
        check(json!({ "allowedNetworks": ["10.0.0.0/8", "10.0.0.0/33"] }), "allowedNetworks[1]");
        check(json!({ "allowedNetworks": vec!["10.0.0.0/8"; 101] }), "allowedNetworks");
        check(json!({ "allowedOperations": ["telemetry", 1] }), "allowedOperations[1]");
        check(json!({ "maxMessagesPerMinute": 1_000_001 }), "maxMessagesPerMinute");
        check(json!({ "action": "deny" }), "action");
        let most = json!({ "maxKeyAgeDays": 3_650, "allowedNetworks": vec!["10.0.0.0/8"; 100],
            "maxMessagesPerMinute": 1_000_000 });
        assert!(policy(&json!({ "properties": most })).is_ok());
        for wrong in [json!({}), json!([]), json!({ "properties": {}, "tags": {} })] {
            assert!(policy(&wrong).is_err(), "{wrong}");
        }
    }
}
