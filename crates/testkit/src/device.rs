//! A device, as the holder of its keys: connects, sends, and is refused.

use crate::mqtt_client::{Closed, Mqtt};
use crate::wire_client::Wire;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Timestamp;
use serde_json::Value;
use wire::mqtt::{Connect, ConnectCode};
use wire::sas;

/// A device of a hub.
#[derive(Clone)]
pub struct Device {
    pub id: String,
    /// The hub's host name, without a port.
    pub host: String,
    /// Decoded from base64.
    pub key: Vec<u8>,
    pub port: u16,
}

impl Device {
    /// Takes the device from the service API's answer.
    pub fn new(port: u16, hub_origin: &str, shown: &Value) -> Self {
        let text = |pointer: &str| shown.pointer(pointer).and_then(Value::as_str).unwrap_or("");
        let host = hub_origin.trim_start_matches("https://");
        let key = STANDARD.decode(text("/authentication/symmetricKey/primaryKey"));
        Self {
            id: text("/deviceId").to_owned(),
            host: host.split(':').next().unwrap_or(host).to_owned(),
            key: key.expect("a key is base64"),
            port,
        }
    }

    /// The same connection under another device's name.
    #[must_use]
    pub fn called(&self, id: &str) -> Self {
        Self { id: id.to_owned(), ..self.clone() }
    }

    /// A signature by its key for itself.
    pub fn signature(&self, until: Timestamp) -> String {
        let resource = format!("{}/devices/{}", self.host, self.id);
        sas::sign(&sas::resource_text(&resource), &self.key, until, None)
    }

    /// What it says first.
    pub fn greeting(&self, password: &str) -> Connect {
        Connect {
            protocol_level: 4,
            clean_session: false,
            keep_alive_s: 60,
            client_id: self.id.clone(),
            will: None,
            user_name: Some(format!("{}/{}/?api-version=2021-04-12", self.host, self.id)),
            password: Some(model::Secret::new(password.as_bytes().to_vec())),
        }
    }

    /// What it says first where its handshake has proven it.
    pub fn silent_greeting(&self) -> Connect {
        Connect { password: None, ..self.greeting("") }
    }

    /// The topic of its messages.
    pub fn events(&self) -> String {
        format!("devices/{}/messages/events/", self.id)
    }

    /// Opens a connection and says nothing yet.
    ///
    /// # Errors
    /// [`Closed`] where nobody listens.
    pub fn opens(&self, wire: &Wire) -> Result<Mqtt, Closed> {
        Mqtt::open(wire, &self.host, self.port).map_err(|_| Closed)
    }

    /// Tries to connect with any greeting.
    ///
    /// # Errors
    /// [`Closed`] where nobody listens, or did not even answer.
    pub fn tries(&self, wire: &Wire, greeting: Connect) -> Result<(ConnectCode, Mqtt), Closed> {
        let mut mqtt = self.opens(wire)?;
        mqtt.connect(greeting).map(|code| (code, mqtt))
    }

    /// Connects with its key; it must be let in.
    #[track_caller]
    pub fn connects(&self, wire: &Wire, until: Timestamp) -> Mqtt {
        let (code, mqtt) =
            self.tries(wire, self.greeting(&self.signature(until))).expect("answered");
        assert_eq!(code, ConnectCode::Accepted);
        mqtt
    }
}
