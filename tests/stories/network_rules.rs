//! From where a hub and a provisioning service may be reached: by which address, over which protocol, and how it is
//! told. Loopback has room for many networks, and each client here chooses the address that it comes from.

use super::diagnosis::{diagnosed, verdicts};
use super::registration::Fleet;
use serde_json::{Value, json};
use std::io::{Read as _, Write as _};
use testkit::{Amqp, Answer, Device, Mqtt, WebSocket, Wire, World};
use wire::mqtt::ConnectCode;

/// A plant's network, another one, and the one from which private endpoints lead.
const PLANT: &str = "127.64.1.7";
const ELSEWHERE: &str = "127.65.1.7";
const PRIVATE: &str = "127.66.1.7";
/// Where the clients of a world are that choose no address.
const HERE: &str = "127.0.0.1";

struct Plant {
    world: World,
    hub: String,
    host: String,
    pump: Device,
}

impl Plant {
    fn new() -> Self {
        let world = World::started(&["--private-net", "127.66.0.0/16"]);
        let hub = world.hub();
        let pump = world.device(&hub, "pump-1");
        Self { host: pump.host.clone(), hub, pump, world }
    }

    fn from(&self, address: &str) -> Wire {
        self.world.wire().from(address)
    }

    fn sets(&self, properties: &Value) -> Answer {
        self.world.arm("PATCH", &self.hub, &json!({ "properties": properties }))
    }

    /// Selected networks and nobody else.
    fn selects(&self, masks: &[&str], applies_to_events: bool) {
        let rule = |it: &&str| json!({ "filterName": it.replace('/', "-"), "ipMask": it });
        let rules: Vec<Value> = masks.iter().map(rule).collect();
        self.sets(&json!({ "networkRuleSets": { "defaultAction": "Deny", "ipRules": rules,
            "applyToBuiltInEventHubEndpoint": applies_to_events } }))
            .expect(200);
    }

    fn greeting(&self) -> wire::mqtt::Connect {
        self.pump.greeting(&self.pump.signature(self.world.now().plus_seconds(600)))
    }

    fn connects(&self, from: &str) -> (ConnectCode, Mqtt) {
        self.pump.tries(&self.from(from), self.greeting()).expect("answered")
    }

    fn amqp(&self, from: &str) -> Amqp {
        Amqp::begin(&self.from(from), &self.host, self.world.amqp_port())
    }

    /// The HTTP status for a request written by hand.
    fn asks(&self, from: &str, path: &str, authorization: &str) -> u16 {
        status(&self.from(from), &self.world.hub_url(&self.hub, path), authorization)
    }

    /// Every way to the hub, and whether it is open to who comes from an address.
    fn ways(&self, from: &str) -> Vec<(&'static str, bool)> {
        let origin = self.world.hub_origin(&self.hub);
        let own = self.pump.signature(self.world.now().plus_seconds(600));
        let key = self.world.policy_sas(&self.hub, "iothubowner");
        let twin = "/twins/pump-1";
        let device = "/devices/pump-1/messages/deviceBound";
        let mut socket = Mqtt::in_web_socket(&self.from(from), &origin, &[]).unwrap();
        let by_amqp = |name: String, token: &str| self.amqp(from).puts_token(&name, token).0 == 200;
        vec![
            ("https as a device", self.asks(from, device, &own) == 204),
            ("https as a service", self.asks(from, twin, &key) == 200),
            ("mqtt", self.connects(from).0 == ConnectCode::Accepted),
            ("mqtt in a websocket", socket.connect(self.greeting()) == Ok(ConnectCode::Accepted)),
            ("amqp as a device", by_amqp(format!("{}/devices/pump-1", self.host), &own)),
            (
                "amqp as a service",
                by_amqp(self.host.clone(), &self.world.sas(&self.hub, "iothubowner", &self.host)),
            ),
            ("amqp in a websocket", self.by_amqp_in_web_socket(from, &own)),
        ]
    }

    /// AMQP in a WebSocket takes a token as AMQP does; what is asked here is a device's message over it.
    fn by_amqp_in_web_socket(&self, from: &str, own: &str) -> bool {
        let origin = self.world.hub_origin(&self.hub);
        let headers = [("Sec-WebSocket-Protocol", "AMQPWSB10")];
        let path = "/$iothub/websocket";
        let (code, socket) = WebSocket::ask(&self.from(from), &origin, path, &headers).unwrap();
        assert_eq!(code, 101);
        let mut amqp = Amqp::over(socket);
        amqp.says_hello();
        amqp.puts_token(&format!("{}/devices/pump-1", self.host), own).0 == 200
    }

