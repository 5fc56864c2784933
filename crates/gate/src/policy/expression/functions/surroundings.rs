//! What surrounds the object: the call, its time, the group and subscription, the policy itself.

use super::Fault;
use crate::policy::evaluate::{Env, Subject};
use ::expression::{Given, universal};
use model::{PrincipalKind, Timestamp};
use serde_json::{Value, json};

type Found = Result<Value, Fault>;

/// Milliseconds of a day, and of the end of the year 9999.
const DAY_MS: i64 = 86_400_000;
const LAST_MS: i64 = 253_402_300_799_999;

pub(super) fn add_days(given: &Given<'_>) -> Found {
    let Some(moment) = Timestamp::parse(given.text(0)?) else {
        return given.misfit(0, "a time such as 2026-11-22T08:00:00Z");
    };
    let later = given.int(1)?.checked_mul(DAY_MS).and_then(|it| it.checked_add(moment.millis()));
    match later.filter(|it| (0..=LAST_MS).contains(it)) {
        Some(it) => Ok(universal(Timestamp::from_millis(it))),
        None => Fault::new("the time lies before 1970 or behind the year 9999"),
    }
}

fn subject<'v>(env: Env<'v>) -> Result<&'v Subject<'v>, Fault> {
    match env.context.subject {
        Some(it) => Ok(it),
        None => Fault::new("nothing is judged here"),
    }
}

pub(super) fn utc_now(_given: &Given<'_>, env: Env<'_>) -> Found {
    Ok(universal(subject(env)?.now))
}

/// Who calls, in the words of a token. Source: Azure Policy definition structure, "Policy functions".
pub(super) fn request_context(_given: &Given<'_>, env: Env<'_>) -> Found {
    let caller = subject(env)?.caller;
    let kind = match caller.kind {
        PrincipalKind::User => json!("user"),
        PrincipalKind::ServicePrincipal | PrincipalKind::ManagedIdentity => json!("app"),
        PrincipalKind::Group
        | PrincipalKind::Device
        | PrincipalKind::SasKey
        | PrincipalKind::Anyone
        | PrincipalKind::System => Value::Null,
    };
    let app = caller.app_id.map(|it| it.to_string());
    Ok(json!({ "identity": { "idtyp": kind, "appid": app, "acrs": null } }))
}

pub(super) fn policy(_given: &Given<'_>, env: Env<'_>) -> Found {
    let it = subject(env)?.policy;
    Ok(json!({
        "assignmentId": it.assignment_id,
        "definitionId": it.definition_id,
        "setDefinitionId": it.set_definition_id,
        "definitionReferenceId": it.definition_reference_id,
    }))
}

/// The group that the judged call lies in. Source: ARM, "Scope functions".
pub(super) fn resource_group(_given: &Given<'_>, env: Env<'_>) -> Found {
    let subject = subject(env)?;
    let Some(scope) = subject.scope.resource_group_scope() else {
        return Fault::new("the call lies in no resource group");
    };
    Ok(subject.facts.container_document(&scope).map_or_else(
        || json!({ "id": scope, "name": scope.name(), "type": "Microsoft.Resources/resourceGroups" }),
        |it| (**it).clone(),
    ))
}

pub(super) fn subscription(_given: &Given<'_>, env: Env<'_>) -> Found {
    let subject = subject(env)?;
    let Some(scope) = subject.scope.subscription_scope() else {
        return Fault::new("the call lies in no subscription");
    };
    let mut found = subject
        .facts
        .container_document(&scope)
        .map_or_else(|| json!({ "displayName": scope.name() }), |it| (**it).clone());
    model::json::set(&mut found, "id", json!(scope));
    model::json::set(&mut found, "subscriptionId", scope.name());
    model::json::set(&mut found, "tenantId", subject.facts.tenant.to_string());
    Ok(found)
}
