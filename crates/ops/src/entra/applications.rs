//! Applications: what can sign in, and with what.
//!
//! A document per application holds its secrets, certificates and federated credentials, too, as
//! [`Password`], [`KeyCredential`] and [`FederatedCredential`] say. Who signs in with them is decided in `gate`'s authentication, from the facts that [`change_facts`] makes here.

use super::certificates::{self, KeyCredential};
use super::federated::FederatedCredential;
use super::filters::{self, Forms, Listing};
use super::passwords::{Holder, Password};
pub(crate) use super::passwords::{add_password, remove_password};
use super::principals::{self, ServicePrincipal};
use super::{Object, entity, properties, redirects, room_for_one};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use model::{Error, ObjectId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{Expect, tables};

/// Most applications in the tenant: a list with a filter reads them all.
const APPLICATIONS_MAX: u64 = 10_000;
/// Most identifier URIs of an application, and the longest.
const IDENTIFIER_URIS_MAX: usize = 50;
const IDENTIFIER_URI_BYTES_MAX: usize = 255;

/// What only the server sets.
const READ_ONLY: &[&str] = &[
    "id",
    "appId",
    "createdDateTime",
    "deletedDateTime",
    "passwordCredentials",
    "publisherDomain",
];
/// What [`Application::change`] reads itself.
const OWN: &[&str] = &["displayName", "identifierUris", "keyCredentials"];

const FORMS: Forms = Forms {
    set: "applications",
    equals: &["id", "appId", "displayName"],
    flags: &[],
    starts: &["displayName"],
    any: &["identifierUris"],
};

/// An application as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Application {
    pub(super) object_id: ObjectId,
    pub(super) app_id: ObjectId,
    pub(super) display_name: String,
    pub(super) created_date_time: Timestamp,
    #[serde(default)]
    pub(super) identifier_uris: Vec<String>,
    #[serde(default)]
    pub(super) passwords: Vec<Password>,
    #[serde(default)]
    pub(super) certificates: Vec<KeyCredential>,
    #[serde(default)]
    pub(super) federated: Vec<FederatedCredential>,
    /// What clients set and this server does not act on: see [`properties`].
    #[serde(default)]
    pub(super) properties: Object,
}

impl Application {
    pub(super) fn new(
        object_id: ObjectId,
        app_id: ObjectId,
        display_name: &str,
        now: Timestamp,
    ) -> Self {
        Self {
            object_id,
            app_id,
            display_name: display_name.to_owned(),
            created_date_time: now,
            identifier_uris: Vec::new(),
            passwords: Vec::new(),
            certificates: Vec::new(),
            federated: Vec::new(),
            properties: Object::new(),
        }
    }

    /// The document's key: both ids, so that the key alone says which fact goes when the document goes.
    pub(super) fn key(&self) -> String {
        key(self.object_id, self.app_id)
    }

    /// The secrets of one holder, as Graph shows them.
    pub(super) fn passwords_of(&self, holder: Holder) -> Vec<Value> {
        self.passwords.iter().filter(|it| it.holder == holder).map(Password::shown).collect()
    }

    /// The certificates of one holder, as Graph shows them.
    pub(super) fn certificates_of(&self, holder: Holder) -> Vec<Value> {
        let own = self.certificates.iter().filter(|it| it.holder == holder);
        own.map(KeyCredential::shown).collect()
    }

    /// Takes away what one holder signs in with. True where there was something.
    pub(super) fn drop_credentials_of(&mut self, holder: Holder) -> bool {
        let before = self.passwords.len() + self.certificates.len();
        self.passwords.retain(|it| it.holder != holder);
        self.certificates.retain(|it| it.holder != holder);
        before != self.passwords.len() + self.certificates.len()
    }

    /// As Graph shows it. `az` fails where either list of credentials is missing.
    fn shown(&self) -> Object {
        let mut all = Object::new();
        all.insert("id".into(), json!(self.object_id));
        all.insert("deletedDateTime".into(), Value::Null);
        all.insert("appId".into(), json!(self.app_id));
        all.insert("displayName".into(), json!(self.display_name));
        all.insert("createdDateTime".into(), json!(self.created_date_time.rfc3339()));
        all.insert("identifierUris".into(), json!(self.identifier_uris));
        all.insert("publisherDomain".into(), Value::Null);
        all.insert("keyCredentials".into(), json!(self.certificates_of(Holder::Application)));
        all.insert("passwordCredentials".into(), json!(self.passwords_of(Holder::Application)));
        all.extend(properties::shown_with(defaults(), &self.properties));
        all
    }

