//! What a hub is asked, as somebody and by its keys, and what its devices have sent.

use super::{Identity, World, text};
use crate::device::Device;
use crate::kept::messages;
use crate::wire_client::Answer;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Scope;
use ops::devices::message::Message;
use serde_json::{Value, json};

impl World {
    /// `https://{address}:{port}` of a hub.
    pub fn hub_origin(&self, hub: &str) -> String {
        format!("https://{}", self.hub_host(hub))
    }

    /// `{address}:{port}` of a hub, which its keys are signed for.
    pub fn hub_host(&self, hub: &str) -> String {
        let shown = self.arm("GET", hub, &Value::Null).expect(200);
        text(&shown.body, "/properties/hostName").to_owned()
    }

    /// Where a hub answers for a path, which may have a query already.
    pub fn hub_url(&self, hub: &str, path: &str) -> String {
        let mark = if path.contains('?') { '&' } else { '?' };
        format!("{}{path}{mark}api-version=2021-04-12", self.hub_origin(hub))
    }

    /// A call to a hub's service API with an Entra token.
    pub fn hub_as(
        &self,
        who: &Identity,
        method: &str,
        hub: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let token = self.token(who, "https://iothubs.azure.net");
        self.hub_with(&format!("Bearer {token}"), method, hub, path, body)
    }

    /// The same with any `Authorization`.
    pub fn hub_with(
        &self,
        authorization: &str,
        method: &str,
        hub: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        self.wire.json(method, &self.hub_url(hub, path), authorization, body)
    }

    /// The same with a key of a policy, and any headers beside.
    pub fn hub_by_key(
        &self,
        policy: &str,
        method: &str,
        hub: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &Value,
    ) -> Answer {
        let sas = self.policy_sas(hub, policy);
        let mut all = vec![("Authorization", sas.as_str())];
        all.extend_from_slice(headers);
        self.wire.json_with(method, &self.hub_url(hub, path), &all, body)
    }

    /// A key of a shared access policy, decoded.
    pub fn policy_key(&self, hub: &str, policy: &str) -> Vec<u8> {
        let path = format!("{hub}/IotHubKeys/{policy}/listkeys");
        let shown = self.arm("POST", &path, &Value::Null).expect(200).body;
        STANDARD.decode(text(&shown, "/primaryKey")).expect("a key is base64")
    }

    /// A shared access signature of a policy for the whole hub, valid for an hour.
    pub fn policy_sas(&self, hub: &str, policy: &str) -> String {
        self.sas(hub, policy, &self.hub_host(hub))
    }

    /// The same for any resource.
    pub fn sas(&self, hub: &str, policy: &str, resource: &str) -> String {
        let expiry = self.now().plus_seconds(3_600);
        wire::sas::sign(resource, &self.policy_key(hub, policy), expiry, Some(policy))
    }

    /// Registers a device, or tries to.
    pub fn puts_device(&self, who: &Identity, hub: &str, device: &str) -> Answer {
        self.hub_as(who, "PUT", hub, &format!("/devices/{device}"), &json!({ "deviceId": device }))
    }

    /// A new device of a hub, as the holder of its keys sees it.
    pub fn device(&self, hub: &str, id: &str) -> Device {
        self.device_with(hub, id, &json!({}))
    }

    /// The same with any body.
    pub fn device_with(&self, hub: &str, id: &str, body: &Value) -> Device {
        let path = format!("/devices/{id}");
        let made = self.hub_by_key("iothubowner", "PUT", hub, &path, &[], body).expect(200);
        Device::new(self.mqtt_port(), &self.hub_origin(hub), &made.body)
    }

    /// What became of the messages that services sent to devices, by id and outcome; it is settled by that.
    pub fn feedback(&self, hub: &str) -> Vec<(String, String)> {
        let asks = |method: &str, path: &str| {
            self.hub_by_key("iothubowner", method, hub, path, &[], &Value::Null)
        };
        let answer = asks("GET", "/messages/serviceBound/feedback");
        if answer.status == 204 {
            return Vec::new();
        }
        let lock = answer.header("etag").expect("what is locked has a lock").trim_matches('"');
        let path = format!("/messages/serviceBound/feedback/{lock}");
        asks("DELETE", &path).expect(204);
        assert_eq!(asks("DELETE", &path).code(), "DeviceMessageLockLost");
        let told = answer.expect(200).body;
        let told = told.as_array().expect("feedback is a list").iter();
        let of = |it: &Value| {
            let (id, outcome) = (text(it, "/originalMessageId"), text(it, "/statusCode"));
            (id.to_owned(), outcome.to_owned())
        };
        told.map(of).collect()
    }

    /// All that the devices of a hub have sent and that is on the disk, by partition and in order.
    pub fn messages(&self, hub: &str) -> Vec<Message> {
        let scope = Scope::parse(hub).expect("a hub's id is a scope");
        let env = self.env();
        let facts = env.facts.load();
        let hub = facts.hub(&scope).expect("the hub exists");
        self.runtime.block_on(async {
            let log = env.logs.of(hub, env).await.expect("its log can be opened");
            messages(&log.log, log.partitions).await
        })
    }

    /// The bodies of these, which the test knows to be text.
    pub fn bodies(&self, hub: &str) -> Vec<String> {
        let text = |it: &Message| String::from_utf8(it.body.to_vec()).expect("the body is text");
        self.messages(hub).iter().map(text).collect()
    }
}
