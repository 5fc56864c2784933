//! A registration: the device has proven itself here; the service chooses a hub and writes the device there
//! as itself, by a call like everybody's.
//!
//! Two shards change, the hub's and ours, and nothing commits across both: the registration is kept as
//! `assigning` together with an intent, the hub is called, and the outcome is kept with the intent cleared.
//! A start finishes what a stop interrupted; writing the same device twice is writing it once.

use super::assignment::{assign, device_id};
use super::attestation::{self, Known};
use super::enrollment::{Attestation, Source};
use super::proven::Proven;
use super::registrations::{self, Registration, RegistrationStatus};
use super::tpm::Tpm;
use super::x509;
use crate::control::{failed, unread};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::insights::diagnostics::Outcome;
use crate::resources::fields::Fields;
use gate::facts::Dps;
use gate::{Facts, Permit};
use model::trace::{Caller, Channel};
use model::{Error, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::intents::{self, Intent};
use store::{CommitError, Expect, ShardId};

const REGISTER: &str = "register";
/// How long a device waits before it asks again, in seconds.
pub(super) const RETRY_AFTER_S: &str = "1";
/// How often a step is tried anew when another registration of the same device came between.
const TRIES: usize = 16;

/// What carrying a registration out needs to know.
#[derive(Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) registration_id: String,
    /// Of the device's own call, and of the call at the hub. Empty in what an older version began.
    #[serde(default)]
    pub(super) correlation_id: String,
    pub(super) channel: Channel,
    pub(super) caller: Caller,
    /// What the device sent along, for whoever chooses its hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) payload: Option<Value>,
    /// A stop came between, and this is the start behind it.
    #[serde(skip)]
    pub(super) is_resumed: bool,
    /// What the device has shown, in base64: its own certificate first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) certificates: Vec<String>,
    /// The keys of the TPM that it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tpm: Option<Tpm>,
}

impl Begun {
    fn of(intent: &Intent) -> Result<Self, Error> {
        let mut begun: Self =
            serde_json::from_slice(&intent.body).map_err(|it| Error::Internal {
                message: format!("the intent `{}` cannot be read: {it}", intent.name),
            })?;
        if begun.correlation_id.is_empty() {
            begun.correlation_id.clone_from(&intent.tracking_id);
        }
        Ok(begun)
    }

    /// What came of it, for the diagnostic log.
    fn outcome<'a>(
        &'a self,
        registration: &'a Registration,
        hub: Option<&'a Scope>,
        took_ns: u64,
    ) -> Outcome<'a> {
        let message = registration.error_message.as_deref().unwrap_or("");
        Outcome {
            registration_id: &self.registration_id,
            caller: &self.caller,
            channel: &self.channel,
            correlation_id: &self.correlation_id,
            hub,
            tracking_id: registration.tracking_id.as_deref(),
            failure: registration.error_code.map(|it| (it, message)),
            took_ns,
        }
    }
}

/// `PUT /{idScope}/registrations/{registration}/register`. Answers 202; the device asks for the outcome.
pub(crate) async fn register(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let dps = dps_of(permit, input, &facts)?;
    let known = known(permit, input, &dps, env).await?;
    let shard = shard(&dps)?;
    let id = input.param("registration").to_ascii_lowercase();
    check_body(&input.body, &id)?;
    env.pace.take(&dps, &known.source, env.now())?;
    let tpm = match known.source.attestation() {
        Attestation::Tpm(_) => Some(answered(input, &dps, &id, env)?),
        Attestation::SymmetricKey(_) | Attestation::X509(_) => None,
    };
    let begun = Begun {
        registration_id: id.clone(),
        correlation_id: input.correlation_id.clone(),
        channel: input.channel.clone(),
        caller: permit.caller().clone(),
        payload: input.body.get("payload").filter(|it| !it.is_null()).cloned(),
        is_resumed: false,
        certificates: x509::kept(input.certificates.as_ref()),
        tpm,
    };
    for _ in 0..TRIES {
        if let Some(operation) = begin(&begun, env, &dps, &shard, &known, &id).await? {
            let path = input.path.strip_suffix("/register").unwrap_or(&input.path);
            let location = format!("{path}/operations/{operation}");
            let body = json!({ "operationId": operation, "status": "assigning" });
            return Ok(Reply::with(202, Some(body))
                .with_header("retry-after", RETRY_AFTER_S)
                .with_header("Location", location));
        }
    }
    Err(Error::Unavailable {
        message: "the registration kept changing under this one; register again".into(),
    })
}

