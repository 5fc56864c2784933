//! A hub that calls others: as which of its identities, and where that counts.

use crate::entra::tokens;
use crate::env::Env;
use crate::managed_identity::attached::{Identities, user_assigned_id};
use egress::{Token, TokenSource};
use gate::Facts;
use gate::facts::Instance;
use model::json::text;
use model::{ObjectId, Secret};
use serde_json::Value;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

/// The identity that something of a hub names, or the hub's own where it names none.
/// Source: IoT Hub documentation, "IoT Hub support for managed identities", where the last bullets mean the hub's own.
///
/// # Errors
/// What is missing, and the command that brings it: a sentence for people.
pub(crate) fn identity_of(
    hub: &Value,
    named: Option<&str>,
    facts: &Facts,
) -> Result<ObjectId, String> {
    let name = text(hub, &["name"]).unwrap_or_default();
    let identities = Identities::of(Some(hub));
    let Some(named) = named.filter(|it| !it.is_empty()) else {
        let own = text(hub, &["identity", "principalId"]).and_then(ObjectId::parse);
        let own = own.filter(|_| identities.has_system);
        let principal = own.filter(|it| is_on(facts, *it)).ok_or_else(|| {
            format!(
                "the hub `{name}` has no system-assigned identity that is switched on; `az iot hub identity assign \
                 --name {name} --system-assigned` gives it one"
            )
        })?;
        return Ok(principal);
    };
    let Some(id) = user_assigned_id(named) else {
        return Err("`userAssignedIdentity` is no id of a user-assigned identity".to_owned());
    };
    let held = identities.principals().get(&id.key()).copied().ok_or_else(|| {
        format!(
            "the identity `{id}` is not attached to the hub `{name}`; `az iot hub identity assign --name {name} \
             --user-assigned {id}` attaches it"
        )
    })?;
    match is_on(facts, held) {
        true => Ok(held),
        false => Err(format!(
            "the identity `{id}` was deleted or made again since it was attached to the hub `{name}`; attach it anew"
        )),
    }
}

fn is_on(facts: &Facts, principal: ObjectId) -> bool {
    facts.principals.get(&principal).is_some_and(|it| it.is_enabled)
}

/// A token of a hub's identity for a target, for what is called at once.
///
/// # Errors
/// A host that is not this server's: others do not know its identities, and whoever is shown such a token could show it
/// here.
pub(crate) fn token_for(
    env: &Env,
    facts: &Facts,
    identity: ObjectId,
    (host, audience): (&str, &str),
) -> Result<Arc<dyn TokenSource>, String> {
    expect_ours(facts, host)?;
    let issued = tokens::of_identity(env, identity, audience).map_err(|it| it.to_string())?;
    Ok(Arc::new(OneToken(Token { text: Secret::new(issued.token), expiry: issued.ends })))
}

/// # Errors
/// As [`token_for`].
pub(crate) fn expect_ours(facts: &Facts, host: &str) -> Result<(), String> {
    match facts.instance_at(host) {
        Some(Instance::Target(_)) => Ok(()),
        Some(Instance::Hub(_) | Instance::Dps(_)) | None => Err(format!(
            "managed identities of this server count at its own targets only, and `{host}` is none of them; sign in \
             there with a key (`keyBased`)"
        )),
    }
}

struct OneToken(Token);

impl TokenSource for OneToken {
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, String>> + Send + '_>> {
        Box::pin(ready(Ok(self.0.clone())))
    }
}
