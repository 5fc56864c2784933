//! What hubs send to, as its own clients see it.

use super::{Identity, World, text};
use serde_json::{Value, json};

impl World {
    /// A managed identity by its principal: it is given roles, and never signs in by itself.
    pub fn managed_identity(&self, principal: &str) -> Identity {
        Identity {
            name: principal.to_owned(),
            app_id: String::new(),
            object_id: principal.to_owned(),
            secret: String::new(),
        }
    }

    /// Gives a hub an identity of its own, and no other: who that is.
    pub fn own_identity(&self, hub: &str) -> Identity {
        let own = json!({ "identity": { "type": "SystemAssigned" } });
        let shown = self.arm("PATCH", hub, &own).expect(200).body;
        self.managed_identity(text(&shown, "/identity/principalId"))
    }

    /// A new namespace or storage account, open to everybody: its id.
    pub fn target(&self, kind: &str, name: &str) -> String {
        let id = format!("{}/providers/{kind}/{name}", self.group());
        self.arm("PUT", &id, &json!({ "location": "westus" })).expect(200);
        id
    }

    /// A new container of a storage account: its id.
    pub fn container(&self, account: &str, name: &str) -> String {
        let id = format!("{account}/blobServices/default/containers/{name}");
        self.arm("PUT", &id, &json!({})).expect(200);
        id
    }

    /// The host at which a namespace answers.
    pub fn namespace_host(&self, id: &str) -> String {
        let shown = self.arm("GET", id, &Value::Null).expect(200).body;
        let endpoint = text(&shown, "/properties/serviceBusEndpoint");
        let host = endpoint.trim_start_matches("https://").split(':').next();
        host.expect("an endpoint has a host").to_owned()
    }

    /// A signature by an authorization rule, valid for an hour. The key is the text of it, as clients have it.
    pub fn rule_sas(&self, rule: &str, resource: &str) -> String {
        let keys = self.arm("POST", &format!("{rule}/listKeys"), &Value::Null).expect(200).body;
        let (key, name) = (text(&keys, "/primaryKey"), text(&keys, "/keyName"));
        wire::sas::sign(resource, key.as_bytes(), self.now().plus_seconds(3_600), Some(name))
    }
}
