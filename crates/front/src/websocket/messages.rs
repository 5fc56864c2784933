//! A WebSocket as a stream of bytes: binary messages, one behind the other, their borders of no meaning.
//!
//! Masks, fragments and control frames are the library's affair, and so are its limits. What it or this refuses ends
//! the connection with the code that says why.

use bytes::{Buf as _, Bytes};
use futures_util::{Sink as _, Stream as _};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Largest message of a client, whole or in fragments: the largest packet that any protocol here takes, and room
/// for those that came before it.
pub(crate) const MESSAGE_BYTES_MAX: usize = 512 << 10;
/// Largest message of ours.
const WRITE_BYTES_MAX: usize = 16 << 10;
/// Most bytes of messages that wait to be written, beyond one.
const WAITING_BYTES_MAX: usize = 64 << 10;
const READ_BUFFER_BYTES: usize = 4 << 10;

/// How many bytes a client may still send, frames and all, until somebody lifts it: a client that has proven nothing
/// must not make us keep a long message. Clones share it.
#[derive(Clone, Debug)]
pub(crate) struct Allowance(Arc<AtomicUsize>);

impl Allowance {
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// From here on everything may come.
    pub(crate) fn lift(&self) {
        self.0.store(usize::MAX, Ordering::Release);
    }

    /// Takes so many bytes; `false` where there are fewer left.
    fn take(&self, bytes: usize) -> bool {
        let taken = self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| match left {
            usize::MAX => Some(left),
            _ => left.checked_sub(bytes),
        });
        taken.is_ok()
    }
}

/// A WebSocket as a stream of bytes.
pub(crate) struct Messages<S> {
    socket: WebSocketStream<Metered<S>>,
    incoming: Bytes,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The client is being told why it ends.
    Closing,
    Closed,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Messages<S> {
    /// Takes over a connection whose client was answered that it has a WebSocket.
    pub(crate) async fn new(stream: S, allowance: Allowance) -> Self {
        let mut config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(WAITING_BYTES_MAX);
        config.max_message_size = Some(MESSAGE_BYTES_MAX);
        config.max_frame_size = Some(MESSAGE_BYTES_MAX);
        let metered = Metered { stream, allowance };
        let socket = WebSocketStream::from_raw_socket(metered, Role::Server, Some(config)).await;
        Self { socket, incoming: Bytes::new(), state: State::Open }
    }

    /// Tells the client why it ends; what it says from here on is not read.
    fn refuse(&mut self, code: CloseCode, reason: &'static str) {
        self.state = State::Closing;
        let frame = CloseFrame { code, reason: reason.into() };
        // A client that takes nothing more is not told.
        let _ = Pin::new(&mut self.socket).start_send(Message::Close(Some(frame)));
    }

    fn socket(&mut self) -> Pin<&mut WebSocketStream<Metered<S>>> {
        Pin::new(&mut self.socket)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Messages<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            if !this.incoming.is_empty() {
                let count = this.incoming.len().min(into.remaining());
                into.put_slice(&this.incoming.split_to(count));
                return Poll::Ready(Ok(()));
            }
            match this.state {
                State::Open => {}
                State::Closing => {
                    let _ = ready!(this.socket().poll_flush(context));
                    this.state = State::Closed;
                    return Poll::Ready(Ok(()));
                }
                State::Closed => return Poll::Ready(Ok(())),
            }
            match ready!(this.socket().poll_next(context)) {
                Some(Ok(Message::Binary(message))) => this.incoming = message,
                Some(Ok(Message::Text(_))) => {
                    this.refuse(CloseCode::Unsupported, "messages are binary");
                }
                // The library answers a ping; a pong and an empty message say nothing.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Ok(Message::Close(_))) => this.state = State::Closing,
                Some(Err(Error::Capacity(_))) => {
                    this.refuse(CloseCode::Size, "a message is too long")
                }
                Some(Err(Error::Protocol(_))) => {
                    this.refuse(CloseCode::Protocol, "this is no WebSocket frame of a client");
                }
                Some(Err(Error::Utf8(_))) => this.refuse(CloseCode::Invalid, "this is no text"),
                Some(Err(Error::Io(error))) if error.kind() == io::ErrorKind::QuotaExceeded => {
                    this.refuse(CloseCode::Policy, "too much came before a sign-in");
                }
                Some(Err(_)) | None => this.state = State::Closed,
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Messages<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.socket().poll_ready(context)).map_err(io::Error::other)?;
        let mut message = bytes;
        let count = bytes.len().min(WRITE_BYTES_MAX);
        let message = message.copy_to_bytes(count);
        self.socket().start_send(Message::Binary(message)).map_err(io::Error::other)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket().poll_flush(context).map_err(io::Error::other)
    }

    /// Says good-bye as a WebSocket does, then as its connection does.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // One that is closed already has heard it.
        let _ = ready!(self.socket().poll_close(context));
        Pin::new(self.socket.get_mut()).poll_shutdown(context)
    }
}

/// A connection that reads no more than it is allowed to.
struct Metered<S> {
    stream: S,
    allowance: Allowance,
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, into))?;
        match self.allowance.take(into.filled().len().saturating_sub(before)) {
            true => Poll::Ready(Ok(())),
            false => Poll::Ready(Err(io::ErrorKind::QuotaExceeded.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
