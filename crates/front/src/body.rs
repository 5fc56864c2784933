//! A request's body, read once, up to a limit that the caller names and in bounded time.
//!
//! A call that is refused leaves its body unread. Over HTTP/1.1 such a body is swallowed before the answer
//! leaves, up to a bound: a connection that is closed while its peer still sends is reset, and the peer
//! never sees why it was refused.

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use ops::call::{BodyFault, BodyReader, Taker};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::timeout;

/// Longest time without a byte.
pub(crate) const BODY_IDLE: Duration = Duration::from_secs(30);
/// Longest time for a whole body, however steadily it trickles.
pub(crate) const BODY_DEADLINE: Duration = Duration::from_secs(300);
/// The same where the bytes go on as they come: those of a large blob.
pub(crate) const STREAM_DEADLINE: Duration = Duration::from_secs(3_600);
/// Most bytes of an unread body that are swallowed: twice the largest body that any call takes, so that a
/// body somewhat past its limit still gets its answer. They are not kept.
pub(crate) const SWALLOW_BYTES_MAX: usize = 16 << 20;
/// Longest time for that.
pub(crate) const SWALLOW_DEADLINE: Duration = Duration::from_secs(2);

/// A body until somebody reads it to its end.
pub(crate) struct Unread<B>(Arc<Mutex<Option<B>>>);

impl<B> Unread<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Send,
{
    pub(crate) fn new(body: B) -> Self {
        Self(Arc::new(Mutex::new(Some(body))))
    }

    /// Reads the body when it is asked to, and not before.
    pub(crate) fn reader(&self) -> BodyReader {
        let held = Self(Arc::clone(&self.0));
        Box::new(move |limit, taker| {
            Box::pin(async move {
                let Some(mut body) = held.take() else { return Err(BodyFault::Incomplete) };
                let deadline = if taker.is_some() { STREAM_DEADLINE } else { BODY_DEADLINE };
                let read = timeout(deadline, collect(&mut body, limit, taker)).await;
                let read = read.unwrap_or(Err(BodyFault::Incomplete));
                if read == Err(BodyFault::TooLarge) {
                    held.put_back(body);
                }
                read
            })
        })
    }

    /// Takes in what nobody read, up to [`SWALLOW_BYTES_MAX`] and for [`SWALLOW_DEADLINE`].
    pub(crate) async fn swallow(self) {
        let Some(mut body) = self.take() else { return };
        if body.size_hint().lower() > SWALLOW_BYTES_MAX as u64 {
            return;
        }
        let swallow = async {
            let mut swallowed = 0_usize;
            while swallowed <= SWALLOW_BYTES_MAX
                && let Some(Ok(frame)) = body.frame().await
            {
                swallowed = swallowed.saturating_add(frame.data_ref().map_or(0, Bytes::len));
            }
        };
        // Past the bounds the peer may well be reset: it sends what it was told not to.
        let _ = timeout(SWALLOW_DEADLINE, swallow).await;
    }

    fn take(&self) -> Option<B> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn put_back(&self, body: B) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
    }
}

