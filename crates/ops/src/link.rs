//! A caller of a hub's service API that stays: proven when its link was attached, and again whenever that may
//! have changed.
//!
//! What it may go on doing is asked of the gates anew with each new version of the facts, so a key that was
//! regenerated, a right that was taken away and a hub that takes no keys any more end the link.

use crate::call::{Failed, Passed, admitted, keep};
use crate::env::Env;
use crate::insights::diagnostics::Draft;
use crate::proving::{Proving, instance};
use crate::session::{Ended, Shown, ended};
use gate::facts::{Hub, Instance};
use gate::{Ask, Authenticated, Facts};
use model::operations::Surface;
use model::trace::TraceHead;
use model::{Credential, Error, Timestamp};
use std::sync::Arc;
use tokio::sync::Notify;

/// After so long an access token is looked at again: its end does not stand on its face.
const TOKEN_PROVEN_S: i64 = 60;

/// What a caller showed, and by which facts it was let in. It holds a signature or token: no `Debug`.
pub struct Link {
    pub(crate) hub: Arc<Hub>,
    shown: Shown,
    who: Authenticated,
    head: TraceHead,
    epoch: u64,
    proven: Timestamp,
}

impl Link {
    pub(crate) fn begin(env: &Env, passed: Passed<'_>, shown: Shown) -> Result<Self, Failed> {
        let Passed { who, permit, head, .. } = passed;
        let facts = env.facts.load();
        let found = instance(&facts, Surface::Hub, &shown.host, &head.channel);
        match found.map_err(|error| Failed { error, tracking: head.id })? {
            Instance::Hub(hub) => Ok(Self {
                hub: Arc::clone(hub),
                shown,
                who,
                epoch: permit.epoch(),
                proven: head.time,
                head,
            }),
            Instance::Dps(_) => {
                let error = Error::UnknownHost { host: shown.host };
                Err(Failed { error, tracking: head.id })
            }
        }
    }

    /// What is rung when the hub may have something new for its services.
    pub fn bell(&self, env: &Env) -> Arc<Notify> {
        env.presence.service_bell(&self.hub.uid)
    }

    /// When to look again whether it [`Link::stands`], though no fact changes.
    pub fn next_look(&self) -> Option<Timestamp> {
        match matches!(self.shown.credential, Credential::Bearer(_)) {
            true => Some(self.proven.plus_seconds(TOKEN_PROVEN_S)),
            false => self.who.until(),
        }
    }

    /// Whether the caller may go on.
    ///
    /// # Errors
    /// Why the link is over.
    pub async fn stands(&mut self, env: &Env) -> Result<(), Ended> {
        let facts = env.facts.load();
        let now = env.now();
        let is_late = self.next_look().is_some_and(|it| now > it);
        match facts.epoch != self.epoch || is_late {
            true => Box::pin(self.prove(env, &facts, now)).await,
            false => Ok(()),
        }
    }

    /// Goes on with another credential. The former stays where the caller is not let in by the new one.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn renew(&mut self, env: &Env, credential: Credential) -> Result<(), Ended> {
        let former = std::mem::replace(&mut self.shown.credential, credential);
        let proven = self.prove(env, &env.facts.load(), env.now()).await;
        if proven.is_err() {
            self.shown.credential = former;
        }
        proven
    }

    async fn prove(&mut self, env: &Env, facts: &Facts, now: Timestamp) -> Result<(), Ended> {
        self.head.id = env.new_tracking_id();
        self.head.time = now;
        match facts.hub_at(&self.shown.host) {
            Some(hub) if hub.uid == self.hub.uid => self.hub = Arc::clone(hub),
            Some(_) | None => return Err(Ended::Closed),
        }
        let draft = &mut Draft::unwanted();
        let proving = Proving {
            operation: self.shown.operation,
            host: &self.shown.host,
            path: &self.shown.path,
            credential: &self.shown.credential,
            own: &[],
            looked_up: &gate::LookedUp::Nothing,
        };
        self.who = match proving.prove(env, facts, &self.hub.scope, &self.head) {
            Ok(who) => who,
            Err(refusal) => return Err(ended(keep(env, *refusal, draft).await)),
        };
        let row = self.shown.operation;
        let ask = Ask::new(row, &self.hub.scope, self.who.caller(), &self.head);
        admitted(env, &self.who, &ask, facts, draft).await.map_err(ended)?;
        self.epoch = facts.epoch;
        self.proven = now;
        Ok(())
    }
}
