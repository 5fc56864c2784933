//! An application's secrets: made here, shown once, kept salted and hashed.
//!
//! A secret may be put on an application or on its service principal; either way it signs the application
//! in. Whether a secret is right and still valid is decided in `gate`'s authentication.

use super::applications::{self, Application};
use super::{context, hex, principals, properties};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Permit;
use gate::facts::SecretHash;
use model::{Error, ObjectId, Timestamp};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::ops::Range;
use store::{Expect, tables};

/// Most secrets of an application: a sign-in compares with each.
const PASSWORDS_MAX: usize = 100;
/// How long a secret is valid where the client names no end, in days: two years.
/// Source: Microsoft Graph, "application: addPassword".
pub(super) const SECRET_LIFETIME_DAYS: i64 = 730;
/// How far ahead of our clock a secret's start may lie, in seconds. Gates know a secret's end only, so one
/// that starts later would be valid too early.
const START_AHEAD_S: i64 = 300;
/// Bytes of a secret and of its salt. A secret of 256 random bits needs no slow hash: there is nothing to
/// guess.
const SECRET_BYTES: usize = 32;
const SALT_BYTES: usize = 16;
/// Characters of a secret by which people tell it from others.
const HINT_CHARS: usize = 3;

/// A secret as it is kept. No `Debug`: a hash is not for logs either.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Password {
    key_id: ObjectId,
    pub(super) holder: Holder,
    display_name: Option<String>,
    /// The secret's first characters.
    hint: String,
    start_date_time: Timestamp,
    end_date_time: Timestamp,
    /// Base64.
    salt: String,
    /// Base64 of [`hash_secret`].
    hash: String,
}

/// On which of its two objects an application's secret was put. Either signs in; Graph lists them apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Holder {
    Application,
    ServicePrincipal,
}

/// What is kept in place of a secret: SHA-256 of the salt and the secret's UTF-8 bytes. `gate` computes the
/// same of what a client shows.
pub fn hash_secret(salt: &[u8], secret: &str) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(salt);
    context.update(secret.as_bytes());
    context.finish().as_ref().to_vec()
}

impl Password {
    pub(super) fn new(
        key_id: ObjectId,
        holder: Holder,
        secret: &str,
        salt: &[u8],
        valid: Range<Timestamp>,
    ) -> Self {
        Self {
            key_id,
            holder,
            display_name: None,
            hint: secret.chars().take(HINT_CHARS).collect(),
            start_date_time: valid.start,
            end_date_time: valid.end,
            salt: STANDARD.encode(salt),
            hash: STANDARD.encode(hash_secret(salt, secret)),
        }
    }

    /// As Graph shows it: everything but the secret.
    pub(super) fn shown(&self) -> Value {
        json!({
            "customKeyIdentifier": null,
            "displayName": self.display_name,
            "endDateTime": self.end_date_time.rfc3339(),
            "hint": self.hint,
            "keyId": self.key_id,
            "secretText": null,
            "startDateTime": self.start_date_time.rfc3339(),
        })
    }

    pub(super) fn fact(&self) -> Result<SecretHash, String> {
        let bytes = |text: &str| {
            STANDARD.decode(text).map_err(|it| format!("the secret `{}`: {it}", self.key_id))
        };
        Ok(SecretHash {
            key_id: self.key_id,
            salt: bytes(&self.salt)?,
            hash: bytes(&self.hash)?,
            expires: self.end_date_time,
        })
    }
}

