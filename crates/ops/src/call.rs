//! The road: authenticate, read the body within its limits, decide, act, keep what must be kept.
//!
//! This is the only caller of [`gate::admit`]. Fronts hold no rules and operations hold no checks of who
//! may call: both would be a second place where that is decided.

mod body;
mod challenged;
mod client;
mod open;
mod refusal;
mod version;

pub use body::{
    BodyFault, BodyReader, CONTROL_BODY_BYTES_MAX, FORM_BYTES_MAX, RAW_BODY_BYTES_MAX, Reading,
    SERVICE_BODY_BYTES_MAX, Taker, body_of,
};
pub use open::{
    open, open_bus_receiver, open_bus_sender, open_link, open_reader, open_sender, surface_at,
};

use crate::blobs::{self, Content};
use crate::entra::{steps, tokens};
use crate::env::Env;
use crate::input::{Headers, Input, Message, Reply};
use crate::insights::diagnostics::Draft;
use crate::limits::Tab;
use crate::proving::{Proving, instance, own};
use crate::{decisions, devices, dispatch, metrics, objects, questions, targets};
use body::{read_form, read_into};
use bytes::Bytes;
use challenged::challenged;
use client::client_credential;
use gate::facts::Instance;
use gate::{Ask, Authenticated, Facts, Permit, Refusal};
use model::error::{Denial, DenialKind, TokenFault};
use model::operations::{Body, Effect, Surface, operation};
use model::trace::{Channel, TraceHead};
use model::{Credential, Error, Op, Operation, Scope, TrackingId};
use refusal::refuse;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};
use version::check_api_version;

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
    /// In place of a body of JSON.
    pub message: Option<Box<Message>>,
    /// Likewise, read as it is sent.
    pub content: Option<Box<Content>>,
    pub headers: Vec<(&'static str, String)>,
    /// Further headers, whose names are the caller's own.
    pub more: Vec<(String, String)>,
    pub tracking: TrackingId,
    /// What went wrong, for fronts whose answers are no HTTP.
    pub error: Option<Error>,
}

/// Runs a call from credential to answer. Never fails: an error is an answer too.
pub async fn run(env: &Env, call: Call) -> Answer {
    let mut begun = Begun::of(env, &call);
    let outcome = match pass(env, call, &mut begun).await {
        Ok(passed) => dispatch::act(&passed.permit, &passed.input, env)
            .await
            .map_err(|error| Failed { error, tracking: begun.tracking }),
        Err(failed) => Err(failed),
    };
    begun.answer(env, outcome)
}

/// What is known of a call before anything is decided about it, and its record, which learns the rest.
struct Begun {
    at_ns: u64,
    tracking: TrackingId,
    correlation: String,
    surface: Surface,
    operation: &'static Operation,
    wants_flat: bool,
    draft: Draft,
    /// What it was counted as, where hubs are limited.
    tab: Option<Tab>,
    /// It only asks whether it may, and counts as nothing.
    is_free: bool,
    /// Who it was, once that is proven.
    caller: Option<String>,
}

impl Begun {
    fn of(env: &Env, call: &Call) -> Self {
        let tracking = env.new_tracking_id();
        let headers = &call.headers;
        let correlation = headers.client_request_id.clone().unwrap_or_else(|| tracking.to_string());
        Self {
            at_ns: (env.clock.monotonic_ns)(),
            tracking,
            draft: env.diagnostics.begin(call, &correlation, env),
            tab: None,
            is_free: false,
            caller: None,
            correlation,
            surface: call.surface,
            operation: call.operation,
            wants_flat: headers.prefer.as_deref().is_some_and(|it| it.contains("error=flat")),
        }
    }

    /// What a record of the call says of when and how it came.
    fn head(&self, env: &Env, channel: Channel) -> TraceHead {
        let correlation_id = self.correlation.clone();
        TraceHead { correlation_id, ..TraceHead::new(self.tracking, env.now(), channel) }
    }

