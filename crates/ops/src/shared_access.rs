//! Shared access policies: names, rights and keys that open a hub or a provisioning service without a
//! directory.
//!
//! What a body may say of them and how they are kept is the same for both; which rights there are and
//! which policies a new one has is the caller's. Nothing here answers a call: keys leave the server
//! through the operations named `listkeys` alone. Source: Azure documentation, "Control access to IoT
//! Hub by using shared access signatures".

use crate::env::Env;
use crate::resources::fields::Fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::SasPolicy;
use model::operations::Right;
use model::{Error, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::ops::RangeInclusive;

/// Most shared access policies of a hub or a provisioning service.
const POLICIES_MAX: usize = 30;
/// Longest name of a shared access policy.
const KEY_NAME_CHARACTERS_MAX: usize = 64;
/// Shortest and longest key, decoded.
pub(crate) const KEY_BYTES: RangeInclusive<usize> = 16..=64;
/// Length of the keys that we make.
const OWN_KEY_BYTES: usize = 32;

/// A shared access policy as it is kept. It holds keys: no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyDocument {
    pub(crate) key_name: String,
    pub(crate) rights: Vec<Right>,
    /// Base64.
    pub(crate) primary_key: String,
    /// Base64.
    pub(crate) secondary_key: String,
}

/// New policies of these names and rights, each with two new keys.
pub(crate) fn made(
    policies: &[(&str, &[Right])],
    new_key: &dyn Fn() -> String,
) -> Vec<PolicyDocument> {
    let policies = policies.iter().map(|(name, rights)| PolicyDocument {
        key_name: (*name).to_owned(),
        rights: rights.to_vec(),
        primary_key: new_key(),
        secondary_key: new_key(),
    });
    policies.collect()
}

/// A new random key in base64.
pub(crate) fn new_key(env: &Env) -> String {
    STANDARD.encode(env.random::<OWN_KEY_BYTES>())
}

/// The policies that the body of a resource asks for, see [`read`].
///
/// # Errors
/// As [`read`].
pub(crate) fn given(
    body: &Value,
    known: &[Right],
    stored: &[PolicyDocument],
    env: &Env,
) -> Result<Option<Vec<PolicyDocument>>, Error> {
    match Fields::of(body)?.object("properties")? {
        Some(properties) => read(&properties, known, stored, &|| new_key(env)),
        None => Ok(None),
    }
}

/// The policies that properties ask for; `None` where they say nothing about them.
///
/// `known` are the rights that such a service has. A policy without keys keeps those it has, or gets new
/// ones. Where one of two keys is left out, that one is made anew: so `az iot hub policy renew-key` asks
/// for it.
///
/// # Errors
/// Says which policy breaks which rule, and never repeats a key.
fn read(
    properties: &Fields<'_>,
    known: &[Right],
    stored: &[PolicyDocument],
    new_key: &dyn Fn() -> String,
) -> Result<Option<Vec<PolicyDocument>>, Error> {
    let Some(given) = properties.objects("authorizationPolicies", POLICIES_MAX)? else {
        return Ok(None);
    };
    let mut policies: Vec<PolicyDocument> = Vec::new();
    for fields in &given {
        let name = read_name(fields)?;
        if policies.iter().any(|it| it.key_name.eq_ignore_ascii_case(name)) {
            return Err(
                fields.refuse("keyName", "a policy of this name stands in the list already")
            );
        }
        let text = fields.text("rights")?.unwrap_or("");
        let rights = Right::parse_list(text, known).ok_or_else(|| {
            let words = Right::join(known);
            fields.refuse("rights", format!("expected a list, with commas, of some of {words}"))
        })?;
        let former = stored.iter().find(|it| it.key_name.eq_ignore_ascii_case(name));
        let (primary_key, secondary_key) =
            match (read_key(fields, "primaryKey")?, read_key(fields, "secondaryKey")?, former) {
                (None, None, Some(former)) => {
                    (former.primary_key.clone(), former.secondary_key.clone())
                }
                (primary, secondary, _) => {
                    (primary.unwrap_or_else(new_key), secondary.unwrap_or_else(new_key))
                }
            };
        policies.push(PolicyDocument {
            key_name: name.to_owned(),
            rights,
            primary_key,
            secondary_key,
        });
    }
    Ok(Some(policies))
}

