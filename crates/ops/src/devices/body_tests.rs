use super::*;
use crate::devices::secrets::show;

const ID: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/Plant";

fn hub(body: &Value, stored: Option<&Value>) -> Result<Value, Error> {
    let scope = Scope::parse(ID).unwrap();
    let place = Place {
        scope: &scope,
        address: "127.71.3.2",
        host_name: "127.71.3.2:8443",
        etag: "AAAAAAAAAAE=",
        identity: &json!({ "type": "None" }),
    };
    read(body, stored, &place)
}

fn minimal() -> Value {
    json!({ "location": "West US", "sku": { "name": "S1", "capacity": 1 } })
}

/// The minimal body with these members in place of its own.
fn with(changes: Value) -> Value {
    let mut body = minimal();
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

fn place_of(body: &Value, stored: Option<&Value>) -> String {
    match hub(body, stored) {
        Err(Error::Invalid { at: Some(at), .. }) => at,
        other => panic!("{body}: {other:?}"),
    }
}

/// What `az iot hub create` of Azure CLI 2.91 sends.
fn as_the_command_line_sends_it() -> Value {
    with(json!({
        "properties": {
            "eventHubEndpoints": { "events": { "retentionTimeInDays": 1, "partitionCount": 4 } },
            "storageEndpoints": { "$default": {
                "sasTtlAsIso8601": "PT1H", "connectionString": "", "containerName": "",
            } },
            "messagingEndpoints": { "fileNotifications": {
                "lockDurationAsIso8601": "PT5S", "ttlAsIso8601": "PT1H", "maxDeliveryCount": 10,
            } },
            "enableFileUploadNotifications": false,
            "cloudToDevice": {
                "maxDeliveryCount": 10, "defaultTtlAsIso8601": "PT1H",
                "feedback": {
                    "lockDurationAsIso8601": "PT5S", "ttlAsIso8601": "PT1H", "maxDeliveryCount": 10,
                },
            },
        },
    }))
}

#[test]
fn a_hub_has_every_member_that_clients_dereference() {
    for body in [minimal(), as_the_command_line_sends_it()] {
        let hub = hub(&body, None).unwrap();
        for path in [
            "/id",
            "/name",
            "/type",
            "/etag",
            "/resourcegroup",
            "/subscriptionid",
            "/identity/type",
            "/sku/name",
            "/sku/tier",
            "/sku/capacity",
            "/properties/hostName",
            "/properties/state",
            "/properties/provisioningState",
            "/properties/locations/0/location",
            "/properties/features",
            "/properties/eventHubEndpoints/events/endpoint",
            "/properties/eventHubEndpoints/events/path",
            "/properties/eventHubEndpoints/events/partitionCount",
            "/properties/eventHubEndpoints/events/partitionIds/3",
            "/properties/eventHubEndpoints/events/retentionTimeInDays",
            "/properties/routing/endpoints/serviceBusQueues",
            "/properties/routing/endpoints/serviceBusTopics",
            "/properties/routing/endpoints/eventHubs",
            "/properties/routing/endpoints/storageContainers",
            "/properties/routing/routes",
            "/properties/routing/fallbackRoute/endpointNames/0",
            "/properties/storageEndpoints/$default/connectionString",
            "/properties/messagingEndpoints/fileNotifications/ttlAsIso8601",
            "/properties/cloudToDevice/feedback/lockDurationAsIso8601",
            "/properties/disableLocalAuth",
        ] {
            assert!(hub.pointer(path).is_some_and(|it| !it.is_null()), "{path} in {hub}");
        }
        assert!(hub.pointer("/properties/authorizationPolicies").is_none());
        assert_eq!(hub["location"], "westus");
        assert_eq!(hub["properties"]["hostName"], "127.71.3.2:8443");
        assert_eq!(hub["properties"]["eventHubEndpoints"]["events"]["path"], "plant");
    }
}

#[test]
fn a_hub_that_is_sent_back_as_it_was_read_is_the_same_hub() {
    let first = hub(&as_the_command_line_sends_it(), None).unwrap();
    let second = hub(&show(&first), Some(&first)).unwrap();
    assert_eq!(first, second);
}

#[test]
fn what_a_caller_may_not_set_is_ignored() {
    let body = with(json!({
        "id": "/somewhere/else", "name": "other", "etag": "x", "systemData": {},
        "properties": {
            "state": "Deleting", "provisioningState": "Failed", "hostName": "evil.example",
            "locations": [], "authorizationPolicies": [], "unknown": 1,
            "eventHubEndpoints": { "events": { "endpoint": "sb://evil.example/", "path": "evil" } },
        },
    }));
    assert_eq!(hub(&body, None).unwrap(), hub(&minimal(), None).unwrap());
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let check = |changes: Value, place: &str| assert_eq!(place_of(&with(changes), None), place);
    check(json!({ "location": "moon" }), "location");
    check(json!({ "tags": "a" }), "tags");
    check(json!({ "sku": null }), "sku");
    check(json!({ "sku": "S1" }), "sku");
    check(json!({ "sku": {} }), "sku.name");
    check(json!({ "sku": { "name": "S4" } }), "sku.name");
    check(json!({ "sku": { "name": "S1", "capacity": 0 } }), "sku.capacity");
    check(json!({ "sku": { "name": "S1", "capacity": 201 } }), "sku.capacity");
    check(json!({ "sku": { "name": "S3", "capacity": 11 } }), "sku.capacity");
    check(json!({ "sku": { "name": "F1", "capacity": 2 } }), "sku.capacity");
    check(json!({ "sku": { "name": "S1", "capacity": "1" } }), "sku.capacity");
    check(json!({ "properties": [] }), "properties");
    let check = |properties: Value, place: &str| {
        assert_eq!(
            place_of(&with(json!({ "properties": properties })), None),
            format!("properties.{place}")
        );
    };
    check(json!({ "disableLocalAuth": "true" }), "disableLocalAuth");
    check(json!({ "publicNetworkAccess": "Sometimes" }), "publicNetworkAccess");
    check(json!({ "features": "All" }), "features");
    check(json!({ "ipFilterRules": vec![json!({}); 101] }), "ipFilterRules");
    check(json!({ "allowedFqdnList": [1] }), "allowedFqdnList");
    check(json!({ "routing": [] }), "routing");
    check(json!({ "routing": { "routes": [{}] } }), "routing.routes[0].name");
    check(
        json!({ "routing": { "endpoints": { "eventHubs": {} } } }),
        "routing.endpoints.eventHubs",
    );
    check(
        json!({ "routing": { "fallbackRoute": { "endpointNames": [] } } }),
        "routing.fallbackRoute.endpointNames",
    );
    check(json!({ "storageEndpoints": { "other": {} } }), "storageEndpoints");
    check(
        json!({ "storageEndpoints": { "$default": { "sasTtlAsIso8601": "PT25H" } } }),
        "storageEndpoints.$default.sasTtlAsIso8601",
    );
    check(
        json!({ "cloudToDevice": { "defaultTtlAsIso8601": "P3D" } }),
        "cloudToDevice.defaultTtlAsIso8601",
    );
    check(
        json!({ "cloudToDevice": { "maxDeliveryCount": 101 } }),
        "cloudToDevice.maxDeliveryCount",
    );
    check(
        json!({ "cloudToDevice": { "feedback": { "lockDurationAsIso8601": "PT301S" } } }),
        "cloudToDevice.feedback.lockDurationAsIso8601",
    );
    check(
        json!({ "eventHubEndpoints": { "events": { "retentionTimeInDays": 8 } } }),
        "eventHubEndpoints.events.retentionTimeInDays",
    );
    check(
        json!({ "eventHubEndpoints": { "events": { "partitionCount": 33 } } }),
        "eventHubEndpoints.events.partitionCount",
    );
}

#[test]
fn a_body_that_is_no_object_is_refused() {
    for body in [json!(null), json!([]), json!("hub")] {
        assert_eq!(place_of(&body, None), "body");
    }
    assert_eq!(
        place_of(&with(json!({ "properties": { "comments": "x".repeat(HUB_BYTES_MAX) } })), None),
        "properties"
    );
}

#[test]
fn a_hub_cannot_move_or_change_its_partitions() {
    let stored = hub(&minimal(), None).unwrap();
    let check = |changes: Value, place: &str| {
        assert_eq!(place_of(&with(changes), Some(&stored)), place);
    };
    check(json!({ "location": "eastus" }), "location");
    check(
        json!({ "properties": { "eventHubEndpoints": { "events": { "partitionCount": 8 } } } }),
        "properties.eventHubEndpoints.events.partitionCount",
    );
    check(json!({ "sku": { "name": "B1" } }), "sku.name");
    check(json!({ "sku": { "name": "F1" } }), "sku.name");
    assert!(
        hub(&with(json!({ "location": "westus", "sku": { "name": "S3" } })), Some(&stored)).is_ok()
    );
}

#[test]
fn tiers_change_in_one_direction_only() {
    let check = |from: &str, to: &str, expected: bool| {
        assert_eq!(may_move(from, to), expected, "{from} to {to}");
    };
    check("Basic", "Standard", true);
    check("Standard", "Basic", false);
    check("Free", "Standard", false);
    check("Standard", "Free", false);
    check("Free", "Free", true);
}

#[test]
fn a_free_hub_has_two_partitions() {
    let events = |body: &Value| {
        hub(body, None).unwrap()["properties"]["eventHubEndpoints"]["events"]["partitionCount"]
            .clone()
    };
    assert_eq!(events(&with(json!({ "sku": { "name": "F1" } }))), 2);
    assert_eq!(events(&minimal()), 4);
}

#[test]
fn keys_in_connection_strings_are_masked_and_put_back() {
    let storage =
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0;EndpointSuffix=x";
    let body = with(json!({ "properties": {
        "storageEndpoints": { "$default": { "connectionString": storage, "containerName": "c" } },
        "routing": { "endpoints": { "eventHubs": [
            { "name": "one", "connectionString": "Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0;EntityPath=e" },
        ] } },
    } }));
    let stored = hub(&body, None).unwrap();
    let shown = show(&stored);
    assert!(
        stored.to_string().contains("c2VjcmV0") && !shown.to_string().contains("c2VjcmV0"),
        "{shown}"
    );
    assert!(shown.to_string().contains("SharedAccessKeyName=n;SharedAccessKey=****"), "{shown}");
    assert_eq!(hub(&shown, Some(&stored)).unwrap(), stored);

    // A masked key for which nothing is stored, and one that was tampered with.
    assert_eq!(
        place_of(&shown, None),
        "properties.routing.connectionString".replace("routing", "routing.endpoints.eventHubs")
    );
    let mut tampered = shown.clone();
    tampered["properties"]["storageEndpoints"]["$default"]["connectionString"] =
        json!("AccountName=other;AccountKey=****");
    assert_eq!(
        place_of(&tampered, Some(&stored)),
        "properties.storageEndpoints.$default.connectionString"
    );
}

#[test]
fn the_keys_of_a_database_that_was_taken_before_are_masked_whole() {
    let shown = show(&json!({ "primaryKey": "c2VjcmV0==", "secondaryKey": "" }));
    assert_eq!((&shown["primaryKey"], &shown["secondaryKey"]), (&json!("****"), &json!("")));
}

#[test]
fn an_endpoint_signs_in_by_key_or_as_an_identity() {
    let routing = |endpoint: Value| {
        with(json!({ "properties": { "routing": { "endpoints": { "eventHubs": [endpoint] } } } }))
    };
    let id = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ManagedIdentity/userAssignedIdentities/a";
    let taken = hub(
        &routing(json!({ "name": "a.b-c_1", "authenticationType": "IDENTITYBASED",
            "endpointUri": "sb://plant/", "entityPath": "e",
            "identity": { "userAssignedIdentity": id } })),
        None,
    );
    let taken = taken.unwrap();
    let endpoint = &taken["properties"]["routing"]["endpoints"]["eventHubs"][0];
    assert_eq!(endpoint["authenticationType"], "identityBased");
    let check = |endpoint: Value, place: &str| {
        let at = format!("properties.routing.endpoints.eventHubs[0].{place}");
        assert_eq!(place_of(&routing(endpoint), None), at);
    };
    check(json!({ "name": "a/b" }), "name");
    check(json!({ "name": "a".repeat(65) }), "name");
    check(json!({ "name": "a", "authenticationType": "by word" }), "authenticationType");
    let nobody = json!({ "userAssignedIdentity": "somebody" });
    check(json!({ "name": "a", "identity": nobody }), "identity.userAssignedIdentity");
    let storage = json!({ "$default": { "authenticationType": "x" } });
    let storage = with(json!({ "properties": { "storageEndpoints": storage } }));
    assert_eq!(place_of(&storage, None), "properties.storageEndpoints.$default.authenticationType");
}

#[test]
fn the_editions_are_those_that_hubs_can_be_limited_as() {
    use model::limits::Edition;
    let of_limits = Edition::ALL.map(|it| (it.as_str(), i64::from(it.units_max())));
    assert_eq!(SKUS.map(|(name, _, units_max, _)| (name, units_max)), of_limits);
    for (name, tier, ..) in SKUS {
        let edition = Edition::ALL.into_iter().find(|it| it.as_str() == name).unwrap();
        assert_eq!(tier == "Basic", edition.is_basic(), "{name}");
    }
}
