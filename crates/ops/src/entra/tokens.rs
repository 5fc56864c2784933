//! Access tokens: what the token endpoint answers.
//!
//! When [`issue`] runs, the gates have proven the client's secret; here is decided what the token is for,
//! how long it lives and what it says. Whether a token is right when it comes back is decided in `gate`.

use super::person_tokens::{self, Grant};
use super::signing::NotSigned;
use super::{assertions, shown};
use crate::call::token_denial;
use crate::env::Env;
use crate::input::{Input, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gate::Permit;
use model::error::TokenFault;
use model::{Error, ObjectId, PrincipalKind, Timestamp};
use serde_json::{Value, json};

/// How long an access token lives, in seconds.
pub const TOKEN_LIFETIME_S: i64 = 3_600;
/// How long before its end a kept token is made anew, in seconds.
const RENEWAL_S: i64 = 300;
/// From how many kept tokens on the ended ones are cleared away.
const IDENTITY_TOKENS_MAX: usize = 1_000;

/// What tokens for targets of hubs are for.
pub(crate) const EVENT_HUBS: &str = "https://eventhubs.azure.net";
pub(crate) const SERVICE_BUS: &str = "https://servicebus.azure.net";
pub(crate) const STORAGE: &str = "https://storage.azure.com";

/// What tokens can be for, besides the server's own origin. A client may add one `/`, and gets it back in
/// `aud`. Source: Microsoft identity platform, "Scopes and permissions", on the trailing slash.
const RESOURCES: &[&str] = &[
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://iothubs.azure.net",
    "https://azure-devices-provisioning.net",
    "https://graph.microsoft.com",
    EVENT_HUBS,
    SERVICE_BUS,
    STORAGE,
    // For what another sign-in takes as a federated assertion; opens nothing itself.
    "api://AzureADTokenExchange",
];

/// Who issues this tenant's tokens. One issuer for both token versions: it must stay under the origin that
/// clients signed in at, and the name that Entra writes into version 1 tokens is somebody else's.
pub(crate) fn issuer(origin: &str, tenant: ObjectId) -> String {
    format!("{origin}/{tenant}/v2.0")
}

/// Which form of the endpoint was used, told by what the form carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    /// `resource=`
    V1,
    /// `scope=`
    V2,
}

impl Version {
    /// The value of `ver`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        }
    }
}

/// What a client asked for, checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Wanted {
    /// `aud`: a resource of ours, with the `/` that the client wrote behind it, or without.
    pub(super) audience: String,
    pub(super) version: Version,
    /// How a person came; none where an application did.
    person: Option<Grant>,
    /// `offline_access`: a client wants to come back without the person.
    pub(super) comes_back: bool,
    /// `openid`: a client wants to know who the person is.
    pub(super) is_told_who: bool,
}

/// Words of a person's scopes that name no resource. Source: OpenID Connect Core 1.0, sections 5.4 and 11.
const WORDS: &[&str] = &["openid", "profile", "email", "offline_access"];
/// What stands behind the resource in a person's scope.
const SUFFIXES: &[&str] = &["/.default", "/user_impersonation"];

/// What is wrong with a form: the fault and its sentence.
type Fault = (TokenFault, String);

impl Wanted {
    const fn of_application(audience: String, version: Version) -> Self {
        Self { audience, version, person: None, comes_back: false, is_told_who: false }
    }

