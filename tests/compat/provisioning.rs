//! The provisioning service as the CLI asks for it: made, shown, given an identity, linked and deleted.

use super::authorities::{ca, signed};
use super::az::{Az, binary, text};
use serde_json::json;
use testkit::Process;
use testkit::x509::Certified;

struct Place {
    group: String,
    hub_name: String,
    hub: String,
    devices: String,
}

fn stage(home: &std::path::Path) -> (Process, Az, Place) {
    let server = Process::start(binary(), &home.join("data"), &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let get = |key: &str| connection.get(key).unwrap().to_owned();
    let (group, hub_name) = (get("HUBWARD_RESOURCE_GROUP"), get("HUBWARD_HUB"));
    let devices = format!(
        "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.Devices",
        get("HUBWARD_SUBSCRIPTION_ID")
    );
    let hub = format!("{devices}/IotHubs/{hub_name}");
    (server, az, Place { group, hub_name, hub, devices })
}

fn create(az: &Az, place: &Place, name: &str) -> serde_json::Value {
    let dps = ["--name", name, "--resource-group", &place.group];
    az.run(&[&["iot", "dps", "create"], &dps[..]].concat()).json()
}

/// What the first start made: linked to the hub by its identity, which holds two roles there, and
/// unharmed by a client that knows neither.
#[test]
fn the_first_provisioning_service_is_linked_and_may_register() {
    let home = tempfile::tempdir().unwrap();
    let (mut server, az, place) = stage(home.path());
    let connection = server.connection();
    let id_scope = connection.get("HUBWARD_DPS_ID_SCOPE").unwrap();
    assert!(server.greeting.contains(&format!("id scope {id_scope}")), "{}", server.greeting);

    let listed = az.run(&["iot", "dps", "list"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    let name = text(&listed, "/0/name");
    assert_eq!(text(&listed, "/0/properties/idScope"), id_scope);
    assert!(id_scope.starts_with("0ne") && id_scope.len() == 11, "{id_scope}");
    assert_eq!(
        text(&listed, "/0/properties/serviceOperationsHostName"),
        connection.get("HUBWARD_DPS_HOST").unwrap()
    );

    let id = format!("{}/provisioningServices/{name}", place.devices);
    let by_rest = || {
        let url = format!("{id}?api-version=2025-02-01-preview");
        az.run(&["rest", "--method", "get", "--url", &url]).json()
    };
    let before = by_rest();
    assert_eq!(text(&before, "/identity/type"), "SystemAssigned");
    assert_eq!(text(&before, "/properties/iotHubs/0/authenticationType"), "SystemAssigned");
    let host = connection.get("HUBWARD_HUB_HOST").unwrap();
    assert_eq!(text(&before, "/properties/iotHubs/0/hostName"), host);

    let principal = text(&before, "/identity/principalId");
    let held = az.run(&["role", "assignment", "list", "--scope", &place.hub]).json();
    let mut roles: Vec<&str> = held
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["principalId"] == principal)
        .map(|it| text(it, "/roleDefinitionName"))
        .collect();
    roles.sort_unstable();
    assert_eq!(roles, ["IoT Hub Registry Contributor", "IoT Hub Twin Contributor"], "{held}");

    // The command line writes it back in a version without identities.
    let updated = az.run(&["iot", "dps", "update", "--name", name, "--set", "tags.line=7"]).json();
    assert_eq!(text(&updated, "/tags/line"), "7");
    let after = by_rest();
    assert_eq!(after["identity"], before["identity"]);
    assert_eq!(after["properties"], before["properties"]);

    // All of it is there after a crash, and at the same address.
    server.crash();
    assert_eq!(by_rest()["properties"], before["properties"]);
    let url = format!(
        "https://{}/enrollments/e?api-version=2021-10-01",
        connection.get("HUBWARD_DPS_HOST").unwrap()
    );
    assert_eq!(server.wire().send("GET", &url, &[], b"").status, 401);
}

#[test]
fn a_provisioning_service_answers_the_cli() {
    let home = tempfile::tempdir().unwrap();
    let (_server, az, place) = stage(home.path());
    let made = create(&az, &place, "plant-dps");
    assert_eq!(text(&made, "/properties/state"), "Active");
    assert_eq!(text(&made, "/sku/tier"), "Standard");
    assert_eq!(made["properties"]["iotHubs"], json!([]));
    let shown = az.run(&["iot", "dps", "show", "--name", "PLANT-DPS"]).json();
    assert_eq!(text(&shown, "/id"), format!("{}/provisioningServices/plant-dps", place.devices));
    assert_eq!(shown["properties"]["idScope"], made["properties"]["idScope"]);
    let again = ["iot", "dps", "create", "--name", "Plant-DPS", "--resource-group", &place.group];
    let taken = az.run(&again).refused();
    assert!(taken.contains("exists already"), "{taken}");
    let wrong = ["iot", "dps", "create", "--name", "-plant", "--resource-group", &place.group];
    az.run(&wrong).refused();

    let dps = ["--dps-name", "plant-dps"];
    let policies = az.run(&[&["iot", "dps", "policy", "list"], &dps[..]].concat()).json();
    assert_eq!(policies.as_array().unwrap().len(), 1);
    assert_eq!(text(&policies, "/0/keyName"), "provisioningserviceowner");
    let rights = ["--policy-name", "enroll", "--rights", "EnrollmentRead", "EnrollmentWrite"];
    az.run(&[&["iot", "dps", "policy", "create"], &dps[..], &rights].concat()).json();
    let named = ["--policy-name", "enroll"];
    let shown = az.run(&[&["iot", "dps", "policy", "show"], &dps[..], &named].concat()).json();
    assert_eq!(text(&shown, "/rights"), "EnrollmentRead, EnrollmentWrite");
    let kept = az.run(&[&["iot", "dps", "policy", "list"], &dps[..]].concat()).json();
    assert_eq!(kept[0]["primaryKey"], policies[0]["primaryKey"]);
    let fewer = [&named[..], &["--rights", "EnrollmentRead"]].concat();
    az.run(&[&["iot", "dps", "policy", "update"], &dps[..], &fewer].concat()).json();
    let shown = az.run(&[&["iot", "dps", "policy", "show"], &dps[..], &named].concat()).json();
    assert_eq!(text(&shown, "/rights"), "EnrollmentRead");
    az.run(&[&["iot", "dps", "policy", "delete"], &dps[..], &named].concat()).json();
    az.run(&[&["iot", "dps", "policy", "show"], &dps[..], &named].concat()).refused();

    let resources = az.run(&["resource", "list", "--name", "plant-dps"]).json();
    assert_eq!(text(&resources, "/0/type"), "Microsoft.Devices/provisioningServices");
    let gone = ["--name", "plant-dps", "--resource-group", &place.group];
    az.run(&[&["iot", "dps", "delete"], &gone[..]].concat()).json();
    az.run(&[&["iot", "dps", "show"], &gone[..]].concat()).refused();
    az.run(&[&["iot", "dps", "delete"], &gone[..]].concat()).json();
}

/// S0-07: a system-assigned identity holds the one role that it was given, and the CLI lists it.
#[test]
fn an_identity_can_hold_roles_and_goes_with_its_provisioning_service() {
    let home = tempfile::tempdir().unwrap();
    let (_server, az, place) = stage(home.path());
    let made = create(&az, &place, "plant-dps");
    let id = text(&made, "/id");
    let switch = |kind: &str| {
        let set = format!("identity.type={kind}");
        az.run(&["resource", "update", "--ids", id, "--set", &set])
    };
    let with = switch("SystemAssigned").json();
    let principal = text(&with, "/identity/principalId");
    assert!(!text(&with, "/identity/tenantId").is_empty());
    let later = ["iot", "dps", "update", "--name", "plant-dps", "--set", "tags.x=y"];
    az.run(&later).json();
    let kept = az.run(&["resource", "show", "--ids", id]).json();
    assert_eq!(text(&kept, "/identity/principalId"), principal);
    assert_eq!(text(&kept, "/tags/x"), "y");

    let shown = az.run(&["ad", "sp", "show", "--id", principal]).json();
    assert_eq!(text(&shown, "/displayName"), "plant-dps");
    assert_eq!(text(&shown, "/servicePrincipalType"), "ManagedIdentity");
    let role = ["--role", "IoT Hub Registry Contributor", "--scope", &place.hub];
    let assigned = az
        .run(
            &[&["role", "assignment", "create", "--assignee-object-id", principal], &role[..]]
                .concat(),
        )
        .json();
    assert_eq!(text(&assigned, "/principalType"), "ServicePrincipal");
    let listed = az
        .run(&["role", "assignment", "list", "--assignee", principal, "--scope", &place.hub])
        .json();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    // It belongs to its resource alone.
    let refused = az.run(&["ad", "sp", "delete", "--id", principal]).refused();
    assert!(refused.contains("identity.type"), "{refused}");
    let refused = switch("UserAssigned").refused();
    assert!(refused.contains("identity.userAssignedIdentities"), "{refused}");

    let without = switch("None").json();
    assert_eq!(text(&without, "/identity/type"), "None");
    az.run(&["ad", "sp", "show", "--id", principal]).refused();
    let anew = switch("SystemAssigned").json();
    let second = text(&anew, "/identity/principalId");
    assert_ne!(second, principal);
    az.run(&["iot", "dps", "delete", "--name", "plant-dps", "--resource-group", &place.group])
        .json();
    az.run(&["ad", "sp", "show", "--id", second]).refused();
}

/// S2-65 in part: a person gives a provisioning service its CA, and shows that they hold its key.
#[test]
fn az_gives_a_provisioning_service_its_ca() {
    let home = tempfile::tempdir().unwrap();
    let (_server, az, place) = stage(home.path());
    create(&az, &place, "plant-dps");
    let plant = ca("Plant CA");
    let file = |name: &str, certified: &Certified| {
        let path = home.path().join(name);
        std::fs::write(&path, certified.pem().0).unwrap();
        path.display().to_string()
    };
    let path = file("ca.pem", &plant);
    let certificate = |verb: &str, more: &[&str]| {
        let command = ["iot", "dps", "certificate", verb, "--dps-name", "plant-dps"];
        az.run(&[&command[..], more].concat())
    };
    let named = |verb: &str, more: &[&str]| {
        certificate(verb, &[&["--certificate-name", "plant-ca"][..], more].concat())
    };
    let made = named("create", &["--path", &path]).json();
    assert_eq!(text(&made, "/type"), "Microsoft.Devices/ProvisioningServices/Certificates");
    assert_eq!(made.pointer("/properties/isVerified"), Some(&json!(false)), "{made}");
    assert_eq!(text(&made, "/properties/thumbprint"), plant.thumbprints().sha1);
    named("create", &["--path", &path]).refused();
    let listed = certificate("list", &[]).json();
    assert_eq!(text(&listed, "/value/0/name"), "plant-ca");
    let shown = named("show", &[]).json();
    assert_eq!((&shown["etag"], &shown["id"]), (&made["etag"], &made["id"]));

    let coded = named("generate-verification-code", &["--etag", text(&shown, "/etag")]).json();
    named("generate-verification-code", &["--etag", text(&shown, "/etag")]).refused();
    let code = text(&coded, "/properties/verificationCode");
    let (stranger, proof) = (
        file("stranger.pem", &signed(code, &ca("Plant CA"))),
        file("proof.pem", &signed(code, &plant)),
    );
    let etag = text(&coded, "/etag");
    named("verify", &["--etag", etag, "--path", &stranger]).refused();
    let verified = named("verify", &["--etag", etag, "--path", &proof]).json();
    assert_eq!(verified.pointer("/properties/isVerified"), Some(&json!(true)), "{verified}");
    let next = file("next.pem", &ca("Next CA"));
    let etag = text(&verified, "/etag");
    let updated = named("update", &["--etag", etag, "--path", &next, "--verified", "true"]).json();
    assert_eq!(text(&updated, "/properties/subject"), "CN=Next CA");
    assert_eq!(updated.pointer("/properties/isVerified"), Some(&json!(true)), "{updated}");
    named("delete", &["--etag", etag]).refused();
    named("delete", &["--etag", text(&updated, "/etag")]).json();
    assert_eq!(certificate("list", &[]).json()["value"], json!([]));
}

#[test]
fn a_hub_is_linked_by_key() {
    let home = tempfile::tempdir().unwrap();
    let (server, az, place) = stage(home.path());
    create(&az, &place, "plant-dps");
    let dps = ["--dps-name", "plant-dps", "--resource-group", &place.group];
    let linked_hub = |verb: &str, more: &[&str]| {
        az.run(&[&["iot", "dps", "linked-hub", verb], &dps[..], more].concat())
    };
    linked_hub("create", &["--hub-name", &place.hub_name]).json();
    let listed = linked_hub("list", &[]).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let host = server.connection().get("HUBWARD_HUB_HOST").unwrap().to_owned();
    assert_eq!(text(&listed, "/0/name"), host);
    assert!(text(&listed, "/0/connectionString").ends_with("SharedAccessKey=****"), "{listed}");
    assert_eq!(listed[0]["allocationWeight"], 1);

    let weight = ["--linked-hub", place.hub_name.as_str(), "--allocation-weight", "3"];
    let updated = linked_hub("update", &weight).json();
    assert_eq!(updated["allocationWeight"], 3);
    let shown = linked_hub("show", &["--linked-hub", &place.hub_name]).json();
    assert_eq!(shown, updated);
    linked_hub("create", &["--hub-name", &place.hub_name]).refused();
    let unknown = "HostName=127.9.9.9;SharedAccessKeyName=iothubowner;SharedAccessKey=AAAA";
    let more = ["--connection-string", unknown, "--location", "westus"];
    let refused = linked_hub("create", &more).refused();
    assert!(refused.contains("127.9.9.9") && !refused.contains("AAAA"), "{refused}");

    // An identity that is not there cannot be used.
    let id = format!("{}/provisioningServices/plant-dps", place.devices);
    let by_identity = "properties.iotHubs[0].authenticationType=SystemAssigned";
    let refused = az.run(&["resource", "update", "--ids", &id, "--set", by_identity]).refused();
    assert!(refused.contains("uses the system-assigned identity"), "{refused}");
    let both = ["--set", "identity.type=SystemAssigned", by_identity];
    az.run(&[&["resource", "update", "--ids", &id], &both[..]].concat()).json();
    let shown = az.run(&["resource", "show", "--ids", &id]).json();
    assert_eq!(text(&shown, "/properties/iotHubs/0/authenticationType"), "SystemAssigned");

    linked_hub("delete", &["--linked-hub", &place.hub_name]).json();
    assert_eq!(linked_hub("list", &[]).json(), json!([]));
}
