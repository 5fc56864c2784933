//! A registration: the device has proven itself here; the service chooses a hub and writes the device there
//! as itself, by a call like everybody's.
//!
//! Two shards change, the hub's and ours, and nothing commits across both: the registration is kept as
//! `assigning` together with an intent, the hub is called, and the outcome is kept with the intent cleared.
//! A start finishes what a stop interrupted; writing the same device twice is writing it once.

use super::attestation::{self, Known};
use super::enrollment::{AllocationPolicy, Source, Terms};
use super::registrations::{self, Registration, RegistrationStatus};
use crate::call::{self, Answer, Call};
use crate::control::{failed, unread};
use crate::env::Env;
use crate::input::{Headers, Input, Reply};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::{Dps, DpsLink, Hub, LinkAuthentication};
use gate::{Facts, Permit};
use model::operations::{Surface, operation};
use model::trace::{Caller, Channel};
use model::{Credential, Error, Op, SasToken, Secret};
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::pin::Pin;
use store::intents::{self, Intent};
use store::{Expect, ShardId};

const REGISTER: &str = "register";
/// How long a device waits before it asks again, in seconds.
const RETRY_AFTER_S: &str = "1";
const API_VERSION: &str = "2021-04-12";

/// What carrying a registration out needs to know.
#[derive(Serialize, Deserialize)]
struct Begun {
    registration_id: String,
    channel: Channel,
    caller: Caller,
}

/// `PUT /{idScope}/registrations/{registration}/register`. Answers 202; the device asks for the outcome.
pub(crate) async fn register(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let facts = env.facts.load();
    let dps = dps_of(permit, input, &facts)?;
    if input.body.get("tpm").is_some_and(|it| !it.is_null()) {
        return Err(Error::invalid(
            "tpm",
            "TPM attestation is not offered yet; register with a symmetric key",
        ));
    }
    let known = known(permit, input, &dps, env).await?;
    let shard = shard(&dps)?;
    let id = input.param("registration").to_ascii_lowercase();
    let former = registrations::read(env, &shard, &id).await?;
    let now = env.now().rfc3339();
    let registration = Registration {
        registration_id: id.clone(),
        device_id: Some(device_id(&known.source, &id)),
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
    };
    let begun = Begun {
        registration_id: id.clone(),
        channel: input.channel.clone(),
        caller: permit.caller().clone(),
    };
    let body =
        serde_json::to_vec(&begun).map_err(|it| Error::Internal { message: it.to_string() })?;
    let intent = Intent {
        name: format!("{REGISTER} {}", registration.operation_id),
        kind: REGISTER.to_owned(),
        tracking_id: registration.operation_id.clone(),
        body: body.into(),
    };
    let expect =
        former.as_ref().map_or(Expect::Absent, |(_, revision)| Expect::Revision(*revision));
    let changes = vec![registration.change(expect)?, intents::change_begin(&intent)];
    env.store.commit(&shard, changes).await.map_err(|it| failed(&it))?;
    carry_out(env, &dps, &shard, &intent).await?;
    let path = input.path.trim_end_matches("/register");
    Ok(Reply {
        status: 202,
        body: Some(json!({ "operationId": registration.operation_id, "status": "assigning" })),
        headers: vec![
            ("retry-after", RETRY_AFTER_S.to_owned()),
            ("Location", format!("{path}/operations/{}", registration.operation_id)),
        ],
    })
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
        return Ok(Reply {
            status: 202,
            body: Some(body),
            headers: vec![("retry-after", RETRY_AFTER_S.to_owned())],
        });
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

/// Finishes every registration that a stop interrupted. For the start, before the first call.
///
/// # Errors
/// The first that cannot be finished; the others stay open as well.
pub async fn finish_open_registrations(env: &Env) -> Result<usize, Error> {
    let facts = env.facts.load();
    let mut finished = 0;
    for dps in facts.provisioning.values() {
        let shard = shard(dps)?;
        for intent in intents::open(&env.store, &shard).await.map_err(|it| unread(&it))? {
            carry_out(env, dps, &shard, &intent).await?;
            finished += 1;
        }
    }
    Ok(finished)
}

/// Chooses the hub, calls it, and keeps what came of it.
async fn carry_out(env: &Env, dps: &Dps, shard: &ShardId, intent: &Intent) -> Result<(), Error> {
    let begun: Begun = serde_json::from_slice(&intent.body).map_err(|it| Error::Internal {
        message: format!("the intent `{}` cannot be read: {it}", intent.name),
    })?;
    let found = registrations::read(env, shard, &begun.registration_id).await?;
    let mut changes = vec![intents::change_clear(&intent.name)];
    // Forgotten or begun anew in between: then this one has nothing left to do.
    if let Some((mut registration, revision)) =
        found.filter(|(it, _)| it.operation_id == intent.tracking_id)
    {
        let candidates = attestation::candidates(env, &dps.uid, &begun.registration_id).await?;
        let vouched = |it: &Known| Some(it.source.id()) == begun.caller.via.as_deref();
        match candidates.into_iter().find(vouched) {
            Some(known) => assign(env, dps, &known, &begun, &mut registration).await,
            None => fail(
                &mut registration,
                401_002,
                "the enrollment was deleted while the device registered".into(),
            ),
        }
        registration.last_updated_date_time_utc = env.now().rfc3339();
        changes.push(registration.change(Expect::Revision(revision))?);
    }
    env.store.commit(shard, changes).await.map_err(|it| failed(&it))?;
    Ok(())
}

async fn assign(
    env: &Env,
    dps: &Dps,
    known: &Known,
    begun: &Begun,
    registration: &mut Registration,
) {
    let facts = env.facts.load();
    let Some((link, hub)) = allocate(dps, known.source.terms(), registration, &facts) else {
        let sentence =
            "no hub is linked to the provisioning service, or none that the enrollment names";
        return fail(registration, 400_000, sentence.into());
    };
    let credential = match credential(env, dps, link, hub) {
        Ok(it) => it,
        Err(sentence) => return fail(registration, 401_002, sentence),
    };
    let is_first = registration.assigned_hub.is_none();
    let answer = provision(env, dps, known, begun, hub, credential, is_first).await;
    registration.tracking_id = Some(answer.tracking.to_string());
    if answer.status == 200 {
        registration.status = RegistrationStatus::Assigned;
        registration.assigned_hub = Some(host_of(hub, env));
        registration.hub_scope = Some(hub.scope.as_str().to_owned());
        registration.substatus = Some("initialAssignment".to_owned());
    } else {
        let (code, sentence) = refusal(&answer);
        fail(registration, code, sentence);
    }
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
        409 => (409_001, text.to_owned()),
        other => (u32::from(other) * 1_000, text.to_owned()),
    };
    (code, format!("{lines}\nTracking ID: {}", answer.tracking))
}

