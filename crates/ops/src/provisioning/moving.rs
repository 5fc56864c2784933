//! A device that goes from one hub to another: its data moves along or starts anew, as its enrollment says, and it is
//! taken out where it was.
//!
//! It is written to the new hub before it is taken out of the old one: a stop in between loses nothing, and carrying
//! the registration out again finishes it.

use super::allocation::{Linked, linked};
use super::assignment::{Failed, Service, refusal};
use super::registrations::Registration;
use crate::call::Answer;
use crate::devices::names::without_port;
use crate::devices::registry;
use gate::Facts;
use gate::facts::Hub;
use model::{Error, Op};
use serde_json::{Value, json};

/// A device that is in another hub than the one that it goes to.
pub(super) struct Leaving<'a> {
    from: Linked<'a>,
}

/// The device in the hub that it had, where it has to leave that for `to`; `None` where it was in none, or is in none
/// any more.
///
/// # Errors
/// [`Error::Internal`] where the old hub cannot be read; inside, why it cannot leave.
pub(super) async fn leaving<'a>(
    service: &Service<'a>,
    registration: &Registration,
    to: &Hub,
    facts: &'a Facts,
) -> Result<Result<Option<Leaving<'a>>, Failed>, Error> {
    let host = registration.assigned_hub.as_deref().map(without_port);
    let Some(hub) = host.and_then(|it| facts.hub_at(it)).filter(|it| it.uid != to.uid) else {
        return Ok(Ok(None));
    };
    let found = registry::origin(service.env, hub, service.device).await?;
    let Some(origin) = found else { return Ok(Ok(None)) };
    let name = hub.scope.name();
    let stuck = |number: u32, sentence: String| Ok(Err(((number, sentence), None)));
    if origin != Some(service.provisioned_by()) {
        return stuck(
            409_001,
            format!(
                "the hub `{name}` has a device of this id that came by another enrollment or by hand; delete it \
                 there, or give this one another id"
            ),
        );
    }
    // Two enabled copies of a device would be worse than one in the wrong place.
    let Some(from) = linked(service.dps, facts).find(|it| it.hub.uid == hub.uid) else {
        return stuck(
            409_000,
            format!(
                "the device is in the hub `{name}`, which is not linked to the provisioning service any more, so that \
                 it cannot be taken out there; link that hub again, or delete the device in it"
            ),
        );
    };
    Ok(Ok(Some(Leaving { from })))
}

impl Leaving<'_> {
    /// The twin that it leaves behind: tags, desired and reported properties.
    ///
    /// # Errors
    /// Why the provisioning service may not read it.
    pub(super) async fn twin(&self, service: &Service<'_>) -> Result<Value, Failed> {
        let twin = self.call(service, Op::GetTwin, "twins", "read its twin").await?;
        let part = |pointer: &str| twin.pointer(pointer).cloned().unwrap_or_else(|| json!({}));
        Ok(json!({
            "tags": part("/tags"),
            "properties": {
                "desired": part("/properties/desired"),
                "reported": part("/properties/reported"),
            },
        }))
    }

    /// Takes it out.
    ///
    /// # Errors
    /// Why the provisioning service may not.
    pub(super) async fn leave(&self, service: &Service<'_>) -> Result<(), Failed> {
        self.call(service, Op::DeleteDevice, "devices", "take it out").await.map(drop)
    }

    async fn call(
        &self,
        service: &Service<'_>,
        op: Op,
        collection: &str,
        what: &str,
    ) -> Result<Value, Failed> {
        let answer: Answer = service.call(self.from, op, collection, None).await?;
        if answer.status < 300 {
            return Ok(answer.body.unwrap_or_default());
        }
        let (number, sentence) = refusal(&answer);
        let told = format!(
            "the device moves from the hub `{}`, and the provisioning service may not {what} there:\n{sentence}",
            self.from.hub.scope.name()
        );
        Err(((number, told), Some(answer.tracking)))
    }
}
