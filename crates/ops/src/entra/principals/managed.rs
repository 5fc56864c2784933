//! Principals that are the identity of a resource: made, moved and removed with it.

use super::ServicePrincipal;
use crate::control;
use crate::entra::Object;
use crate::env::Env;
use crate::managed_identity::Identity;
use model::{Error, ObjectId, Scope};
use store::{Change, Expect, tables};

/// True where the resource is nothing but an identity, which others attach.
pub(super) fn is_user_assigned(resource: &str) -> bool {
    let kind = Scope::parse(resource).ok().and_then(|it| it.resource_type());
    kind.is_some_and(|it| {
        it.eq_ignore_ascii_case("Microsoft.ManagedIdentity/userAssignedIdentities")
    })
}

/// Makes the identity of a resource, named after it.
pub(crate) fn change_managed_identity(
    identity: Identity,
    resource: &Scope,
    env: &Env,
) -> Result<Change, Error> {
    let principal = ServicePrincipal {
        object_id: identity.principal_id,
        app_id: identity.client_id,
        application_id: identity.principal_id,
        resource_id: Some(resource.as_str().to_owned()),
        tenant_id: env.settings.tenant,
        display_name: resource.name().to_owned(),
        created_date_time: env.now(),
        account_enabled: true,
        properties: Object::new(),
    };
    control::put(tables::SERVICE_PRINCIPALS, principal.key(), Expect::Absent, &principal)
}

/// Says where the resource of an identity lies now; everything else of the identity stays.
///
/// # Errors
/// [`Error::Internal`] where the identity is not there.
pub(crate) async fn change_moved_identity(
    env: &Env,
    object_id: ObjectId,
    resource: &Scope,
) -> Result<Change, Error> {
    let key = object_id.to_string();
    let found = control::get::<ServicePrincipal>(env, tables::SERVICE_PRINCIPALS, &key).await?;
    let (mut principal, revision) = found.ok_or_else(|| Error::Internal {
        message: format!("the identity `{key}` of `{resource}` is not in the directory"),
    })?;
    principal.resource_id = Some(resource.as_str().to_owned());
    control::put(tables::SERVICE_PRINCIPALS, key, Expect::Revision(revision), &principal)
}

/// Removes the identity of a resource. Roles that it holds stay, orphaned.
pub(crate) fn change_no_identity(object_id: ObjectId) -> Change {
    control::delete(tables::SERVICE_PRINCIPALS, object_id.to_string(), Expect::Anything)
}
