//! What a path of a target's clients leads to: the scope at which the gates decide.

use gate::Facts;
use gate::facts::{Target, TargetKind};
use model::Scope;
use std::collections::BTreeMap;

/// The scope of what a call names in a target; the target itself where it names nothing. It need not exist: who may not
/// see what is there is not told that nothing is.
pub(crate) fn place(
    target: &Target,
    params: &BTreeMap<&'static str, String>,
    facts: &Facts,
) -> Scope {
    let below = |scope: &Scope, path: &str, name: Option<&String>| match name {
        Some(name) if !name.is_empty() && !name.contains('/') => {
            scope.join(&format!("{path}/{name}"))
        }
        Some(_) | None => scope.clone(),
    };
    let scope = &target.scope;
    match target.kind {
        TargetKind::EventHubs => {
            let event_hub = below(scope, "eventhubs", params.get("eventHub"));
            below(&event_hub, "consumergroups", params.get("group"))
        }
        TargetKind::ServiceBus => {
            let entity = params.get("entity");
            let queue = below(scope, "queues", entity);
            let topic = below(scope, "topics", entity);
            match facts.entity(&topic).is_some() && facts.entity(&queue).is_none() {
                true => below(&topic, "subscriptions", params.get("subscription")),
                false => queue,
            }
        }
        TargetKind::Storage => {
            below(scope, "blobServices/default/containers", params.get("container"))
        }
    }
}
