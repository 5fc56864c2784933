use super::*;
use model::ObjectId;
use uuid::Uuid;

const ID: &str =
    "/subscriptions/s/resourceGroups/RG/providers/Microsoft.Devices/provisioningServices/Plant";

fn check(body: &Value, stored: Option<&Value>) -> Result<Value, Error> {
    let place = Place {
        scope: &Scope::parse(ID).unwrap(),
        id_scope: "0ne00000001",
        etag: "e",
        identity: &json!({ "type": "None" }),
        facts: &Facts::new(ObjectId(Uuid::nil()), "https://localhost"),
    };
    read(body, stored, &place)
}

#[track_caller]
fn place(body: &Value, stored: Option<&Value>) -> String {
    match check(body, stored) {
        Err(Error::Invalid { at: Some(at), .. }) => at,
        other => panic!("{other:?}"),
    }
}

fn least() -> Value {
    json!({ "location": "West US", "sku": { "name": "s1" } })
}

#[test]
fn what_clients_look_for_is_there_whatever_the_body_says() {
    let dps = check(&least(), None).unwrap();
    assert_eq!(
        dps,
        json!({
            "id": ID, "name": "Plant", "type": "Microsoft.Devices/provisioningServices",
            "location": "westus", "tags": {}, "etag": "e", "resourcegroup": "RG", "subscriptionid": "s",
            "properties": {
                "state": "Active", "provisioningState": "Succeeded", "iotHubs": [],
                "allocationPolicy": "Hashed", "serviceOperationsHostName": null,
                "deviceProvisioningHostName": null, "idScope": "0ne00000001",
                "publicNetworkAccess": "Enabled", "disableLocalAuth": false,
                "enableDataResidency": false, "ipFilterRules": [], "privateEndpointConnections": [],
            },
            "sku": { "name": "S1", "tier": "Standard", "capacity": 1 },
            "identity": { "type": "None" },
        })
    );
    let shown = show(&dps, "127.71.3.3:8443", 8443, "2021-10-15");
    assert_eq!(shown["properties"]["serviceOperationsHostName"], "127.71.3.3:8443");
    assert_eq!(shown["properties"]["deviceProvisioningHostName"], "127.71.3.3:8443");
    assert_eq!(check(&shown, Some(&dps)).unwrap(), dps);
}

#[test]
fn what_older_clients_do_not_know_stays() {
    let mut body = least();
    body["properties"] = json!({ "disableLocalAuth": true, "publicNetworkAccess": "enabled",
        "portalOperationsHostName": "portal.example", "allocationPolicy": "static" });
    let dps = check(&body, None).unwrap();
    assert_eq!(dps["properties"]["allocationPolicy"], "Static");
    let later = check(&least(), Some(&dps)).unwrap();
    assert_eq!(later["properties"]["disableLocalAuth"], true);
    assert_eq!(later["properties"]["portalOperationsHostName"], "portal.example");
    assert_eq!(later["properties"]["publicNetworkAccess"], "Enabled");
    assert_eq!(later["properties"]["allocationPolicy"], "Hashed");
    // Only the capacity of one that is there may be left out.
    let no_sku = json!({ "location": "westus" });
    assert_eq!(check(&no_sku, Some(&dps)).unwrap()["sku"], dps["sku"]);
    assert_eq!(place(&no_sku, None), "sku");
    let mut closed = least();
    closed["properties"] = json!({ "publicNetworkAccess": "disabled" });
    let closed = check(&closed, None).unwrap();
    assert_eq!(closed["properties"]["publicNetworkAccess"], "Disabled");
}

#[test]
fn what_is_wrong_with_a_body_is_said_with_its_place() {
    let dps = check(&least(), None).unwrap();
    let moved = json!({ "location": "eastus", "sku": { "name": "S1" } });
    assert_eq!(place(&moved, Some(&dps)), "location");
    let with = |name: &str, value: Value| {
        let mut body = least();
        body["properties"] = json!({ name: value });
        place(&body, None)
    };
    assert_eq!(with("allocationPolicy", json!("Custom")), "properties.allocationPolicy");
    assert_eq!(with("publicNetworkAccess", json!("Perhaps")), "properties.publicNetworkAccess");
    assert_eq!(with("disableLocalAuth", json!("yes")), "properties.disableLocalAuth");
    assert_eq!(with("iotHubs", json!({})), "properties.iotHubs");
    assert_eq!(with("iotHubs", json!([{ "hostName": "x" }])), "properties.iotHubs[0].hostName");
    let rules = with("ipFilterRules", json!([{ "filterName": "a" }]));
    assert_eq!(rules, "properties.ipFilterRules[0].action");
    let portal = with("portalOperationsHostName", json!("a".repeat(254)));
    assert_eq!(portal, "properties.portalOperationsHostName");
    for sku in [json!({}), json!({ "name": "S2" }), json!({ "name": "F1" })] {
        assert_eq!(place(&json!({ "location": "westus", "sku": sku }), None), "sku.name");
    }
    for capacity in [0, 1_001] {
        let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": capacity } });
        assert_eq!(place(&body, None), "sku.capacity");
    }
}
