//! A hub's service API, by the key of the hub that the server's connection file names.

use crate::Failure;
use crate::client::{agent, taken};
use crate::connection_string::ConnectionString;
use crate::target::Connection;
use serde_json::Value;
use ureq::Agent;

const API_VERSION: &str = "2021-04-12";

/// Somebody with a hub's key.
pub(crate) struct Hub<'a> {
    connection: &'a Connection,
    agent: Agent,
    key: ConnectionString,
}

impl<'a> Hub<'a> {
    pub(crate) fn new(connection: &'a Connection) -> Result<Self, Failure> {
        let text = connection.hub_connection_string().filter(|it| !it.is_empty());
        let text = text.ok_or_else(|| {
            Failure::Failed(
                "the connection file names no hub: the server was started with `--empty`, or its first hub was \
                 deleted; set HUBWARD_HUB_CONNECTION_STRING to what \
                 `az iot hub connection-string show` prints"
                    .into(),
            )
        })?;
        let key = ConnectionString::parse(text).map_err(Failure::Failed)?;
        Ok(Self { connection, agent: agent(connection)?, key })
    }

    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        self.get_with(path, &[])
    }

    pub(crate) fn get_with(&self, path: &str, query: &[(&str, &str)]) -> Result<Value, Failure> {
        let sent = self.agent.get(self.url(path)).header("Authorization", self.key.signature());
        let sent = sent.query_pairs(query.iter().copied()).call();
        taken(self.connection, &self.key.authority(), sent)?.allowed()
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let sent = self.agent.post(self.url(path)).header("Authorization", self.key.signature());
        taken(self.connection, &self.key.authority(), sent.send_json(body))?.allowed()
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        let sent = self.agent.patch(self.url(path)).header("Authorization", self.key.signature());
        let sent = sent.header("If-Match", "*").send_json(body);
        taken(self.connection, &self.key.authority(), sent)?.allowed()
    }

    /// How one of its devices says who it is, by the key that the hub keeps for it.
    pub(crate) fn device(&self, id: &str) -> Result<ConnectionString, Failure> {
        let shown = self.get(&format!("/devices/{}", segment(id)))?;
        let key = shown.pointer("/authentication/symmetricKey/primaryKey").and_then(Value::as_str);
        let key = key.filter(|it| !it.is_empty()).ok_or_else(|| {
            Failure::Failed(format!(
                "the device `{id}` has no key, so it cannot be played here; a device with a certificate has to \
                 show it itself"
            ))
        })?;
        let host = self.key.authority();
        ConnectionString::parse(&format!("HostName={host};DeviceId={id};SharedAccessKey={key}"))
            .map_err(Failure::Failed)
    }

    fn url(&self, path: &str) -> String {
        format!("https://{}{path}?api-version={API_VERSION}", self.key.authority())
    }
}

/// A device's id as one segment of a path.
pub(crate) fn segment(id: &str) -> String {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    utf8_percent_encode(id, NON_ALPHANUMERIC).to_string()
}
