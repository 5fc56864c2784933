//! What a hub's resource says of the messages that it holds: how long, and how often they are tried.

use super::hubs;
use super::service_queues::Queue;
use crate::env::Env;
use crate::resources::fields::duration_seconds;
use gate::facts::Hub;
use model::Error;
use model::json::at;
use serde_json::Value;

/// `properties.cloudToDevice` and `properties.messagingEndpoints` of a hub.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Messaging {
    /// Of messages to devices that name no expiry themselves.
    pub(super) ttl_s: i64,
    pub(super) delivery_count_max: u32,
    feedback: QueueSettings,
    file_notifications: QueueSettings,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct QueueSettings {
    pub(super) ttl_s: i64,
    pub(super) lock_s: i64,
    pub(super) delivery_count_max: u32,
}

impl Messaging {
    pub(super) const fn queue(&self, queue: Queue) -> QueueSettings {
        match queue {
            Queue::Feedback => self.feedback,
            Queue::FileNotifications => self.file_notifications,
        }
    }
}

/// The settings of a hub, as its resource has them now.
pub(super) async fn of(env: &Env, hub: &Hub) -> Result<Messaging, Error> {
    let resource = hubs::current(env, &hub.scope).await?;
    Ok(read(resource.as_ref().and_then(|it| it.get("properties")).unwrap_or(&Value::Null)))
}

/// What is missing has the value that a new hub has.
fn read(properties: &Value) -> Messaging {
    let seconds = |path: &[&str], default: i64| {
        let text = at(properties, path).and_then(Value::as_str);
        text.and_then(duration_seconds).and_then(|it| i64::try_from(it).ok()).unwrap_or(default)
    };
    let count = |path: &[&str]| {
        let number = at(properties, path).and_then(Value::as_u64);
        number.and_then(|it| u32::try_from(it).ok()).unwrap_or(10)
    };
    let queue = |path: [&str; 2], lock_s| {
        let below = |name| [path[0], path[1], name];
        QueueSettings {
            ttl_s: seconds(&below("ttlAsIso8601"), 3_600),
            lock_s: seconds(&below("lockDurationAsIso8601"), lock_s),
            delivery_count_max: count(&below("maxDeliveryCount")),
        }
    };
    Messaging {
        ttl_s: seconds(&["cloudToDevice", "defaultTtlAsIso8601"], 3_600),
        delivery_count_max: count(&["cloudToDevice", "maxDeliveryCount"]),
        feedback: queue(["cloudToDevice", "feedback"], 60),
        file_notifications: queue(["messagingEndpoints", "fileNotifications"], 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_are_read_and_what_is_missing_is_a_new_hubs() {
        let all = read(&json!({
            "cloudToDevice": {
                "defaultTtlAsIso8601": "PT2H", "maxDeliveryCount": 3,
                "feedback": { "ttlAsIso8601": "PT1M", "lockDurationAsIso8601": "PT5S", "maxDeliveryCount": 1 },
            },
        }));
        assert_eq!((all.ttl_s, all.delivery_count_max), (7_200, 3));
        let feedback = QueueSettings { ttl_s: 60, lock_s: 5, delivery_count_max: 1 };
        assert_eq!(all.queue(Queue::Feedback), feedback);
        let new = QueueSettings { ttl_s: 3_600, lock_s: 60, delivery_count_max: 10 };
        assert_eq!(all.queue(Queue::FileNotifications), new);
        assert_eq!(read(&Value::Null).ttl_s, 3_600);
    }
}
