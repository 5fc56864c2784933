//! A device's own connection: MQTT 3.1.1 over TLS, as its SDK would speak it.

use crate::Failure;
use crate::client::authorities;
use crate::connection_string::ConnectionString;
use crate::target::Connection;
use bytes::BytesMut;
use model::Secret;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;
use wire::mqtt::{self, ByteString, Connect, ConnectCode, Packet, Publish, Qos};

const MQTT_PORT: &str = "8883";
const API_VERSION: &str = "2021-04-12";
/// How long the device may be silent. It says that it is there after half of that.
const KEEP_ALIVE_S: u16 = 120;
/// MQTT has no words for it.
/// How long an answer may take.
const ANSWER_S_MAX: u64 = 30;
/// Largest packet of a hub: a method's payload, or a twin.
const PACKET_BYTES_MAX: usize = 512 << 10;

/// A connected device.
pub(super) struct Session {
    stream: StreamOwned<ClientConnection, TcpStream>,
    incoming: BytesMut,
    /// What the hub said while an answer was waited for.
    waiting: VecDeque<Publish>,
    last_id: u16,
    id: String,
}

impl Session {
    pub(super) fn open(
        connection: &Connection,
        device: &ConnectionString,
    ) -> Result<Self, Failure> {
        let id = device.named();
        let port = connection.mqtt_port().unwrap_or(MQTT_PORT);
        let address = format!("{}:{port}", device.host);
        let nobody = |error: &dyn std::fmt::Display| {
            Failure::Failed(format!(
                "no hub speaks MQTT at `{address}` ({error}); is the server that `{}` belongs to running?",
                connection.ca_file().display()
            ))
        };
        let mut roots = RootCertStore::empty();
        for authority in authorities(connection)? {
            roots.add(authority).map_err(|it| nobody(&it))?;
        }
        let config =
            ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .map_err(|it| nobody(&it))?
                .with_root_certificates(roots)
                .with_no_client_auth();
        let name = device.host.clone().try_into().map_err(|it| nobody(&it))?;
        let client = ClientConnection::new(Arc::new(config), name).map_err(|it| nobody(&it))?;
        let socket = TcpStream::connect(&address).map_err(|it| nobody(&it))?;
        let waits = Some(Duration::from_secs(ANSWER_S_MAX));
        socket
            .set_nodelay(true)
            .and_then(|()| socket.set_read_timeout(waits))
            .map_err(|it| nobody(&it))?;
        let mut session = Self {
            stream: StreamOwned::new(client, socket),
            incoming: BytesMut::new(),
            waiting: VecDeque::new(),
            last_id: 0,
            id: id.clone(),
        };
        session.send(&Packet::Connect(Connect {
            protocol_level: 4,
            clean_session: true,
            keep_alive_s: KEEP_ALIVE_S,
            client_id: id.clone(),
            will: None,
            user_name: Some(format!(
                "{}/{id}/?api-version={API_VERSION}&DeviceClientType=hubward%2F{}",
                device.host,
                env!("CARGO_PKG_VERSION")
            )),
            password: Some(Secret::new(device.signature().into_bytes())),
        }))?;
        let answer = session.answer()?;
        let Packet::ConnAck { code, .. } = answer else { return Err(strange(&answer)) };
        match code == ConnectCode::Accepted {
            true => Ok(session),
            false => Err(Failure::Failed(format!(
                "the hub refused `{id}` ({code:?}); `hubward device story {id}` says why"
            ))),
        }
    }

    /// Sends a message and waits until the hub has acknowledged, and so kept, it.
    pub(super) fn publish(&mut self, properties: &str, text: &str) -> Result<(), Failure> {
        let topic = match self.id.split_once('/') {
            Some((device, module)) => format!("devices/{device}/modules/{module}/messages/events/"),
            None => format!("devices/{}/messages/events/", self.id),
        };
        let id = self.say(Qos::AtLeastOnce, &format!("{topic}{properties}"), text)?;
        let answer = self.answer()?;
        match id.map(Packet::PubAck).as_ref() == Some(&answer) {
            true => Ok(()),
            false => Err(strange(&answer)),
        }
    }

