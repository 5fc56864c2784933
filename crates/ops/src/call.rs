//! The road: authenticate, read the body within its limits, decide, act, keep what must be kept.
//!
//! This is the only caller of [`gate::admit`]. Fronts hold no rules and operations hold no checks of who
//! may call: both would be a second place where that is decided.

mod body;

pub use body::{
    BodyFault, BodyReader, CONTROL_BODY_BYTES_MAX, FORM_BYTES_MAX, SERVICE_BODY_BYTES_MAX,
};

use crate::env::Env;
use crate::input::{Headers, Input, Reply};
use crate::proving::{Proving, instance, is_own_address, own_keys};
use crate::{decisions, dispatch, objects, questions};
use body::{read_form, read_json};
use gate::facts::Instance;
use gate::{Ask, Facts, Permit, Refusal};
use model::error::{Denial, DenialKind, TokenFault};
use model::operations::{Body, Effect, Surface, operation};
use model::trace::{Channel, TraceHead};
use model::{Credential, Error, Op, Operation, Plane, Scope, Secret, TrackingId};
use serde_json::Value;
use std::collections::BTreeMap;

/// One attempt at an operation, as a front decoded it.
pub struct Call {
    pub operation: &'static Operation,
    pub surface: Surface,
    /// The `Host` that the client named, without a port.
    pub host: String,
    /// The path, percent-decoded once.
    pub path: String,
    pub params: BTreeMap<&'static str, String>,
    pub query: Vec<(String, String)>,
    pub headers: Headers,
    pub credential: Credential,
    pub channel: Channel,
    pub body: BodyReader,
}

/// What the front sends back.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub body: Option<Value>,
    pub headers: Vec<(&'static str, String)>,
    pub tracking: TrackingId,
}

/// Runs a call from credential to answer. Never fails: an error is an answer too.
pub async fn run(env: &Env, call: Call) -> Answer {
    let started = (env.clock.monotonic_ns)();
    let tracking = env.new_tracking_id();
    let surface = call.surface;
    let operation = call.operation;
    let correlation =
        call.headers.client_request_id.clone().unwrap_or_else(|| tracking.to_string());
    let wants_flat = call.headers.prefer.as_deref().is_some_and(|it| it.contains("error=flat"));
    let outcome = take(env, call, tracking, correlation.clone()).await;
    let mut answer = match outcome {
        Ok(reply) => {
            Answer { status: reply.status, body: reply.body, headers: reply.headers, tracking }
        }
        Err(Failed { error, tracking }) => refuse(env, surface, &error, tracking, wants_flat),
    };
    env.metrics.count_call(
        operation,
        answer.status,
        (env.clock.monotonic_ns)().saturating_sub(started),
    );
    answer.headers.push(("x-ms-request-id", answer.tracking.to_string()));
    answer.headers.push(("x-ms-correlation-request-id", correlation));
    answer
}

/// Answers an error that came before any operation was known: no such path, method or host.
pub fn refuse_early(env: &Env, surface: Surface, error: &Error) -> Answer {
    let tracking = env.new_tracking_id();
    let mut answer = refuse(env, surface, error, tracking, false);
    env.metrics.count_early_refusal(answer.status);
    answer.headers.push(("x-ms-request-id", tracking.to_string()));
    answer
}

/// An error with the id under which its decision can be asked for.
struct Failed {
    error: Error,
    tracking: TrackingId,
}

