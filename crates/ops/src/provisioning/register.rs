//! A registration: the device has proven itself here; the service chooses a hub and writes the device there
//! as itself, by a call like everybody's.
//!
//! Two shards change, the hub's and ours, and nothing commits across both: the registration is kept as
//! `assigning` together with an intent, the hub is called, and the outcome is kept with the intent cleared.
//! A start finishes what a stop interrupted; writing the same device twice is writing it once.

use super::allocation::{allocate, credential};
use super::attestation::{self, Known};
use super::enrollment::{Attestation, InitialTwin, Source};
use super::proven::Proven;
use super::registrations::{self, Registration, RegistrationStatus};
use super::tpm::Tpm;
use super::x509;
use crate::call::{self, Answer, Call};
use crate::control::{failed, unread};
use crate::devices::names::{host_name, without_port};
use crate::devices::registry;
use crate::env::Env;
use crate::input::{Headers, Input, Reply};
use crate::insights::diagnostics::Outcome;
use crate::resources::fields::Fields;
use gate::facts::{Dps, Hub};
use gate::{Facts, Permit};
use model::operations::{Surface, operation};
use model::trace::{Caller, Channel};
use model::{Credential, Error, Op, Scope};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::pin::Pin;
use store::intents::{self, Intent};
use store::{CommitError, Expect, ShardId};

const REGISTER: &str = "register";
/// How long a device waits before it asks again, in seconds.
pub(super) const RETRY_AFTER_S: &str = "1";
const API_VERSION: &str = "2021-04-12";
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
    carry_out(env, dps, shard, &intent).await?;
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
            match carry_out(env, dps, &shard, &intent).await {
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
async fn carry_out(env: &Env, dps: &Dps, shard: &ShardId, intent: &Intent) -> Result<(), Error> {
    let begun = Begun::of(intent)?;
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
                    fail(&mut registration, 401_002, sentence.into());
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

/// Answers which hub was chosen, where one was.
async fn assign(
    env: &Env,
    dps: &Dps,
    proven: &Proven,
    begun: &Begun,
    registration: &mut Registration,
) -> Result<Option<Scope>, Error> {
    let facts = env.facts.load();
    let source = &proven.source;
    registration.x509.clone_from(&proven.certificates);
    let Some((link, hub)) = allocate(dps, source.terms(), registration, &facts) else {
        let sentence =
            "no hub is linked to the provisioning service, or none that the enrollment names";
        fail(registration, 400_000, sentence.into());
        return Ok(None);
    };
    let chosen = Some(hub.scope.clone());
    let device = device_id(source, &begun.registration_id);
    // Two enabled copies of a device would be worse than one in the wrong place.
    let old = registration.assigned_hub.as_deref().and_then(|it| facts.hub_at(without_port(it)));
    if let Some(old) = old.filter(|it| it.uid != hub.uid)
        && registry::exists(env, old, &device).await?
    {
        let sentence = format!(
            "the device is in the hub `{}`, and moving it to `{}` is not offered yet; delete it there first",
            old.scope.name(),
            hub.scope.name()
        );
        fail(registration, 409_000, sentence);
        return Ok(chosen);
    }
    let credential = match credential(env, dps, link, hub) {
        Ok(it) => it,
        Err(sentence) => {
            fail(registration, 401_002, sentence);
            return Ok(chosen);
        }
    };
    // A twin is written once: registering again must not undo what was changed since.
    let is_first = !registry::exists(env, hub, &device).await?;
    let answer = provision(env, dps, proven, begun, hub, credential, is_first).await;
    registration.tracking_id = Some(answer.tracking.to_string());
    if answer.status == 200 {
        registration.status = RegistrationStatus::Assigned;
        registration.assigned_hub = Some(host_name(&hub.host, env.settings.hub_port));
        registration.hub_scope = Some(hub.scope.as_str().to_owned());
        registration.substatus = Some("initialAssignment".to_owned());
        registration.tpm.clone_from(&proven.activation);
    } else {
        let (code, sentence) = refusal(&answer);
        fail(registration, code, sentence);
    }
    Ok(chosen)
}

fn fail(registration: &mut Registration, code: u32, sentence: String) {
    registration.status = RegistrationStatus::Failed;
    registration.error_code = Some(code);
    registration.error_message = Some(sentence);
}

/// The hub's words for the device: the source's three lines where a policy or a role refused, and the id
/// under which the decision can be asked for.
fn refusal(answer: &Answer) -> (u32, String) {
    let message =
        answer.body.as_ref().and_then(|it| model::json::text(it, &["Message"])).unwrap_or("");
    let text = message.split_once(';').map_or(message, |(_, it)| it);
    let (code, lines) = match answer.status {
        403 => (403_000, text.to_owned()),
        401 => {
            (401_003, format!("HTTP 401: Unauthorized\nError: Device registration denied\n{text}"))
        }
        409 => (
            409_001,
            "the hub has a device of this id that came by another enrollment or by hand; delete it there, or \
             give this one another id"
                .to_owned(),
        ),
        429 => (429_001, text.to_owned()),
        other => (u32::from(other) * 1_000, text.to_owned()),
    };
    (code, format!("{lines}\nTracking ID: {}", answer.tracking))
}

/// The call at the hub. Boxed: a call leads here, and this to a call.
fn provision<'a>(
    env: &'a Env,
    dps: &'a Dps,
    proven: &'a Proven,
    begun: &'a Begun,
    hub: &'a Hub,
    credential: Credential,
    is_first: bool,
) -> Pin<Box<dyn Future<Output = Answer> + Send + 'a>> {
    let terms = proven.source.terms();
    let device = device_id(&proven.source, &begun.registration_id);
    let twin = terms.initial_twin.as_ref().filter(|_| is_first);
    let (op, mut body) = device_body(&device, &proven.authentication, terms.iot_edge, twin);
    model::json::set(&mut body, "provisionedBy", provisioned_by(dps, &proven.source));
    let text = bytes::Bytes::from(body.to_string());
    let channel = Channel {
        on_behalf_of: Some(Box::new(begun.caller.clone())),
        enrollment: Some(proven.source.kind()),
        ..begun.channel.clone()
    };
    let call = Call {
        operation: operation(op),
        surface: Surface::Hub,
        host: hub.host.clone(),
        path: format!("/devices/{device}"),
        params: BTreeMap::from([("device", device)]),
        query: vec![("api-version".into(), API_VERSION.into())],
        headers: Headers {
            content_type: Some("application/json".into()),
            client_request_id: Some(begun.correlation_id.clone()),
            ..Headers::default()
        },
        credential,
        channel,
        body: Box::new(move |_| Box::pin(async move { Ok(text) })),
    };
    Box::pin(call::run(env, call))
}