    /// Says something that the hub answers with a message of its own, or not at all.
    pub(super) fn say(
        &mut self,
        qos: Qos,
        topic: &str,
        text: &str,
    ) -> Result<Option<u16>, Failure> {
        let id = (qos == Qos::AtLeastOnce).then(|| self.next_id());
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: ByteString::from(topic),
            id,
            payload: text.as_bytes().to_vec().into(),
        }))?;
        Ok(id)
    }

    /// Asks to be told.
    pub(super) fn subscribe(&mut self, filter: &str, qos: Qos) -> Result<(), Failure> {
        let id = self.next_id();
        self.send(&Packet::Subscribe { id, filters: vec![(filter.to_owned(), qos)] })?;
        let answer = self.answer()?;
        let Packet::SubAck { granted, .. } = &answer else { return Err(strange(&answer)) };
        match granted.iter().all(Option::is_some) {
            true => Ok(()),
            false => {
                Err(Failure::Failed(format!("the hub does not let `{}` hear `{filter}`", self.id)))
            }
        }
    }

    /// The next that the hub says by itself, which is acknowledged. Waits for as long as it takes.
    pub(super) fn hear(&mut self) -> Result<Publish, Failure> {
        let heard = match self.waiting.pop_front() {
            Some(heard) => heard,
            None => loop {
                if let Packet::Publish(heard) = self.receive(true)? {
                    break heard;
                }
            },
        };
        if let Some(id) = heard.id {
            self.send(&Packet::PubAck(id))?;
        }
        Ok(heard)
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn close(mut self) {
        // Who goes does not mind that the other is gone.
        drop(self.send(&Packet::Disconnect));
    }

    fn next_id(&mut self) -> u16 {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.last_id
    }

    fn send(&mut self, packet: &Packet) -> Result<(), Failure> {
        let mut bytes = BytesMut::new();
        mqtt::encode(packet, &mut bytes)
            .map_err(|_| Failure::Usage("that is longer than MQTT can carry".into()))?;
        let written = self.stream.write_all(&bytes).and_then(|()| self.stream.flush());
        written.map_err(|it| self.gone(Some(&it)))
    }

    /// What answers what was said last; messages in between are kept.
    fn answer(&mut self) -> Result<Packet, Failure> {
        loop {
            let packet = self.receive(false)?;
            if let Packet::Publish(heard) = packet {
                self.waiting.push_back(heard);
            } else if packet != Packet::PingResp {
                return Ok(packet);
            }
        }
    }

    /// The next packet. `is_patient` says that the hub may have nothing to say: it is asked whether it is there.
    fn receive(&mut self, is_patient: bool) -> Result<Packet, Failure> {
        loop {
            match mqtt::decode(&mut self.incoming, PACKET_BYTES_MAX) {
                Ok(Some(packet)) => return Ok(packet),
                Ok(None) => {}
                Err(error) => {
                    return Err(Failure::Failed(format!(
                        "the hub sent what is no MQTT: {error:?}"
                    )));
                }
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(self.gone(None)),
                Ok(count) => {
                    self.incoming.extend_from_slice(piece.get(..count).unwrap_or_default());
                }
                Err(error) if is_quiet(&error) && is_patient => self.send(&Packet::PingReq)?,
                Err(error) if is_quiet(&error) => {
                    return Err(Failure::Failed(format!(
                        "the hub did not answer `{}` within {ANSWER_S_MAX} s",
                        self.id
                    )));
                }
                Err(error) => return Err(self.gone(Some(&error))),
            }
        }
    }

    fn gone(&self, error: Option<&io::Error>) -> Failure {
        let why = error.map_or_else(String::new, |it| format!(" ({it})"));
        Failure::Failed(format!(
            "the hub closed the connection of `{}`{why}; `hubward device story {0}` says why",
            self.id
        ))
    }
}

fn is_quiet(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn strange(packet: &Packet) -> Failure {
    Failure::Failed(format!("the hub answered with {packet:?}, which nobody asked for"))
}