fn read_name<'a>(fields: &Fields<'a>) -> Result<&'a str, Error> {
    let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-_.".contains(&it);
    match fields.text("keyName")? {
        Some(name)
            if (1..=KEY_NAME_CHARACTERS_MAX).contains(&name.len()) && name.bytes().all(allowed) =>
        {
            Ok(name)
        }
        Some(_) | None => Err(fields.refuse(
            "keyName",
            format!("expected 1 to {KEY_NAME_CHARACTERS_MAX} letters, digits and - _ ."),
        )),
    }
}

fn read_key(fields: &Fields<'_>, name: &str) -> Result<Option<String>, Error> {
    let Some(text) = fields.text(name)? else { return Ok(None) };
    match STANDARD.decode(text) {
        Ok(bytes) if KEY_BYTES.contains(&bytes.len()) => Ok(Some(text.to_owned())),
        Ok(_) | Err(_) => {
            let (least, most) = (KEY_BYTES.start(), KEY_BYTES.end());
            Err(fields.refuse(name, format!("expected {least} to {most} bytes in base64")))
        }
    }
}

/// The policies as gates decide by them.
///
/// # Errors
/// Names the policy whose key is not base64; the key itself is not repeated.
pub(crate) fn facts_of(policies: &[PolicyDocument]) -> Result<Vec<SasPolicy>, String> {
    let decode = |policy: &PolicyDocument, key: &str| {
        STANDARD
            .decode(key)
            .map(Secret::new)
            .map_err(|_| format!("a key of the policy `{}` is not base64", policy.key_name))
    };
    let all = policies.iter().map(|it| {
        Ok(SasPolicy {
            name: it.key_name.clone(),
            rights: it.rights.clone(),
            primary: decode(it, &it.primary_key)?,
            secondary: decode(it, &it.secondary_key)?,
        })
    });
    all.collect()
}

/// The policy of a name, in any casing.
pub(crate) fn named<'a>(policies: &'a [PolicyDocument], name: &str) -> Option<&'a PolicyDocument> {
    policies.iter().find(|it| it.key_name.eq_ignore_ascii_case(name))
}

/// The sentence where `owner`, a hub or a provisioning service, has no policy of this name.
pub(crate) fn no_policy(owner: &str, name: &str) -> String {
    let name = name.chars().take(80).collect::<String>();
    format!("the {owner} has no shared access policy `{}`", name.escape_debug())
}

