//! Managed identities with the unmodified CLI and the identity libraries of Python and Node.

use super::az::{Az, Said, binary, text};
use super::clients::Client;
use serde_json::{Value, json};
use std::path::Path;
use testkit::Process;

const ROLE: &str = "IoT Hub Data Contributor";

struct Place {
    group: String,
    hub: String,
    devices: String,
}

fn stage(data: &Path, flags: &[&str]) -> (Process, Place) {
    let server = Process::start(binary(), data, flags);
    let connection = server.connection();
    let get = |key: &str| connection.get(key).unwrap().to_owned();
    let (group, hub) = (get("HUBWARD_RESOURCE_GROUP"), get("HUBWARD_HUB"));
    let devices = format!(
        "/subscriptions/{}/resourceGroups/{group}/providers/Microsoft.Devices",
        get("HUBWARD_SUBSCRIPTION_ID")
    );
    (server, Place { group, hub, devices })
}

fn made(az: &Az, place: &Place, name: &str) -> Value {
    az.run(&["identity", "create", "--name", name, "--resource-group", &place.group]).json()
}

/// S3-01, S3-07, S3-08, S3-10: identities made, attached, shown, taken away and deleted by the commands of the
/// documentation.
#[test]
fn az_makes_an_identity_and_gives_it_to_a_hub_and_takes_it_away() {
    let home = tempfile::tempdir().unwrap();
    let (server, place) = stage(&home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let first = made(&az, &place, "plant-id");
    let (id, principal) = (text(&first, "/id"), text(&first, "/principalId"));
    assert!(
        !text(&first, "/clientId").is_empty() && text(&first, "/location") == "westus",
        "{first}"
    );
    let group = ["--resource-group", place.group.as_str()];
    let named = ["--name", "plant-id", "--resource-group", &place.group];
    assert_eq!(az.run(&[["identity", "show"].as_slice(), &named].concat()).json(), first);
    let other = made(&az, &place, "other-id");
    let listed = az.run(&[["identity", "list"].as_slice(), &group].concat()).json();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");

    let identity = |verb: &str, more: &[&str]| -> Said {
        let words = ["iot", "hub", "identity", verb, "--name", &place.hub];
        az.run(&[&words, &group[..], more].concat())
    };
    let both = identity("assign", &["--system", "--user", id, text(&other, "/id")]).json();
    assert_eq!(text(&both, "/type"), "SystemAssigned, UserAssigned");
    assert_eq!(both["userAssignedIdentities"][id]["principalId"], principal);
    assert_eq!(identity("show", &[]).json(), both);
    let words = ["resource", "show", "--resource-type", "Microsoft.Devices/IotHubs", "--name"];
    let shown = az.run(&[&words[..], &[&place.hub], &group].concat()).json();
    assert_eq!(text(&shown, "/identity/principalId"), text(&both, "/principalId"));
    assert_eq!(text(&shown, "/identity/tenantId"), server.connection().tenant_id());
    // The hub is written whole by other commands, and keeps all of it.
    let update = ["iot", "hub", "update", "--name", &place.hub, "--set", "tags.line=7"];
    assert_eq!(az.run(&update).json()["identity"]["type"], both["type"]);

    let left = identity("remove", &["--user", text(&other, "/id")]).json();
    assert_eq!(left["userAssignedIdentities"].as_object().unwrap().len(), 1, "{left}");
    let left = identity("remove", &["--system"]).json();
    assert_eq!(text(&left, "/type"), "UserAssigned");
    let left = identity("remove", &["--user", id]).json();
    assert_eq!((text(&left, "/type"), left.get("principalId")), ("None", Some(&Value::Null)));
    az.run(&[["identity", "show"].as_slice(), &named].concat()).json();
    let gone = az.run(&[["identity", "delete"].as_slice(), &named].concat());
    assert_eq!(gone.status, 0, "{}", gone.err);
    az.run(&[["identity", "show"].as_slice(), &named].concat()).refused();
}

/// S0-11: the role of the thread goes to the identity of a provisioning service by the command of the thread, and counts
/// where the service is linked as an identity.
#[test]
fn az_gives_a_provisioning_service_identities_and_their_roles() {
    let home = tempfile::tempdir().unwrap();
    let (server, place) = stage(&home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let hub = format!("{}/IotHubs/{}", place.devices, place.hub);
    let name = "plant-dps";
    az.run(&["iot", "dps", "create", "--name", name, "--resource-group", &place.group]).json();
    let dps = format!("{}/provisioningServices/{name}", place.devices);
    let update = |what: &[&str]| az.run(&[&["resource", "update", "--ids", &dps], what].concat());
    let own = update(&["--set", "identity.type=SystemAssigned"]).json();
    let principal = text(&own, "/identity/principalId");
    let assign = |who: &str| {
        az.run(&[
            "role",
            "assignment",
            "create",
            "--assignee",
            who,
            "--role",
            ROLE,
            "--scope",
            &hub,
        ])
        .json()
    };
    assert_eq!(assign(principal)["principalId"], principal);
    let asks = ["decisions/ask"];
    let may = |who: &str| {
        let body = json!({ "principal": who, "scope": hub,
            "action": "Microsoft.Devices/IotHubs/devices/write" });
        let url = format!("/{}?api-version=2024-11-01", asks[0]);
        let told =
            az.run(&["rest", "--method", "post", "--url", &url, "--body", &body.to_string()]);
        text(&told.json(), "/decision/outcome/verdict").to_owned()
    };
    assert_eq!(may(principal), "allow");

    let made = made(&az, &place, "plant-id");
    let id = text(&made, "/id");
    let identity =
        json!({ "type": "SystemAssigned, UserAssigned", "userAssignedIdentities": { id: {} } });
    let both = update(&["--set", &format!("identity={identity}")]).json();
    assert_eq!(text(&both, "/identity/principalId"), principal);
    assert_eq!(both["identity"]["userAssignedIdentities"][id]["clientId"], made["clientId"]);
    assert_eq!(may(text(&made, "/principalId")), "deny");
    assign(text(&made, "/principalId"));
    assert_eq!(may(text(&made, "/principalId")), "allow");
    let none = update(&["--set", r#"identity={"type":"None"}"#]).json();
    assert_eq!(text(&none, "/identity/type"), "None");
}

/// S2-09, S2-65: applications sign in with `DefaultAzureCredential` and no secret of their own, as on a machine and as in
/// an app service, and so does the CLI; each makes the calls of Microsoft's samples for role-based access.
#[test]
fn applications_use_a_hub_as_a_managed_identity() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let (server, place) = stage(&data, &[]);
    let az = Az::administrator(&server);
    let made = made(&az, &place, "plant-id");
    let hub = format!("{}/IotHubs/{}", place.devices, place.hub);
    let assign = |role: &str, scope: &str| {
        let who = text(&made, "/principalId");
        let words = ["--assignee-object-id", who, "--assignee-principal-type", "ServicePrincipal"];
        let role = ["role", "assignment", "create", "--role", role, "--scope", scope];
        az.run(&[&role[..], &words].concat()).json();
    };
    assign(ROLE, &hub);
    assign("Reader", &hub);
    drop(server);

    let (server, _) = stage(&data, &["--identity-endpoint", "plant-id=18491"]);
    let origin = server.connection().get("HUBWARD_IMDS").unwrap().to_owned();
    let header = server.connection().get("HUBWARD_IDENTITY_HEADER").unwrap().to_owned();
    assert!(server.greeting.contains(&header), "{}", server.greeting);
    let endpoint = format!("{origin}/msi/token");
    let ways: [&[(&str, &str)]; 2] = [
        &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &origin)],
        &[("IDENTITY_ENDPOINT", &endpoint), ("IDENTITY_HEADER", &header)],
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let [mut python, mut node] = Client::services_led_by(&server, way);
        let device = format!("python-{number}");
        let make = [json!(device), json!(""), json!(""), json!("enabled")];
        assert_eq!(python.calls("create_device_with_sas", &make)["deviceId"], device.as_str());
        let named = [json!(device)];
        assert_eq!(python.calls("get_device", &named)["status"], "enabled");
        python.calls("delete_device", &named);
        let counted = python.calls("get_device_registry_statistics", &[]);
        assert_eq!(counted["totalDeviceCount"], 1 + number, "{counted}");
        assert_eq!(python.calls("get_service_statistics", &[])["connectedDeviceCount"], 0);
        let device = format!("node-{number}");
        let made = node.calls("create", &[json!({ "deviceId": device, "status": "enabled" })]);
        assert_eq!(made["deviceId"], device.as_str(), "{made}");

        let az = Az::at(&server);
        let set: String =
            way.iter().map(|(name, value)| format!("export {name}={value}\n")).collect();
        let signed_in = az.paste(&format!("{set}az login --identity --output json"));
        assert_eq!(signed_in.status, 0, "{}", signed_in.err);
        let shown = az.paste(&format!("{set}az iot hub show --name {} --output json", place.hub));
        assert_eq!(text(&shown.json(), "/name"), place.hub);
        // Named it is the same; another is not to be had here.
        let other = format!("{set}az login --identity --client-id {} --output json", place.hub);
        az.paste(&other).refused();
    }
}

/// S3-16: managed identities are found by kind: all of them, those that are resources' own, and one resource's, which has
/// the resource's name; applications and the namesake are none of them. User-assigned ones are resources that are listed.
#[test]
fn az_finds_identities_by_kind_and_by_the_name_of_their_resource() {
    let home = tempfile::tempdir().unwrap();
    let (server, place) = stage(&home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let group = ["--resource-group", place.group.as_str()];
    let namesake = format!("{}0", place.hub);
    for name in [&place.hub, &namesake] {
        let create = ["iot", "hub", "create", "--name", name, "--mintls", "1.2"];
        let known = az.run(&["iot", "hub", "show", "--name", name]).status == 0;
        if !known {
            az.run(&[&create[..], &group].concat()).json();
        }
        let assign = ["iot", "hub", "identity", "assign", "--system", "--name", name];
        az.run(&[&assign[..], &group].concat()).json();
    }
    made(&az, &place, "plant-id");
    az.run(&["ad", "sp", "create-for-rbac", "--name", &format!("{} intake", place.hub)]).json();

    let found = |filter: &str| -> Vec<String> {
        let all = az.run(&["ad", "sp", "list", "--all", "--filter", filter]).json();
        let mut names: Vec<String> =
            all.as_array().unwrap().iter().map(|it| text(it, "/displayName").to_owned()).collect();
        names.retain(|it| !it.starts_with("dps-"));
        names.sort();
        names
    };
    const MANAGED: &str = "servicePrincipalType eq 'ManagedIdentity'";
    let all = [place.hub.as_str(), namesake.as_str(), "plant-id"];
    assert_eq!(found(MANAGED), all);
    let own = format!("{MANAGED} and alternativeNames/any(n:n eq 'isExplicit=False')");
    assert_eq!(found(&own), all[..2]);
    let one = format!("{MANAGED} and displayName eq '{}'", place.hub);
    assert_eq!(found(&one), all[..1]);
    let id = format!("{}/IotHubs/{}", place.devices, place.hub);
    assert_eq!(found(&format!("alternativeNames/any(n:n eq '{id}')")), all[..1]);
    let apart = format!("{MANAGED} and alternativeNames/any(n:n eq 'isExplicit=True')");
    assert_eq!(found(&apart), all[2..]);
    let named = ["ad", "sp", "list", "--display-name", &namesake];
    assert_eq!(text(&az.run(&named).json(), "/0/servicePrincipalType"), "ManagedIdentity");
    let listed = az.run(&[&["identity", "list"][..], &group].concat()).json();
    assert_eq!((listed.as_array().map(Vec::len), text(&listed, "/0/name")), (Some(1), "plant-id"));
}

/// S2-03, S2-13: people, groups, applications and managed identities get a role by the same command, and hold it in the
/// same way; a group's namesake and who is in that hold nothing.
#[test]
fn az_gives_a_role_to_people_and_to_managed_identities_in_the_same_way() {
    let home = tempfile::tempdir().unwrap();
    let (server, place) = stage(&home.path().join("data"), &[]);
    let az = Az::administrator(&server);
    let hub = format!("{}/IotHubs/{}", place.devices, place.hub);
    let user = |upn: &str| {
        let made = az.run(&[
            "ad",
            "user",
            "create",
            "--display-name",
            upn,
            "--user-principal-name",
            upn,
            "--password",
            "Right-Pass-1",
        ]);
        text(&made.json(), "/id").to_owned()
    };
    let group = |nick: &str, member: &str| {
        let url = "https://graph.microsoft.com/v1.0/groups";
        let url = url.replace("https://graph.microsoft.com", &graph(&server));
        let body = json!({ "displayName": "crew", "mailNickname": nick, "mailEnabled": false, "securityEnabled": true });
        let rest = [
            "rest",
            "--method",
            "post",
            "--url",
            &url,
            "--resource",
            "https://graph.microsoft.com",
            "--body",
        ];
        let made = az.run(&[&rest[..], &[&body.to_string()]].concat()).json();
        let id = text(&made, "/id").to_owned();
        let said = az.run(&["ad", "group", "member", "add", "--group", &id, "--member-id", member]);
        assert_eq!(said.status, 0, "{}", said.err);
        id
    };
    let (ana, ben, eve) =
        (user("ana@plant.example"), user("ben@plant.example"), user("eve@plant.example"));
    let inner = group("inner", &ben);
    let outer = group("outer", &inner);
    group("namesake", &eve);
    let app = az.run(&["ad", "sp", "create-for-rbac", "--name", "intake"]).json();
    let app = az.run(&["ad", "sp", "show", "--id", text(&app, "/appId")]).json();
    let identity = made(&az, &place, "plant-id");
    let (app, identity) = (text(&app, "/id"), text(&identity, "/principalId"));
    for (id, kind) in [
        (ana.as_str(), "User"),
        (&outer, "Group"),
        (app, "ServicePrincipal"),
        (identity, "ServicePrincipal"),
    ] {
        let create = ["role", "assignment", "create", "--role", ROLE, "--scope", &hub];
        let to = ["--assignee-object-id", id, "--assignee-principal-type", kind];
        let given = az.run(&[&create[..], &to].concat()).json();
        assert_eq!((text(&given, "/principalId"), text(&given, "/principalType")), (id, kind));
    }
    let ask = |path: &str, body: &Value| {
        let url = format!("/{path}?api-version=2024-11-01");
        az.run(&["rest", "--method", "post", "--url", &url, "--body", &body.to_string()]).json()
    };
    let action = "Microsoft.Devices/IotHubs/devices/write";
    let told = ask("decisions/whoCan", &json!({ "action": action, "scope": hub }));
    let all = told["can"].as_array().unwrap();
    let can: Vec<&str> = all.iter().map(|it| text(it, "/objectId")).collect();
    for id in [ana.as_str(), &ben, app, identity] {
        assert!(can.contains(&id), "{id}: {told}");
        let told = ask("decisions/access", &json!({ "principal": id, "scope": hub }));
        let groups = told["access"][0]["can"].as_array().unwrap().iter();
        assert!(
            groups.into_iter().any(|it| it["actions"].as_array().unwrap().contains(&json!(action))),
            "{told}"
        );
    }
    assert!(!can.contains(&eve.as_str()), "{told}");
    let through = all.iter().find(|it| it["objectId"] == ben.as_str()).unwrap();
    let groups = through["through"][0]["groups"].as_array().unwrap();
    assert_eq!(
        groups.iter().map(|it| text(it, "/id")).collect::<Vec<_>>(),
        [inner.as_str(), &outer]
    );
}

fn graph(server: &Process) -> String {
    server.connection().get("HUBWARD_GRAPH").unwrap().to_owned()
}
