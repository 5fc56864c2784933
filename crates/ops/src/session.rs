//! A device that stays: it proves itself when it connects, and each of its operations is a call for itself.
//!
//! A session keeps what its device showed. Whenever the facts, the device or its hub changed since, the device
//! is proven anew before its next operation, so that whoever was disabled, deleted or given other keys is out
//! from there on. Of several sessions of a device the last has the place.

mod ended;
mod limits;
mod security;
mod sending;

pub(crate) use ended::ended;
pub use ended::{Ended, Gone, Violation};
pub use limits::Weighed;

use crate::call::{Call, Failed, Passed, admitted, keep, remember};
use crate::devices::identity::{self, Device};
use crate::devices::journal::{self, Entry, Reason};
use crate::devices::logs::HubLog;
use crate::devices::message::{AuthMethod, Sender};
use crate::devices::messages::{self, Delivery, Settlement};
use crate::devices::model_id;
use crate::devices::named::Named;
use crate::devices::presence::{Interests, Seat, Standing, Told};
use crate::devices::routing::Routing;
use crate::devices::twins;
use crate::env::Env;
use crate::insights::diagnostics::{Departure, Draft};
use crate::limits::Meter;
use crate::local_auth::Entered;
use crate::proving::{Proving, instance};
use gate::facts::{Hub, Instance};
use gate::{Ask, Authenticated, Facts, Permit};
use model::limits::Throttle;
use model::operations::{Surface, operation};
use model::trace::TraceHead;
use model::{Credential, Error, Op, Operation, Timestamp};
use security::INTERESTS;
use serde_json::Value;
use std::sync::Arc;
use uuid::Uuid;

/// What a device showed when it connected, to be looked at again. It may hold a signature: no `Debug`.
pub(crate) struct Shown {
    pub(crate) operation: &'static Operation,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) credential: Credential,
}

impl Shown {
    pub(crate) fn of(call: &Call) -> Self {
        Self {
            operation: call.operation,
            host: call.host.clone(),
            path: call.path.clone(),
            credential: call.credential.clone(),
        }
    }
}

/// A connected device or module.
pub struct Session {
    named: Named,
    /// Its name among those who are connected: a module's holds its device's.
    device: String,
    generation: String,
    sender: Sender,
    /// As it was when the device was last proven: it may move to another resource group meanwhile.
    hub: Arc<Hub>,
    shown: Shown,
    who: Authenticated,
    /// Of every decision of the session; its id and time are the latest one's.
    head: TraceHead,
    /// When it began.
    since: Timestamp,
    /// The version of the facts by which the device was proven.
    epoch: u64,
    seat: Seat,
    log: Option<HubLog>,
    /// Where its messages go, where the hub says anything of it.
    routing: Option<Arc<Routing>>,
    /// What the hub has left, where hubs are limited.
    meter: Option<Arc<Meter>>,
    /// What it asked to be told of, now or when it was here before.
    hears: u8,
    /// Which operations were put on record already, see [`bit`].
    observed: u64,
    /// Stands in the book of what is open by keys, where it is.
    by_key: Option<Entered>,
}

impl Session {
    /// Seats a device whose connecting has passed the gates.
    pub(crate) async fn begin(env: &Env, passed: Passed<'_>, shown: Shown) -> Result<Self, Failed> {
        let Passed { who, permit, input, head, .. } = passed;
        let failed = |error| Failed { error, tracking: head.id };
        let facts = env.facts.load();
        let found = instance(&facts, Surface::Hub, &shown.host, &head.channel).map_err(failed)?;
        let Instance::Hub(hub) = found else {
            return Err(failed(Error::UnknownHost { host: shown.host.clone() }));
        };
        let named = Named::of(&input).map_err(failed)?;
        let model = input.query("model-id").map(model_id::parse).transpose().map_err(failed)?;
        let device = named.key();
        let seat = env.presence.take(&hub.uid, &device, head.time).map_err(failed)?;
        let mut session = Self {
            named,
            device,
            generation: String::new(),
            sender: Sender::new("", "", "", AuthMethod::DeviceKey),
            hub: Arc::clone(hub),
            shown,
            who,
            epoch: permit.epoch(),
            since: head.time,
            head,
            seat,
            log: None,
            routing: None,
            meter: env.limits.of(hub, env),
            hears: 0,
            observed: bit(Op::ConnectDevice),
            by_key: None,
        };
        // Changes are told from here on; what changed while the device was on its way here is seen now.
        session.prove(env, &env.facts.load()).await?;
        if let Some(model) = model {
            let is_new =
                |it: &mut Device| std::mem::replace(&mut it.model_id, model.into()) != model;
            let kept = twins::remember(env, &session.named, &session.hub, is_new).await;
            kept.map_err(|error| Failed { error, tracking: session.head.id })?;
        }
        let Self { named, generation, who, head, hub, .. } = &session;
        let connected = Entry::connected(named, generation, who.caller(), head);
        journal::note(env, hub, vec![connected]).await;
        Ok(session)
    }

