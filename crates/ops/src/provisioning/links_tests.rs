use super::*;
use gate::facts::SharedAccess;
use gate::network::NetworkRules;
use model::{ObjectId, Scope};

const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAA==";
const OTHER: &str = "BBBBBBBBBBBBBBBBBBBBBA==";

/// A server with the hubs `plant` at 127.71.3.2 and `plant2` at 127.71.3.20.
fn facts() -> Facts {
    let mut facts = Facts::new(ObjectId(uuid::Uuid::nil()), "https://localhost");
    for (name, host) in [("plant", "127.71.3.2"), ("plant2", "127.71.3.20")] {
        let id = format!(
            "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices/IotHubs/{name}"
        );
        facts.put_hub(Hub {
            scope: Scope::parse(&id).unwrap(),
            uid: name.into(),
            host: host.into(),
            location: "westus".into(),
            access: SharedAccess::default(),
            authorities: Vec::new(),
            security: None,
            routing: None,
            network: NetworkRules::default(),
        });
    }
    facts
}

fn string(host: &str, key: &str) -> String {
    format!("HostName={host};SharedAccessKeyName=iothubowner;SharedAccessKey={key}")
}

fn check(links: Value, former: &[Value]) -> Result<Vec<Value>, Error> {
    let body = json!({ "iotHubs": links });
    read(&Fields::of(&body).unwrap(), former, &facts())
}

#[track_caller]
fn taken(links: Value, former: &[Value]) -> Vec<Value> {
    check(links, former).unwrap_or_else(|it| panic!("{it}"))
}