async fn take(
    env: &Env,
    call: Call,
    tracking: TrackingId,
    correlation: String,
) -> Result<Reply, Failed> {
    let failed = |error| Failed { error, tracking };
    let now = env.now();
    let Call {
        operation,
        host,
        path,
        params,
        query,
        headers,
        channel,
        body,
        mut credential,
        surface,
    } = call;
    let facts = env.facts.load();
    let instance = match surface {
        Surface::Hub | Surface::Dps => {
            Some(instance(&facts, surface, &host, &channel).map_err(failed)?)
        }
        Surface::Arm | Surface::Entra | Surface::Graph => None,
    };
    let scope = match instance {
        Some(Instance::Hub(hub)) => hub.scope.clone(),
        Some(Instance::Dps(dps)) => dps.scope.clone(),
        None if surface == Surface::Arm => {
            Scope::parse(&path).map_err(|it| failed(Error::invalid("path", it.to_string())))?
        }
        None => Scope::root(),
    };
    let mut input =
        Input { params, query, body: Value::Null, scope, path, headers, channel: channel.clone() };
    check_api_version(operation, surface, &input).map_err(failed)?;

    // The token endpoint's credential is in its form; everybody else shows one before the body is read.
    let mut body = Some(body);
    if operation.body == Body::Form
        && let Some(read) = body.take()
    {
        input.body = read_form(read, &input.headers).await.map_err(failed)?;
        credential = client_credential(credential, &input);
    }

    let mut head = TraceHead { id: tracking, time: now, correlation_id: correlation, channel };
    let own = own_keys(env, operation, instance, &input).await.map_err(failed)?;
    let path = input.path.clone();
    let proving =
        Proving { operation, host: &host, path: &path, credential: &credential, own: &own };
    let mut who = match proving.prove(env, &facts, &input.scope, &head) {
        Ok(who) => who,
        Err(refusal) => return Err(keep(env, *refusal).await),
    };

    if operation.body == Body::Json
        && let Some(read) = body.take()
    {
        input.body = read_json(read, operation, &input.headers).await.map_err(failed)?;
    }

    // INVARIANT: between the decision and the end of a write, no fact changes; between the decision and
    // the end of a change of facts, nothing is written at all. A revoked right is gone when the answer
    // to the revocation leaves.
    let (_write, _change);
    match operation.effect {
        // A call that calls holds nothing itself: waiting for its own calls while holding would be for ever.
        Effect::Reads | Effect::Calls => {}
        Effect::Writes => _write = env.facts.writing().await,
        Effect::ChangesFacts => _change = env.facts.changing().await,
    }
    let facts = env.facts.load();
    // A body may have taken minutes to come: who called must still be who it was.
    if operation.effect != Effect::Reads {
        head.time = env.now();
        let instance = facts.instance_at(&host).filter(|_| is_own_address(surface));
        let own = own_keys(env, operation, instance, &input).await.map_err(failed)?;
        let proving = Proving { own: &own, ..proving };
        who = match proving.prove(env, &facts, &input.scope, &head) {
            Ok(who) => who,
            Err(refusal) => return Err(keep(env, *refusal).await),
        };
    }
    let instance = facts.instance_at(&host).filter(|_| is_own_address(surface));
    let prepared = objects::prepare(operation, &mut input, instance, who.caller(), env)
        .await
        .map_err(failed)?;
    let ask = Ask {
        operation: prepared.operation,
        scope: &prepared.scope,
        objects: &prepared.objects,
        linked: &prepared.linked,
        caller: who.caller(),
        head: &head,
    };
    let permit = match gate::admit(&who, &ask, &facts, &*env.clock.monotonic_ns) {
        Ok(permit) => permit,
        Err(refusal) => return Err(keep(env, *refusal).await),
    };
    note(env, &permit).await;
    dispatch::act(&permit, &input, env).await.map_err(failed)
}

/// Keeps an allowed call that a policy wants on record. Changes of facts are kept with their own commit.
async fn note(env: &Env, permit: &Permit) {
    if permit.operation().effect == Effect::ChangesFacts {
        return;
    }
    if let Some(trace) = permit.trace() {
        env.diagnostics.record(trace, &env.facts.load());
        if let Err(error) = decisions::keep(env, trace.clone()).await {
            env.metrics.log_fault(trace.id, &format!("a noted call could not be kept: {error}"));
        }
    }
}

/// Keeps a refusal before it is answered. A repeat answers with the id of the one that is kept. Who may
/// not read the policies that refused gets their names; what they look at stays in the kept trace.
async fn keep(env: &Env, refusal: Refusal) -> Failed {
    let Refusal { denial, trace } = refusal;
    let own = trace.id;
    let facts = env.facts.load();
    env.diagnostics.record(&trace, &facts);
    let is_by_policy = matches!(denial.kind, DenialKind::Policy { .. });
    let caller = trace.call.caller.as_ref();
    let is_reader =
        || caller.is_some_and(|it| questions::may_read_policies(it, &trace, env, &facts));
    let denial = if is_by_policy && !is_reader() { denial.named_only() } else { denial };
    // A refusal that could not be kept stays a refusal.
    let tracking = decisions::keep(env, trace).await.unwrap_or(own);
    Failed { error: Error::Denied(Box::new(denial)), tracking }
}