    #[track_caller]
    fn is_open(&self, from: &str, expected: bool) {
        for (way, is_open) in self.ways(from) {
            assert_eq!(is_open, expected, "{way} from {from}");
        }
    }

    /// The traces of the refusals since the last time, each by network rules.
    fn told(&self, since: model::Timestamp) -> Vec<Value> {
        let all = self.world.refusals(since).into_iter().map(|it| json!(it)).collect::<Vec<_>>();
        for it in &all {
            assert_eq!(it["outcome"]["gate"], "resource", "{it}");
            assert_eq!(it["steps"][3]["findings"][0]["kind"], "network", "{it}");
        }
        all
    }
}

/// The status of the answer to a GET.
fn status(wire: &Wire, url: &str, authorization: &str) -> u16 {
    let (mut stream, head) = wire.trickle("GET", url, authorization, 0);
    stream.write_all(head.as_bytes()).unwrap();
    let mut line = [0; 12];
    stream.read_exact(&mut line).unwrap();
    std::str::from_utf8(&line).unwrap().rsplit(' ').next().unwrap().parse().unwrap()
}

/// Whoever comes from a network that no rule names comes in nowhere, and who comes from one that a rule names
/// everywhere; the management of the hub is not theirs.
#[test]
fn a_hub_is_reached_from_the_networks_that_its_rules_name_over_every_protocol() {
    let plant = Plant::new();
    plant.is_open(PLANT, true);
    plant.selects(&["127.64.0.0/16"], false);
    let since = plant.world.now();
    plant.is_open(PLANT, true);
    plant.is_open(ELSEWHERE, false);
    for trace in plant.told(since) {
        let finding = &trace["steps"][3]["findings"][0];
        let condition = &finding["conditions"][0];
        assert_eq!(condition["path"], "properties.networkRuleSets.ipRules[0]", "{trace}");
        assert_eq!(
            (&condition["expected"], &condition["actual"], &condition["result"]),
            (&json!("127.64.0.0/16"), &json!(ELSEWHERE), &json!(false))
        );
        assert_eq!(trace["call"]["channel"]["address"], ELSEWHERE);
    }
    // Who manages it comes from wherever.
    plant.world.arm("GET", &plant.hub, &Value::Null).expect(200);
    plant.sets(&json!({ "networkRuleSets": null })).expect(200);
    plant.is_open(ELSEWHERE, true);
}

/// A device that is connected is out at its next word, or before, once its network is closed.
#[test]
fn a_connected_device_is_thrown_out_when_its_network_is_closed() {
    let plant = Plant::new();
    let silent = plant.world.device(&plant.hub, "silent");
    let greeting = silent.greeting(&silent.signature(plant.world.now().plus_seconds(600)));
    let (_, mut other) = silent.tries(&plant.from(ELSEWHERE), greeting).unwrap();
    let (_, mut mqtt) = plant.connects(PLANT);
    mqtt.publish(&plant.pump.events(), b"before").unwrap();
    plant.selects(&["127.64.0.0/16"], false);
    assert_eq!(other.until_closed(), [], "it said nothing, and is out");
    mqtt.publish(&plant.pump.events(), b"between").unwrap();
    plant.selects(&["127.64.2.0/24"], false);
    assert!(mqtt.publish(&plant.pump.events(), b"after").is_err());
    assert_eq!(plant.world.bodies(&plant.hub), ["before", "between"]);
}

/// The built-in endpoint is reached from everywhere until the list is about it, too; a link that reads it ends then.
#[test]
fn the_built_in_endpoint_has_its_own_word() {
    let plant = Plant::new();
    let path = "/messages/events/partitions/0?from=earliest";
    let key = plant.world.policy_sas(&plant.hub, "iothubowner");
    plant.selects(&["127.64.0.0/16"], false);
    assert_eq!(plant.asks(ELSEWHERE, path, &key), 200);
    assert_eq!(plant.asks(ELSEWHERE, "/twins/pump-1", &key), 401);
    plant.selects(&["127.64.0.0/16"], true);
    assert_eq!(plant.asks(ELSEWHERE, path, &key), 401);
    assert_eq!(plant.asks(PLANT, path, &key), 200);
}