/// The hub for a device: the one it has, the one its enrollment names, or its share of all that are linked.
fn allocate<'a>(
    dps: &'a Dps,
    terms: &Terms,
    registration: &Registration,
    facts: &'a Facts,
) -> Option<(&'a DpsLink, &'a Hub)> {
    let named = |host: &str, hub: &Hub| bare(host).eq_ignore_ascii_case(&hub.host);
    let mut linked: Vec<(&DpsLink, &Hub)> = dps
        .links
        .iter()
        .filter_map(|it| Some((it, &**facts.hub_at(&it.hub)?)))
        .filter(|(_, hub)| {
            terms.iot_hubs.is_empty() || terms.iot_hubs.iter().any(|it| named(it, hub))
        })
        .collect();
    let wanted = match (&registration.assigned_hub, &terms.iot_hub_host_name) {
        (Some(host), _) if !terms.reprovision_policy.update_hub_assignment => Some(host),
        (_, Some(host)) => Some(host),
        (Some(host), None) => Some(host),
        (None, None) => None,
    };
    if let Some(host) = wanted {
        let found = linked.iter().position(|(_, hub)| named(host, hub));
        if found.is_some() || terms.iot_hub_host_name.is_some() {
            return found.map(|at| linked.swap_remove(at));
        }
    }
    if terms.allocation_policy == Some(AllocationPolicy::Static) {
        return linked.into_iter().next();
    }
    linked.retain(|(link, _)| link.applies_allocation_policy || !terms.iot_hubs.is_empty());
    let total: u64 = linked.iter().map(|(link, _)| u64::from(link.weight)).sum();
    let mut place = share(&registration.registration_id).checked_rem(total)?;
    linked.into_iter().find(|(link, _)| {
        let is_here = place < u64::from(link.weight);
        place = place.saturating_sub(u64::from(link.weight));
        is_here
    })
}

