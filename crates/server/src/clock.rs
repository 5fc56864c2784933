//! The two clocks of the machine: the only place in the workspace that reads them.

use model::Timestamp;
use ops::env::Clock;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

#[expect(clippy::disallowed_methods, reason = "this is the clock that everybody else is given")]
pub(crate) fn system() -> Clock {
    let started = Instant::now();
    Clock {
        now: Arc::new(|| {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
        }),
        monotonic_ns: Arc::new(move || {
            u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
        }),
    }
}
