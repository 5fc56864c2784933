//! A WebSocket for tests: asked for with the headers that they say, then a stream of bytes in binary messages.

use crate::wire_client::{Tls, Wire};
use bytes::{Buf as _, Bytes};
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::protocol::{Message, Role, WebSocket as Socket};

/// What every client says beside the subprotocol.
const ASKED: [(&str, &str); 4] = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

/// A WebSocket, or what was left of a connection that did not become one.
pub struct WebSocket {
    socket: Socket<Tls>,
    incoming: Bytes,
}

impl WebSocket {
    /// Asks for a WebSocket at a path of an origin, and says what else the test says; the status of the answer.
    ///
    /// # Errors
    /// Where nobody listens, or the server does not prove itself or answers nothing.
    pub fn ask(
        wire: &Wire,
        origin: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> io::Result<(u16, Self)> {
        let host = origin.trim_start_matches("https://");
        let mut stream = wire.connects(host)?;
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n");
        for (name, value) in ASKED.iter().chain(headers) {
            // Writing to a `String` cannot fail.
            let _ = write!(head, "{name}: {value}\r\n");
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            answer.extend(byte);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let status = answer.split(' ').nth(1).and_then(|it| it.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(answer))?;
        let socket = Socket::from_raw_socket(stream, Role::Client, None);
        Ok((status, Self { socket, incoming: Bytes::new() }))
    }

    /// Sends bytes that are perhaps no frame.
    ///
    /// # Errors
    /// Where the server is gone.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.socket.get_mut();
        stream.write_all(bytes).and_then(|()| stream.flush())
    }

    /// Waits until the server closes; its code for why, where it said one.
    pub fn closed_with(&mut self) -> Option<u16> {
        loop {
            match self.socket.read() {
                Ok(Message::Close(frame)) => return frame.map(|it| it.code.into()),
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }
}

impl Read for WebSocket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.incoming.is_empty() {
            match self.socket.read() {
                Ok(Message::Binary(message)) => self.incoming = message,
                Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => {
                    return Ok(0);
                }
                Ok(_) => {}
                Err(Error::Io(error)) => return Err(error),
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        let count = self.incoming.len().min(into.len());
        self.incoming.split_to(count).copy_to_slice(into.get_mut(..count).unwrap_or_default());
        Ok(count)
    }
}

impl Write for WebSocket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let message = Message::Binary(Bytes::copy_from_slice(bytes));
        self.socket.send(message).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush().map_err(io::Error::other)
    }
}