/// A policy with its keys, as an answer shows it.
pub(crate) fn show(policy: &PolicyDocument) -> Value {
    json!({
        "keyName": policy.key_name,
        "primaryKey": policy.primary_key,
        "secondaryKey": policy.secondary_key,
        "rights": Right::join(&policy.rights),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
    const OTHER: &str = "BBBBBBBBBBBBBBBBBBBBBA==";

    /// Reads a list of policies beside one that is stored with the keys `old1` and `old2`.
    fn check(policies: Value) -> Result<Option<Vec<PolicyDocument>>, Error> {
        let stored = PolicyDocument {
            key_name: "service".into(),
            rights: vec![Right::ServiceConnect],
            primary_key: "old1".into(),
            secondary_key: "old2".into(),
        };
        let count = Cell::new(0);
        let new_key = || {
            count.set(count.get() + 1);
            format!("new{}", count.get())
        };
        let body = json!({ "authorizationPolicies": policies });
        read(&Fields::of(&body).unwrap(), Right::HUB, &[stored], &new_key)
    }

    fn keys(policies: Value) -> Vec<(String, String)> {
        let read = check(policies).unwrap_or_else(|it| panic!("{it}")).unwrap();
        read.into_iter().map(|it| (it.primary_key, it.secondary_key)).collect()
    }

    fn place(policies: Value) -> String {
        match check(policies) {
            Err(Error::Invalid { at: Some(at), message, .. }) => {
                assert!(!message.contains(KEY), "{message}");
                at
            }
            _ => panic!("was taken"),
        }
    }

    #[test]
    fn a_policy_without_keys_keeps_them_or_gets_new_ones() {
        let rights = "ServiceConnect";
        let pair = |a: &str, b: &str| vec![(a.to_owned(), b.to_owned())];
        assert!(check(Value::Null).unwrap().is_none());
        assert_eq!(keys(json!([])), []);
        assert_eq!(keys(json!([{ "keyName": "Service", "rights": rights }])), pair("old1", "old2"));
        assert_eq!(
            keys(json!([{ "keyName": "service2", "rights": rights }])),
            pair("new1", "new2")
        );
        assert_eq!(
            keys(
                json!([{ "keyName": "service", "rights": rights, "primaryKey": KEY, "secondaryKey": OTHER }])
            ),
            pair(KEY, OTHER)
        );
    }

    #[test]
    fn one_key_of_two_left_out_is_made_anew() {
        let rights = "ServiceConnect";
        assert_eq!(
            keys(json!([{ "keyName": "service", "rights": rights, "secondaryKey": KEY }])),
            [("new1".to_owned(), KEY.to_owned())]
        );
        assert_eq!(
            keys(
                json!([{ "keyName": "service", "rights": rights, "primaryKey": KEY, "secondaryKey": null }])
            ),
            [(KEY.to_owned(), "new1".to_owned())]
        );
    }

    #[test]
    fn what_is_wrong_with_a_policy_is_said_with_its_place() {
        let rights = "RegistryRead";
        let encoded = |bytes: usize| STANDARD.encode(vec![0_u8; bytes]);
        let with_key =
            |key: String| json!([{ "keyName": "a", "rights": rights, "primaryKey": key }]);
        assert_eq!(place(json!({})), "authorizationPolicies");
        assert_eq!(place(json!(["a"])), "authorizationPolicies[0]");
        assert_eq!(place(json!([{ "rights": rights }])), "authorizationPolicies[0].keyName");
        for name in ["", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert_eq!(
                place(json!([{ "keyName": name, "rights": rights }])),
                "authorizationPolicies[0].keyName"
            );
        }
        for rights in [json!(""), json!("Everything"), json!(["RegistryRead"]), Value::Null] {
            assert_eq!(
                place(json!([{ "keyName": "a", "rights": rights }])),
                "authorizationPolicies[0].rights"
            );
        }
        for key in [encoded(15), encoded(65), "not base64".to_owned(), String::new()] {
            assert_eq!(place(with_key(key)), "authorizationPolicies[0].primaryKey");
        }
        for key in [encoded(16), encoded(64)] {
            assert!(check(with_key(key)).is_ok());
        }
        let twice =
            json!([{ "keyName": "a", "rights": rights }, { "keyName": "A", "rights": rights }]);
        assert_eq!(place(twice), "authorizationPolicies[1].keyName");
    }

    #[test]
    fn there_are_at_most_thirty_policies() {
        let many = |count: usize| {
            let all = (0..count)
                .map(|it| json!({ "keyName": format!("p{it}"), "rights": "DeviceConnect" }));
            Value::Array(all.collect())
        };
        assert_eq!(keys(many(POLICIES_MAX)).len(), POLICIES_MAX);
        assert_eq!(place(many(POLICIES_MAX + 1)), "authorizationPolicies");
    }

    #[test]
    fn a_right_counts_only_where_it_is_known() {
        let body = |rights: &str| json!({ "authorizationPolicies": [{ "keyName": "a", "rights": rights }] });
        let check = |rights: &str, known: &[Right], is_taken: bool| {
            let body = body(rights);
            let read = read(&Fields::of(&body).unwrap(), known, &[], &|| KEY.to_owned());
            assert_eq!(read.is_ok(), is_taken, "{rights}");
        };
        check("EnrollmentWrite,ServiceConfig", Right::DPS, true);
        check("EnrollmentWrite", Right::HUB, false);
        check("RegistryWrite", Right::DPS, false);
        check("DeviceConnect", Right::DPS, true);
    }
}