    /// The answer to an outcome, counted.
    fn answer(mut self, env: &Env, outcome: Result<Reply, Failed>) -> Answer {
        if let Some(tab) = &self.tab {
            tab.settle(outcome.as_ref().ok(), env);
        }
        let mut answer = match outcome {
            Ok(reply) => Answer {
                status: reply.status,
                body: reply.body,
                message: reply.message,
                content: reply.content,
                headers: reply.headers,
                more: reply.more,
                tracking: self.tracking,
                error: None,
            },
            Err(Failed { error, tracking }) => {
                self.draft.failed(&error);
                refuse(env, self.surface, &error, tracking, self.wants_flat)
            }
        };
        let took_ns = (env.clock.monotonic_ns)().saturating_sub(self.at_ns);
        env.metrics.count_call(self.operation, answer.status, took_ns);
        if metrics::is_pipelines(self.operation) {
            env.metrics.count_pipeline(self.caller.as_deref(), answer.status, env.now());
        }
        env.diagnostics.end(self.draft, &answer, took_ns);
        answer.headers.push(("x-ms-request-id", answer.tracking.to_string()));
        answer.headers.push(("x-ms-correlation-request-id", self.correlation));
        if let Some(replica) = env.settings.propagation.replica(self.tracking) {
            answer.headers.push(("x-hubward-replica", replica.index.to_string()));
        }
        answer
    }
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
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) tracking: TrackingId,
}

/// A call that passed the gates, with what its operation works on.
pub(crate) struct Passed<'a> {
    pub(crate) who: Authenticated,
    pub(crate) permit: Permit,
    pub(crate) input: Input,
    pub(crate) head: TraceHead,
    /// Held to the operation's end, see [`pass`].
    _write: Option<RwLockReadGuard<'a, ()>>,
    _change: Option<RwLockWriteGuard<'a, ()>>,
}

