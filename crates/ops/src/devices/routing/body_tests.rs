//! What a body may say of where messages go.

use super::*;
use serde_json::Value;

fn read_body(routing: Value) -> Result<Value, Error> {
    let body = json!({ "properties": { "routing": routing } });
    read(&Fields::of(&body).unwrap().object("properties").unwrap().unwrap())
}

fn taken(routing: Value) -> Value {
    read_body(routing).unwrap_or_else(|it| panic!("{it}"))
}

/// The place that is refused, and why.
fn refused(routing: Value) -> (String, String) {
    let shown = routing.to_string();
    match read_body(routing) {
        Err(Error::Invalid { at: Some(at), message, .. }) => {
            (at.strip_prefix("properties.routing.").unwrap_or(&at).to_owned(), message)
        }
        other => panic!("{shown}: {other:?}"),
    }
}

fn at(routing: Value) -> String {
    refused(routing).0
}

fn hub(name: &str) -> Value {
    json!({ "name": name, "authenticationType": "identityBased", "endpointUri": "sb://plant/", "entityPath": "e" })
}

fn container(more: Value) -> Value {
    let mut container = json!({ "name": "files", "authenticationType": "identityBased",
        "endpointUri": "https://plant/", "containerName": "c" });
    more.as_object()
        .unwrap()
        .iter()
        .for_each(|(name, value)| set(&mut container, name, value.clone()));
    container
}

fn route(more: Value) -> Value {
    let mut route = json!({ "name": "r", "source": "DeviceMessages", "endpointNames": ["events"] });
    more.as_object().unwrap().iter().for_each(|(name, value)| set(&mut route, name, value.clone()));
    route
}

/// S3-19: names are unique over all kinds of endpoints, some are the hub's own, and there are ten at most.
#[test]
fn endpoints_have_names_of_their_own_over_all_kinds() {
    let both = |queue: &str, hub_name: &str| json!({ "endpoints": { "serviceBusQueues": [hub(queue)], "eventHubs": [hub(hub_name)] } });
    taken(both("plant1", "plant10"));
    let (place, because) = refused(both("plant1", "PLANT1"));
    assert_eq!(place, "endpoints.eventHubs[0].name");
    assert!(because.contains("of whichever kind"), "{because}");
    for name in ["events", "Events", "operationsMonitoringEvents", "fileNotifications", "$default"]
    {
        assert_eq!(at(both("q", name)), "endpoints.eventHubs[0].name", "{name}");
    }
    taken(both("q", "events1"));
    for name in ["", "a b", "a/b", &"a".repeat(65)] {
        assert_eq!(at(both(name, "h")), "endpoints.serviceBusQueues[0].name", "{name}");
    }
    let many = |count: usize| (0..count).map(|it| hub(&format!("h{it}"))).collect::<Vec<_>>();
    taken(json!({ "endpoints": { "eventHubs": many(9), "serviceBusTopics": [hub("t")] } }));
    let (place, because) =
        refused(json!({ "endpoints": { "eventHubs": many(10), "serviceBusTopics": [hub("t")] } }));
    assert!(because.contains("at most 10"), "{place} {because}");
    assert_eq!(at(json!({ "endpoints": { "eventHubs": many(11) } })), "endpoints.eventHubs");
}

#[test]
fn an_endpoint_says_how_it_signs_in_and_where() {
    let with = |name: &str, value: Value| {
        let mut endpoint = hub("h");
        set(&mut endpoint, name, value);
        json!({ "endpoints": { "eventHubs": [endpoint] } })
    };
    let place = |name: &str| format!("endpoints.eventHubs[0].{name}");
    for name in ["endpointUri", "entityPath"] {
        assert_eq!(at(with(name, Value::Null)), place(name));
        assert_eq!(at(with(name, json!(""))), place(name));
    }
    for wrong in
        ["plant", "https://plant/", "sb://", "sb://a b/", "sb://a/b", "sb://a:0/", "sb://u@a/"]
    {
        assert_eq!(at(with("endpointUri", json!(wrong))), place("endpointUri"), "{wrong}");
    }
    for fine in ["sb://plant/", "SB://plant.servicebus.windows.net", "sb://127.71.3.9:5671/"] {
        taken(with("endpointUri", json!(fine)));
    }
    assert_eq!(at(with("entityName", json!("e"))), place("entityName"));
    assert_eq!(at(with("authenticationType", json!("byWord"))), place("authenticationType"));
    assert_eq!(at(with("authenticationType", json!("keyBased"))), place("connectionString"));
    assert_eq!(
        at(with("identity", json!({ "userAssignedIdentity": "x" }))),
        place("identity.userAssignedIdentity")
    );
    assert_eq!(at(with("identity", json!({ "other": "x" }))), place("identity.other"));
    // A key that nobody signs in with is not kept.
    let taken = taken(with("connectionString", json!("Endpoint=sb://x/;SharedAccessKey=c2VjcmV0")));
    assert!(!taken.to_string().contains("c2VjcmV0"));
    let database = json!({ "endpoints": { "cosmosDBSqlContainers": [hub("db")] } });
    assert_eq!(at(database), "endpoints.cosmosDBSqlContainers");
    assert_eq!(at(json!({ "endpoints": { "kafka": [] } })), "endpoints.kafka");
}

