//! Keys of targets: of authorization rules, and of storage accounts. They leave the server through the operations that
//! list or renew them alone, and policies never see them.

use super::TargetDocument;
use super::kinds::{Keyed, of};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::resources::fields::Fields;
use crate::resources::no_resource;
use crate::shared_access::{KEY_BYTES, new_key};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::SasPolicy;
use gate::{Facts, Permit};
use model::json::{at, text};
use model::operations::Right;
use model::{Error, Scope, Secret};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Length of a key of a storage account.
const ACCOUNT_KEY_BYTES: usize = 64;

/// Two keys in base64, either of which opens. No `Debug`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Keys {
    primary: String,
    secondary: String,
}

impl Keys {
    pub(super) fn made(keyed: Keyed, env: &Env) -> Option<Self> {
        let new = || new_of(keyed, env);
        (keyed != Keyed::No).then(|| Self { primary: new(), secondary: new() })
    }

    /// What the gates decide by, of the keys of a rule or an account.
    ///
    /// # Errors
    /// Says that one cannot be read, and repeats none.
    pub(super) fn facts_of(&self, resource: &Value) -> Result<SasPolicy, String> {
        let read = |key: &str| {
            let bytes = STANDARD.decode(key);
            bytes.map(Secret::new).map_err(|_| "a key is no base64".to_owned())
        };
        let rights = at(resource, &["properties", "rights"]).and_then(Value::as_array);
        let rights = rights.into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>();
        Ok(SasPolicy {
            name: text(resource, &["name"]).unwrap_or_default().to_owned(),
            rights: Right::parse_list(&rights.join(","), Right::NAMESPACE).unwrap_or_default(),
            primary: read(&self.primary)?,
            secondary: read(&self.secondary)?,
        })
    }
}

fn new_of(keyed: Keyed, env: &Env) -> String {
    match keyed {
        Keyed::Account => STANDARD.encode(env.random::<ACCOUNT_KEY_BYTES>()),
        Keyed::No | Keyed::Rule => new_key(env),
    }
}

/// The rights that a body asks for.
///
/// # Errors
/// What is no right, none at all, or managing without the rest.
pub(super) fn read_rights(given: &Fields<'_>) -> Result<Value, Error> {
    const KNOWN: [&str; 3] = ["Listen", "Send", "Manage"];
    let all = given.array("rights", KNOWN.len())?.unwrap_or(&[]);
    let is_given = |it: &&str| {
        all.iter().any(|its| its.as_str().is_some_and(|its| its.eq_ignore_ascii_case(it)))
    };
    let rights: Vec<&str> = KNOWN.iter().copied().filter(is_given).collect();
    match (rights.len(), rights.contains(&"Manage")) {
        (0, _) => Err(given.refuse("rights", "expected a list of some of Listen, Send, Manage")),
        (known, _) if known != all.len() => {
            Err(given
                .refuse("rights", "expected a list of some of Listen, Send, Manage, each once"))
        }
        (1 | 2, true) => Err(given.refuse("rights", "who may manage has to listen and send, too")),
        (_, _) => Ok(json!(rights)),
    }
}

/// The document whose keys are asked for, and its keys.
async fn keyed(permit: &Permit, env: &Env) -> Result<(TargetDocument, u64, Keys, Keyed), Error> {
    let scope = permit.scope();
    let (document, revision) =
        super::stored(env, scope).await?.ok_or_else(|| no_resource(scope))?;
    let kind = of(scope).map_or(Keyed::No, |it| it.keys);
    let keys = document.keys.clone().ok_or_else(|| no_resource(scope))?;
    Ok((document, revision, keys, kind))
}

fn show(
    document: &TargetDocument,
    keys: &Keys,
    keyed: Keyed,
    scope: &Scope,
    facts: &Facts,
) -> Value {
    let name = text(&document.resource, &["name"]).unwrap_or_default();
    if keyed == Keyed::Account {
        let created = text(&document.resource, &["properties", "creationTime"]);
        let one = |name: &str, value: &str| json!({ "keyName": name, "value": value, "permissions": "FULL", "creationTime": created });
        return json!({ "keys": [one("key1", &keys.primary), one("key2", &keys.secondary)] });
    }
    let id = text(&document.resource, &["id"]).unwrap_or_default();
    let mut places = id.split('/').skip_while(|it| !it.eq_ignore_ascii_case("namespaces")).skip(1);
    places.next();
    let entity = match (places.next(), places.next()) {
        (Some(kind), Some(entity)) if kind != "authorizationRules" => {
            format!(";EntityPath={entity}")
        }
        _ => String::new(),
    };
    let endpoint = match facts.target_around(scope) {
        Some(target) if !target.host.is_empty() => &target.host,
        Some(_) | None => super::NO_HOST,
    };
    let string = |key: &str| {
        format!(
            "Endpoint=sb://{endpoint}/;SharedAccessKeyName={name};SharedAccessKey={key}{entity}"
        )
    };
    json!({
        "primaryConnectionString": string(&keys.primary),
        "secondaryConnectionString": string(&keys.secondary),
        "primaryKey": keys.primary,
        "secondaryKey": keys.secondary,
        "keyName": name,
    })
}

/// `POST .../listKeys`.
///
/// # Errors
/// `ResourceNotFound`.
pub(crate) async fn list(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let (document, _, keys, kind) = keyed(permit, env).await?;
    Ok(Reply::ok(show(&document, &keys, kind, permit.scope(), &env.facts.load())))
}

/// `POST .../regenerateKeys` of a rule, `POST .../regenerateKey` of a storage account: one key anew, or, of a rule, as
/// the caller gives it. The former opens nothing from here on.
///
/// # Errors
/// `ResourceNotFound`; the place in the body that breaks a rule; [`Error::Stale`].
pub(crate) async fn regenerate(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (mut document, revision, mut keys, kind) = keyed(permit, env).await?;
    let fields = Fields::of(&input.body)?;
    let (name, words) = match kind {
        Keyed::Account => ("keyName", ["key1", "key2"]),
        Keyed::No | Keyed::Rule => ("keyType", ["PrimaryKey", "SecondaryKey"]),
    };
    let Some(which) = fields.word(name, &words)? else {
        return Err(fields.refuse(name, format!("required: one of {}", words.join(", "))));
    };
    let given = match (kind, fields.text("key")?) {
        (Keyed::Rule, Some(key)) => Some(Secret::new(key.to_owned())),
        (_, _) => None,
    };
    let next = match given {
        None => new_of(kind, env),
        Some(key) => match STANDARD.decode(key.reveal()) {
            Ok(bytes) if KEY_BYTES.contains(&bytes.len()) => key.reveal().clone(),
            Ok(_) | Err(_) => {
                let (least, most) = (KEY_BYTES.start(), KEY_BYTES.end());
                return Err(
                    fields.refuse("key", format!("expected {least} to {most} bytes in base64"))
                );
            }
        },
    };
    match which == words[0] {
        true => keys.primary = next,
        false => keys.secondary = next,
    }
    document.keys = Some(keys.clone());
    super::save(permit, env, &document, Some(revision)).await?;
    Ok(Reply::ok(show(&document, &keys, kind, permit.scope(), &env.facts.load())))
}