/// With public access off a hub is reached through an approved private endpoint connection alone.
#[test]
fn with_public_access_off_only_a_private_endpoint_leads_in() {
    let plant = Plant::new();
    let private = format!("{}/privateEndpointConnections/plant", plant.hub);
    let state = |status: &str| {
        let state = json!({ "status": status, "description": "by the operator" });
        let body = json!({ "properties": { "privateLinkServiceConnectionState": state } });
        plant.world.arm("PUT", &private, &body)
    };
    plant.sets(&json!({ "publicNetworkAccess": "Disabled" })).expect(200);
    plant.is_open(PLANT, false);
    plant.is_open(PRIVATE, false);
    state("Pending").expect(201);
    plant.is_open(PRIVATE, false);
    state("Approved").expect(200);
    plant.is_open(PRIVATE, true);
    plant.is_open(PLANT, false);
    // It is no part of the hub's body that a write of the hub could change.
    let shown = plant.sets(&json!({ "privateEndpointConnections": [] })).expect(200).body;
    let all = &shown["properties"]["privateEndpointConnections"];
    assert_eq!(all[0]["properties"]["privateLinkServiceConnectionState"]["status"], "Approved");
    let listed =
        plant.world.arm("GET", &format!("{}/privateEndpointConnections", plant.hub), &Value::Null);
    assert_eq!(&listed.expect(200).body, all);
    let (_, mut mqtt) = plant.connects(PRIVATE);
    state("Rejected").expect(200);
    assert_eq!(mqtt.until_closed(), []);
    plant.is_open(PRIVATE, false);
    plant.world.arm("GET", &private, &Value::Null).expect(200);
    plant.world.arm("DELETE", &private, &Value::Null).expect(200);
    plant.world.arm("DELETE", &private, &Value::Null).expect(204);
    plant.world.arm("GET", &private, &Value::Null).expect(404);
    for (body, at) in [
        (json!({}), "properties.privateLinkServiceConnectionState"),
        (
            json!({ "properties": { "privateLinkServiceConnectionState": { "status": "Open" } } }),
            "properties.privateLinkServiceConnectionState.status",
        ),
    ] {
        let refused = plant.world.arm("PUT", &private, &body).expect(400);
        assert_eq!(refused.body["error"]["target"], at, "{refused:?}");
    }
    plant
        .world
        .arm("PUT", &format!("{}/privateEndpointConnections/a%20b", plant.hub), &json!({}))
        .expect(400);
}

/// Of the older list the first rule that holds an address decides, and it is not about the built-in endpoint.
#[test]
fn of_the_older_list_the_first_rule_decides() {
    let plant = Plant::new();
    let rule = |name: &str, action: &str, mask: &str| json!({ "filterName": name, "action": action, "ipMask": mask });
    let inside = rule("plant", "Accept", "127.64.0.0/16");
    let machine = rule("machine", "Reject", PLANT);
    let nobody = rule("nobody", "Reject", "0.0.0.0/0");
    let filters = |all: &[&Value]| plant.sets(&json!({ "ipFilterRules": all })).expect(200);
    filters(&[&inside, &nobody]);
    plant.is_open(PLANT, true);
    plant.is_open(ELSEWHERE, false);
    filters(&[&machine, &inside]);
    plant.is_open(PLANT, false);
    plant.is_open(ELSEWHERE, true);
    filters(&[&inside, &machine]);
    plant.is_open(PLANT, true);
    filters(&[&nobody, &inside]);
    plant.is_open(PLANT, false);
    let key = plant.world.policy_sas(&plant.hub, "iothubowner");
    assert_eq!(plant.asks(PLANT, "/messages/events/partitions/0?from=earliest", &key), 200);
}

/// Threat: what a client says of where it comes from counts for nothing.
#[test]
fn a_header_moves_nobody_into_another_network() {
    let plant = Plant::new();
    plant.selects(&["127.64.0.0/16"], true);
    let names =
        ["X-Forwarded-For", "Forwarded", "X-Real-IP", "X-Client-IP", "X-Azure-ClientIP", "Via"];
    for name in names {
        let value = if name == "Forwarded" { format!("for={PLANT}") } else { PLANT.to_owned() };
        let answer = plant.world.hub_by_key(
            "iothubowner",
            "GET",
            &plant.hub,
            "/twins/pump-1",
            &[(name, &value)],
            &Value::Null,
        );
        let refused = answer.expect(401);
        assert_eq!(refused.code(), "IotHubUnauthorizedAccess");
        // Who is refused learns no rule.
        assert!(
            !refused.text().contains("127.64") && !refused.text().contains(HERE),
            "{refused:?}"
        );
        let told = plant.world.explained(&refused.tracking());
        assert_eq!(told["decision"]["call"]["channel"]["address"], HERE, "{told}");
        let origin = plant.world.hub_origin(&plant.hub);
        let mut socket =
            Mqtt::in_web_socket(&plant.from(ELSEWHERE), &origin, &[(name, &value)]).unwrap();
        assert_ne!(socket.connect(plant.greeting()), Ok(ConnectCode::Accepted), "{name}");
    }
}