/// The road up to the operation.
async fn pass<'a>(env: &'a Env, call: Call, begun: &mut Begun) -> Result<Passed<'a>, Failed> {
    let tracking = begun.tracking;
    let failed = |error| Failed { error, tracking };
    let now = env.now();
    let Call {
        operation,
        host,
        path,
        params,
        query,
        headers,
        mut channel,
        body,
        mut credential,
        surface,
    } = call;
    // What a client says of its way is not asked: the address is its connection's, and the operator's word counts.
    channel.is_private = env.settings.is_private(&channel.address);
    channel.is_within = env.settings.is_within(&channel.address);
    let facts = env.facts.load();
    let instance = match surface.is_of_an_instance() {
        true => Some(instance(&facts, surface, &host, &channel).map_err(failed)?),
        false => None,
    };
    let scope = match instance {
        Some(Instance::Hub(hub)) => hub.scope.clone(),
        Some(Instance::Dps(dps)) => dps.scope.clone(),
        Some(Instance::Target(target)) => targets::place(target, &params, &facts),
        None if surface == Surface::Arm => {
            Scope::parse(&path).map_err(|it| failed(Error::invalid("path", it.to_string())))?
        }
        None => Scope::root(),
    };
    let mut input = Input {
        params,
        query,
        body: Value::Null,
        raw: Bytes::new(),
        received: None,
        scope,
        path,
        headers,
        channel: channel.clone(),
        certificates: credential.certificates().cloned(),
        correlation_id: begun.correlation.clone(),
    };
    check_api_version(operation, surface, &input).map_err(failed)?;
    if surface == Surface::Blob {
        blobs::check(instance, &input).map_err(failed)?;
    }

    // The token endpoint's credential is in its form; everybody else shows one before the body is read.
    let mut body = Some(body);
    if operation.body == Body::Form
        && let Some(read) = body.take()
    {
        input.body = read_form(read, &input.headers).await.map_err(failed)?;
        credential = client_credential(credential, operation, &input);
    }

    let correlation_id = begun.correlation.clone();
    let mut head = TraceHead {
        id: tracking,
        time: now,
        correlation_id,
        channel,
        replica: env.settings.propagation.replica(tracking),
    };
    let known = own(env, operation, instance, &input, &credential).await.map_err(failed)?;
    head.channel.security = known.security;
    let path = input.path.clone();
    let looked_up = steps::look_up(env, &facts, &credential, &mut input.body).await;
    let looked_up = looked_up.map_err(failed)?;
    let wanted = tokens::resource(&input.body, &env.settings.origin).unwrap_or_default();
    let proving = Proving {
        operation,
        host: &host,
        path: &path,
        credential: &credential,
        own: &known.proofs,
        looked_up: &looked_up,
        wanted: &wanted,
    };
    let mut who = match proving.prove(env, &facts, &input.scope, &head) {
        Ok(who) => who,
        Err(refusal) => {
            let failed = keep(env, *refusal, &mut begun.draft).await;
            let Some(Instance::Dps(dps)) = instance else { return Err(failed) };
            return Err(challenged(env, operation, dps, input, &credential, body, failed).await);
        }
    };
    if let Err(refusal) = proving.use_once(env, &facts, &input, &head, &who) {
        return Err(keep(env, *refusal, &mut begun.draft).await);
    }
    if let Some(left_s) = env.newcomers.unseen_s(who.caller(), tracking, now) {
        let refusal = proving.unseen(&facts, &input.scope, &head, &who, left_s);
        return Err(keep(env, *refusal, &mut begun.draft).await);
    }
    begun.draft.proven(who.caller());
    begun.caller = metrics::is_pipelines(operation).then(|| who.caller().key());
    let tab = env.limits.tab(operation, instance, who.caller(), &head, env);
    let tab = tab.filter(|_| !begun.is_free);
    if let Some(tab) = &tab {
        tab.look(env).map_err(failed)?;
    }

    if let Some(read) = body.take() {
        if operation.body == Body::File {
            // No byte goes to the disk for who may not call; what is decided in the end is decided once it is there.
            let prepared = objects::prepare(operation, &mut input, instance, who.caller(), env);
            let prepared = prepared.await.map_err(failed)?;
            admitted(env, &who, &prepared.ask(who.caller(), &head), &facts, &mut begun.draft)
                .await?;
            let received = blobs::receive(env, operation.op, &input, read).await.map_err(failed)?;
            input.received = Some(Arc::new(received));
        } else {
            read_into(&mut input, operation, read).await.map_err(failed)?;
        }
    }

    // INVARIANT: between the decision and the end of a write, no fact changes; between the decision and
    // the end of a change of facts, nothing is written at all. A revoked right is gone when the answer
    // to the revocation leaves.
    let (mut _write, mut _change) = (None, None);
    match operation.effect {
        // A call that calls holds nothing itself: waiting for its own calls while holding would be for ever.
        Effect::Reads | Effect::Calls | Effect::Appends => {}
        Effect::Writes => _write = Some(env.facts.writing().await),
        Effect::ChangesFacts => _change = Some(env.facts.changing().await),
    }
    let facts = env.facts.load();
    // A body may have taken minutes to come: who called must still be who it was.
    if operation.effect != Effect::Reads {
        // What was signed for the time of a request holds for it, however long its bytes take.
        if operation.body != Body::File {
            head.time = env.now();
        }
        let instance = facts.instance_at(&host).filter(|_| surface.is_of_an_instance());
        let known = own(env, operation, instance, &input, &credential).await.map_err(failed)?;
        head.channel.security = known.security;
        let proving = Proving { own: &known.proofs, ..proving };
        who = match proving.prove(env, &facts, &input.scope, &head) {
            Ok(who) => who,
            Err(refusal) => return Err(keep(env, *refusal, &mut begun.draft).await),
        };
    }
    let instance = facts.instance_at(&host).filter(|_| surface.is_of_an_instance());
    if let Some(Instance::Hub(hub)) = instance {
        devices::by_https::count(operation, &input, hub, &mut head, env);
    }
    let prepared = objects::prepare(operation, &mut input, instance, who.caller(), env)
        .await
        .map_err(failed)?;
    let ask = prepared.ask(who.caller(), &head);
    let permit = admitted(env, &who, &ask, &facts, &mut begun.draft).await?;
    env.observed.allowed(&ask, &facts);
    remember(&mut head, &permit);
    if let Some(tab) = tab {
        tab.spend(&input, env).map_err(failed)?;
        begun.tab = Some(tab);
    }
    // What the gates allowed is the changed call, so that is what the operation gets.
    permit.changes().iter().for_each(|it| it.apply(&mut input.body));
    Ok(Passed { who, permit, input, head, _write, _change })
}