    /// Reads a form. Fields that are not named here are ignored: clients add telemetry.
    fn read(form: &Value, origin: &str) -> Result<Self, Fault> {
        let field = |name: &str| {
            model::json::text(form, &[name]).map(str::trim).filter(|it| !it.is_empty())
        };
        let person = match field("grant_type") {
            Some("client_credentials") => None,
            Some(PASSWORD) => Some(Grant::Password),
            Some(REFRESH_TOKEN) => Some(Grant::RefreshToken),
            Some(AUTHORIZATION_CODE) => Some(Grant::Code),
            Some(DEVICE_CODE | DEVICE_CODE_SHORT) => Some(Grant::DeviceCode),
            Some(other) => {
                let sentence = format!(
                    "the grant type `{}` is not supported; this server issues tokens for `client_credentials`, \
                     `{PASSWORD}`, `{REFRESH_TOKEN}`, `{AUTHORIZATION_CODE}` and `{DEVICE_CODE}`.",
                    shown(other)
                );
                return Err((TokenFault::UnsupportedGrant, sentence));
            }
            None => {
                return Err((TokenFault::MissingField, "the form must carry `grant_type`.".into()));
            }
        };
        let (resource, version) = match (field("scope"), field("resource")) {
            (Some(scope), None) if person.is_some() => (persons_resource(scope)?, Version::V2),
            (Some(scope), None) => (resource_of(scope)?, Version::V2),
            (None, Some(resource)) => (resource, Version::V1),
            (None, None) => {
                let sentence =
                    "the form must carry `scope` (version 2.0) or `resource` (version 1.0)."
                        .to_owned();
                return Err((TokenFault::MissingField, sentence));
            }
            (Some(_), Some(_)) => {
                let sentence =
                    "the form carries both `scope` and `resource`; send the one that is meant."
                        .to_owned();
                return Err((TokenFault::BadScope, sentence));
            }
        };
        let audience = audience(resource, origin)
            .ok_or_else(|| (TokenFault::UnknownResource, no_resource(resource, origin)))?;
        let words = field("scope").unwrap_or("");
        let has = |word: &str| words.split_whitespace().any(|it| it == word);
        // Version 1 has no words for it: libraries of its time expect both.
        let is_old = version == Version::V1 && person.is_some();
        Ok(Self {
            audience,
            version,
            person,
            comes_back: is_old || has("offline_access"),
            is_told_who: is_old || has("openid"),
        })
    }
}

/// The grants of people.
pub(crate) const PASSWORD: &str = "password";
pub(crate) const REFRESH_TOKEN: &str = "refresh_token";
pub(crate) const AUTHORIZATION_CODE: &str = "authorization_code";
/// Source: RFC 8628, section 3.4; the second is Entra's of version 1.
pub(crate) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub(crate) const DEVICE_CODE_SHORT: &str = "device_code";

/// Whom a client asks about who asks for nothing but to be told who signs in. Source: Microsoft identity platform,
/// "OpenID Connect scopes": the token is then for Microsoft Graph.
const RESOURCE_OF_WORDS: &str = "https://graph.microsoft.com";

/// The resource of a person's scopes: one of them names it, the others are words.
fn persons_resource(scopes: &str) -> Result<&str, Fault> {
    let mut named = scopes.split_whitespace().filter(|it| !WORDS.contains(it));
    let one = match (named.next(), named.next()) {
        (Some(one), None) => one,
        (None, _) if scopes.split_whitespace().any(|it| it == "openid") => {
            return Ok(RESOURCE_OF_WORDS);
        }
        (_, _) => "",
    };
    let resource = SUFFIXES.iter().find_map(|it| one.strip_suffix(it)).filter(|it| !it.is_empty());
    resource.ok_or_else(|| {
        let sentence = format!(
            "the scopes `{}` are not valid: of a person, one names a resource, as `{{resource}}/.default`, and the \
             others are among `{}`.",
            shown(scopes),
            WORDS.join("`, `")
        );
        (TokenFault::BadScope, sentence)
    })
}

/// The resource of a scope: what stands before `/.default`. A resource that itself ends in `/` makes it
/// `//.default`, and keeps its `/`.
fn resource_of(scope: &str) -> Result<&str, Fault> {
    let bad = |because: &str| {
        let sentence = format!(
            "the scope `{}` is not valid: {because}; an application asks for one scope, `{{resource}}/.default`.",
            shown(scope)
        );
        (TokenFault::BadScope, sentence)
    };
    if scope.contains(char::is_whitespace) {
        return Err(bad("it names more than one scope"));
    }
    match scope.strip_suffix("/.default") {
        Some(resource) if !resource.is_empty() => Ok(resource),
        Some(_) => Err(bad("it names no resource")),
        None => Err(bad("it does not end in `/.default`")),
    }
}

