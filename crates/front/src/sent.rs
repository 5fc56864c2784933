//! The body of an answer: bytes that are there, or bytes that are read from the disk as they are sent, in bounded memory.

use crate::exchange::Pulse;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use ops::blobs::Content;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// A read that is under way, with what it leaves to read.
type Reading = Pin<Box<dyn Future<Output = (Content, io::Result<Option<Bytes>>)> + Send>>;

pub(crate) enum Sent {
    Whole(Full<Bytes>),
    Read {
        left: u64,
        reading: Reading,
        pulse: Option<Arc<Pulse>>,
    },
    /// All was sent, or the disk failed, which the client sees as an answer that does not end.
    Done,
}

impl Sent {
    pub(crate) fn read(content: Content) -> Self {
        Self::Read { left: content.length(), reading: next(content), pulse: None }
    }

    /// A connection whose answer goes on is not idle: it is told of each piece.
    pub(crate) fn report_to(&mut self, connection: &Arc<Pulse>) {
        if let Self::Read { pulse, .. } = self {
            *pulse = Some(Arc::clone(connection));
        }
    }
}

fn next(mut content: Content) -> Reading {
    Box::pin(async move {
        let chunk = content.next().await;
        (content, chunk)
    })
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        match this {
            Self::Whole(whole) => {
                let frame = Pin::new(whole).poll_frame(context);
                frame.map(|it| it.map(|it| it.map_err(|never| match never {})))
            }
            Self::Read { left, reading, pulse } => {
                let Poll::Ready((content, chunk)) = reading.as_mut().poll(context) else {
                    return Poll::Pending;
                };
                match chunk {
                    Ok(Some(chunk)) => {
                        if let Some(pulse) = pulse {
                            pulse.beat();
                        }
                        (*left, *reading) = (content.length(), next(content));
                        Poll::Ready(Some(Ok(Frame::data(chunk))))
                    }
                    Ok(None) => {
                        *this = Self::Done;
                        Poll::Ready(None)
                    }
                    Err(error) => {
                        *this = Self::Done;
                        Poll::Ready(Some(Err(error)))
                    }
                }
            }
            Self::Done => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(whole) => whole.is_end_stream(),
            Self::Read { left, .. } => *left == 0,
            Self::Done => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(whole) => whole.size_hint(),
            Self::Read { left, .. } => SizeHint::with_exact(*left),
            Self::Done => SizeHint::with_exact(0),
        }
    }
}
