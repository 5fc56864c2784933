//! What is done first at a server that is a process: its administrator signs in, and its hub gets devices.

use super::Process;
use crate::world::text;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use serde_json::{Value, json};

/// Of signatures, for as long as any test or bench takes.
const UNTIL: Timestamp = Timestamp::from_seconds(4_000_000_000);
/// Devices of one bulk call. Source: IoT Hub quotas.
const DEVICES_AT_ONCE: usize = 100;

impl Process {
    /// `Bearer` and a token for an audience, of an application by its secret.
    pub fn bearer(&self, app_id: &str, secret: &str, audience: &str) -> String {
        let connection = self.connection();
        let url =
            format!("{}/{}/oauth2/v2.0/token", connection.authority(), connection.tenant_id());
        let form = format!(
            "grant_type=client_credentials&client_id={app_id}&client_secret={secret}&scope={audience}/.default"
        );
        let headers = [("Content-Type", "application/x-www-form-urlencoded")];
        let told = self.wire().send("POST", &url, &headers, form.as_bytes()).expect(200).body;
        format!("Bearer {}", text(&told, "/access_token"))
    }

    /// The same of the administrator.
    pub fn admin_bearer(&self, audience: &str) -> String {
        let connection = self.connection();
        self.bearer(connection.admin_app_id(), connection.admin_secret().reveal(), audience)
    }

    /// The same for the control plane.
    pub fn arm_bearer(&self) -> String {
        self.admin_bearer("https://management.azure.com")
    }

    /// The id of the resource group that first start made.
    pub fn group(&self) -> String {
        let get = |name| self.setting(name);
        format!(
            "/subscriptions/{}/resourceGroups/{}",
            get("HUBWARD_SUBSCRIPTION_ID"),
            get("HUBWARD_RESOURCE_GROUP")
        )
    }

    /// The id of the hub in it.
    pub fn hub(&self) -> String {
        format!(
            "{}/providers/Microsoft.Devices/IotHubs/{}",
            self.group(),
            self.setting("HUBWARD_HUB")
        )
    }

    /// Where the hub answers, and a signature that opens all of it.
    pub fn owner(&self) -> (String, String) {
        let host = self.setting("HUBWARD_HUB_HOST");
        let string = self.setting("HUBWARD_HUB_CONNECTION_STRING");
        let key = string.split("SharedAccessKey=").nth(1).expect("it holds a key");
        let key = STANDARD.decode(key).expect("a key is base64");
        let signature = wire::sas::sign(&host, &key, UNTIL, Some("iothubowner"));
        (host, signature)
    }

    /// Makes devices of the hub, `pump-0` and so on.
    pub fn makes_pumps(&self, count: usize) {
        let (host, signature) = self.owner();
        let wire = self.wire();
        let all: Vec<Value> = (0..count)
            .map(|it| json!({ "id": format!("pump-{it}"), "importMode": "create" }))
            .collect();
        for some in all.chunks(DEVICES_AT_ONCE) {
            let url = format!("https://{host}/devices?api-version=2021-04-12");
            wire.json("POST", &url, &signature, &json!(some)).expect(200);
        }
    }

    /// Gives the administrator a role of its own at the hub, with these actions there.
    pub fn lets_administrator(&self, actions: &[&str]) {
        let (wire, manager, hub) = (self.wire(), self.arm_bearer(), self.hub());
        let url = format!("{}/v1.0/servicePrincipals", self.setting("HUBWARD_GRAPH"));
        let graph = self.admin_bearer("https://graph.microsoft.com");
        let all = wire.json("GET", &url, &graph, &Value::Null).expect(200).body;
        let app_id = self.setting("HUBWARD_ADMIN_APP_ID");
        let mut all = all.get("value").and_then(Value::as_array).into_iter().flatten();
        let own = all.find(|it| text(it, "/appId") == app_id).expect("it is in the directory");
        let put = |below: &str, properties: &Value| {
            let place = format!("{hub}/providers/Microsoft.Authorization/{below}");
            let url = format!("{}{place}?api-version=2022-04-01", self.setting("HUBWARD_ARM"));
            wire.json("PUT", &url, &manager, &json!({ "properties": properties })).expect(201).body
        };
        let id = "5ecf01ec-0000-4000-8000-000000000001";
        let actions: Vec<String> =
            actions.iter().map(|it| format!("Microsoft.Devices/IotHubs/{it}")).collect();
        let role = json!({ "roleName": "Policies", "assignableScopes": [hub],
            "permissions": [{ "actions": actions }] });
        let role = put(&format!("roleDefinitions/{id}"), &role);
        let given =
            json!({ "roleDefinitionId": text(&role, "/id"), "principalId": text(own, "/id") });
        put(&format!("roleAssignments/{id}"), &given);
    }

    /// What `connection.env` says.
    pub fn setting(&self, name: &str) -> String {
        let connection = self.connection();
        connection.get(name).unwrap_or_else(|| panic!("no {name}")).to_owned()
    }
}
