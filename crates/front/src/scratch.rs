//! What connections read into. Thousands that wait for a message need no buffer each.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use tokio::io::{AsyncRead, ReadBuf};

/// Most bytes that one read takes; two records of TLS.
const SCRATCH_BYTES: usize = 32 << 10;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into());
}

/// Waits for bytes and hands them over; false where none will come any more. Dropping the future loses none.
pub(crate) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    mut take: impl FnMut(&[u8]),
) -> bool {
    poll_fn(|context| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            match ready!(Pin::new(&mut *stream).poll_read(context, &mut read)) {
                Ok(()) if !read.filled().is_empty() => {
                    take(read.filled());
                    Poll::Ready(true)
                }
                Ok(()) | Err(_) => Poll::Ready(false),
            }
        })
    })
    .await
}
