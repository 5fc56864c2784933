use super::*;
use model::ObjectId;
use serde_json::json;

const GROUP: &str = "/subscriptions/s/resourceGroups/RG";

fn document(name: &str) -> DpsDocument {
    DpsDocument {
        resource: json!({
            "id": format!("{GROUP}/providers/Microsoft.Devices/provisioningServices/{name}"),
            "location": "westus",
            "properties": {
                "disableLocalAuth": true,
                "iotHubs": [{ "name": "127.71.3.2", "authenticationType": "SystemAssigned",
                    "applyAllocationPolicy": true, "allocationWeight": 3 }],
            },
        }),
        uid: "0-u".into(),
        address: "127.71.3.3".into(),
        id_scope: "0ne00ABCDEF".into(),
        version: 1,
        policies: shared_access::made(&DEFAULTS, &|| "AAAAAAAAAAAAAAAAAAAAAA==".to_owned()),
        certificates: Vec::new(),
        identity: Some(Identity {
            principal_id: ObjectId(uuid::Uuid::from_u128(1)),
            client_id: ObjectId(uuid::Uuid::from_u128(2)),
        }),
    }
}

#[test]
fn a_document_becomes_what_the_gates_know_of_a_provisioning_service() {
    let mut facts = Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost");
    let key = format!("{GROUP}/providers/microsoft.devices/provisioningservices/plant");
    let key = key.to_ascii_lowercase();
    let body = serde_json::to_vec(&document("Plant")).unwrap();
    change_facts(&mut facts, &key, Some(&body)).unwrap();
    let dps = facts.dps(&Scope::parse(&key).unwrap()).unwrap();
    assert_eq!((dps.scope.name(), dps.id_scope.as_str()), ("Plant", "0ne00ABCDEF"));
    assert_eq!(dps.identity, Some(ObjectId(uuid::Uuid::from_u128(1))));
    assert!(dps.access.is_disabled);
    assert_eq!(dps.access.policies.len(), 1);
    assert_eq!(dps.access.policies[0].name, "provisioningserviceowner");
    assert_eq!(dps.access.policies[0].rights, Right::DPS);
    assert_eq!((dps.links[0].hub.as_str(), dps.links[0].weight), ("127.71.3.2", 3));
    assert!(facts.instance_at("127.71.3.3").is_some());

    let reason = |name: &str| PROVISIONING_SERVICES.availability(&facts, name)["reason"].clone();
    assert_eq!(reason("PLANT"), "AlreadyExists");
    assert_eq!(reason("plant2"), Value::Null);
    assert_eq!(reason("-"), "Invalid");

    change_facts(&mut facts, &key, None).unwrap();
    assert!(facts.instance_at("127.71.3.3").is_none());
    assert!(change_facts(&mut facts, &key, Some(b"{}")).is_err());
}