async fn collect<B>(body: &mut B, limit: usize, taker: Taker) -> Result<Bytes, BodyFault>
where
    B: Body<Data = Bytes> + Unpin,
{
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyFault::TooLarge);
    }
    // Grows with what came, never with what was announced.
    let mut collected = BytesMut::new();
    let mut taken = 0_usize;
    loop {
        let frame = match timeout(BODY_IDLE, body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(None) => return Ok(collected.freeze()),
            Ok(Some(Err(_))) | Err(_) => return Err(BodyFault::Incomplete),
        };
        // Trailers mean nothing to any operation.
        let Ok(data) = frame.into_data() else { continue };
        taken = taken.saturating_add(data.len());
        if taken > limit {
            return Err(BodyFault::TooLarge);
        }
        match &taker {
            None => collected.extend_from_slice(&data),
            // Whoever takes it has a reason to stop, and tells it.
            Some(taker) => taker.send(data).await.map_err(|_| BodyFault::Incomplete)?,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use hyper::body::Frame;
    use std::pin::Pin;
    use std::task::{Context, Poll};
    use tokio::time::{Instant, Sleep, sleep};

    /// Sends `chunk` again and again, each after a pause, `times` times; then ends, or breaks.
    struct Trickle {
        chunk: &'static [u8],
        times: usize,
        pause: Duration,
        breaks: bool,
        wait: Pin<Box<Sleep>>,
    }

    fn trickle(chunk: &'static [u8], times: usize, pause_s: u64, breaks: bool) -> Trickle {
        let pause = Duration::from_secs(pause_s);
        Trickle { chunk, times, pause, breaks, wait: Box::pin(sleep(pause)) }
    }

    impl Body for Trickle {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            if self.wait.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let next = Instant::now() + self.pause;
            self.wait.as_mut().reset(next);
            if self.times == 0 {
                return Poll::Ready(self.breaks.then_some(Err("broken")));
            }
            self.times -= 1;
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(self.chunk)))))
        }
    }

    fn reader<B>(body: B) -> BodyReader
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        Unread::new(body).reader()
    }

    #[tokio::test]
    async fn a_body_of_the_limit_is_read_and_one_byte_more_is_not() {
        let full = |bytes: usize| Full::new(Bytes::from(vec![b'a'; bytes]));
        assert_eq!(reader(full(10))(10, None).await.unwrap().len(), 10);
        assert_eq!(reader(full(11))(10, None).await.unwrap_err(), BodyFault::TooLarge);
        assert_eq!(reader(full(0))(0, None).await.unwrap().len(), 0);
        assert_eq!(reader(full(1))(0, None).await.unwrap_err(), BodyFault::TooLarge);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unannounced_body_is_counted_as_it_comes() {
        assert_eq!(reader(trickle(b"abc", 3, 1, false))(9, None).await.unwrap(), "abcabcabc");
        assert_eq!(
            reader(trickle(b"abc", 3, 1, false))(8, None).await.unwrap_err(),
            BodyFault::TooLarge
        );
        assert_eq!(
            reader(trickle(b"abc", usize::MAX, 0, false))(1 << 20, None).await.unwrap_err(),
            BodyFault::TooLarge
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_stops_or_breaks_is_incomplete() {
        assert_eq!(reader(trickle(b"abc", 3, 29, false))(99, None).await.unwrap(), "abcabcabc");
        assert_eq!(
            reader(trickle(b"abc", 3, 31, false))(99, None).await.unwrap_err(),
            BodyFault::Incomplete
        );
        assert_eq!(
            reader(trickle(b"abc", 3, 1, true))(99, None).await.unwrap_err(),
            BodyFault::Incomplete
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_somebody_takes_goes_on_as_it_comes_up_to_its_limit() {
        let (taker, mut taken) = tokio::sync::mpsc::channel(1);
        let read = reader(trickle(b"abc", 3, 1, false))(9, Some(taker));
        let take = async {
            let mut all = Vec::new();
            while let Some(chunk) = taken.recv().await {
                all.push(chunk);
            }
            all.concat()
        };
        let (read, taken) = tokio::join!(read, take);
        assert_eq!((read.unwrap().len(), taken.as_slice()), (0, b"abcabcabc".as_slice()));
        let (taker, mut taken) = tokio::sync::mpsc::channel(4);
        let read = reader(trickle(b"abc", 3, 1, false))(8, Some(taker));
        assert_eq!(read.await.unwrap_err(), BodyFault::TooLarge);
        assert_eq!(taken.recv().await.unwrap().len(), 3);
        // Who takes no more ends the reading.
        let (taker, taken) = tokio::sync::mpsc::channel(1);
        drop(taken);
        let read = reader(trickle(b"abc", usize::MAX, 1, false))(9, Some(taker));
        assert_eq!(read.await.unwrap_err(), BodyFault::Incomplete);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_trickles_for_ever_ends_at_a_deadline() {
        let started = Instant::now();
        assert_eq!(
            reader(trickle(b"a", usize::MAX, 10, false))(1 << 20, None).await.unwrap_err(),
            BodyFault::Incomplete
        );
        assert_eq!(started.elapsed(), BODY_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unread_body_is_swallowed_within_bounds() {
        let swallow = |body: Trickle| async move {
            let started = Instant::now();
            let unread = Unread::new(body);
            let seen = Arc::clone(&unread.0);
            unread.swallow().await;
            assert!(seen.lock().unwrap().is_none());
            started.elapsed()
        };
        assert_eq!(swallow(trickle(b"abc", 0, 1, false)).await, Duration::from_secs(1));
        let chunk = &[b'a'; 64 << 10];
        assert!(swallow(trickle(chunk, usize::MAX, 0, false)).await < SWALLOW_DEADLINE);
        assert_eq!(swallow(trickle(b"abc", usize::MAX, 1, false)).await, SWALLOW_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_was_too_large_is_swallowed_too() {
        let unread = Unread::new(trickle(b"abc", 9, 0, false));
        assert_eq!(unread.reader()(5, None).await.unwrap_err(), BodyFault::TooLarge);
        assert!(unread.0.lock().unwrap().is_some());
        let read = Unread::new(trickle(b"abc", 1, 0, false));
        assert_eq!(read.reader()(5, None).await.unwrap(), "abc");
        assert!(read.0.lock().unwrap().is_none());
        assert_eq!(read.reader()(5, None).await.unwrap_err(), BodyFault::Incomplete);
    }
}