/// The sentence for a resource that there is none of.
pub(crate) fn no_resource(resource: &str, origin: &str) -> String {
    format!(
        "there is no resource `{}` in this tenant; known are `{origin}` and {}.",
        shown(resource),
        RESOURCES.iter().map(|it| format!("`{it}`")).collect::<Vec<_>>().join(", ")
    )
}

/// The `aud` for a resource, in our own spelling: what a client sent never gets into a token.
pub(crate) fn audience(resource: &str, origin: &str) -> Option<String> {
    let (bare, slash) = match resource.strip_suffix('/') {
        Some(bare) => (bare, "/"),
        None => (resource, ""),
    };
    let known =
        RESOURCES.iter().copied().chain([origin]).find(|it| it.eq_ignore_ascii_case(bare))?;
    Some(format!("{known}{slash}"))
}

/// For which resource a form asks, in one spelling; none where it cannot be read.
pub(crate) fn resource(form: &Value, origin: &str) -> Option<String> {
    let audience = match model::json::text(form, &["grant_type"]) {
        Some(_) => Wanted::read(form, origin).ok()?.audience,
        // Of a code that is asked for: the scope is that of the tokens which will be made of it.
        None => audience(persons_resource(model::json::text(form, &["scope"])?).ok()?, origin)?,
    };
    Some(audience.trim_end_matches('/').to_owned())
}

/// Checks the scopes that a person is to sign in for.
pub(super) fn check_persons_scope(scope: &str, origin: &str) -> Result<(), Fault> {
    check_resource(persons_resource(scope)?, origin)
}

/// Checks that there is a resource of a name.
pub(super) fn check_resource(resource: &str, origin: &str) -> Result<(), Fault> {
    match audience(resource, origin) {
        Some(_) => Ok(()),
        None => Err((TokenFault::UnknownResource, no_resource(resource, origin))),
    }
}

/// How the client proved itself, as tokens tell it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum ClientProof {
    Secret,
    Assertion,
}

impl ClientProof {
    /// The value of `appidacr` and `azpacr`. Source: Microsoft identity platform, "Access token claims
    /// reference".
    const fn claim(self) -> &'static str {
        match self {
            Self::Secret => "1",
            Self::Assertion => "2",
        }
    }
}

/// Issues an access token to the application, or tokens to the person, that the gates have recognised.
///
/// # Errors
/// Denials of the token endpoint, each under its own number: a grant that is not supported, a scope that
/// cannot be read, a resource that is not known, a field that is missing.
///
/// Source: Microsoft identity platform, "OAuth 2.0 client credentials flow".
pub(crate) async fn issue(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let wanted = Wanted::read(&input.body, &env.settings.origin)
        .map_err(|(fault, sentence)| token_denial(fault, sentence))?;
    let caller = permit.caller();
    match (wanted.person, caller.kind) {
        (Some(grant), PrincipalKind::User) => {
            return person_tokens::issue(caller, &wanted, grant, input, env).await;
        }
        (Some(_), _) | (None, PrincipalKind::User) => {
            let message = "a caller proved itself otherwise than its grant says".into();
            return Err(Error::Internal { message });
        }
        (None, _) => {}
    }
    let (Some(object_id), Some(app_id)) = (caller.object_id, caller.app_id) else {
        return Err(Error::Internal {
            message: "a token was asked for by a caller that is no application".into(),
        });
    };
    let now = env.now();
    let unique = URL_SAFE_NO_PAD.encode(env.random::<16>());
    let proof = match assertions::is_shown(&input.body) {
        true => ClientProof::Assertion,
        false => ClientProof::Secret,
    };
    let claims = claims(
        &wanted,
        Subject { object_id, app_id, proof },
        &env.settings.origin,
        env.settings.tenant,
        now,
        &unique,
    );
    let token =
        env.signing_keys.sign(&claims).map_err(|it| Error::Internal { message: it.to_string() })?;
    Ok(Reply::ok(answer(&wanted, token, now))
        .with_header("Cache-Control", "no-store")
        .with_header("Pragma", "no-cache"))
}

