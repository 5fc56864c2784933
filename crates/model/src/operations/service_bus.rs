//! Azure Resource Manager: Service Bus namespaces and what lies in them.

use super::row::{act, arm, control};
use super::{Body, Effect, Op, Operation};

pub(super) const ROWS: &[Operation] = &[
    control(
        Op::PutServiceBusNamespace,
        &[act("Microsoft.ServiceBus/namespaces/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}",
        )],
        "Creates or updates a Service Bus namespace",
    ),
    control(
        Op::PatchServiceBusNamespace,
        &[act("Microsoft.ServiceBus/namespaces/write")],
        Effect::ChangesFacts,
        &[arm(
            "PATCH",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}",
        )],
        "Changes a Service Bus namespace",
    ),
    control(
        Op::GetServiceBusNamespace,
        &[act("Microsoft.ServiceBus/namespaces/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}",
        )],
        "Shows a Service Bus namespace, without its keys",
    ),
    control(
        Op::ListServiceBusNamespaces,
        &[],
        Effect::Reads,
        &[
            arm("GET", "/subscriptions/{subscription}/providers/Microsoft.ServiceBus/namespaces"),
            arm(
                "GET",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces",
            ),
        ],
        "Lists Service Bus namespaces",
    ),
    control(
        Op::DeleteServiceBusNamespace,
        &[act("Microsoft.ServiceBus/namespaces/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}",
        )],
        "Deletes a Service Bus namespace and everything in it",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::CheckServiceBusNamespaceName,
            &[act("Microsoft.ServiceBus/checkNameAvailability/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/providers/Microsoft.ServiceBus/checkNameAvailability",
            )],
            "Tells whether a name for a Service Bus namespace is free",
        )
    },
    control(
        Op::PutServiceBusNamespaceRule,
        &[act("Microsoft.ServiceBus/namespaces/authorizationRules/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/authorizationRules/{rule}",
        )],
        "Creates or updates an authorization rule of a Service Bus namespace",
    ),
    control(
        Op::GetServiceBusNamespaceRule,
        &[act("Microsoft.ServiceBus/namespaces/authorizationRules/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/authorizationRules/{rule}",
        )],
        "Shows an authorization rule of a Service Bus namespace",
    ),
    control(
        Op::ListServiceBusNamespaceRules,
        &[act("Microsoft.ServiceBus/namespaces/authorizationRules/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/authorizationRules",
        )],
        "Lists authorization rules of a Service Bus namespace",
    ),
    control(
        Op::DeleteServiceBusNamespaceRule,
        &[act("Microsoft.ServiceBus/namespaces/authorizationRules/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/authorizationRules/{rule}",
        )],
        "Deletes an authorization rule of a Service Bus namespace",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::ListServiceBusNamespaceKeys,
            &[act("Microsoft.ServiceBus/namespaces/authorizationRules/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/authorizationRules/{rule}/listKeys",
            )],
            "Lists the keys of an authorization rule of a Service Bus namespace",
        )
    },
    control(
        Op::RegenerateServiceBusNamespaceKey,
        &[act("Microsoft.ServiceBus/namespaces/authorizationRules/regenerateKeys/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/authorizationRules/{rule}/regenerateKeys",
        )],
        "Makes a new key of an authorization rule of a Service Bus namespace",
    ),
    control(
        Op::GetServiceBusNetworkRules,
        &[act("Microsoft.ServiceBus/namespaces/networkrulesets/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/networkRuleSets/default",
        )],
        "Shows the network rules of a Service Bus namespace",
    ),
    control(
        Op::ListServiceBusNetworkRules,
        &[act("Microsoft.ServiceBus/namespaces/networkrulesets/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/networkRuleSets",
        )],
        "Lists the network rules of a Service Bus namespace",
    ),
    control(
        Op::PutServiceBusNetworkRules,
        &[act("Microsoft.ServiceBus/namespaces/networkrulesets/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/networkRuleSets/default",
        )],
        "Changes the network rules of a Service Bus namespace",
    ),
    control(
        Op::PutQueue,
        &[act("Microsoft.ServiceBus/namespaces/queues/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/queues/{entity}",
        )],
        "Creates or updates a queue",
    ),
    control(
        Op::GetQueue,
        &[act("Microsoft.ServiceBus/namespaces/queues/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/queues/{entity}",
        )],
        "Shows a queue",
    ),
    control(
        Op::ListQueues,
        &[act("Microsoft.ServiceBus/namespaces/queues/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/queues",
        )],
        "Lists queues",
    ),
    control(
        Op::DeleteQueue,
        &[act("Microsoft.ServiceBus/namespaces/queues/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/queues/{entity}",
        )],
        "Deletes a queue",
    ),
    control(
        Op::PutQueueRule,
        &[act("Microsoft.ServiceBus/namespaces/queues/authorizationRules/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/queues/{entity}/authorizationRules/{rule}",
        )],
        "Creates or updates an authorization rule of a queue",
    ),
    control(
        Op::GetQueueRule,
        &[act("Microsoft.ServiceBus/namespaces/queues/authorizationRules/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/queues/{entity}/authorizationRules/{rule}",
        )],
        "Shows an authorization rule of a queue",
    ),
    control(
        Op::ListQueueRules,
        &[act("Microsoft.ServiceBus/namespaces/queues/authorizationRules/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/queues/{entity}/authorizationRules",
        )],
        "Lists authorization rules of a queue",
    ),
    control(
        Op::DeleteQueueRule,
        &[act("Microsoft.ServiceBus/namespaces/queues/authorizationRules/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/queues/{entity}/authorizationRules/{rule}",
        )],
        "Deletes an authorization rule of a queue",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::ListQueueKeys,
            &[act("Microsoft.ServiceBus/namespaces/queues/authorizationRules/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/queues/{entity}/authorizationRules/{rule}/listKeys",
            )],
            "Lists the keys of an authorization rule of a queue",
        )
    },
    control(
        Op::RegenerateQueueKey,
        &[act("Microsoft.ServiceBus/namespaces/queues/authorizationRules/regenerateKeys/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/queues/{entity}/authorizationRules/{rule}/regenerateKeys",
        )],
        "Makes a new key of an authorization rule of a queue",
    ),
    control(
        Op::PutTopic,
        &[act("Microsoft.ServiceBus/namespaces/topics/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}",
        )],
        "Creates or updates a topic",
    ),
    control(
        Op::GetTopic,
        &[act("Microsoft.ServiceBus/namespaces/topics/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}",
        )],
        "Shows a topic",
    ),
    control(
        Op::ListTopics,
        &[act("Microsoft.ServiceBus/namespaces/topics/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics",
        )],
        "Lists topics",
    ),
    control(
        Op::DeleteTopic,
        &[act("Microsoft.ServiceBus/namespaces/topics/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}",
        )],
        "Deletes a topic",
    ),
    control(
        Op::PutTopicRule,
        &[act("Microsoft.ServiceBus/namespaces/topics/authorizationRules/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}/authorizationRules/{rule}",
        )],
        "Creates or updates an authorization rule of a topic",
    ),
    control(
        Op::GetTopicRule,
        &[act("Microsoft.ServiceBus/namespaces/topics/authorizationRules/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}/authorizationRules/{rule}",
        )],
        "Shows an authorization rule of a topic",
    ),
    control(
        Op::ListTopicRules,
        &[act("Microsoft.ServiceBus/namespaces/topics/authorizationRules/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}/authorizationRules",
        )],
        "Lists authorization rules of a topic",
    ),
    control(
        Op::DeleteTopicRule,
        &[act("Microsoft.ServiceBus/namespaces/topics/authorizationRules/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}/authorizationRules/{rule}",
        )],
        "Deletes an authorization rule of a topic",
    ),
    Operation {
        body: Body::Json,
        ..control(
            Op::ListTopicKeys,
            &[act("Microsoft.ServiceBus/namespaces/topics/authorizationRules/listkeys/action")],
            Effect::Reads,
            &[arm(
                "POST",
                "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}/authorizationRules/{rule}/listKeys",
            )],
            "Lists the keys of an authorization rule of a topic",
        )
    },
    control(
        Op::RegenerateTopicKey,
        &[act("Microsoft.ServiceBus/namespaces/topics/authorizationRules/regenerateKeys/action")],
        Effect::ChangesFacts,
        &[arm(
            "POST",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}/authorizationRules/{rule}/regenerateKeys",
        )],
        "Makes a new key of an authorization rule of a topic",
    ),
    control(
        Op::PutTopicSubscription,
        &[act("Microsoft.ServiceBus/namespaces/topics/subscriptions/write")],
        Effect::ChangesFacts,
        &[arm(
            "PUT",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}/subscriptions/{topicSubscription}",
        )],
        "Creates or updates a subscription of a topic",
    ),
    control(
        Op::GetTopicSubscription,
        &[act("Microsoft.ServiceBus/namespaces/topics/subscriptions/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}/subscriptions/{topicSubscription}",
        )],
        "Shows a subscription of a topic",
    ),
    control(
        Op::ListTopicSubscriptions,
        &[act("Microsoft.ServiceBus/namespaces/topics/subscriptions/read")],
        Effect::Reads,
        &[arm(
            "GET",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}/subscriptions",
        )],
        "Lists subscriptions of a topic",
    ),
    control(
        Op::DeleteTopicSubscription,
        &[act("Microsoft.ServiceBus/namespaces/topics/subscriptions/delete")],
        Effect::ChangesFacts,
        &[arm(
            "DELETE",
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ServiceBus/namespaces/{namespace}/topics/{entity}/subscriptions/{topicSubscription}",
        )],
        "Deletes a subscription of a topic",
    ),
];