/// A device as its hub is asked to write it, and by which operation.
pub(crate) fn device_body(
    device: &str,
    authentication: &Value,
    is_edge: bool,
    twin: Option<&InitialTwin>,
) -> (Op, Value) {
    let mut body = json!({
        "deviceId": device,
        "authentication": authentication,
        "capabilities": { "iotEdge": is_edge },
    });
    match twin {
        Some(twin) => {
            let initial = json!({ "tags": twin.tags, "properties": { "desired": twin.desired } });
            model::json::set(&mut body, "initialTwin", initial);
            (Op::ProvisionDeviceWithTwin, body)
        }
        None => (Op::ProvisionDevice, body),
    }
}

/// What a device came by: the service, and which enrollment of which kind. Ids know no case.
fn provisioned_by(dps: &Dps, source: &Source) -> String {
    let kind = match source {
        Source::Individual(_) => "enrollments",
        Source::Group(_) => "enrollmentGroups",
    };
    format!("{}/{kind}/{}", dps.uid, source.id().to_ascii_lowercase())
}

/// The enrollment by which the caller proved itself.
async fn known(permit: &Permit, input: &Input, dps: &Dps, env: &Env) -> Result<Known, Error> {
    let id = input.param("registration");
    let known = attestation::vouched(env, dps, id, permit.caller()).await?;
    known.ok_or_else(|| Error::EnrollmentNotFound {
        message: "the enrollment was deleted while the device registered".into(),
    })
}

fn device_id(source: &Source, registration_id: &str) -> String {
    match source {
        Source::Individual(it) => {
            it.device.device_id.clone().unwrap_or_else(|| registration_id.to_owned())
        }
        Source::Group(_) => registration_id.to_owned(),
    }
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
