//! What a device asks of its provisioning service besides registering: to connect, and how far it has come.

use super::register::{RETRY_AFTER_S, dps_of, shard};
use super::registrations::{self, Registration, RegistrationStatus};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::Permit;
use gate::facts::Dps;
use model::Error;
use serde_json::{Value, json};

/// Where a device may begin to register: at the service whose id scope it names.
pub(crate) fn connect(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    dps_of(permit, input, &env.facts.load()).map(|_| Reply::empty(200))
}

/// `GET /{idScope}/registrations/{registration}/operations/{operation}`.
pub(crate) async fn operation_status(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let dps = dps_of(permit, input, &facts)?;
    let (registration, revision) = existing(input, &dps, env).await?;
    if registration.operation_id != input.param("operation") {
        return Err(Error::EnrollmentNotFound {
            message: "there is no such operation of this registration".into(),
        });
    }
    let status = registration.status;
    if status == RegistrationStatus::Assigning {
        let body = json!({ "operationId": registration.operation_id, "status": "assigning" });
        return Ok(Reply::with(202, Some(body)).with_header("retry-after", RETRY_AFTER_S));
    }
    Ok(Reply::ok(json!({
        "operationId": registration.operation_id,
        "status": status.as_str(),
        "registrationState": shown(&registration, revision),
    })))
}

/// `POST /{idScope}/registrations/{registration}`: what is known, without registering anew.
pub(crate) async fn look_up(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let dps = dps_of(permit, input, &facts)?;
    let (registration, revision) = existing(input, &dps, env).await?;
    Ok(Reply::ok(shown(&registration, revision)))
}

async fn existing(input: &Input, dps: &Dps, env: &Env) -> Result<(Registration, u64), Error> {
    let found = registrations::read(env, &shard(dps)?, input.param("registration")).await?;
    found.ok_or_else(|| Error::EnrollmentNotFound {
        message: "this device has not registered".into(),
    })
}

fn shown(registration: &Registration, revision: u64) -> Value {
    let mut shown = registration.shown(&super::enrollments::etag(revision));
    let (kind, mut part) = match (&registration.x509, &registration.tpm) {
        (Some(told), _) => ("x509", told.clone()),
        (None, Some(key)) => ("tpm", json!({ "authenticationKey": key })),
        (None, None) => ("symmetricKey", json!({})),
    };
    if let Some(group) = &registration.enrollment_group_id {
        model::json::set(&mut part, "enrollmentGroupId", json!(group));
    }
    if part != json!({}) {
        model::json::set(&mut shown, kind, part);
    }
    shown
}
