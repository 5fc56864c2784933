//! An MQTT client for tests: says what it is told, and shows what came back.

use crate::web_socket::WebSocket;
use crate::wire_client::{PATIENCE, Wire};
use bytes::BytesMut;
use std::io::{self, Read, Write};
use wire::mqtt::{self, ByteString, Connect, ConnectCode, Packet, Publish, Qos};

/// The server closed the connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Closed;

pub(crate) trait Stream: Read + Write + Send {}

impl<S: Read + Write + Send> Stream for S {}

/// A connection to a server's MQTT port, or in a WebSocket.
pub struct Mqtt {
    stream: Box<dyn Stream>,
    incoming: BytesMut,
    last_id: u16,
}

impl Mqtt {
    /// Opens a connection and says nothing yet.
    ///
    /// # Errors
    /// Where nobody listens, or the server does not prove itself.
    pub fn open(wire: &Wire, host: &str, port: u16) -> io::Result<Self> {
        Ok(Self::over(wire.connects(&format!("{host}:{port}"))?))
    }

    /// Asks an origin for a WebSocket, with headers of the test's, and says nothing yet.
    ///
    /// # Errors
    /// The status of the answer, where there is none.
    pub fn in_web_socket(wire: &Wire, origin: &str, headers: &[(&str, &str)]) -> Result<Self, u16> {
        let mut all = vec![("Sec-WebSocket-Protocol", "mqtt")];
        all.extend_from_slice(headers);
        match WebSocket::ask(wire, origin, "/$iothub/websocket", &all).expect("an answer") {
            (101, socket) => Ok(Self::over(socket)),
            (status, _) => Err(status),
        }
    }

    fn over(stream: impl Read + Write + Send + 'static) -> Self {
        Self { stream: Box::new(stream), incoming: BytesMut::new(), last_id: 0 }
    }

    /// Says who it is; the code of the answer.
    ///
    /// # Errors
    /// [`Closed`] where there was none.
    pub fn connect(&mut self, connect: Connect) -> Result<ConnectCode, Closed> {
        self.send(&Packet::Connect(connect))?;
        let answer = self.receive()?;
        let Packet::ConnAck { code, session_present: _ } = answer else {
            panic!("the answer to a CONNECT was {answer:?}");
        };
        Ok(code)
    }

    /// Publishes at QoS 1 and waits until it is acknowledged.
    ///
    /// # Errors
    /// [`Closed`] where it never was.
    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<(), Closed> {
        let id = self.publish_unacknowledged(topic, payload)?;
        let answer = self.receive()?;
        assert_eq!(answer, Packet::PubAck(id), "the answer to PUBLISH {id}");
        Ok(())
    }

    /// Subscribes to a filter, which must be granted.
    #[track_caller]
    pub fn subscribes(&mut self, filter: &str, qos: Qos) {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        let id = self.last_id;
        self.send(&Packet::Subscribe { id, filters: vec![(filter.to_owned(), qos)] })
            .expect("sent");
        let granted = vec![Some(qos)];
        assert_eq!(self.receive(), Ok(Packet::SubAck { id, granted }), "{filter}");
    }

    /// The next message of the server: its topic, its id where it wants an acknowledgement, its payload.
    #[track_caller]
    pub fn hears(&mut self) -> (String, Option<u16>, String) {
        match self.receive() {
            Ok(Packet::Publish(it)) => {
                (it.topic.to_string(), it.id, String::from_utf8_lossy(&it.payload).into_owned())
            }
            other => panic!("expected a message and got {other:?}"),
        }
    }

    /// Publishes at QoS 0 and waits for the answer: its topic and payload.
    #[track_caller]
    pub fn asks(&mut self, topic: &str, payload: &str) -> (String, String) {
        self.publish_as(Qos::AtMostOnce, topic, payload.as_bytes()).expect("sent");
        let (topic, _, payload) = self.hears();
        (topic, payload)
    }

    /// Publishes at QoS 1 and does not wait: the packet's id.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn publish_unacknowledged(&mut self, topic: &str, payload: &[u8]) -> Result<u16, Closed> {
        self.last_id = self.last_id.checked_add(1).unwrap_or(1);
        self.publish_as(Qos::AtLeastOnce, topic, payload)
    }

    /// Publishes with any QoS and does not wait.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn publish_as(&mut self, qos: Qos, topic: &str, payload: &[u8]) -> Result<u16, Closed> {
        let id = (qos != Qos::AtMostOnce).then(|| self.last_id.max(1));
        self.send(&Packet::Publish(Publish {
            dup: false,
            qos,
            retain: false,
            topic: ByteString::from(topic),
            id,
            payload: payload.to_vec().into(),
        }))?;
        Ok(id.unwrap_or(0))
    }

    /// # Errors
    /// [`Closed`].
    pub fn send(&mut self, packet: &Packet) -> Result<(), Closed> {
        let mut bytes = BytesMut::new();
        mqtt::encode(packet, &mut bytes)
            .expect("a test sends no packet that MQTT has no length for");
        self.send_bytes(&bytes)
    }

    /// Sends what may be no packet at all.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<(), Closed> {
        self.stream.write_all(bytes).and_then(|()| self.stream.flush()).map_err(|_| Closed)
    }

    /// The next packet of the server.
    ///
    /// # Errors
    /// [`Closed`].
    pub fn receive(&mut self) -> Result<Packet, Closed> {
        loop {
            let packet = mqtt::decode(&mut self.incoming, 1 << 20);
            if let Some(packet) = packet.expect("the server sends packets") {
                return Ok(packet);
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece) {
                Ok(0) => return Err(Closed),
                Ok(count) => {
                    self.incoming.extend_from_slice(piece.get(..count).unwrap_or_default());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    panic!("the server said nothing for {PATIENCE:?}")
                }
                Err(_) => return Err(Closed),
            }
        }
    }

    /// Waits until the server closes the connection; what it still said before.
    pub fn until_closed(&mut self) -> Vec<Packet> {
        std::iter::from_fn(|| self.receive().ok()).collect()
    }

    /// Goes as a client should.
    pub fn disconnect(mut self) {
        // Who goes does not mind that the other is gone.
        let _ = self.send(&Packet::Disconnect);
    }
}