/// Asks the gates, and keeps what must be kept of their answer before anything is done about it.
pub(crate) async fn admitted(
    env: &Env,
    who: &Authenticated,
    ask: &Ask<'_>,
    facts: &Facts,
    draft: &mut Draft,
) -> Result<Permit, Failed> {
    let admitted = gate::admit(who, ask, facts, &*env.clock.monotonic_ns);
    if let Ok(permit) = &admitted {
        draft.permitted(permit);
        note(env, permit).await;
    }
    match admitted {
        Ok(permit) => Ok(permit),
        // Apart, as all that is rare: what waits here takes as much memory as its largest way on.
        Err(refusal) => {
            env.observed.refused(ask, refusal.denial.gate, facts);
            Err(Box::pin(keep(env, *refusal, draft)).await)
        }
    }
}

/// What a device's security policy has put on record is not to be once more in the same session.
pub(crate) fn remember(head: &mut TraceHead, permit: &Permit) {
    if let (Some(secured), Some(trace)) = (&mut head.channel.security, permit.trace()) {
        secured.remember(trace);
    }
}

/// Keeps an allowed call that a policy wants on record. Changes of the control plane are kept once they are made.
async fn note(env: &Env, permit: &Permit) {
    if permit.operation().is_on_record() {
        return;
    }
    if let Some(trace) = permit.trace()
        && let Err(error) = Box::pin(decisions::keep(env, trace.clone())).await
    {
        env.metrics.log_fault(trace.id, &format!("a noted call could not be kept: {error}"));
    }
}

/// Keeps a refusal before it is answered. A repeat answers with the id of the one that is kept. Who may
/// not read the policies that refused gets their names; what they look at stays in the kept trace.
pub(crate) async fn keep(env: &Env, refusal: Refusal, draft: &mut Draft) -> Failed {
    let Refusal { denial, trace } = refusal;
    let own = trace.id;
    let facts = env.facts.load();
    env.metrics.count_refusal(denial.gate);
    draft.refused(&trace);
    let is_by_policy = matches!(denial.kind, DenialKind::Policy { .. });
    let caller = trace.call.caller.as_ref();
    let is_reader =
        || caller.is_some_and(|it| questions::may_read_policies(it, &trace, env, &facts));
    let denial = if is_by_policy && !is_reader() { denial.named_only() } else { denial };
    // A refusal that could not be kept stays a refusal.
    let tracking = decisions::keep(env, trace).await.unwrap_or(own);
    Failed { error: Error::Denied(Box::new(denial)), tracking }
}

/// True where the caller may read what a list would show: lists over many resources leave out the rest,
/// as ARM's do, in place of refusing everything.
pub(crate) fn may_see(permit: &Permit, op: Op, scope: &Scope, facts: &Facts, env: &Env) -> bool {
    let head = TraceHead::new(TrackingId(uuid::Uuid::nil()), env.now(), Channel::default());
    let ask = Ask::new(operation(op), scope, permit.caller(), &head);
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