fn refuse(
    env: &Env,
    surface: Surface,
    error: &Error,
    tracking: TrackingId,
    wants_flat: bool,
) -> Answer {
    let wire = error.wire();
    let status = error.status(surface);
    let body = match (surface, wants_flat) {
        (Surface::Arm, true) => {
            serde_json::json!({ "error": wire.code, "code": status, "message": wire.message })
        }
        _ => error.body(surface, tracking, env.now()),
    };
    let mut headers = vec![("x-hubward-retry", retry_hint(error).to_owned())];
    match surface {
        Surface::Hub => headers.push(("iothub-errorcode", wire.hub_name.to_owned())),
        Surface::Dps => headers.push(("x-ms-error-code", wire.hub_code.to_string())),
        Surface::Arm => headers.push(("x-ms-failure-cause", "gateway".to_owned())),
        Surface::Entra | Surface::Graph => {}
    }
    if status == 401 && matches!(surface, Surface::Arm | Surface::Graph) {
        let challenge = format!(
            "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{}\"",
            env.settings.origin,
            env.settings.tenant,
            wire.message.replace(['"', '\\'], "'").replace(|it: char| it.is_control(), " ")
        );
        headers.push(("WWW-Authenticate", challenge));
    }
    if let Error::MethodNotAllowed { allowed, .. } = error {
        headers.push(("Allow", allowed.join(", ")));
    }
    if matches!(error, Error::Unavailable { .. }) || status == 429 {
        headers.push(("Retry-After", "1".to_owned()));
    }
    if let Error::Internal { message } = error {
        env.metrics.log_fault(tracking, message);
    }
    Answer { status, body: Some(body), headers, tracking }
}

/// Whether the same call can succeed later without anybody changing anything.
fn retry_hint(error: &Error) -> &'static str {
    let throttled = DenialKind::Token(TokenFault::TooManyTries);
    let is_throttled = matches!(error, Error::Denied(denial) if denial.kind == throttled);
    match is_throttled || matches!(error, Error::Unavailable { .. }) {
        true => "throttle",
        false => "never",
    }
}

fn check_api_version(operation: &Operation, surface: Surface, input: &Input) -> Result<(), Error> {
    if !matches!(surface, Surface::Arm | Surface::Hub | Surface::Dps)
        || matches!(operation.plane, Plane::Open)
    {
        return Ok(());
    }
    let given: Vec<&str> = input
        .query
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case("api-version"))
        .map(|(_, it)| it.as_str())
        .collect();
    let full_type = match surface {
        Surface::Hub => Some("Microsoft.Devices/IotHubs".to_owned()),
        Surface::Dps => Some("Microsoft.Devices/provisioningServices".to_owned()),
        Surface::Arm | Surface::Entra | Surface::Graph => input.scope.resource_type(),
    };
    match given.as_slice() {
        // Our own decisions have no versions to choose from yet.
        [] if input.scope.as_str().starts_with("/decisions") => Ok(()),
        [] => Err(Error::ApiVersion {
            code: "MissingApiVersionParameter",
            message: "the api-version query parameter (?api-version=) is required for all requests"
                .into(),
        }),
        [one] => model::resource_types::check_api_version(one, full_type.as_deref())
            .map_err(|message| Error::ApiVersion { code: "InvalidApiVersionParameter", message }),
        _ => Err(Error::ApiVersion {
            code: "InvalidApiVersionParameter",
            message: "the api-version query parameter stands more than once".into(),
        }),
    }
}

/// The client's id and secret, from the form or from HTTP Basic.
fn client_credential(shown: Credential, input: &Input) -> Credential {
    let tenant = input.param("tenant").to_owned();
    match shown {
        Credential::ClientSecret { client_id, secret, .. } => {
            Credential::ClientSecret { tenant, client_id, secret }
        }
        Credential::Malformed { kind, because } => Credential::Malformed { kind, because },
        Credential::None | Credential::Bearer(_) | Credential::Sas(_) => Credential::ClientSecret {
            tenant,
            client_id: input.text(&["client_id"]).unwrap_or("").to_owned(),
            secret: Secret::new(input.text(&["client_secret"]).unwrap_or("").to_owned()),
        },
    }
}

/// True where the caller may read what a list would show: lists over many resources leave out the rest,
/// as ARM's do, in place of refusing everything.
pub(crate) fn may_see(permit: &Permit, op: Op, scope: &Scope, facts: &Facts, env: &Env) -> bool {
    let head = TraceHead {
        id: TrackingId(uuid::Uuid::nil()),
        time: env.now(),
        correlation_id: String::new(),
        channel: Channel::default(),
    };
    let row = operation(op);
    let ask = Ask {
        operation: row,
        scope,
        objects: &[],
        linked: &[],
        caller: permit.caller(),
        head: &head,
    };
    gate::judge(&ask, facts).denial.is_none()
}

/// The error of an operation that refuses a token request after its client was proven.
pub(crate) fn token_denial(fault: TokenFault, message: impl Into<String>) -> Error {
    Error::Denied(Box::new(Denial {
        gate: model::Gate::Resource,
        kind: DenialKind::Token(fault),
        message: message.into(),
        violations: Vec::new(),
        target: String::new(),
    }))
}
