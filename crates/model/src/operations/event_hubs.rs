//! Azure Resource Manager: Event Hubs namespaces and what lies in them.

use super::row::{act, arm, control};
use super::{Body, Effect, Op, Operation};

pub(super) const ROWS: &[Operation] = &[
    control(
        Op::PutEventHubNamespace,
        &[act("Microsoft.EventHub/namespaces/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}",
        )],
        "Creates or updates an Event Hubs namespace",
    ),
    control(
        Op::PatchEventHubNamespace,
        &[act("Microsoft.EventHub/namespaces/write")],
        Effect::ChangesFacts,
        &[arm(
            "PATCH",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}",
        )],
        "Changes an Event Hubs namespace",
    ),
    control(
        Op::GetEventHubNamespace,
        &[act("Microsoft.EventHub/namespaces/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}",
        )],
        "Shows an Event Hubs namespace, without its keys",
    ),
    control(
        Op::ListEventHubNamespaces,
        &[],
        Effect::Reads,
        &[
            arm("GET", "/subscriptions/{subscription}/providers/Microsoft.EventHub/namespaces"),
            arm(
                "GET",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces",
            ),
        ],
        "Lists Event Hubs namespaces",
    ),
    control(
        Op::DeleteEventHubNamespace,
        &[act("Microsoft.EventHub/namespaces/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}",
        )],
        "Deletes an Event Hubs namespace and everything in it",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::CheckEventHubNamespaceName,
            &[act("Microsoft.EventHub/checkNameAvailability/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/providers/Microsoft.EventHub/checkNameAvailability",
            )],
            "Tells whether a name for an Event Hubs namespace is free",
        )
    },
    control(
        Op::PutEventHubNamespaceRule,
        &[act("Microsoft.EventHub/namespaces/authorizationRules/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/authorizationRules/{rule}",
        )],
        "Creates or updates an authorization rule of an Event Hubs namespace",
    ),
    control(
        Op::GetEventHubNamespaceRule,
        &[act("Microsoft.EventHub/namespaces/authorizationRules/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/authorizationRules/{rule}",
        )],
        "Shows an authorization rule of an Event Hubs namespace",
    ),
    control(
        Op::ListEventHubNamespaceRules,
        &[act("Microsoft.EventHub/namespaces/authorizationRules/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/authorizationRules",
        )],
        "Lists authorization rules of an Event Hubs namespace",
    ),
    control(
        Op::DeleteEventHubNamespaceRule,
        &[act("Microsoft.EventHub/namespaces/authorizationRules/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/authorizationRules/{rule}",
        )],
        "Deletes an authorization rule of an Event Hubs namespace",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::ListEventHubNamespaceKeys,
            &[act("Microsoft.EventHub/namespaces/authorizationRules/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/authorizationRules/{rule}/listKeys",
            )],
            "Lists the keys of an authorization rule of an Event Hubs namespace",
        )
    },
    control(
        Op::RegenerateEventHubNamespaceKey,
        &[act("Microsoft.EventHub/namespaces/authorizationRules/regenerateKeys/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/authorizationRules/{rule}/regenerateKeys",
        )],
        "Makes a new key of an authorization rule of an Event Hubs namespace",
    ),
    control(
        Op::GetEventHubNetworkRules,
        &[act("Microsoft.EventHub/namespaces/networkrulesets/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/networkRuleSets/default",
        )],
        "Shows the network rules of an Event Hubs namespace",
    ),
    control(
        Op::ListEventHubNetworkRules,
        &[act("Microsoft.EventHub/namespaces/networkrulesets/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/networkRuleSets",
        )],
        "Lists the network rules of an Event Hubs namespace",
    ),
    control(
        Op::PutEventHubNetworkRules,
        &[act("Microsoft.EventHub/namespaces/networkrulesets/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/networkRuleSets/default",
        )],
        "Changes the network rules of an Event Hubs namespace",
    ),
    control(
        Op::PutEventHubEntity,
        &[act("Microsoft.EventHub/namespaces/eventhubs/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}",
        )],
        "Creates or updates an event hub",
    ),
    control(
        Op::GetEventHubEntity,
        &[act("Microsoft.EventHub/namespaces/eventhubs/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}",
        )],
        "Shows an event hub",
    ),
    control(
        Op::ListEventHubEntitys,
        &[act("Microsoft.EventHub/namespaces/eventhubs/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs",
        )],
        "Lists event hubs",
    ),
    control(
        Op::DeleteEventHubEntity,
        &[act("Microsoft.EventHub/namespaces/eventhubs/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}",
        )],
        "Deletes an event hub",
    ),
    control(
        Op::PutEventHubEntityRule,
        &[act("Microsoft.EventHub/namespaces/eventhubs/authorizationRules/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}/authorizationRules/{rule}",
        )],
        "Creates or updates an authorization rule of an event hub",
    ),
    control(
        Op::GetEventHubEntityRule,
        &[act("Microsoft.EventHub/namespaces/eventhubs/authorizationRules/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}/authorizationRules/{rule}",
        )],
        "Shows an authorization rule of an event hub",
    ),
    control(
        Op::ListEventHubEntityRules,
        &[act("Microsoft.EventHub/namespaces/eventhubs/authorizationRules/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}/authorizationRules",
        )],
        "Lists authorization rules of an event hub",
    ),
    control(
        Op::DeleteEventHubEntityRule,
        &[act("Microsoft.EventHub/namespaces/eventhubs/authorizationRules/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}/authorizationRules/{rule}",
        )],
        "Deletes an authorization rule of an event hub",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::ListEventHubEntityKeys,
            &[act("Microsoft.EventHub/namespaces/eventhubs/authorizationRules/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}/authorizationRules/{rule}/listKeys",
            )],
            "Lists the keys of an authorization rule of an event hub",
        )
    },
    control(
        Op::RegenerateEventHubEntityKey,
        &[act("Microsoft.EventHub/namespaces/eventhubs/authorizationRules/regenerateKeys/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}/authorizationRules/{rule}/regenerateKeys",
        )],
        "Makes a new key of an authorization rule of an event hub",
    ),
    control(
        Op::PutConsumerGroup,
        &[act("Microsoft.EventHub/namespaces/eventhubs/consumergroups/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}/consumergroups/{consumerGroup}",
        )],
        "Creates or updates a consumer group of an event hub",
    ),
    control(
        Op::GetConsumerGroup,
        &[act("Microsoft.EventHub/namespaces/eventhubs/consumergroups/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}/consumergroups/{consumerGroup}",
        )],
        "Shows a consumer group of an event hub",
    ),
    control(
        Op::ListConsumerGroups,
        &[act("Microsoft.EventHub/namespaces/eventhubs/consumergroups/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}/consumergroups",
        )],
        "Lists consumer groups of an event hub",
    ),
    control(
        Op::DeleteConsumerGroup,
        &[act("Microsoft.EventHub/namespaces/eventhubs/consumergroups/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{entity}/consumergroups/{consumerGroup}",
        )],
        "Deletes a consumer group of an event hub",
    ),
];
