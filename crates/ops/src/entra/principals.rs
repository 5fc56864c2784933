//! Service principals: what roles are given to, and the directory's look-ups by id.
//!
//! A service principal belongs to one application and goes with it, or is the identity of a resource and
//! goes with that: then it has no application, no secret, and is not changed here. The gates learn from
//! it who exists and who is switched off ([`change_facts`]).

mod managed;

pub(crate) use managed::{change_managed_identity, change_moved_identity, change_no_identity};

use super::applications::{self, Application};
use super::filters::{self, Forms, Listing};
use super::passwords::Holder;
use super::{Object, certificates, context, entity, members, properties, shown};
use crate::control;
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use gate::facts::Principal;
use model::{Error, ObjectId, PrincipalKind, Scope, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use store::{Change, Expect, tables};

/// Most ids in one look-up. Source: Microsoft Graph, "directoryObject: getByIds".
const IDS_MAX: usize = 1_000;

/// What only the server sets.
const READ_ONLY: &[&str] = &[
    "id",
    "appDisplayName",
    "appOwnerOrganizationId",
    "appRoleAssignmentRequired",
    "appRoles",
    "createdDateTime",
    "deletedDateTime",
    "oauth2PermissionScopes",
    "passwordCredentials",
    "servicePrincipalNames",
    "servicePrincipalType",
    "signInAudience",
];
/// What [`ServicePrincipal::change`] reads itself.
const OWN: &[&str] = &["appId", "accountEnabled", "displayName", "keyCredentials"];

const FORMS: Forms = Forms {
    set: "servicePrincipals",
    equals: &["id", "appId", "displayName", "servicePrincipalType"],
    flags: &["accountEnabled"],
    starts: &["displayName"],
    any: &["servicePrincipalNames", "alternativeNames"],
};

/// A service principal as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ServicePrincipal {
    pub(super) object_id: ObjectId,
    pub(super) app_id: ObjectId,
    /// The object id of its application; its own where it is a resource's identity.
    pub(super) application_id: ObjectId,
    /// The id of the resource whose identity it is. One of an application has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    resource_id: Option<String>,
    /// The tenant in which the application is registered.
    tenant_id: ObjectId,
    pub(super) display_name: String,
    created_date_time: Timestamp,
    account_enabled: bool,
    /// What clients set and this server does not act on: see [`properties`].
    #[serde(default)]
    properties: Object,
}

impl ServicePrincipal {
    pub(super) fn new(
        object_id: ObjectId,
        application: &Application,
        tenant_id: ObjectId,
        now: Timestamp,
    ) -> Self {
        Self {
            object_id,
            app_id: application.app_id,
            application_id: application.object_id,
            resource_id: None,
            tenant_id,
            display_name: application.display_name.clone(),
            created_date_time: now,
            account_enabled: true,
            properties: Object::new(),
        }
    }

    pub(super) fn key(&self) -> String {
        self.object_id.to_string()
    }

    /// What is shown in place of an application for a resource's identity, which has none: the same
    /// name, and no secrets.
    pub(super) fn stand_in(&self) -> Option<Application> {
        self.resource_id.as_ref()?;
        let (id, app_id) = (self.application_id, self.app_id);
        Some(Application::new(id, app_id, &self.display_name, self.created_date_time))
    }

