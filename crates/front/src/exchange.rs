//! Requests and responses over one connection: HTTP/1.1 or HTTP/2, with its limits and its end. Over HTTP/1.1 it may
//! become something else, which goes on when this has returned.
//!
//! A connection ends when its peer leaves, when nothing happens on it for [`IDLE`], or when the server
//! stops; in the last two cases calls that run are answered first. A peer that is slow to send a request, or
//! slow to read a response, holds its connection for a bounded time.

use crate::answer::Reply;
use crate::connections::{DRAIN, stopped};
use crate::sent::Sent;
use crate::tasks::{Streams, Tasks};
use hyper::Request;
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Largest head of a request, in bytes: the line and all headers, a token among them.
pub(crate) const HEADER_BYTES_MAX: usize = 64 << 10;
/// Most headers of a request.
pub(crate) const HEADERS_MAX: usize = 100;
/// Longest time for the head of a request, and between two requests over HTTP/1.1.
pub(crate) const HEADER_DEADLINE: Duration = Duration::from_secs(30);
/// A connection on which nothing happened for this long is closed, within the same time once more.
pub(crate) const IDLE: Duration = Duration::from_secs(60);
/// Most requests at once over one HTTP/2 connection.
pub(crate) const STREAMS_MAX: u32 = 128;

/// How long a closing connection waits for a peer that asks for nothing.
const LINGER: Duration = Duration::from_secs(2);

/// What both ends agreed to speak.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Answers each request of a connection with `respond` until the connection ends.
pub(crate) async fn converse<S, R, F>(
    stream: S,
    protocol: Protocol,
    stop: watch::Receiver<bool>,
    respond: R,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    R: Fn(Request<Incoming>) -> F,
    F: Future<Output = Reply> + Send + 'static,
{
    let pulse = Arc::new(Pulse::default());
    let counted = Arc::clone(&pulse);
    let service = service_fn(move |request| {
        let (turn, counted) = (Turn::begin(&counted), Arc::clone(&counted));
        let reply = respond(request);
        async move {
            let _turn = turn;
            let mut reply = reply.await;
            reply.body_mut().report_to(&counted);
            Ok::<_, Infallible>(reply)
        }
    });
    let stream = TokioIo::new(stream);
    match protocol {
        Protocol::Http1 => {
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_DEADLINE)
                .max_header_size(HEADER_BYTES_MAX)
                .max_headers(HEADERS_MAX)
                .serve_connection(stream, service)
                .with_upgrades();
            drive(connection, &pulse, stop).await;
        }
        Protocol::Http2 => {
            let tasks = Arc::new(Tasks::default());
            let header_list_bytes_max = u32::try_from(HEADER_BYTES_MAX).unwrap_or(u32::MAX);
            let connection = http2::Builder::new(Streams::of(&tasks))
                .timer(TokioTimer::new())
                .max_concurrent_streams(STREAMS_MAX)
                .max_header_list_size(header_list_bytes_max)
                .serve_connection(stream, service);
            drive(connection, &pulse, stop).await;
        }
    }
}

/// A connection that can be asked to end.
trait Ending: Future {
    /// Answers what runs, and takes nothing more.
    fn end(self: Pin<&mut Self>);
}

impl<I, S> Ending for http1::UpgradeableConnection<I, S>
where
    S: HttpService<Incoming, ResBody = Sent>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: Read + Write + Unpin + Send + 'static,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

impl<I, S> Ending for http2::Connection<I, S, Streams>
where
    S: HttpService<Incoming, ResBody = Sent>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    I: Read + Write + Unpin,
{
    fn end(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }
}

async fn drive<C: Ending>(connection: C, pulse: &Pulse, mut stop: watch::Receiver<bool>) {
    let mut connection = pin!(connection);
    let mut seen = 0;
    loop {
        // How a connection failed is its peer's affair: there is nobody left to tell.
        tokio::select! {
            _ = connection.as_mut() => return,
            () = stopped(&mut stop) => break,
            () = sleep(IDLE) => if pulse.is_idle_since(&mut seen) { break },
        }
    }
    connection.as_mut().end();
    let _ = timeout(DRAIN, async {
        while timeout(LINGER, connection.as_mut()).await.is_err() {
            if pulse.is_idle_since(&mut seen) {
                return;
            }
        }
    })
    .await;
}

/// What a connection is doing.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    running: AtomicUsize,
    begun: AtomicU64,
}

impl Pulse {
    /// Notes that something of a long answer has gone.
    pub(crate) fn beat(&self) {
        self.begun.fetch_add(1, Ordering::AcqRel);
    }

    /// True where no request runs, and none has begun and nothing of an answer has gone since `seen` was last noted.
    fn is_idle_since(&self, seen: &mut u64) -> bool {
        let begun = self.begun.load(Ordering::Acquire);
        let is_idle = self.running.load(Ordering::Acquire) == 0 && begun == *seen;
        *seen = begun;
        is_idle
    }
}

/// One request, from its head to its response.
struct Turn(Arc<Pulse>);

impl Turn {
    fn begin(pulse: &Arc<Pulse>) -> Self {
        pulse.running.fetch_add(1, Ordering::AcqRel);
        pulse.begun.fetch_add(1, Ordering::AcqRel);
        Self(Arc::clone(pulse))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
