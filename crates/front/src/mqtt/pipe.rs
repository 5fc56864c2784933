//! Packets over one connection: read as many as are there, write as many as are due.

use crate::scratch;
use bytes::BytesMut;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use wire::mqtt::{ConnectCode, NotMqtt, Packet, decode, encode, encode_puback};

/// A client that takes nothing for so long is gone. Shorter than a stopping server waits.
const WRITE_DEADLINE: Duration = Duration::from_secs(8);
/// Why nothing more can be read or written.
#[derive(Debug)]
pub(super) enum Fault {
    /// The peer closed the connection, or it broke.
    Gone,
    NotMqtt(NotMqtt),
}

/// One connection.
pub(super) struct Pipe<S> {
    stream: S,
    incoming: BytesMut,
    outgoing: BytesMut,
    /// A write did not come to its end: whatever came behind it would be taken for the rest of a packet.
    is_torn: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pipe<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, incoming: BytesMut::new(), outgoing: BytesMut::new(), is_torn: false }
    }

    /// Waits for bytes. Dropping the future loses none.
    pub(super) async fn fill(&mut self) -> Result<(), Fault> {
        let Self { stream, incoming, .. } = self;
        match scratch::read(stream, |bytes| incoming.extend_from_slice(bytes)).await {
            true => Ok(()),
            false => Err(Fault::Gone),
        }
    }

    /// The next packet that is there as a whole.
    pub(super) fn next(&mut self, limit: usize) -> Result<Option<Packet>, Fault> {
        let packet = decode(&mut self.incoming, limit).map_err(Fault::NotMqtt)?;
        if self.incoming.is_empty() {
            self.incoming = BytesMut::new();
        }
        Ok(packet)
    }

    /// Waits for a packet.
    pub(super) async fn read(&mut self, limit: usize) -> Result<Packet, Fault> {
        loop {
            match self.next(limit)? {
                Some(packet) => return Ok(packet),
                None => self.fill().await?,
            }
        }
    }

    /// Puts a packet behind those that wait to be written.
    pub(super) fn put(&mut self, packet: &Packet) {
        // A packet that is too long is one of ours, and none of ours can be.
        let _ = encode(packet, &mut self.outgoing);
    }

    pub(super) fn put_ack(&mut self, id: u16) {
        encode_puback(id, &mut self.outgoing);
    }

    /// Writes what waits. Where that fails once, nothing is written any more.
    pub(super) async fn flush(&mut self) -> Result<(), Fault> {
        if self.is_torn {
            return Err(Fault::Gone);
        }
        if self.outgoing.is_empty() {
            return Ok(());
        }
        let Self { stream, outgoing, is_torn, .. } = self;
        *is_torn = true;
        let writing = async {
            stream.write_all(outgoing).await?;
            stream.flush().await
        };
        let written = timeout(WRITE_DEADLINE, writing).await;
        self.outgoing = BytesMut::new();
        match written {
            Ok(Ok(())) => {
                self.is_torn = false;
                Ok(())
            }
            Ok(Err(_)) | Err(_) => Err(Fault::Gone),
        }
    }

    /// Answers a CONNECT with a refusal and closes.
    pub(super) async fn refuse(mut self, code: ConnectCode) {
        self.put(&Packet::ConnAck { session_present: false, code });
        if self.flush().await.is_ok() {
            self.close().await;
        }
    }

    /// Says good-bye as TLS does.
    pub(super) async fn close(mut self) {
        // A peer that is gone already hears nothing, and needs not.
        let _ = timeout(WRITE_DEADLINE, self.stream.shutdown()).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, duplex};

    #[tokio::test]
    async fn packets_come_whole_whatever_the_pieces() {
        let (mut client, server) = duplex(64);
        let mut pipe = Pipe::new(server);
        let mut bytes = BytesMut::new();
        encode(&Packet::PingReq, &mut bytes).unwrap();
        encode_puback(7, &mut bytes);
        let writing = async {
            for byte in &bytes {
                client.write_all(&[*byte]).await.unwrap();
                tokio::task::yield_now().await;
            }
            client
        };
        let reading = async {
            assert_eq!(pipe.read(10).await.unwrap(), Packet::PingReq);
            assert_eq!(pipe.read(10).await.unwrap(), Packet::PubAck(7));
            pipe.read(10).await.unwrap_err()
        };
        let (_, fault) = tokio::join!(async { drop(writing.await) }, reading);
        assert!(matches!(fault, Fault::Gone), "{fault:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_gone_after_a_while() {
        let (mut client, server) = duplex(18);
        let mut pipe = Pipe::new(server);
        (0..100).for_each(|id| pipe.put_ack(id + 1));
        assert!(pipe.flush().await.is_err());
        // Part of a packet is out: a client that comes to itself must not take another for its rest.
        let mut taken = [0; 18];
        client.read_exact(&mut taken).await.unwrap();
        pipe.put_ack(101);
        assert!(pipe.flush().await.is_err());
        pipe.close().await;
        assert_eq!(client.read(&mut taken).await.unwrap(), 0);
    }
}