#[test]
fn a_rule_that_cannot_be_kept_is_refused_with_its_place() {
    let plant = Plant::new();
    let dps = plant.world.dps("closed");
    let check = |properties: Value, at: &str| {
        for id in [&plant.hub, &dps] {
            let body = json!({ "properties": properties.clone() });
            let refused = plant.world.arm("PATCH", id, &body).expect(400);
            assert_eq!(refused.body["error"]["target"], at, "{refused:?}");
        }
    };
    let filter = |name: &str, action: &str, mask: &str| {
        json!({ "ipFilterRules": [{ "filterName": "first",
        "action": "Accept", "ipMask": "::1" }, { "filterName": name, "action": action, "ipMask": mask }] })
    };
    for mask in
        ["", "10.0.0.0/33", "10.0.0", "fd00::/129", "plant", "10.0.0.0-10.0.0.9", "10.0.0.0/-1"]
    {
        check(filter("a", "Accept", mask), "properties.ipFilterRules[1].ipMask");
    }
    check(filter("a", "Allow", "10.0.0.0/8"), "properties.ipFilterRules[1].action");
    for name in ["", "FIRST", "a b", "ä", &"a".repeat(129)] {
        check(filter(name, "Reject", "10.0.0.0/8"), "properties.ipFilterRules[1].filterName");
    }
    check(json!({ "publicNetworkAccess": "Perhaps" }), "properties.publicNetworkAccess");
    let many = |count: usize| {
        let one = |it: usize| json!({ "filterName": format!("r{it}"), "action": "Accept", "ipMask": "10.0.0.1" });
        json!({ "ipFilterRules": (0..count).map(one).collect::<Vec<_>>() })
    };
    check(many(101), "properties.ipFilterRules");
    plant.sets(&many(100)).expect(200);
    let sets = |sets: Value| json!({ "properties": { "networkRuleSets": sets } });
    for (wrong, at) in [
        (json!({ "ipRules": [{ "filterName": "a", "ipMask": "x" }] }), "ipRules[0].ipMask"),
        (
            json!({ "ipRules": [{ "filterName": "a", "action": "Deny", "ipMask": "::/0" }] }),
            "ipRules[0].action",
        ),
        (json!({ "defaultAction": "Reject" }), "defaultAction"),
        (json!({ "applyToBuiltInEventHubEndpoint": "no" }), "applyToBuiltInEventHubEndpoint"),
    ] {
        let refused = plant.world.arm("PATCH", &plant.hub, &sets(wrong)).expect(400);
        assert_eq!(refused.body["error"]["target"], format!("properties.networkRuleSets.{at}"));
    }
}

