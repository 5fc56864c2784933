use super::*;
use uuid::Uuid;

const ID: &str =
    "/subscriptions/s/resourceGroups/RG/providers/Microsoft.Devices/provisioningServices/Plant";

fn identity() -> Identity {
    let id = |it: u128| ObjectId(Uuid::from_u128(it));
    Identity { principal_id: id(1), client_id: id(2) }
}

fn check(body: &Value, stored: Option<&Value>, identity: Option<Identity>) -> Result<Value, Error> {
    let tenant = ObjectId(Uuid::nil());
    let place = Place {
        scope: &Scope::parse(ID).unwrap(),
        id_scope: "0ne00000001",
        etag: "e",
        tenant,
        identity,
        facts: &Facts::new(tenant, "https://localhost"),
    };
    read(body, stored, &place)
}

#[track_caller]
fn place(body: &Value, stored: Option<&Value>) -> String {
    match check(body, stored, None) {
        Err(Error::Invalid { at: Some(at), .. }) => at,
        other => panic!("{other:?}"),
    }
}

fn least() -> Value {
    json!({ "location": "West US", "sku": { "name": "s1" } })
}

#[test]
fn what_clients_look_for_is_there_whatever_the_body_says() {
    let dps = check(&least(), None, None).unwrap();
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
    assert_eq!(check(&shown, Some(&dps), None).unwrap(), dps);
    let with = check(&least(), None, Some(identity())).unwrap();
    assert_eq!(
        with["identity"],
        json!({ "type": "SystemAssigned", "principalId": identity().principal_id,
            "tenantId": ObjectId(Uuid::nil()) })
    );
}

#[test]
fn what_older_clients_do_not_know_stays() {
    let mut body = least();
    body["properties"] = json!({ "disableLocalAuth": true, "publicNetworkAccess": "enabled",
        "portalOperationsHostName": "portal.example", "allocationPolicy": "static" });
    let dps = check(&body, None, None).unwrap();
    assert_eq!(dps["properties"]["allocationPolicy"], "Static");
    let later = check(&least(), Some(&dps), None).unwrap();
    assert_eq!(later["properties"]["disableLocalAuth"], true);
    assert_eq!(later["properties"]["portalOperationsHostName"], "portal.example");
    assert_eq!(later["properties"]["publicNetworkAccess"], "Enabled");
    assert_eq!(later["properties"]["allocationPolicy"], "Hashed");
    // Only the capacity of one that is there may be left out.
    let no_sku = json!({ "location": "westus" });
    assert_eq!(check(&no_sku, Some(&dps), None).unwrap()["sku"], dps["sku"]);
    assert_eq!(place(&no_sku, None), "sku");
    let mut closed = least();
    closed["properties"] = json!({ "publicNetworkAccess": "disabled" });
    let closed = check(&closed, None, None).unwrap();
    assert_eq!(closed["properties"]["publicNetworkAccess"], "Disabled");
}

#[test]
fn an_identity_stays_until_a_body_says_otherwise() {
    let check = |identity: Value, has: bool, expected: bool| {
        let body = json!({ "identity": identity });
        assert_eq!(wants_identity(&body, has), Ok(expected), "{body}");
    };
    for has in [true, false] {
        check(Value::Null, has, has);
        check(json!({}), has, false);
        check(json!({ "type": "None" }), has, false);
        check(json!({ "type": "systemAssigned", "principalId": "x" }), has, true);
    }
    for wrong in
        ["UserAssigned", "SystemAssigned, UserAssigned", "SystemAssigned,UserAssigned", "x"]
    {
        let refusal = wants_identity(&json!({ "identity": { "type": wrong } }), true).unwrap_err();
        let Error::Invalid { at: Some(at), .. } = &refusal else { panic!("{refusal:?}") };
        assert_eq!(at, "identity.type", "{wrong}");
    }
}

#[test]
fn what_is_wrong_with_a_body_is_said_with_its_place() {
    let dps = check(&least(), None, None).unwrap();
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
