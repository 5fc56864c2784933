//! Calls that open something that stays: a device's session, a service's link.

use super::{Answer, Begun, Call, pass};
use crate::devices::events::{Reader, Wish};
use crate::env::Env;
use crate::input::Reply;
use crate::link::Link;
use crate::session::{Session, Shown};

/// Runs a call that opens a session: the session, or the answer to who may not have one.
pub async fn open(env: &Env, call: Call) -> Result<Session, Answer> {
    let mut begun = Begun::of(env, &call);
    let shown = Shown::of(&call);
    let outcome = match pass(env, call, &mut begun).await {
        Ok(passed) => Session::begin(env, passed, shown).await,
        Err(failed) => Err(failed),
    };
    match outcome {
        Ok(session) => {
            begun.answer(env, Ok(Reply::empty(200)));
            Ok(session)
        }
        Err(failed) => Err(begun.answer(env, Err(failed))),
    }
}

/// Runs a call that opens a link for reading events: the reader, or the answer to who may not have one.
pub async fn open_reader(env: &Env, call: Call, wish: Wish) -> Result<Reader, Answer> {
    let mut begun = Begun::of(env, &call);
    let shown = Shown::of(&call);
    let outcome = match pass(env, call, &mut begun).await {
        Ok(passed) => Reader::begin(env, passed, shown, wish).await,
        Err(failed) => Err(failed),
    };
    match outcome {
        Ok(reader) => {
            begun.answer(env, Ok(Reply::empty(200)));
            Ok(reader)
        }
        Err(failed) => Err(begun.answer(env, Err(failed))),
    }
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