/// Where the refusal points, and what it says.
#[track_caller]
fn refused(links: Value, former: &[Value]) -> (String, String) {
    match check(links, former) {
        Err(Error::Invalid { at: Some(at), message, .. }) => {
            assert!(!message.contains(KEY) && !message.contains(OTHER), "{message}");
            (at, message)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_link_by_key_is_kept_whole_and_shown_masked() {
    let kept = taken(
        json!([{ "connectionString": string("127.71.3.2:8443", KEY), "location": "West US" }]),
        &[],
    );
    assert_eq!(
        kept,
        [json!({
            "name": "127.71.3.2", "authenticationType": "KeyBased", "location": "westus",
            "applyAllocationPolicy": true, "allocationWeight": 1,
            "connectionString": string("127.71.3.2", KEY),
        })]
    );
    let shown = show(&kept[0], 8443, "2021-10-15");
    assert_eq!(shown["name"], "127.71.3.2:8443");
    assert_eq!(shown["connectionString"], string("127.71.3.2:8443", "****"));
    assert_eq!(shown["authenticationType"], "KeyBased");
    // What was read goes back as it stands, and with the port of another run.
    assert_eq!(taken(json!([shown]), &kept), kept);
    assert_eq!(taken(json!([show(&kept[0], 443, "2022-02-05")]), &kept), kept);
    let facts = facts_of(&kept[0]).unwrap();
    let LinkAuthentication::KeyBased { policy, key } = &facts.authentication else {
        panic!("{facts:?}")
    };
    assert_eq!((policy.as_str(), key.reveal().len()), ("iothubowner", 16));
    assert_eq!((facts.hub.as_str(), facts.weight), ("127.71.3.2", 1));
    assert!(!format!("{facts:?}").contains("AAAA"));
}

#[test]
fn a_link_by_identity_survives_clients_of_every_version() {
    let kept = taken(
        json!([
            { "hostName": "plant2", "authenticationType": "systemassigned", "allocationWeight": 7 },
            { "name": "127.71.3.2", "authenticationType": "SystemAssigned", "applyAllocationPolicy": false },
        ]),
        &[],
    );
    assert_eq!(kept[0]["name"], "127.71.3.20");
    assert_eq!(kept[0].get("connectionString"), None);
    let facts: Vec<DpsLink> = kept.iter().map(|it| facts_of(it).unwrap()).collect();
    assert!(matches!(facts[0].authentication, LinkAuthentication::SystemAssigned));
    assert_eq!((facts[0].weight, facts[0].applies_allocation_policy), (7, true));
    assert!(!facts[1].applies_allocation_policy);

    for version in ["2021-10-15", "2022-02-05", "2025-02-01-preview", "2026-01-01"] {
        let shown: Vec<Value> = kept.iter().map(|it| show(it, 8443, version)).collect();
        assert_eq!(shown[0]["authenticationType"], "SystemAssigned", "{version}");
        assert_eq!(shown[0]["hostName"], "127.71.3.20:8443", "{version}");
        assert_eq!(taken(json!(shown), &kept), kept, "{version}");
    }
    // The oldest send back nothing but these, and may leave out the first.
    let shown = show(&kept[1], 443, "2021-10-15");
    let old = json!([{
        "connectionString": shown["connectionString"], "location": "westus",
        "applyAllocationPolicy": false, "allocationWeight": 1,
    }]);
    assert_eq!(taken(old, &kept), kept[1..]);
    assert_eq!(show(&kept[1], 443, "2025-02-01-preview").get("connectionString"), None);
}

#[test]
fn a_masked_key_means_the_kept_one_and_nothing_else() {
    let kept = taken(json!([{ "connectionString": string("plant", KEY) }]), &[]);
    let masked = |host: &str| json!([{ "connectionString": string(host, "****") }]);
    assert_eq!(taken(masked("127.71.3.2"), &kept), kept);
    assert_eq!(refused(masked("127.71.3.20"), &kept).0, "iotHubs[0].connectionString");
    assert_eq!(refused(masked("127.71.3.2"), &[]).0, "iotHubs[0].connectionString");
    let policy = "HostName=127.71.3.2;SharedAccessKeyName=service;SharedAccessKey=****";
    let (_, message) = refused(json!([{ "connectionString": policy }]), &kept);
    assert!(message.contains("masked"), "{message}");
    let anew = taken(json!([{ "connectionString": string("127.71.3.2", OTHER) }]), &kept);
    assert_eq!(anew[0]["connectionString"], string("127.71.3.2", OTHER));
    // By identity from now on: the key goes.
    let switched = json!([{
        "connectionString": string("127.71.3.2", "****"), "authenticationType": "SystemAssigned" }]);
    assert_eq!(taken(switched, &kept)[0].get("connectionString"), None);
}

#[test]
fn what_is_wrong_with_a_link_is_said_with_its_place() {
    let place = |link: Value| refused(json!([link]), &[]).0;
    let at = |name: &str| format!("iotHubs[0].{name}");
    assert_eq!(place(json!({})), at("connectionString"));
    assert_eq!(place(json!({ "hostName": "plant" })), at("connectionString"));
    for wrong in [
        "plant",
        "HostName=plant",
        "HostName=plant;SharedAccessKeyName=a",
        "HostName=plant;SharedAccessKeyName=a;SharedAccessKey=",
        "HostName=plant;SharedAccessKeyName=a;SharedAccessKey=not base64",
        "HostName=plant;SharedAccessKeyName=a;SharedAccessKey=AAAA;DeviceId=d",
        "HostName=plant;HostName=plant2;SharedAccessKeyName=a;SharedAccessKey=AAAA",
        "SharedAccessKeyName=a;SharedAccessKey=AAAA",
        &string(&"a".repeat(1_024), KEY),
    ] {
        assert_eq!(place(json!({ "connectionString": wrong })), at("connectionString"), "{wrong}");
    }
    for weight in [json!(0), json!(1_001), json!(-1), json!("1"), json!(1.5)] {
        let link = json!({ "connectionString": string("plant", KEY), "allocationWeight": weight });
        assert_eq!(place(link), at("allocationWeight"), "{weight}");
    }
    let link = json!({ "connectionString": string("plant", KEY), "location": "atlantis" });
    assert_eq!(place(link), at("location"));
    let link = json!({ "connectionString": string("plant", KEY), "hostName": "plant2" });
    assert_eq!(place(link), at("hostName"));
    let link = json!({ "hostName": "plant", "authenticationType": "UserAssigned" });
    assert_eq!(place(link), at(SELECTED));
    let link = json!({ "hostName": "plant", "authenticationType": "UserAssigned", SELECTED: "x" });
    assert_eq!(place(link), at(SELECTED));
    let (at_host, message) =
        refused(json!([{ "hostName": "plant3", "authenticationType": "SystemAssigned" }]), &[]);
    assert_eq!(at_host, at("hostName"));
    assert!(message.contains("`plant3`"), "{message}");
}

#[test]
fn a_hub_is_linked_once_under_whatever_name() {
    let one = json!({ "connectionString": string("127.71.3.2", KEY) });
    let same = json!({ "hostName": "PLANT", "authenticationType": "SystemAssigned" });
    let other = json!({ "hostName": "plant2", "authenticationType": "SystemAssigned" });
    assert_eq!(taken(json!([one, other]), &[]).len(), 2);
    assert_eq!(refused(json!([one, same]), &[]).0, "iotHubs[1]");
}

#[test]
fn a_hub_that_is_gone_stays_linked_and_is_not_linked_anew() {
    let link = json!([{ "hostName": "127.71.3.9", "authenticationType": "SystemAssigned" }]);
    let former = [json!({
        "name": "127.71.3.9", "authenticationType": "SystemAssigned", "location": "westus",
        "applyAllocationPolicy": true, "allocationWeight": 1 })];
    assert_eq!(taken(link.clone(), &former), former);
    assert_eq!(refused(link, &[]).0, "iotHubs[0].hostName");
}

#[test]
fn there_are_at_most_fifty_links() {
    let links: Vec<Value> = (0..=LINKS_MAX).map(|_| json!({ "hostName": "plant" })).collect();
    assert_eq!(refused(json!(links), &[]).0, "iotHubs");
    // One fewer gets as far as the first link.
    assert_eq!(refused(json!(links[1..]), &[]).0, "iotHubs[0].connectionString");
}