    pub fn device(&self) -> &str {
        &self.device
    }

    /// Begins the device's messages.
    pub const fn sender(&self) -> &Sender {
        &self.sender
    }

    /// Until when the device's signature or certificate holds.
    pub const fn expires(&self) -> Option<Timestamp> {
        self.who.until()
    }

    /// Goes on with another credential for the same device. The former stays where the device is not proven
    /// by the new one.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn renew(&mut self, env: &Env, credential: Credential) -> Result<(), Ended> {
        self.current(env).await?;
        let security = self.head.channel.security.clone();
        let former = (std::mem::replace(&mut self.shown.credential, credential), security);
        self.head.id = env.new_tracking_id();
        self.head.time = env.now();
        let proven = self.prove_and_judge(env, &env.facts.load()).await;
        if proven.is_err() {
            // What was observed of the former, too: its age is not the other's.
            (self.shown.credential, self.head.channel.security) = former;
        }
        proven
    }

    /// Waits until the session has reason to look whether it still [`Session::stands`], or something to tell
    /// its device. Dropping the future loses nothing.
    pub async fn told(&mut self) -> Told {
        self.seat.told().await
    }

    /// What the device asked to be told of when it was here before: bits of [`Interests`], and what its front
    /// keeps beside them.
    pub const fn hears(&self) -> u8 {
        self.hears
    }

    /// Begins to tell the device of what it asks for, and ends what it asks for no more. `is_kept` has it
    /// remembered for when the device comes back.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn listen(&mut self, env: &Env, hears: u8, is_kept: bool) -> Result<(), Ended> {
        let facts = self.current(env).await?;
        let (before, now) = (Interests(self.hears), Interests(hears));
        for (interest, op) in INTERESTS {
            let is_new = !before.has(interest) || self.head.channel.security.is_some();
            if now.has(interest) && is_new {
                self.permit(env, &facts, operation(op)).await?;
            }
        }
        self.seat.listen(now);
        if is_kept && self.hears != hears {
            let is_new = |it: &mut Device| std::mem::replace(&mut it.hears, hears) != hears;
            let kept = twins::remember(env, &self.named, &self.hub, is_new).await;
            kept.map_err(Ended::Failed)?;
        }
        self.hears = hears;
        Ok(())
    }

    /// The device's own twin.
    ///
    /// # Errors
    /// Why the session is over; inside, why there is no answer.
    pub async fn twin(&mut self, env: &Env) -> Result<Result<Value, Error>, Ended> {
        let began_ns = (env.clock.monotonic_ns)();
        let facts = self.current(env).await?;
        let permit = self.permit(env, &facts, operation(Op::GetOwnTwin)).await?;
        let twin = match self.spend(env, Throttle::TwinReads, 0) {
            Ok(()) => twins::own(&permit, &self.named, &self.hub, env).await,
            Err(limited) => Err(limited),
        };
        if let Ok(twin) = &twin {
            self.settled(env, || twin.to_string().len());
        }
        Ok(counted(env, &permit, began_ns, twin))
    }

    /// Merges what the device reports: the version of its reported properties then, synced.
    ///
    /// # Errors
    /// Why the session is over; inside, what is wrong with the patch.
    pub async fn report(&mut self, env: &Env, patch: &Value) -> Result<Result<u64, Error>, Ended> {
        let began_ns = (env.clock.monotonic_ns)();
        let _write = env.facts.writing().await;
        let facts = self.current(env).await?;
        let permit = self.permit(env, &facts, operation(Op::ReportProperties)).await?;
        let bytes = self.meter.as_ref().map_or(0, |_| patch.to_string().len());
        let version = match self.spend(env, Throttle::TwinUpdates, bytes) {
            Ok(()) => twins::report(&permit, &self.named, &self.hub, patch, &self.seat, env).await,
            Err(limited) => Err(limited),
        };
        match counted(env, &permit, began_ns, version) {
            Ok(Some(version)) => Ok(Ok(version)),
            Ok(None) => Err(Ended::TakenOver),
            Err(error) => Ok(Err(error)),
        }
    }

    /// The next message that waits for the device, held for it; none where none waits.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn receive(&mut self, env: &Env) -> Result<Option<Delivery>, Ended> {
        let began_ns = (env.clock.monotonic_ns)();
        let _write = env.facts.writing().await;
        let facts = self.current(env).await?;
        let permit = self.permit(env, &facts, operation(Op::ReceiveMessages)).await?;
        let found = messages::receive(env, &self.hub, &self.named.device).await;
        counted(env, &permit, began_ns, found).map_err(Ended::Failed)
    }

    /// Ends a delivery.
    ///
    /// # Errors
    /// Why the session is over; inside, that the message is not the device's to settle any more.
    pub async fn settle(
        &mut self,
        env: &Env,
        lock: Uuid,
        settlement: Settlement,
    ) -> Result<Result<(), Error>, Ended> {
        let began_ns = (env.clock.monotonic_ns)();
        let _write = env.facts.writing().await;
        let facts = self.current(env).await?;
        let permit = self.permit(env, &facts, operation(Op::ReceiveMessages)).await?;
        let settled = messages::settle(env, &self.hub, &self.named.device, lock, settlement).await;
        Ok(counted(env, &permit, began_ns, settled))
    }

    /// Gives messages back that nobody will settle any more: for the device's next session. Nothing of it is
    /// kept, so that nobody is asked whether it may.
    pub async fn release(&self, env: &Env, locks: impl IntoIterator<Item = Uuid>) {
        for lock in locks {
            let release = Settlement::Release;
            // Its time may be over; it is free then.
            let _ = messages::settle(env, &self.hub, &self.named.device, lock, release).await;
        }
    }

    /// Whether the device may go on.
    ///
    /// # Errors
    /// Why the session is over.
    pub async fn stands(&mut self, env: &Env) -> Result<(), Ended> {
        self.current(env).await.map(drop)
    }

    /// The facts by which the device is proven as of now.
    async fn current(&mut self, env: &Env) -> Result<Arc<Facts>, Ended> {
        let facts = env.facts.load();
        self.head.time = env.now();
        let is_changed = match self.seat.standing() {
            Standing::Fine => facts.epoch != self.epoch,
            Standing::Changed => true,
            Standing::TakenOver => return Err(Ended::TakenOver),
            Standing::Closed => return Err(Ended::Closed),
            Standing::Stopping => return Err(Ended::Orderly),
        };
        if is_changed || self.expires().is_some_and(|it| self.head.time > it) {
            self.head.id = env.new_tracking_id();
            // Apart: it is rare, and each session that waits would take the memory for it.
            Box::pin(self.prove_and_judge(env, &facts)).await?;
        }
        Ok(facts)
    }

    /// Writes down how the session ended, and gives the device's place back.
    pub async fn end(mut self, env: &Env, ended: Ended) {
        let ended = match ended {
            Ended::Misbehaved(violation) => self.refuse(env, violation).await,
            other @ (Ended::Orderly
            | Ended::Gone(_)
            | Ended::TakenOver
            | Ended::Closed
            | Ended::Refused(_)
            | Ended::Failed(_)) => other,
        };
        let failure = ended.failure();
        let tracking_id = match ended {
            // No gate was asked about what came too fast.
            Ended::Refused(refused) if matches!(refused.0, Error::Limited { .. }) => None,
            Ended::Refused(refused) => Some(refused.1),
            Ended::Failed(error) => {
                let tracking = env.new_tracking_id();
                env.metrics.log_fault(tracking, &error.cause());
                Some(tracking)
            }
            Ended::Orderly
            | Ended::Gone(_)
            | Ended::Misbehaved(_)
            | Ended::TakenOver
            | Ended::Closed => None,
        };
        self.head.time = env.now();
        let reason = failure.as_ref().map(|(_, number, code, message)| Reason {
            number: *number,
            code: (*code).to_owned(),
            message: message.clone(),
            tracking_id,
        });
        let departure = Departure {
            device: &self.device,
            caller: self.who.caller(),
            head: &self.head,
            status: failure.as_ref().map_or(200, |it| it.0),
            failure: failure.map(|(_, number, code, message)| (number, code, message)),
            tracking_id,
        };
        env.diagnostics.departed(departure, &self.hub);
        let time = (self.since, &self.head);
        let left = Entry::disconnected(&self.named, &self.generation, time, reason);
        journal::note(env, &self.hub, vec![left]).await;
    }

    /// Has the gates say what stands against what the device sent, so that it can be asked for.
    async fn refuse(&mut self, env: &Env, violation: Violation) -> Ended {
        let Violation { op, packet, rule } = &violation;
        self.head.time = env.now();
        self.head.channel.request.clone_from(packet);
        self.head.channel.violation = Some(rule.as_str().into());
        let facts = env.facts.load();
        match self.permit(env, &facts, operation(*op)).await {
            Err(ended) => ended,
            // The last gate refuses whatever breaks a rule.
            Ok(_) => Ended::Misbehaved(violation),
        }
    }

    /// Asks the gates for one operation, by the facts that proved the device.
    async fn permit(
        &mut self,
        env: &Env,
        facts: &Facts,
        row: &'static Operation,
    ) -> Result<Permit, Ended> {
        self.head.id = env.new_tracking_id();
        let ask = Ask::new(row, &self.hub.scope, self.who.caller(), &self.head);
        let draft = &mut Draft::unwanted();
        let permit = admitted(env, &self.who, &ask, facts, draft).await.map_err(ended)?;
        // Once for a session: a device does the same again and again, and each time counts here.
        if self.observed & bit(row.op) == 0 {
            self.observed |= bit(row.op);
            env.observed.allowed(&ask, facts);
        }
        remember(&mut self.head, &permit);
        Ok(permit)
    }

    /// Proves the device by what it showed, and what the facts and its document say now.
    async fn prove(&mut self, env: &Env, facts: &Facts) -> Result<(), Failed> {
        let tracking = self.head.id;
        let failed = |error| Failed { error, tracking };
        let found = instance(facts, Surface::Hub, &self.shown.host, &self.head.channel);
        let own = match found.map_err(failed)? {
            Instance::Hub(hub) => {
                if hub.uid == self.hub.uid {
                    self.hub = Arc::clone(hub);
                }
                identity::credentials(env, hub, &self.named, &self.shown.credential).await
            }
            Instance::Dps(_) | Instance::Target(_) => Ok(None),
        };
        let own = own.map_err(failed)?;
        // A device of the same name that was made since is another device.
        let mut own =
            own.filter(|it| self.generation.is_empty() || it.generation == self.generation);
        let security = own.as_mut().and_then(|it| it.security.take());
        let former = self.head.channel.security.take();
        self.head.channel.security = security.map(|it| Box::new(it.after(former.as_deref())));
        let proving = Proving {
            operation: self.shown.operation,
            host: &self.shown.host,
            path: &self.shown.path,
            credential: &self.shown.credential,
            own: own.as_ref().map_or(&[], |it| std::slice::from_ref(&it.proof)),
            looked_up: &gate::LookedUp::Nothing,
            wanted: "",
        };
        let proven = proving.prove(env, facts, &self.hub.scope, &self.head);
        match (proven, own) {
            (Ok(who), Some(own)) => {
                // From where it comes may be closed by now, and a silent device asks for nothing else.
                let ask = Ask::new(self.shown.operation, &self.hub.scope, who.caller(), &self.head);
                let permit = admitted(env, &who, &ask, facts, &mut Draft::unwanted()).await?;
                self.by_key = env.opened_by_key.enter(self.by_key.take(), &ask);
                remember(&mut self.head, &permit);
                self.who = who;
                self.routing = env.routings.of(&self.hub, env).await.map_err(failed)?;
                self.epoch = facts.epoch;
                if self.generation.is_empty() {
                    let Named { device, module } = &self.named;
                    let module = module.as_ref().map_or("", |it| it.as_str());
                    let auth = AuthMethod::of(self.who.caller());
                    self.sender = Sender::new(device.as_str(), module, &own.generation, auth);
                    self.generation = own.generation;
                    self.hears = own.hears;
                }
                Ok(())
            }
            (Ok(_), None) => Err(failed(Error::UnknownHost { host: self.shown.host.clone() })),
            (Err(refusal), _) => Err(keep(env, *refusal, &mut Draft::unwanted()).await),
        }
    }
}

/// A bit for each operation of a device. They stand together in the list of operations, so no two share one.
const fn bit(op: Op) -> u64 {
    1 << (op as u64 % 64)
}

/// Counts what a session did for its device.
fn counted<T>(
    env: &Env,
    permit: &Permit,
    began_ns: u64,
    outcome: Result<T, Error>,
) -> Result<T, Error> {
    let took_ns = (env.clock.monotonic_ns)().saturating_sub(began_ns);
    let status = outcome.as_ref().map_or_else(|it| it.status(Surface::Hub), |_| 200);
    env.metrics.count_calls(permit.operation(), status, 1, took_ns);
    outcome
}
