//! A caller of the service API of a hub or of a target that stays: proven when its link was attached, and again whenever that may
//! have changed.
//!
//! What it may go on doing is asked of the gates anew with each new version of the facts, so a key that was
//! regenerated, a right that was taken away and a hub that takes no keys any more end the link.

use crate::call::{Failed, Passed, admitted, keep};
use crate::env::Env;
use crate::insights::diagnostics::Draft;
use crate::local_auth::Entered;
use crate::proving::{Proving, instance};
use crate::session::{Ended, Shown, ended};
use gate::facts::{Hub, Instance, Target};
use gate::{Ask, Authenticated, Facts};
use model::trace::TraceHead;
use model::{Credential, Error, Scope, Timestamp};
use std::sync::Arc;
use tokio::sync::Notify;

/// After so long an access token is looked at again: its end does not stand on its face.
const TOKEN_PROVEN_S: i64 = 60;

/// What a caller showed, and by which facts it was let in. It holds a signature or token: no `Debug`.
pub struct Link {
    pub(crate) answering: Answering,
    /// At which the gates decide.
    scope: Scope,
    shown: Shown,
    who: Authenticated,
    head: TraceHead,
    epoch: u64,
    proven: Timestamp,
    /// Stands in the book of what is open by keys, where it is.
    by_key: Option<Entered>,
}

/// Who answers where a link was attached.
#[derive(Clone)]
pub(crate) enum Answering {
    Hub(Arc<Hub>),
    Target(Arc<Target>),
}

impl Answering {
    fn at(instance: Instance<'_>) -> Option<Self> {
        match instance {
            Instance::Hub(hub) => Some(Self::Hub(Arc::clone(hub))),
            Instance::Target(target) => Some(Self::Target(Arc::clone(target))),
            Instance::Dps(_) => None,
        }
    }

    fn uid(&self) -> &str {
        match self {
            Self::Hub(hub) => &hub.uid,
            Self::Target(target) => &target.uid,
        }
    }

    fn scope(&self) -> &Scope {
        match self {
            Self::Hub(hub) => &hub.scope,
            Self::Target(target) => &target.scope,
        }
    }
}

impl Link {
    pub(crate) fn begin(env: &Env, passed: Passed<'_>, shown: Shown) -> Result<Self, Failed> {
        let Passed { who, permit, head, .. } = passed;
        let facts = env.facts.load();
        let found = instance(&facts, permit.operation().surface(), &shown.host, &head.channel);
        let found = found.map_err(|error| Failed { error, tracking: head.id })?;
        let Some(answering) = Answering::at(found) else {
            let error = Error::UnknownHost { host: shown.host };
            return Err(Failed { error, tracking: head.id });
        };
        let (scope, epoch, proven) = (permit.scope().clone(), permit.epoch(), head.time);
        let ask = Ask::new(permit.operation(), &scope, who.caller(), &head);
        let by_key = env.opened_by_key.enter(None, &ask);
        Ok(Self { answering, scope, shown, who, epoch, proven, head, by_key })
    }

    /// Where it was attached, for as long as that stays where it is.
    pub(crate) const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// What is rung when the hub may have something new for its services.
    pub fn bell(&self, env: &Env) -> Arc<Notify> {
        env.presence.service_bell(self.answering.uid())
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
        let found = facts.instance_at(&self.shown.host).and_then(Answering::at);
        let Some(now_there) = found.filter(|it| it.uid() == self.answering.uid()) else {
            return Err(Ended::Closed);
        };
        // It may lie in another resource group by now.
        let inside = self.scope.as_str().get(self.answering.scope().as_str().len()..);
        let inside = inside.unwrap_or_default().trim_start_matches('/');
        self.scope = match inside.is_empty() {
            true => now_there.scope().clone(),
            false => now_there.scope().join(inside),
        };
        self.answering = now_there;
        let draft = &mut Draft::unwanted();
        let proving = Proving {
            operation: self.shown.operation,
            host: &self.shown.host,
            path: &self.shown.path,
            credential: &self.shown.credential,
            own: &[],
            looked_up: &gate::LookedUp::Nothing,
            wanted: "",
        };
        self.who = match proving.prove(env, facts, &self.scope, &self.head) {
            Ok(who) => who,
            Err(refusal) => return Err(ended(keep(env, *refusal, draft).await)),
        };
        let row = self.shown.operation;
        let ask = Ask::new(row, &self.scope, self.who.caller(), &self.head);
        admitted(env, &self.who, &ask, facts, draft).await.map_err(ended)?;
        env.observed.allowed(&ask, facts);
        self.by_key = env.opened_by_key.enter(self.by_key.take(), &ask);
        self.epoch = facts.epoch;
        self.proven = now;
        Ok(())
    }
}