/// The smallest change is named, and it is enough.
#[test]
fn an_explanation_names_the_smallest_change() {
    let plant = Plant::new();
    let refused = || {
        let path = "/twins/pump-1";
        plant
            .world
            .hub_by_key("iothubowner", "GET", &plant.hub, path, &[], &Value::Null)
            .expect(401)
    };
    let fix = || {
        let told = plant.world.explained(&refused().tracking());
        let fixes = told["fixes"].as_array().unwrap().clone();
        assert!(fixes.iter().all(|it| it["then"] == "the call would pass every gate"), "{told}");
        fixes.iter().map(|it| it["command"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    plant.selects(&["127.64.0.0/16"], true);
    let update = format!("az resource update --ids {}", plant.hub);
    assert_eq!(
        fix(),
        [format!(
            "{update} --add properties.networkRuleSets.ipRules filterName=let-in-{HERE} action=Allow ipMask={HERE}"
        )]
    );
    let rule = json!({ "filterName": "nobody", "action": "Reject", "ipMask": "0.0.0.0/0" });
    plant.sets(&json!({ "networkRuleSets": null, "ipFilterRules": [rule] })).expect(200);
    let before =
        json!({ "filterName": format!("let-in-{HERE}"), "action": "Accept", "ipMask": HERE });
    assert_eq!(
        fix(),
        [format!("{update} --set 'properties.ipFilterRules={}'", json!([before, rule]))]
    );
    plant.sets(&json!({ "ipFilterRules": [before, rule] })).expect(200);
    let path = "/twins/pump-1";
    plant.world.hub_by_key("iothubowner", "GET", &plant.hub, path, &[], &Value::Null).expect(200);
    plant.sets(&json!({ "ipFilterRules": [], "publicNetworkAccess": "Disabled" })).expect(200);
    assert_eq!(fix(), [format!("{update} --set properties.publicNetworkAccess=Enabled")]);
    // Who may read no policies there learns no networks.
    let reader = plant.world.service_principal("reader");
    plant.world.assign(&reader, "b447c946-2db7-41ec-983d-d8bf3b1c77e3", &plant.hub).expect(201);
    plant.selects(&["127.64.0.0/16"], true);
    plant.sets(&json!({ "publicNetworkAccess": "Enabled" })).expect(200);
    let own = plant.world.hub_as(&reader, "GET", &plant.hub, path, &Value::Null).expect(401);
    let told =
        plant.world.arm_as(&reader, "GET", &format!("/decisions/{}", own.tracking()), &Value::Null);
    assert!(!told.clone().expect(200).text().contains("127.64"), "{told:?}");
}

/// A provisioning service's own rules: for devices and services apart, and first come first served.
#[test]
fn a_provisioning_service_is_reached_as_its_rules_say() {
    let fleet = Fleet::new();
    let origin = fleet.world.dps_origin(&fleet.dps);
    let own = fleet.signature("pump-1", &fleet.derived("pump-1"));
    let url = |path: &str| format!("{origin}{path}?api-version=2021-10-01");
    let device = url(&format!("/{}/registrations/pump-1/operations/none", fleet.id_scope));
    let service = url("/enrollmentGroups/pumps");
    let check = |from: &str, as_device: bool, as_service: bool| {
        let wire = fleet.world.wire().from(from);
        assert_eq!(status(&wire, &device, &own) != 401, as_device, "a device from {from}");
        assert_eq!(
            status(&wire, &service, &fleet.key()) == 200,
            as_service,
            "a service from {from}"
        );
    };
    fleet.registers("pump-1");
    check(PLANT, true, true);
    let sets = |properties: Value| {
        fleet.world.arm("PATCH", &fleet.dps, &json!({ "properties": properties })).expect(200)
    };
    let rule = |action: &str, mask: &str, target: &str| {
        json!({ "filterName": format!("{action}-{target}"),
        "action": action, "ipMask": mask, "target": target })
    };
    sets(
        json!({ "ipFilterRules": [rule("Accept", "127.64.0.0/16", "deviceApi"), rule("Reject", "0.0.0.0/0", "deviceApi")] }),
    );
    check(PLANT, true, true);
    check(ELSEWHERE, false, true);
    let shown =
        sets(json!({ "ipFilterRules": [rule("Reject", "127.64.0.0/16", "serviceApi")] })).body;
    assert_eq!(shown["properties"]["ipFilterRules"][0]["target"], "serviceApi");
    check(PLANT, true, false);
    check(ELSEWHERE, true, true);
    sets(json!({ "ipFilterRules": [rule("Reject", "127.64.0.0/16", "all")] }));
    check(PLANT, false, false);
    check(ELSEWHERE, true, true);
    sets(json!({ "ipFilterRules": [], "publicNetworkAccess": "Disabled" }));
    check(ELSEWHERE, false, false);
    fleet.world.arm("GET", &fleet.dps, &Value::Null).expect(200);
}

/// A hub that is closed to everybody gets its devices all the same: its provisioning service calls from within. The
/// diagnosis says so, and the device itself is held to the hub's rules.
#[test]
fn a_registration_comes_to_a_closed_hub() {
    let fleet = Fleet::new();
    let hub = fleet.world.hub();
    let closed = json!({ "properties": { "publicNetworkAccess": "Disabled" } });
    fleet.world.arm("PATCH", &hub, &closed).expect(200);
    assert_eq!(fleet.registers("pump-1")["status"], "assigned");
    let told = diagnosed(&fleet);
    assert_eq!(verdicts(&told), ["pass", "pass", "pass"], "{told}");
    assert!(told["sections"][1].to_string().contains("which calls from within"), "{told}");
    let path = "/devices/pump-1/messages/deviceBound";
    let host = fleet.world.hub_host(&hub);
    let host = host.split(':').next().unwrap();
    let device = Device {
        id: "pump-1".into(),
        host: host.into(),
        key: fleet.derived("pump-1"),
        port: fleet.world.mqtt_port(),
    };
    let own = device.signature(fleet.world.now().plus_seconds(600));
    fleet.world.hub_with(&own, "GET", &hub, path, &Value::Null).expect(401);
    let rule = json!({ "filterName": "none", "action": "Reject", "ipMask": "0.0.0.0/0" });
    let body = json!({ "properties": { "ipFilterRules": [rule] } });
    fleet.world.arm("PATCH", &fleet.dps, &body).expect(200);
    assert!(diagnosed(&fleet)["sections"][1].to_string().contains("devices register from where"));
}
