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