    /// Graph's word for what is behind it.
    fn kind(&self) -> &'static str {
        match self.resource_id {
            Some(_) => "ManagedIdentity",
            None => "Application",
        }
    }

    /// The names it can be found by. `az` shows the first.
    fn names(&self, application: &Application) -> Vec<String> {
        [self.app_id.to_string()]
            .into_iter()
            .chain(application.identifier_uris.iter().cloned())
            .collect()
    }

    /// As Graph shows it.
    fn shown(&self, application: &Application) -> Object {
        let mut all = Object::new();
        all.insert("id".into(), json!(self.object_id));
        all.insert("deletedDateTime".into(), Value::Null);
        all.insert("accountEnabled".into(), json!(self.account_enabled));
        all.insert("appId".into(), json!(self.app_id));
        all.insert("appDisplayName".into(), json!(application.display_name));
        all.insert("appOwnerOrganizationId".into(), json!(self.tenant_id));
        all.insert("appRoleAssignmentRequired".into(), json!(false));
        all.insert("appRoles".into(), json!([]));
        all.insert("createdDateTime".into(), json!(self.created_date_time.rfc3339()));
        all.insert("displayName".into(), json!(self.display_name));
        all.insert(
            "keyCredentials".into(),
            json!(application.certificates_of(Holder::ServicePrincipal)),
        );
        all.insert("oauth2PermissionScopes".into(), json!([]));
        all.insert(
            "passwordCredentials".into(),
            json!(application.passwords_of(Holder::ServicePrincipal)),
        );
        all.insert("servicePrincipalNames".into(), json!(self.names(application)));
        all.insert("servicePrincipalType".into(), json!(self.kind()));
        all.insert("signInAudience".into(), json!("AzureADMyOrg"));
        all.extend(properties::shown_with(defaults(), &self.properties));
        if let Some(resource) = &self.resource_id {
            let kind = match managed::is_user_assigned(resource) {
                true => "isExplicit=True",
                false => "isExplicit=False",
            };
            all.insert("alternativeNames".into(), json!([kind, resource]));
        }
        all
    }

    /// Takes what a body sets.
    fn change(&mut self, body: &Value, application: &Application) -> Result<(), Error> {
        properties::check_read_only(body, &self.shown(application), READ_ONLY)?;
        match model::json::member(body, "appId") {
            None => {}
            Some(Value::String(id)) if ObjectId::parse(id) == Some(self.app_id) => {}
            Some(_) => {
                return Err(Error::invalid(
                    "appId",
                    "a service principal stays with its application",
                ));
            }
        }
        match model::json::member(body, "accountEnabled") {
            None => {}
            Some(Value::Bool(is_enabled)) => self.account_enabled = *is_enabled,
            Some(_) => return Err(Error::invalid("accountEnabled", "this is `true` or `false`")),
        }
        if let Some(name) = properties::display_name(body)? {
            self.display_name = name.to_owned();
        }
        let elsewhere: Vec<&str> = READ_ONLY.iter().chain(OWN).copied().collect();
        properties::take(&mut self.properties, &defaults(), body, &elsewhere)
    }
}

/// Every property that is kept for clients. Source: Microsoft Graph, "servicePrincipal resource type".
fn defaults() -> Object {
    properties::object(json!({
        "alternativeNames": [],
        "description": null,
        "homepage": null,
        "loginUrl": null,
        "logoutUrl": null,
        "notes": null,
        "notificationEmailAddresses": [],
        "preferredSingleSignOnMode": null,
        "replyUrls": [],
        "tags": [],
    }))
}

/// Lists service principals.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let listing = Listing::read(input, &FORMS)?;
    let applications: BTreeMap<ObjectId, Application> =
        applications::all(env).await?.into_iter().map(|it| (it.object_id, it)).collect();
    let all: Vec<(String, ServicePrincipal)> =
        control::all(env, tables::SERVICE_PRINCIPALS, "").await?;
    // One whose application is not there was created or deleted between the two reads.
    let shown = all.iter().filter_map(|(_, it)| match it.stand_in() {
        Some(stand_in) => Some(it.shown(&stand_in)),
        None => Some(it.shown(applications.get(&it.application_id)?)),
    });
    Ok(listing.answer(&env.settings.origin, &FORMS, shown.collect()))
}

/// Shows a service principal by its object id.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let select = filters::selected(input)?;
    let (principal, application) = required(env, input.param("id")).await?;
    Ok(Reply::ok(entity(env, FORMS.set, filters::project(principal.shown(&application), &select))))
}