#[test]
fn a_connection_string_is_read_when_it_is_saved() {
    let check = |string: &str| {
        let endpoint =
            json!({ "name": "h", "authenticationType": "keyBased", "connectionString": string });
        let properties = json!({ "routing": { "endpoints": { "eventHubs": [endpoint] } } });
        check_connection_strings(&properties, "properties")
    };
    check("Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0;EntityPath=e").unwrap();
    let refused =
        check("Endpoint=sb://x/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0").unwrap_err();
    assert!(refused.to_string().contains("EntityPath"), "{refused}");
    assert!(!refused.to_string().contains("c2VjcmV0"), "{refused}");
}

#[test]
fn a_container_says_how_it_is_written_to() {
    let with = |more: Value| json!({ "endpoints": { "storageContainers": [container(more)] } });
    let plain = taken(with(json!({})));
    let plain = &plain["endpoints"]["storageContainers"][0];
    assert_eq!(plain["fileNameFormat"], FILE_NAME_FORMAT);
    assert_eq!(
        (&plain["batchFrequencyInSeconds"], &plain["maxChunkSizeInBytes"], &plain["encoding"]),
        (&json!(300), &json!(314_572_800), &json!("avro"))
    );
    let place = |name: &str| format!("endpoints.storageContainers[0].{name}");
    for seconds in [60, 720] {
        taken(with(json!({ "batchFrequencyInSeconds": seconds })));
    }
    for seconds in [59, 721] {
        assert_eq!(
            at(with(json!({ "batchFrequencyInSeconds": seconds }))),
            place("batchFrequencyInSeconds")
        );
    }
    for bytes in [10_485_760, 524_288_000] {
        taken(with(json!({ "maxChunkSizeInBytes": bytes })));
    }
    for bytes in [10_485_759, 524_288_001] {
        assert_eq!(at(with(json!({ "maxChunkSizeInBytes": bytes }))), place("maxChunkSizeInBytes"));
    }
    assert_eq!(
        taken(with(json!({ "encoding": "JSON" })))["endpoints"]["storageContainers"][0]["encoding"],
        "json"
    );
    taken(with(json!({ "encoding": "Avro" })));
    assert_eq!(at(with(json!({ "encoding": "AvroDeflate" }))), place("encoding"));
    assert_eq!(at(with(json!({ "encoding": "csv" }))), place("encoding"));
    taken(with(json!({ "fileNameFormat": "{mm}-{HH}/{DD}/{MM}/{YYYY}_{partition}.{iothub}" })));
    for wrong in [
        "{iothub}/{partition}",
        "{iothub}{iothub}/{partition}/{YYYY}/{MM}/{DD}/{HH}/{mm}",
        &format!("{FILE_NAME_FORMAT} x"),
    ] {
        assert_eq!(
            at(with(json!({ "fileNameFormat": wrong }))),
            place("fileNameFormat"),
            "{wrong}"
        );
    }
    assert_eq!(at(with(json!({ "containerName": null }))), place("containerName"));
    assert_eq!(at(with(json!({ "entityPath": "e" }))), place("entityPath"));
    assert_eq!(at(with(json!({ "endpointUri": "sb://plant/" }))), place("endpointUri"));
}