/// The keys of a TPM that has opened what it was sent, and has signed with it.
fn answered(input: &Input, dps: &Dps, id: &str, env: &Env) -> Result<Tpm, Error> {
    let shown = Tpm::read(&Fields::of(&input.body)?)?;
    match env.challenges.take(dps, id, &shown, env.now()) {
        true => Ok(shown),
        false => Err(Error::EnrollmentConflict {
            message: "the key that the TPM was sent has begun another registration, or is another TPM's; register \
                      without a signature to be sent one"
                .into(),
        }),
    }
}

/// What the body may say of the device that the path names.
pub(super) fn check_body(body: &Value, id: &str) -> Result<(), Error> {
    if !(body.is_null() || body.is_object()) {
        return Err(Error::invalid("body", "a JSON object is required"));
    }
    match body.get("registrationId") {
        None | Some(Value::Null) => Ok(()),
        Some(it) if it.as_str().is_some_and(|it| it.eq_ignore_ascii_case(id)) => Ok(()),
        Some(_) => Err(Error::invalid(
            "registrationId",
            format!("the path names `{id}`, the body another device"),
        )),
    }
}

/// Keeps the registration as begun and carries it out. `None` where another one of the same device came
/// first.
async fn begin(
    begun: &Begun,
    env: &Env,
    dps: &Dps,
    shard: &ShardId,
    known: &Known,
    id: &str,
) -> Result<Option<String>, Error> {
    let former = registrations::read(env, shard, id).await?;
    let now = env.now().rfc3339();
    let registration = Registration {
        registration_id: id.to_owned(),
        device_id: Some(device_id(&known.source, id)),
        assigned_hub: former.as_ref().and_then(|(it, _)| it.assigned_hub.clone()),
        status: RegistrationStatus::Assigning,
        substatus: None,
        error_code: None,
        error_message: None,
        created_date_time_utc: former
            .as_ref()
            .map_or_else(|| now.clone(), |(it, _)| it.created_date_time_utc.clone()),
        last_updated_date_time_utc: now,
        payload: None,
        operation_id: format!("4.{}", env.new_uuid().simple()),
        enrollment_group_id: group_of(&known.source),
        tracking_id: None,
        hub_scope: former.as_ref().and_then(|(it, _)| it.hub_scope.clone()),
        x509: None,
        tpm: None,
    };
    let body =
        serde_json::to_vec(begun).map_err(|it| Error::Internal { message: it.to_string() })?;
    let intent = Intent {
        name: format!("{REGISTER} {}", registration.operation_id),
        kind: REGISTER.to_owned(),
        tracking_id: registration.operation_id.clone(),
        body: body.into(),
    };
    let expect =
        former.as_ref().map_or(Expect::Absent, |(_, revision)| Expect::Revision(*revision));
    let changes = vec![registration.change(expect)?, intents::change_begin(&intent)];
    match env.store.commit(shard, changes).await {
        Ok(_) => {}
        Err(CommitError::Conflict { .. }) => return Ok(None),
        Err(error @ (CommitError::ShardGone | CommitError::Store(_))) => {
            return Err(failed(&error));
        }
    }
    carry_out(env, dps, shard, (&intent, false)).await?;
    Ok(Some(registration.operation_id))
}

