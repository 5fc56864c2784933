//! Who answers at an address, and whether a caller is who it says there: asked before the body is read, and
//! again, with the facts of that moment, before anything is written.

use crate::devices::identity;
use crate::devices::named::Named;
use crate::entra::tokens;
use crate::env::Env;
use crate::input::Input;
use crate::provisioning::attestation;
use gate::facts::{Instance, OwnProof};
use gate::{Authenticated, Door, Facts, LookedUp, Refusal};
use model::operations::Surface;
use model::security::Secured;
use model::trace::{Channel, TraceHead};
use model::{Credential, Error, Operation, Plane, Scope};

/// Who answers at the address that the client named, where that is a service of the surface's kind.
pub(crate) fn instance<'a>(
    facts: &'a Facts,
    surface: Surface,
    host: &str,
    channel: &Channel,
) -> Result<Instance<'a>, Error> {
    match (facts.instance_at(host), surface) {
        (Some(it @ Instance::Hub(_)), Surface::Hub)
        | (Some(it @ Instance::Dps(_)), Surface::Dps) => Ok(it),
        (Some(it @ Instance::Target(target)), _) if target.kind.surface() == surface => Ok(it),
        (Some(_), _) => {
            let (method, path) = channel.request.split_once(' ').unwrap_or(("", &channel.request));
            Err(Error::UnknownPath { method: method.to_owned(), path: path.to_owned() })
        }
        (None, _) => Err(Error::UnknownHost { host: host.to_owned() }),
    }
}

/// What is known of the device that a path names.
#[derive(Default)]
pub(crate) struct Own {
    /// By what it may prove itself.
    pub(crate) proofs: Vec<OwnProof>,
    /// The security policy that it is held to, where one is.
    pub(crate) security: Option<Box<Secured>>,
}

/// What is known of the device that the path names; nothing for what no device calls.
pub(crate) async fn own(
    env: &Env,
    operation: &Operation,
    instance: Option<Instance<'_>>,
    input: &Input,
    shown: &Credential,
) -> Result<Own, Error> {
    match instance.filter(|_| operation.plane == Plane::Device) {
        Some(Instance::Dps(dps)) => {
            let known =
                attestation::candidates(env, dps, input.param("registration"), operation.op)
                    .await?;
            Ok(Own { proofs: known.into_iter().map(|it| it.proof).collect(), security: None })
        }
        Some(Instance::Hub(hub)) => {
            // What is no name is nobody's.
            let Ok(named) = Named::of(input) else { return Ok(Own::default()) };
            let own = identity::credentials(env, hub, &named, shown).await?;
            Ok(own.map_or_else(Own::default, |it| Own {
                proofs: vec![it.proof],
                security: it.security,
            }))
        }
        Some(Instance::Target(_)) | None => Ok(Own::default()),
    }
}

/// What a caller showed, and where: enough to prove it, as often as facts may have changed.
pub(crate) struct Proving<'a> {
    pub(crate) operation: &'static Operation,
    pub(crate) host: &'a str,
    pub(crate) path: &'a str,
    pub(crate) credential: &'a Credential,
    pub(crate) own: &'a [OwnProof],
    pub(crate) looked_up: &'a LookedUp,
    /// What a token is asked for, where one is.
    pub(crate) wanted: &'a str,
}

impl Proving<'_> {
    pub(crate) fn prove(
        &self,
        env: &Env,
        facts: &Facts,
        scope: &Scope,
        head: &TraceHead,
    ) -> Result<Authenticated, Box<Refusal>> {
        let before = (env.clock.monotonic_ns)();
        let mut who = self
            .at_door(facts, scope, head, |door| gate::authenticate(self.credential, door, facts))?;
        who.took((env.clock.monotonic_ns)().saturating_sub(before));
        Ok(who)
    }

    /// Uses up a credential that counts once, for what the form asks for. A form that asks for nothing that
    /// there is gets nothing, and leaves the credential as it was.
    ///
    /// # Errors
    /// The refusal of who shows one that was used.
    pub(crate) fn use_once(
        &self,
        env: &Env,
        facts: &Facts,
        input: &Input,
        head: &TraceHead,
        who: &Authenticated,
    ) -> Result<(), Box<Refusal>> {
        let Some(once) = who.once() else { return Ok(()) };
        let Some(resource) = tokens::resource(&input.body, &env.settings.origin) else {
            return Ok(());
        };
        env.assertions.take(once, &resource, head.time).map_err(|because| {
            self.at_door(facts, &input.scope, head, |door| {
                gate::refuse_used(who, because, door, facts)
            })
        })
    }

    /// The refusal of somebody who is too new to be known by what answers, for so many seconds more.
    pub(crate) fn unseen(
        &self,
        facts: &Facts,
        scope: &Scope,
        head: &TraceHead,
        who: &Authenticated,
        left_s: i64,
    ) -> Box<Refusal> {
        self.at_door(facts, scope, head, |door| gate::refuse_unseen(who, left_s, door, facts))
    }

    fn at_door<T>(
        &self,
        facts: &Facts,
        scope: &Scope,
        head: &TraceHead,
        then: impl FnOnce(&Door<'_>) -> T,
    ) -> T {
        let of_target;
        let (access, address) = match facts.instance_at(self.host) {
            Some(Instance::Hub(hub)) => (Some(&hub.access), hub.host.as_str()),
            Some(Instance::Dps(dps)) => (Some(&dps.access), dps.host.as_str()),
            Some(Instance::Target(target)) => {
                let name = if let Credential::Sas(token) = self.credential {
                    token.key_name.as_deref().unwrap_or_default()
                } else {
                    ""
                };
                of_target = facts.access_to(target, scope, name);
                (Some(&of_target), target.host.as_str())
            }
            None => (None, ""),
        };
        let surface = self.operation.surface();
        let resource = match (self.operation.plane, surface) {
            // What a device signs for begins with the id scope: it knows its service by no other name.
            (Plane::Device, Surface::Dps) => self.path.trim_matches('/').to_owned(),
            (_, _) => format!("{address}{}", self.path.trim_end_matches('/')),
        };
        then(&Door {
            operation: self.operation,
            scope,
            access: access.filter(|_| surface.is_of_an_instance()),
            own: self.own,
            looked_up: self.looked_up,
            resource: &resource,
            wanted: self.wanted,
            head,
        })
    }
}