    /// Takes what a body sets, checked against this application alone.
    fn change(&mut self, body: &Value) -> Result<(), Error> {
        properties::check_read_only(body, &self.shown(), READ_ONLY)?;
        certificates::take(&mut self.certificates, Holder::Application, body)?;
        if let Some(name) = properties::display_name(body)? {
            self.display_name = name.to_owned();
        }
        if let Some(uris) = identifier_uris(body)? {
            self.identifier_uris = uris;
        }
        redirects::check(body)?;
        let elsewhere: Vec<&str> = READ_ONLY.iter().chain(OWN).copied().collect();
        properties::take(&mut self.properties, &defaults(), body, &elsewhere)
    }
}

fn key(object_id: ObjectId, app_id: ObjectId) -> String {
    format!("{object_id}/{app_id}")
}

/// Every property that is kept for clients. Source: Microsoft Graph, "application resource type".
fn defaults() -> Object {
    properties::object(json!({
        "signInAudience": "AzureADMyOrg",
        "tags": [],
        "notes": null,
        "description": null,
        "serviceManagementReference": null,
        "groupMembershipClaims": null,
        "isFallbackPublicClient": null,
        "isDeviceOnlyAuthSupported": null,
        "defaultRedirectUri": null,
        "samlMetadataUrl": null,
        "optionalClaims": null,
        "addIns": [],
        "appRoles": [],
        "requiredResourceAccess": [],
        "api": {
            "acceptMappedClaims": null,
            "knownClientApplications": [],
            "requestedAccessTokenVersion": null,
            "oauth2PermissionScopes": [],
            "preAuthorizedApplications": [],
        },
        "info": {
            "logoUrl": null,
            "marketingUrl": null,
            "privacyStatementUrl": null,
            "supportUrl": null,
            "termsOfServiceUrl": null,
        },
        "publicClient": { "redirectUris": [] },
        "spa": { "redirectUris": [] },
        "web": {
            "homePageUrl": null,
            "logoutUrl": null,
            "redirectUris": [],
            "implicitGrantSettings": { "enableAccessTokenIssuance": false, "enableIdTokenIssuance": false },
        },
    }))
}

/// `identifierUris`, where the body has them. Each has a scheme, so that none can pass for an `appId`:
/// `az` finds principals by either.
fn identifier_uris(body: &Value) -> Result<Option<Vec<String>>, Error> {
    let refused = || {
        let sentence = format!(
            "this is a list of at most {IDENTIFIER_URIS_MAX} different URIs with a scheme, such as `api://plant`, \
             each of at most {IDENTIFIER_URI_BYTES_MAX} bytes"
        );
        Error::invalid("identifierUris", sentence)
    };
    let Some(given) = model::json::member(body, "identifierUris") else { return Ok(None) };
    let list = given.as_array().filter(|it| it.len() <= IDENTIFIER_URIS_MAX).ok_or_else(refused)?;
    let mut uris: Vec<String> = Vec::with_capacity(list.len());
    for item in list {
        let uri = item.as_str().filter(|it| is_uri(it)).ok_or_else(refused)?;
        if uris.iter().any(|it| it.eq_ignore_ascii_case(uri)) {
            return Err(refused());
        }
        uris.push(uri.to_owned());
    }
    Ok(Some(uris))
}

fn is_uri(text: &str) -> bool {
    let is_scheme = |it: &str| {
        it.starts_with(|it: char| it.is_ascii_alphabetic())
            && it.bytes().all(|it| it.is_ascii_alphanumeric() || b"+-.".contains(&it))
    };
    let is_plain = text.bytes().all(|it| it.is_ascii_graphic());
    text.len() <= IDENTIFIER_URI_BYTES_MAX
        && is_plain
        && text.split_once(':').is_some_and(|(scheme, rest)| is_scheme(scheme) && !rest.is_empty())
}

/// Lists applications.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let listing = Listing::read(input, &FORMS)?;
    let all = all(env).await?;
    Ok(listing.answer(&env.settings.origin, &FORMS, all.iter().map(Application::shown).collect()))
}

/// Shows an application by its object id.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let select = filters::selected(input)?;
    let application = required(env, input.param("id")).await?;
    Ok(Reply::ok(entity(env, FORMS.set, filters::project(application.shown(), &select))))
}

/// Registers an application, with the certificates that the body has, without secrets and without a service principal.
///
/// # Errors
/// [`Error::Invalid`] where a property cannot be taken, or an identifier URI belongs to another one.
pub(crate) async fn create(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    room_for_one(env, tables::APPLICATIONS, APPLICATIONS_MAX, "applications").await?;
    let name = properties::display_name(&input.body)?
        .ok_or_else(|| Error::invalid("displayName", "this text is required"))?;
    let (object_id, app_id) = (ObjectId(env.new_uuid()), ObjectId(env.new_uuid()));
    let mut application = Application::new(object_id, app_id, name, env.now());
    application.change(&input.body)?;
    check_uris_are_free(env, &application).await?;
    let change =
        control::put(tables::APPLICATIONS, application.key(), Expect::Absent, &application)?;
    control::commit(permit, env, vec![change]).await?;
    Ok(Reply::created(entity(env, FORMS.set, application.shown())))
}