/// Finishes every registration that a stop interrupted. For the start, before the first call.
///
/// # Errors
/// Where the intents themselves cannot be read.
pub async fn finish_open_registrations(env: &Env) -> Result<usize, Error> {
    let facts = env.facts.load();
    let mut finished = 0;
    for dps in facts.provisioning.values() {
        let shard = shard(dps)?;
        for intent in intents::open(&env.store, &shard).await.map_err(|it| unread(&it))? {
            match carry_out(env, dps, &shard, (&intent, true)).await {
                Ok(()) => finished += 1,
                // One that cannot be finished stays open and holds nobody else up.
                Err(error) => {
                    let sentence = format!("`{}` stays open: {}", intent.name, error.cause());
                    env.metrics.log_fault(env.new_tracking_id(), &sentence);
                }
            }
        }
    }
    Ok(finished)
}

/// Chooses the hub, calls it, and keeps what came of it.
async fn carry_out(
    env: &Env,
    dps: &Dps,
    shard: &ShardId,
    (intent, is_resumed): (&Intent, bool),
) -> Result<(), Error> {
    let begun = Begun { is_resumed, ..Begun::of(intent)? };
    let started = (env.clock.monotonic_ns)();
    for _ in 0..TRIES {
        let found = registrations::read(env, shard, &begun.registration_id).await?;
        let mut changes = vec![intents::change_clear(&intent.name)];
        let mut decided = None;
        // Forgotten or begun anew in between: then this one has nothing left to do.
        if let Some((mut registration, revision)) =
            found.filter(|(it, _)| it.operation_id == intent.tracking_id)
        {
            let id = &begun.registration_id;
            let known = attestation::vouched(env, dps, id, &begun.caller).await?;
            let known = known.filter(|it| it.proof.is_enabled());
            let proven = known.and_then(|it| Proven::of(it, &begun, env));
            let hub = match proven {
                Some(proven) => assign(env, dps, &proven, &begun, &mut registration).await?,
                None => {
                    let sentence = "the enrollment was deleted, disabled or changed while the device registered";
                    registration.fail((401_002, sentence.into()), None);
                    None
                }
            };
            registration.last_updated_date_time_utc = env.now().rfc3339();
            changes.push(registration.change(Expect::Revision(revision))?);
            decided = Some((registration, hub));
        }
        match env.store.commit(shard, changes).await {
            Ok(_) => {
                if let Some((registration, hub)) = &decided {
                    let took_ns = (env.clock.monotonic_ns)().saturating_sub(started);
                    env.metrics.count_registration(registration.error_code);
                    let outcome = begun.outcome(registration, hub.as_ref(), took_ns);
                    env.diagnostics.outcome(&outcome, dps, env);
                }
                return Ok(());
            }
            Err(CommitError::Conflict { .. }) => {}
            Err(error @ (CommitError::ShardGone | CommitError::Store(_))) => {
                return Err(failed(&error));
            }
        }
    }
    Err(Error::Unavailable { message: "the registration kept changing; register again".into() })
}

/// The enrollment by which the caller proved itself.
async fn known(permit: &Permit, input: &Input, dps: &Dps, env: &Env) -> Result<Known, Error> {
    let id = input.param("registration");
    let known = attestation::vouched(env, dps, id, permit.caller()).await?;
    known.ok_or_else(|| Error::EnrollmentNotFound {
        message: "the enrollment was deleted while the device registered".into(),
    })
}

fn group_of(source: &Source) -> Option<String> {
    match source {
        Source::Individual(_) => None,
        Source::Group(it) => Some(it.enrollment_group_id.clone()),
    }
}

/// The service at this address, where it is the one that the path's id scope names.
pub(super) fn dps_of(
    permit: &Permit,
    input: &Input,
    facts: &Facts,
) -> Result<std::sync::Arc<Dps>, Error> {
    let dps = facts
        .dps(permit.scope())
        .filter(|it| it.id_scope.eq_ignore_ascii_case(input.param("idScope")));
    dps.cloned().ok_or_else(|| Error::EnrollmentNotFound {
        message: format!(
            "the id scope `{}` is not this provisioning service's",
            input.param("idScope").escape_debug()
        ),
    })
}

pub(super) fn shard(dps: &Dps) -> Result<ShardId, Error> {
    ShardId::dps(&dps.uid).map_err(|it| Error::Internal { message: it.to_string() })
}

#[cfg(test)]
#[path = "register_tests.rs"]
mod tests;