/// Gives an application its service principal.
///
/// # Errors
/// [`Error::Invalid`] where no application has the `appId`; [`Error::Conflict`] where it has a service
/// principal already.
pub(crate) async fn create(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let text = input.required_text(&["appId"])?;
    let app_id = ObjectId::parse(text);
    let found = applications::all(env).await?.into_iter().find(|it| Some(it.app_id) == app_id);
    let Some(mut application) = found else {
        // `az` repeats the call for minutes where this sentence sounds like one about replication.
        let sentence = format!(
            "no application here has the appId `{}`; create the application first",
            shown(text)
        );
        return Err(Error::invalid("appId", sentence));
    };
    if of_application(env, application.app_id).await?.is_some() {
        return Err(Error::Conflict {
            code: "Request_MultipleObjectsWithSameKeyValue",
            message: format!(
                "the application `{}` has a service principal already",
                application.app_id
            ),
        });
    }
    let now = env.now();
    let mut principal =
        ServicePrincipal::new(ObjectId(env.new_uuid()), &application, env.settings.tenant, now);
    principal.change(&input.body, &application)?;
    let mut changes = vec![control::put(
        tables::SERVICE_PRINCIPALS,
        principal.key(),
        Expect::Absent,
        &principal,
    )?];
    changes.extend(change_certificates(&mut application, &input.body)?);
    control::commit(permit, env, changes).await?;
    env.newcomers.note(principal.object_id, now);
    Ok(Reply::created(entity(env, FORMS.set, principal.shown(&application))))
}

/// Changes a service principal. `accountEnabled: false` binds from the next call on, also for tokens that
/// are out.
pub(crate) async fn patch(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (mut principal, mut application) = changeable(env, input.param("id")).await?;
    principal.change(&input.body, &application)?;
    let mut changes = vec![control::put(
        tables::SERVICE_PRINCIPALS,
        principal.key(),
        Expect::Present,
        &principal,
    )?];
    changes.extend(change_certificates(&mut application, &input.body)?);
    control::commit(permit, env, changes).await?;
    Ok(Reply::empty(204))
}

/// What a service principal's `keyCredentials` change: they are kept with its application.
fn change_certificates(
    application: &mut Application,
    body: &Value,
) -> Result<Option<Change>, Error> {
    match certificates::take(&mut application.certificates, Holder::ServicePrincipal, body)? {
        true => control::put(tables::APPLICATIONS, application.key(), Expect::Present, application)
            .map(Some),
        false => Ok(None),
    }
}

/// Deletes a service principal with the secrets and certificates that were put on it. Its application stays, and so do its
/// role assignments, orphaned.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (principal, mut application) = changeable(env, input.param("id")).await?;
    let mut changes =
        vec![control::delete(tables::SERVICE_PRINCIPALS, principal.key(), Expect::Present)];
    if application.drop_credentials_of(Holder::ServicePrincipal) {
        changes.push(control::put(
            tables::APPLICATIONS,
            application.key(),
            Expect::Present,
            &application,
        )?);
    }
    control::commit(permit, env, changes).await?;
    Ok(Reply::empty(204))
}

/// Looks up directory objects by their object ids; ids of nothing are left out.
///
/// Source: Microsoft Graph, "directoryObject: getByIds".
pub(crate) async fn get_by_ids(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (ids, types) = wanted_ids(&input.body)?;
    let mut found = Vec::new();
    for id in ids {
        if let Some(object) = members::described(env, id).await?
            && are_wanted(&types, members::kind(&object))
        {
            found.push(Value::Object(object));
        }
    }
    let context = context(&env.settings.origin, "directoryObjects");
    Ok(Reply::ok(json!({ "@odata.context": context, "value": found })))
}

/// A service principal among objects of several kinds.
pub(super) async fn described(env: &Env, id: ObjectId) -> Result<Option<Object>, Error> {
    let Some(principal) = find(env, &id.to_string()).await? else { return Ok(None) };
    let application = applications::of_principal(env, &principal).await?;
    Ok(application.map(|application| {
        properties::object(json!({
            "@odata.type": "#microsoft.graph.servicePrincipal",
            "id": principal.object_id,
            "accountEnabled": principal.account_enabled,
            "appId": principal.app_id,
            "displayName": principal.display_name,
            "servicePrincipalNames": principal.names(&application),
            "servicePrincipalType": principal.kind(),
        }))
    }))
}

/// The ids of a look-up, each once, and the types that it asks for; none means all.
fn wanted_ids(body: &Value) -> Result<(BTreeSet<ObjectId>, Vec<&str>), Error> {
    let types = model::json::member(body, "types").and_then(Value::as_array);
    let types = types.into_iter().flatten().filter_map(Value::as_str).collect();
    Ok((ids(body, "ids")?, types))
}