/// Changes an application. Its service principal takes over a new name.
pub(crate) async fn patch(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut application = required(env, input.param("id")).await?;
    application.change(&input.body)?;
    check_uris_are_free(env, &application).await?;
    let mut changes =
        vec![control::put(tables::APPLICATIONS, application.key(), Expect::Present, &application)?];
    if let Some(mut principal) = principals::of_application(env, application.app_id).await?
        && properties::display_name(&input.body)?.is_some()
    {
        principal.display_name.clone_from(&application.display_name);
        changes.push(control::put(
            tables::SERVICE_PRINCIPALS,
            principal.key(),
            Expect::Present,
            &principal,
        )?);
    }
    control::commit(permit, env, changes).await?;
    Ok(Reply::empty(204))
}

/// Deletes an application with its secrets and its service principal.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let application = required(env, input.param("id")).await?;
    let mut changes =
        vec![control::delete(tables::APPLICATIONS, application.key(), Expect::Present)];
    if let Some(principal) = principals::of_application(env, application.app_id).await? {
        changes.push(control::delete(tables::SERVICE_PRINCIPALS, principal.key(), Expect::Present));
    }
    control::commit(permit, env, changes).await?;
    Ok(Reply::empty(204))
}

/// The application behind a service principal, or what stands in for it. Missing only where both were deleted since the principal
/// was read.
pub(super) async fn of_principal(
    env: &Env,
    principal: &ServicePrincipal,
) -> Result<Option<Application>, Error> {
    if let Some(stand_in) = principal.stand_in() {
        return Ok(Some(stand_in));
    }
    let key = key(principal.application_id, principal.app_id);
    Ok(control::get(env, tables::APPLICATIONS, &key).await?.map(|(it, _)| it))
}

/// All applications.
pub(super) async fn all(env: &Env) -> Result<Vec<Application>, Error> {
    Ok(control::all(env, tables::APPLICATIONS, "").await?.into_iter().map(|(_, it)| it).collect())
}

/// The application of an object id.
pub(super) async fn find(env: &Env, id: &str) -> Result<Option<Application>, Error> {
    let Some(id) = ObjectId::parse(id) else { return Ok(None) };
    let found = control::all(env, tables::APPLICATIONS, &format!("{id}/")).await?;
    Ok(found.into_iter().next().map(|(_, it)| it))
}

pub(super) async fn required(env: &Env, id: &str) -> Result<Application, Error> {
    find(env, id).await?.ok_or_else(|| not_found(id))
}

pub(super) fn not_found(id: &str) -> Error {
    Error::NotFound {
        code: "Request_ResourceNotFound",
        message: format!(
            "there is no object with the id `{}` here; this call takes an object id, not an appId",
            super::shown(id)
        ),
    }
}

/// Two applications with one identifier URI would make one of them answer for the other.
async fn check_uris_are_free(env: &Env, application: &Application) -> Result<(), Error> {
    if application.identifier_uris.is_empty() {
        return Ok(());
    }
    let others = all(env).await?;
    let taken = others
        .iter()
        .filter(|it| it.object_id != application.object_id)
        .flat_map(|it| &it.identifier_uris)
        .find(|its| application.identifier_uris.iter().any(|it| it.eq_ignore_ascii_case(its)));
    match taken {
        None => Ok(()),
        Some(uri) => {
            Err(Error::invalid("identifierUris", format!("`{uri}` belongs to another application")))
        }
    }
}

/// Brings an application's document into the facts, or takes it out: the gates learn its secrets.
pub(crate) fn change_facts(
    facts: &mut gate::Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        let app_id = key.split_once('/').and_then(|(_, app_id)| ObjectId::parse(app_id));
        facts.remove_application(app_id.ok_or("its key does not end in an application's id")?);
        return Ok(());
    };
    let application: Application = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    // Documents come in any order: whichever of the two comes second ties them together.
    let principal =
        facts.principals.values().find(|it| it.app_id == Some(application.app_id)).map(|it| it.id);
    let secrets = application.passwords.iter().map(Password::fact).collect::<Result<_, _>>()?;
    let certificates =
        application.certificates.iter().map(KeyCredential::fact).collect::<Result<_, _>>()?;
    facts.put_application(gate::facts::Application {
        app_id: application.app_id,
        display_name: application.display_name,
        principal,
        secrets,
        certificates,
        federated: application.federated.iter().map(FederatedCredential::fact).collect(),
        redirects: redirects::of(&application.properties),
        is_public: redirects::is_public(&application.properties),
    });
    Ok(())
}

#[cfg(test)]
mod tests;
