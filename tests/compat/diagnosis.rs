//! What a diagnosis proposes is pasted into a shell, and mends what was broken.

use super::az::{Az, Said, binary, hubward, text};
use serde_json::Value;
use std::path::PathBuf;
use testkit::Process;

const ROLES: usize = 0;
const INTEGRATION: usize = 1;
const POLICIES: usize = 2;

struct Stage {
    az: Az,
    data: PathBuf,
    hub: String,
}

impl Stage {
    /// `hubward diagnose dps`: the exit code and the answer.
    fn diagnosed(&self, dps: &str) -> (i32, Value) {
        let data = self.data.to_str().unwrap();
        let said: Said =
            hubward(&["diagnose", "dps", dps, "--hub", &self.hub, "--data", data, "-o", "json"]);
        (said.status, serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.err)))
    }

    fn passes(&self, dps: &str) {
        let (status, told) = self.diagnosed(dps);
        assert_eq!((status, text(&told, "/verdict")), (0, "pass"), "{told:#}");
    }

    /// Checks that exactly these sections fail, and pastes a proposal of the last of them.
    fn mends(&self, dps: &str, failing: &[usize], proposal: usize) {
        let (status, told) = self.diagnosed(dps);
        let fails = |it: &usize| text(&told, &format!("/sections/{it}/verdict")) == "fail";
        let failed: Vec<usize> = (0..3).filter(fails).collect();
        assert_eq!((status, failed.as_slice()), (1, failing), "{told:#}");
        let section = failing.last().unwrap();
        let command = text(&told, &format!("/sections/{section}/fixes/{proposal}/command"));
        let said = self.az.paste(command);
        assert_eq!(said.status, 0, "{command}\n{}\n{}", said.out, said.err);
    }
}

#[test]
fn every_proposal_of_a_diagnosis_mends_what_it_is_for() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    let server = Process::start(binary(), &data, &[]);
    let az = Az::administrator(&server);
    let connection = server.connection();
    let get = |key: &str| connection.get(key).unwrap().to_owned();
    let (group, hub) = (get("HUBWARD_RESOURCE_GROUP"), get("HUBWARD_HUB"));
    let hub_id = text(&az.run(&["iot", "hub", "show", "--name", &hub]).json(), "/id").to_owned();
    let dps = text(&az.run(&["iot", "dps", "list"]).json(), "/0/name").to_owned();
    let stage = Stage { az, data, hub: hub.clone() };
    let az = &stage.az;
    stage.passes(&dps);

    // A policy.
    let rule = r#"{"if":{"field":"type","equals":"Microsoft.Devices/IotHubs/devices"},"then":{"effect":"deny"}}"#;
    let policy = ["--name", "custom-security-policy-v2"];
    az.run(&[&["policy", "definition", "create"], &policy[..], &["--rules", rule]].concat()).json();
    let more = ["--policy", "custom-security-policy-v2", "--scope", &hub_id];
    az.run(&[&["policy", "assignment", "create"], &policy[..], &more[..]].concat()).json();
    stage.mends(&dps, &[POLICIES], 0);
    stage.passes(&dps);

    // A role.
    let held = az.run(&["role", "assignment", "list", "--scope", &hub_id]).json();
    for it in held.as_array().unwrap() {
        if text(it, "/roleDefinitionName") == "IoT Hub Registry Contributor" {
            az.run(&["role", "assignment", "delete", "--ids", text(it, "/id")]).json();
        }
    }
    stage.mends(&dps, &[ROLES], 0);
    stage.passes(&dps);

    // The link: by identity, by a key that is renewed, with keys switched off.
    let linked_hub = |verb: &str, more: &[&str]| {
        let place = ["--dps-name", &dps, "--resource-group", &group];
        az.run(&[&["iot", "dps", "linked-hub", verb], &place[..], more].concat()).json()
    };
    linked_hub("delete", &["--linked-hub", &hub]);
    stage.mends(&dps, &[INTEGRATION], 0);
    stage.passes(&dps);
    linked_hub("delete", &["--linked-hub", &hub]);
    linked_hub("create", &["--hub-name", &hub]);
    // The policy lets the identity through, and a key is somebody else.
    az.run(&["policy", "assignment", "delete", "--name", policy[1], "--scope", &hub_id]).json();
    stage.passes(&dps);
    let key = ["--name", "iothubowner", "--renew-key", "primary"];
    az.run(&[&["iot", "hub", "policy", "renew-key", "--hub-name", &hub], &key[..]].concat()).json();
    stage.mends(&dps, &[INTEGRATION], 1);
    stage.passes(&dps);
    az.run(&["iot", "hub", "update", "--name", &hub, "--set", "properties.disableLocalAuth=true"])
        .json();
    stage.mends(&dps, &[INTEGRATION], 1);
    stage.passes(&dps);
    az.run(&["iot", "hub", "update", "--name", &hub, "--set", "properties.disableLocalAuth=true"])
        .json();
    stage.mends(&dps, &[INTEGRATION], 0);
    stage.passes(&dps);

    // A service that has nothing at all: a link, an enrollment and a role.
    let bare = "line-2-dps";
    let made = az.run(&["iot", "dps", "create", "--name", bare, "--resource-group", &group]).json();
    let role = ["--role", "Device Provisioning Service Data Contributor"];
    let whom = ["--assignee", connection.admin_app_id(), "--scope", text(&made, "/id")];
    az.run(&[&["role", "assignment", "create"], &role[..], &whom[..]].concat()).json();
    stage.mends(bare, &[ROLES, INTEGRATION], 0);
    stage.mends(bare, &[ROLES, INTEGRATION], 0);
    stage.mends(bare, &[ROLES], 0);
    stage.passes(bare);
}