/// Gives an application a new secret, and answers with its text for the only time.
///
/// The id names an application or a service principal.
///
/// # Errors
/// [`Error::Invalid`] where the secret would end before it starts, or start later than now, or where the
/// application has [`PASSWORDS_MAX`] secrets.
///
/// Source: Microsoft Graph, "application: addPassword", "servicePrincipal: addPassword".
pub(crate) async fn add_password(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let (mut application, holder) = held(env, input.param("id")).await?;
    let given = model::json::member(&input.body, "passwordCredential").unwrap_or(&Value::Null);
    let valid = validity(given, env.now())?;
    if application.passwords.len() >= PASSWORDS_MAX {
        let sentence =
            format!("an application has at most {PASSWORDS_MAX} secrets; remove some first");
        return Err(Error::invalid("passwordCredential", sentence));
    }
    let secret = hex(&env.random::<SECRET_BYTES>());
    let salt = env.random::<SALT_BYTES>();
    let mut password = Password::new(ObjectId(env.new_uuid()), holder, &secret, &salt, valid);
    password.display_name = label(given)?;
    let mut shown = password.shown();
    application.passwords.push(password);
    let change =
        control::put(tables::APPLICATIONS, application.key(), Expect::Present, &application)?;
    control::commit(permit, env, vec![change]).await?;
    if let Some(text) = shown.get_mut("secretText") {
        *text = Value::String(secret);
    }
    let mut answer = Map::new();
    let what = context(&env.settings.origin, "microsoft.graph.passwordCredential");
    answer.insert("@odata.context".into(), what.into());
    answer.extend(shown.as_object_mut().map(std::mem::take).unwrap_or_default());
    Ok(Reply::ok(Value::Object(answer)).with_header("Cache-Control", "no-store"))
}

/// Takes a secret away. The next sign-in with it fails; tokens that it got live on to their end.
pub(crate) async fn remove_password(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let (mut application, holder) = held(env, input.param("id")).await?;
    let key_id = ObjectId::parse(input.required_text(&["keyId"])?);
    let before = application.passwords.len();
    application.passwords.retain(|it| it.holder != holder || Some(it.key_id) != key_id);
    if application.passwords.len() == before {
        return Err(Error::invalid(
            "keyId",
            "there is no secret with this id here; read `passwordCredentials` for those there are",
        ));
    }
    let change =
        control::put(tables::APPLICATIONS, application.key(), Expect::Present, &application)?;
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::empty(204))
}

/// From when until when a secret shall be valid.
fn validity(given: &Value, now: Timestamp) -> Result<Range<Timestamp>, Error> {
    let time = |name: &'static str| match model::json::member(given, name) {
        None | Some(Value::Null) => Ok(None),
        Some(it) => it.as_str().and_then(Timestamp::parse).map(Some).ok_or_else(|| {
            Error::invalid(
                format!("passwordCredential.{name}"),
                "this is a time such as `2027-01-31T00:00:00Z`",
            )
        }),
    };
    let start = time("startDateTime")?.unwrap_or(now);
    let end =
        time("endDateTime")?.unwrap_or_else(|| start.plus_seconds(SECRET_LIFETIME_DAYS * 86_400));
    if start > now.plus_seconds(START_AHEAD_S) {
        return Err(Error::invalid(
            "passwordCredential.startDateTime",
            "a secret is valid from now on; leave this out",
        ));
    }
    if end <= start || end <= now {
        return Err(Error::invalid(
            "passwordCredential.endDateTime",
            "the secret would never be valid; name a later time",
        ));
    }
    Ok(start..end)
}

/// The name that a client gives a secret.
fn label(given: &Value) -> Result<Option<String>, Error> {
    match properties::display_name(given) {
        Ok(name) => Ok(name.map(str::to_owned)),
        // `az` sends `null` where it was given none.
        Err(_) if matches!(model::json::member(given, "displayName"), Some(Value::Null)) => {
            Ok(None)
        }
        Err(refused) => Err(refused),
    }
}

/// The application that an id means, and which of its objects the id names.
async fn held(env: &Env, id: &str) -> Result<(Application, Holder), Error> {
    if let Some(application) = applications::find(env, id).await? {
        return Ok((application, Holder::Application));
    }
    let (_, application) = principals::changeable(env, id).await?;
    Ok((application, Holder::ServicePrincipal))
}

#[cfg(test)]
mod tests;