/// A token that was issued, and from when until when it holds.
#[derive(Clone)]
pub struct Issued {
    pub(crate) token: String,
    pub(crate) begins: Timestamp,
    pub(crate) ends: Timestamp,
}

/// A token for a managed identity of this server, for a call that the server makes as it, or for an application that may
/// have it. Kept until shortly before its end: signing costs more than all the rest of such a call.
///
/// # Errors
/// [`NotSigned`].
pub(crate) fn of_identity(
    env: &Env,
    identity: ObjectId,
    audience: &str,
) -> Result<Issued, NotSigned> {
    let now = env.now();
    let mut kept = env.identity_tokens.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let key = (identity, audience.to_owned());
    let is_good = |it: &Issued| now < it.ends.plus_seconds(-RENEWAL_S);
    if let Some(issued) = kept.get(&key).filter(|it| is_good(it)) {
        return Ok(issued.clone());
    }
    let facts = env.facts.load();
    let app_id = facts.principals.get(&identity).and_then(|it| it.app_id).unwrap_or(identity);
    let wanted = Wanted::of_application(audience.to_owned(), Version::V2);
    let unique = URL_SAFE_NO_PAD.encode(env.random::<16>());
    let subject = Subject { object_id: identity, app_id, proof: ClientProof::Secret };
    let token = env.signing_keys.sign(&claims(
        &wanted,
        subject,
        &env.settings.origin,
        env.settings.tenant,
        now,
        &unique,
    ))?;
    if kept.len() >= IDENTITY_TOKENS_MAX {
        kept.retain(|_, it| is_good(it));
    }
    let issued = Issued { token, begins: now, ends: now.plus_seconds(TOKEN_LIFETIME_S) };
    kept.insert(key, issued.clone());
    Ok(issued)
}

/// Whom a token is about.
struct Subject {
    object_id: ObjectId,
    app_id: ObjectId,
    proof: ClientProof,
}

fn claims(
    wanted: &Wanted,
    subject: Subject,
    origin: &str,
    tenant: ObjectId,
    now: Timestamp,
    unique: &str,
) -> Value {
    let start_s = now.seconds();
    json!({
        "aud": wanted.audience,
        "iss": issuer(origin, tenant),
        "iat": start_s,
        "nbf": start_s,
        "exp": start_s.saturating_add(TOKEN_LIFETIME_S),
        "tid": tenant,
        "oid": subject.object_id,
        "sub": subject.object_id,
        // Both names of the same things: libraries look for one or the other by version, and some do not.
        "appid": subject.app_id,
        "azp": subject.app_id,
        "appidacr": subject.proof.claim(),
        "azpacr": subject.proof.claim(),
        "idtyp": "app",
        "uti": unique,
        "ver": wanted.version.as_str(),
    })
}

/// The answer in the shape of its version: numbers as numbers, or as texts.
pub(super) fn answer(wanted: &Wanted, token: String, now: Timestamp) -> Value {
    // A second less than the token has: nobody should trust it at the instant of its end.
    let left_s = TOKEN_LIFETIME_S - 1;
    match wanted.version {
        Version::V2 => json!({
            "token_type": "Bearer",
            "expires_in": left_s,
            "ext_expires_in": left_s,
            "access_token": token,
        }),
        Version::V1 => json!({
            "token_type": "Bearer",
            "expires_in": left_s.to_string(),
            "ext_expires_in": left_s.to_string(),
            "expires_on": now.seconds().saturating_add(TOKEN_LIFETIME_S).to_string(),
            "not_before": now.seconds().to_string(),
            "resource": wanted.audience,
            "access_token": token,
        }),
    }
}

#[cfg(test)]
mod tests;