fn are_wanted(types: &[&str], kind: &str) -> bool {
    let is_one =
        |it: &&str| [kind, "directoryObject"].iter().any(|own| own.eq_ignore_ascii_case(it));
    types.is_empty() || types.iter().any(is_one)
}

/// The object ids that a body lists under `name`, each once.
pub(super) fn ids(body: &Value, name: &str) -> Result<BTreeSet<ObjectId>, Error> {
    let refused =
        || Error::invalid(name, format!("this is a list of at most {IDS_MAX} object ids"));
    let ids = model::json::member(body, name).and_then(Value::as_array).ok_or_else(refused)?;
    if ids.len() > IDS_MAX {
        return Err(refused());
    }
    ids.iter().map(|it| it.as_str().and_then(ObjectId::parse).ok_or_else(refused)).collect()
}

/// The service principal of an object id.
pub(super) async fn find(env: &Env, id: &str) -> Result<Option<ServicePrincipal>, Error> {
    let Some(id) = ObjectId::parse(id) else { return Ok(None) };
    Ok(control::get(env, tables::SERVICE_PRINCIPALS, &id.to_string()).await?.map(|(it, _)| it))
}

/// The service principal of an application, where it has one. Only for calls that change facts: they are
/// alone, so the facts say what the documents say.
pub(super) async fn of_application(
    env: &Env,
    app_id: ObjectId,
) -> Result<Option<ServicePrincipal>, Error> {
    let principal = env.facts.load().applications.get(&app_id).and_then(|it| it.principal);
    match principal {
        Some(id) => find(env, &id.to_string()).await,
        None => Ok(None),
    }
}

pub(super) async fn required(
    env: &Env,
    id: &str,
) -> Result<(ServicePrincipal, Application), Error> {
    let principal = find(env, id).await?.ok_or_else(|| applications::not_found(id))?;
    let application = applications::of_principal(env, &principal)
        .await?
        .ok_or_else(|| applications::not_found(id))?;
    Ok((principal, application))
}

/// The same for a write.
///
/// # Errors
/// Also where it is the identity of a resource, which alone changes it.
pub(super) async fn changeable(
    env: &Env,
    id: &str,
) -> Result<(ServicePrincipal, Application), Error> {
    let (principal, application) = required(env, id).await?;
    match &principal.resource_id {
        None => Ok((principal, application)),
        Some(resource) => Err(Error::Invalid {
            code: "Request_BadRequest",
            at: None,
            message: format!(
                "`{}` is the identity of `{resource}`; it is made and removed there, by `identity.type`",
                principal.display_name
            ),
        }),
    }
}

/// Brings a service principal's document into the facts, or takes it out, and ties it to its application.
pub(crate) fn change_facts(
    facts: &mut gate::Facts,
    key: &str,
    body: Option<&[u8]>,
) -> Result<(), String> {
    let Some(body) = body else {
        let id = ObjectId::parse(key).ok_or("its key is not an object id")?;
        let app_id = facts.principals.get(&id).and_then(|it| it.app_id);
        facts.remove_principal(id);
        tie(facts, app_id, None);
        return Ok(());
    };
    let principal: ServicePrincipal = serde_json::from_slice(body).map_err(|it| it.to_string())?;
    facts.put_principal(Principal {
        id: principal.object_id,
        kind: match principal.resource_id {
            Some(_) => PrincipalKind::ManagedIdentity,
            None => PrincipalKind::ServicePrincipal,
        },
        app_id: Some(principal.app_id),
        display_name: principal.display_name,
        is_enabled: principal.account_enabled,
        resource: principal.resource_id.as_deref().and_then(|it| Scope::parse(it).ok()),
    });
    tie(facts, Some(principal.app_id), Some(principal.object_id));
    Ok(())
}

/// Says who stands behind an application, where it is known already.
fn tie(facts: &mut gate::Facts, app_id: Option<ObjectId>, principal: Option<ObjectId>) {
    let application = app_id.and_then(|it| facts.applications.get(&it)).cloned();
    if let Some(application) = application {
        facts.put_application(gate::facts::Application { principal, ..application });
    }
}

#[cfg(test)]
mod tests;
