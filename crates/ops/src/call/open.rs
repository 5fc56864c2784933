//! Calls that open something that stays: a device's session, a service's link.

use super::{Answer, Begun, Call, Failed, pass};
use crate::devices::events::{Reader, Wish};
use crate::devices::journal::{self, Entry, Reason};
use crate::devices::named::Named;
use crate::devices::registry;
use crate::env::Env;
use crate::input::Reply;
use crate::link::Link;
use crate::session::{Session, Shown};
use crate::targets::event_hubs::Sender;
use crate::targets::service_bus;
use gate::facts::Instance;
use model::Error;
use model::operations::Surface;
use model::trace::TraceHead;

/// Of what kind the service is that answers at a host; none where nobody does.
pub fn surface_at(env: &Env, host: &str) -> Option<Surface> {
    Some(match env.facts.load().instance_at(host)? {
        Instance::Hub(_) => Surface::Hub,
        Instance::Dps(_) => Surface::Dps,
        Instance::Target(target) => target.kind.surface(),
    })
}

/// Puts it into a device's story that it could not connect, where there is such a device.
async fn note_refusal(
    env: &Env,
    host: &str,
    named: Result<Named, Error>,
    at: &TraceHead,
    error: &Error,
) {
    let facts = env.facts.load();
    let (Ok(named), Some(Instance::Hub(hub))) = (named, facts.instance_at(host)) else { return };
    if let (Error::Denied(_), Ok(true)) = (error, registry::exists(env, hub, &named).await) {
        let reason = Reason::of(error, Some(at.id));
        journal::note(env, hub, vec![Entry::refused(&named, at, reason)]).await;
    }
}

/// Runs a call that opens a session: the session, or the answer to who may not have one.
pub async fn open(env: &Env, call: Call) -> Result<Session, Answer> {
    let mut begun = Begun::of(env, &call);
    let shown = Shown::of(&call);
    // Of a refusal that came again and again only the first few are told: the rest is counted with their decision.
    let (params, channel) = (call.params.clone(), call.channel.clone());
    let outcome = match pass(env, call, &mut begun).await {
        Ok(passed) => Session::begin(env, passed, shown).await,
        Err(failed) => {
            let (device, module) = (params.get("device"), params.get("module"));
            if let (true, Some(device)) = (failed.tracking == begun.tracking, device) {
                let named = Named::parse(device, module.map(String::as_str));
                let at = begun.head(env, channel);
                note_refusal(env, &shown.host, named, &at, &failed.error).await;
            }
            Err(failed)
        }
    };
    opened(env, begun, outcome)
}

/// Runs a call that opens a link for reading events: the reader, or the answer to who may not have one.
pub async fn open_reader(env: &Env, call: Call, wish: Wish) -> Result<Reader, Answer> {
    let mut begun = Begun::of(env, &call);
    let shown = Shown::of(&call);
    let outcome = match pass(env, call, &mut begun).await {
        Ok(passed) => Reader::begin(env, passed, shown, wish).await,
        Err(failed) => Err(failed),
    };
    opened(env, begun, outcome)
}

/// Runs a call that opens a link for sending events: the sender, or the answer to who may not have one.
pub async fn open_sender(env: &Env, call: Call) -> Result<Sender, Answer> {
    let mut begun = Begun::of(env, &call);
    let shown = Shown::of(&call);
    let outcome = match pass(env, call, &mut begun).await {
        Ok(passed) => Sender::begin(env, passed, shown).await,
        Err(failed) => Err(failed),
    };
    opened(env, begun, outcome)
}

/// Runs a call that opens a link for sending to a queue or a topic: the sender, or the answer to who may not have one.
pub async fn open_bus_sender(env: &Env, call: Call) -> Result<service_bus::Sender, Answer> {
    let mut begun = Begun::of(env, &call);
    let shown = Shown::of(&call);
    let outcome = match pass(env, call, &mut begun).await {
        Ok(passed) => service_bus::Sender::begin(env, passed, shown),
        Err(failed) => Err(failed),
    };
    opened(env, begun, outcome)
}

/// The same for receiving from a queue or a subscription. `wish` says of which part of it, and how.
pub async fn open_bus_receiver(
    env: &Env,
    call: Call,
    wish: service_bus::Wish,
) -> Result<service_bus::Receiver, Answer> {
    let mut begun = Begun::of(env, &call);
    let shown = Shown::of(&call);
    let outcome = match pass(env, call, &mut begun).await {
        Ok(passed) => service_bus::Receiver::begin(env, passed, shown, wish),
        Err(failed) => Err(failed),
    };
    opened(env, begun, outcome)
}

/// Runs a call that opens a link over which a service sends or receives: the link, or the answer to who may not
/// have one. Nothing is sent or received by it: that is a call for itself, each time.
pub async fn open_link(env: &Env, call: Call) -> Result<Link, Answer> {
    let mut begun = Begun { is_free: true, ..Begun::of(env, &call) };
    let shown = Shown::of(&call);
    let outcome = match pass(env, call, &mut begun).await {
        Ok(passed) => Link::begin(env, passed, shown),
        Err(failed) => Err(failed),
    };
    outcome.map_err(|failed| begun.answer(env, Err(failed)))
}

/// What a call opened, or the answer to who may not have it.
fn opened<T>(env: &Env, begun: Begun, outcome: Result<T, Failed>) -> Result<T, Answer> {
    match outcome {
        Ok(it) => {
            begun.answer(env, Ok(Reply::empty(200)));
            Ok(it)
        }
        Err(failed) => Err(begun.answer(env, Err(failed))),
    }
}