/// An even spread that is the same on every day: the first eight bytes of SHA-256.
fn share(registration_id: &str) -> u64 {
    let digest = ring::digest::digest(&ring::digest::SHA256, registration_id.as_bytes());
    digest.as_ref().iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

fn bare(host: &str) -> &str {
    host.split_once(':').map_or(host, |(name, _)| name)
}

fn host_of(hub: &Hub, env: &Env) -> String {
    match env.settings.hub_port {
        443 => hub.host.clone(),
        port => format!("{}:{port}", hub.host),
    }
}

/// How the service shows itself to the hub: as its own identity, or with a key of the hub.
fn credential(env: &Env, dps: &Dps, link: &DpsLink, hub: &Hub) -> Result<Credential, String> {
    match &link.authentication {
        LinkAuthentication::SystemAssigned => {
            let identity = dps
                .identity
                .ok_or("the provisioning service has no system-assigned identity any more")?;
            let token =
                crate::entra::tokens::of_identity(env, identity, "https://iothubs.azure.net")
                    .map_err(|_| "the server could not sign a token")?;
            Ok(Credential::Bearer(Secret::new(token)))
        }
        LinkAuthentication::KeyBased { policy, key } => {
            let expiry = env.now().plus_seconds(3_600);
            let expiry_text = expiry.seconds().to_string();
            let key = hmac::Key::new(hmac::HMAC_SHA256, key.reveal());
            let signature = hmac::sign(&key, format!("{}\n{expiry_text}", hub.host).as_bytes());
            Ok(Credential::Sas(SasToken {
                resource_text: hub.host.clone(),
                resource: hub.host.clone(),
                signature: Secret::new(signature.as_ref().to_vec()),
                expiry_text,
                expiry,
                key_name: Some(policy.clone()),
            }))
        }
    }
}

/// The call at the hub. Boxed: a call leads here, and this to a call.
fn provision<'a>(
    env: &'a Env,
    dps: &'a Dps,
    known: &'a Known,
    begun: &'a Begun,
    hub: &'a Hub,
    credential: Credential,
    is_first: bool,
) -> Pin<Box<dyn Future<Output = Answer> + Send + 'a>> {
    let terms = known.source.terms();
    let key = |it: &Secret<Vec<u8>>| STANDARD.encode(it.reveal());
    let device = device_id(&known.source, &begun.registration_id);
    let mut body = json!({
        "deviceId": device,
        "authentication": { "type": "sas", "symmetricKey": {
            "primaryKey": key(&known.keys.primary), "secondaryKey": key(&known.keys.secondary) } },
        "capabilities": { "iotEdge": terms.iot_edge },
        "provisionedBy": format!("{}/{}", dps.uid, known.source.id()),
    });
    // A twin is written once: registering again must not undo what was changed since.
    let op = match terms.initial_twin.as_ref().filter(|_| is_first) {
        Some(twin) => {
            let initial = json!({ "tags": twin.tags, "properties": { "desired": twin.desired } });
            model::json::set(&mut body, "initialTwin", initial);
            Op::ProvisionDeviceWithTwin
        }
        None => Op::ProvisionDevice,
    };
    let text = bytes::Bytes::from(body.to_string());
    let channel =
        Channel { on_behalf_of: Some(Box::new(begun.caller.clone())), ..begun.channel.clone() };
    let call = Call {
        operation: operation(op),
        surface: Surface::Hub,
        host: hub.host.clone(),
        path: format!("/devices/{device}"),
        params: BTreeMap::from([("device", device)]),
        query: vec![("api-version".into(), API_VERSION.into())],
        headers: Headers {
            content_type: Some("application/json".into()),
            client_request_id: Some(begun.registration_id.clone()),
            ..Headers::default()
        },
        credential,
        channel,
        body: Box::new(move |_| Box::pin(async move { Ok(text) })),
    };
    Box::pin(call::run(env, call))
}

/// The enrollment by which the caller proved itself.
async fn known(permit: &Permit, input: &Input, dps: &Dps, env: &Env) -> Result<Known, Error> {
    let candidates = attestation::candidates(env, &dps.uid, input.param("registration")).await?;
    let vouched = |it: &Known| Some(it.source.id()) == permit.caller().via.as_deref();
    candidates.into_iter().find(vouched).ok_or_else(|| Error::EnrollmentNotFound {
        message: "the enrollment was deleted while the device registered".into(),
    })
}

async fn existing(input: &Input, dps: &Dps, env: &Env) -> Result<(Registration, u64), Error> {
    let found = registrations::read(env, &shard(dps)?, input.param("registration")).await?;
    found.ok_or_else(|| Error::EnrollmentNotFound {
        message: "this device has not registered".into(),
    })
}

fn shown(registration: &Registration, revision: u64) -> Value {
    let mut shown = registration.shown(&super::enrollments::etag(revision));
    if let Some(group) = &registration.enrollment_group_id {
        model::json::set(&mut shown, "symmetricKey", json!({ "enrollmentGroupId": group }));
    }
    shown
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
fn dps_of(permit: &Permit, input: &Input, facts: &Facts) -> Result<std::sync::Arc<Dps>, Error> {
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

fn shard(dps: &Dps) -> Result<ShardId, Error> {
    ShardId::dps(&dps.uid).map_err(|it| Error::Internal { message: it.to_string() })
}