#[test]
fn a_route_leads_from_a_source_to_one_endpoint_under_a_condition() {
    let with = |more: Value| json!({ "routes": [route(more)] });
    let plain = taken(with(json!({})));
    assert_eq!(
        (&plain["routes"][0]["condition"], &plain["routes"][0]["isEnabled"]),
        (&json!("true"), &json!(true))
    );
    let place = |name: &str| format!("routes[0].{name}");
    assert_eq!(at(with(json!({ "name": "" }))), place("name"));
    assert_eq!(at(with(json!({ "source": null }))), place("source"));
    assert_eq!(at(with(json!({ "source": "Devices" }))), place("source"));
    assert_eq!(at(with(json!({ "endpointNames": [] }))), place("endpointNames"));
    assert_eq!(at(with(json!({ "endpointNames": ["a", "b"] }))), place("endpointNames"));
    let (unknown, because) = refused(with(json!({ "endpointNames": ["nowhere"] })));
    assert_eq!(unknown, place("endpointNames"));
    assert!(because.contains("there is no endpoint `nowhere`; there are events"), "{because}");
    assert_eq!(at(with(json!({ "when": "x" }))), place("when"));
    let (condition, because) = refused(with(json!({ "condition": "level = " })));
    assert_eq!(condition, place("condition"));
    assert!(because.contains("line 1, character 9"), "{because}");
    let named = |names: &[String]| {
        let all: Vec<Value> = names.iter().map(|it| route(json!({ "name": it }))).collect();
        json!({ "routes": all })
    };
    assert_eq!(at(named(&["a".into(), "A".into()])), "routes[1].name");
    let many = |count: usize| (0..count).map(|it| format!("r{it}")).collect::<Vec<_>>();
    taken(named(&many(100)));
    assert_eq!(at(named(&many(101))), "routes");
}

#[test]
fn the_fallback_is_on_where_nothing_is_said_of_routing_and_off_where_it_is_left_out() {
    let nothing = json!({});
    let without = read(&Fields::of(&nothing).unwrap()).unwrap();
    assert_eq!(without["fallbackRoute"]["isEnabled"], true);
    let given = |routing: Value| taken(routing)["fallbackRoute"]["isEnabled"].clone();
    assert_eq!(given(json!({ "routes": [] })), false);
    assert_eq!(given(json!({ "fallbackRoute": { "endpointNames": ["events"] } })), true);
    assert_eq!(
        given(json!({ "fallbackRoute": { "endpointNames": ["Events"], "isEnabled": false } })),
        false
    );
    let refused = |more: Value| at(json!({ "fallbackRoute": more }));
    assert_eq!(refused(json!({ "endpointNames": [] })), "fallbackRoute.endpointNames");
    assert_eq!(refused(json!({ "endpointNames": ["other"] })), "fallbackRoute.endpointNames");
    let named = |name: &str, value: &str| json!({ "endpointNames": ["events"], name: value });
    assert_eq!(refused(named("condition", "false")), "fallbackRoute.condition");
    assert_eq!(refused(named("source", "TwinChangeEvents")), "fallbackRoute.source");
}

#[test]
fn an_enrichment_adds_a_property_for_endpoints_that_are_there() {
    let with = |key: &str, value: &str, to: &[&str]| {
        json!({ "endpoints": { "eventHubs": [hub("h")] },
            "enrichments": [{ "key": key, "value": value, "endpointNames": to }] })
    };
    taken(with("site", "$twin.tags.site", &["events", "H"]));
    taken(with("price", "$5", &["h"]));
    let place = |name: &str| format!("enrichments[0].{name}");
    for key in ["", "a b", "a=b", "$.cdid", "iothub-connection-device-id", &"k".repeat(1_025)] {
        assert_eq!(at(with(key, "v", &["h"])), place("key"), "{key}");
    }
    for value in ["", "$twin", "$twin.", "$twin.tags.a = 1", &"v".repeat(4_097)] {
        assert_eq!(at(with("k", value, &["h"])), place("value"), "{value}");
    }
    assert_eq!(at(with("k", "v", &[])), place("endpointNames"));
    assert_eq!(at(with("k", "v", &["h1"])), place("endpointNames"));
    let many = |count: usize| {
        let one = |it: usize| json!({ "key": format!("k{it}"), "value": "v", "endpointNames": ["events"] });
        json!({ "enrichments": (0..count).map(one).collect::<Vec<_>>() })
    };
    taken(many(10));
    assert_eq!(at(many(11)), "enrichments");
    let mut twice = many(2);
    twice["enrichments"][1]["key"] = json!("K0");
    assert_eq!(at(twice), "enrichments[1].key");
}
