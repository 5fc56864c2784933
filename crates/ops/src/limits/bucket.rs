//! A bucket of tokens: what comes faster than its rate for longer than a burst finds it empty.

/// How long a bucket takes to fill: a burst is what a minute brings.
/// Source: IoT Hub documentation, "Throttling and traffic shaping": a hub that gets twice its rate takes all of it
/// "for the first minute or two".
pub(super) const BURST_MS: i64 = 60_000;

/// Tokens in so many parts each that a rate per minute brings whole ones in every millisecond.
const PARTS: i64 = 60_000;

/// The tokens that are left; fewer than none where more was let through than had come.
#[derive(Debug)]
pub(super) struct Bucket {
    parts: i64,
    at_ms: i64,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(per_minute: u64, now_ms: i64) -> Self {
        Self { parts: full(per_minute), at_ms: now_ms }
    }

    /// Takes so many tokens, leaving no more than `debt_ms` of the rate missing.
    ///
    /// # Errors
    /// After how many milliseconds they will be there. Nothing was taken then.
    pub(super) fn take(
        &mut self,
        per_minute: u64,
        tokens: u64,
        debt_ms: i64,
        now_ms: i64,
    ) -> Result<(), i64> {
        self.look(per_minute, tokens, debt_ms, now_ms)?;
        self.parts = self.parts.saturating_sub(parts(tokens));
        Ok(())
    }

    /// Whether they could be taken.
    ///
    /// # Errors
    /// As [`Bucket::take`].
    pub(super) fn look(
        &mut self,
        per_minute: u64,
        tokens: u64,
        debt_ms: i64,
        now_ms: i64,
    ) -> Result<(), i64> {
        self.fill(per_minute, now_ms);
        // Who asks for more than ever fits waits for a full bucket, and leaves it in debt.
        let wanted = parts(tokens).min(full(per_minute));
        let lent = debt_ms.saturating_mul(rate(per_minute));
        let missing = wanted.saturating_sub(lent).saturating_sub(self.parts);
        if missing <= 0 { Ok(()) } else { Err(time_ms(missing, per_minute)) }
    }

    /// True where it was asked within the time that fills it.
    pub(super) fn is_younger(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.at_ms) < BURST_MS
    }

    /// In how many milliseconds what was let through too early will have come.
    pub(super) fn debt_ms(&mut self, per_minute: u64, now_ms: i64) -> i64 {
        self.fill(per_minute, now_ms);
        time_ms(self.parts.min(0).saturating_neg(), per_minute)
    }

    fn fill(&mut self, per_minute: u64, now_ms: i64) {
        // A clock that was set back brings nothing, and goes on from there.
        let passed_ms = now_ms.saturating_sub(self.at_ms).max(0);
        self.at_ms = now_ms;
        let more = passed_ms.saturating_mul(rate(per_minute));
        self.parts = self.parts.saturating_add(more).min(full(per_minute));
    }
}

/// Parts that a millisecond brings: as many as tokens come in a minute.
fn rate(per_minute: u64) -> i64 {
    i64::try_from(per_minute).unwrap_or(i64::MAX / BURST_MS)
}

fn full(per_minute: u64) -> i64 {
    rate(per_minute).saturating_mul(BURST_MS)
}

fn parts(tokens: u64) -> i64 {
    i64::try_from(tokens).unwrap_or(i64::MAX).saturating_mul(PARTS)
}

fn time_ms(parts: i64, per_minute: u64) -> i64 {
    let rate = rate(per_minute).max(1);
    parts.saturating_add(rate - 1) / rate
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_of_the_rate_is_taken_at_once_and_then_no_more_than_the_rate() {
        let mut bucket = Bucket::new(100, 0);
        for taken in 0..100 {
            assert_eq!(bucket.take(100, 1, 0, 0), Ok(()), "{taken}");
        }
        assert_eq!(bucket.take(100, 1, 0, 0), Err(600));
        assert_eq!(bucket.take(100, 1, 0, 599), Err(1));
        assert_eq!(bucket.take(100, 1, 0, 600), Ok(()));
        assert_eq!(bucket.take(100, 1, 0, 600), Err(600));
        // Ten minutes bring no more than a minute does.
        assert_eq!(bucket.take(100, 100, 0, 600_600), Ok(()));
        assert_eq!(bucket.take(100, 1, 0, 600_600), Err(600));
    }

    #[test]
    fn what_was_refused_takes_nothing() {
        let mut bucket = Bucket::new(20, 0);
        assert_eq!(bucket.take(20, 19, 0, 0), Ok(()));
        assert_eq!(bucket.take(20, 2, 0, 0), Err(3_000));
        assert_eq!(bucket.take(20, 1, 0, 0), Ok(()));
    }

    #[test]
    fn a_debt_has_an_end_and_is_paid_at_the_rate() {
        let mut bucket = Bucket::new(6_000, 0);
        bucket.take(6_000, 6_000, 0, 0).unwrap();
        assert_eq!(bucket.debt_ms(6_000, 0), 0);
        // A second's worth.
        assert_eq!(bucket.take(6_000, 100, 1_000, 0), Ok(()));
        assert_eq!(bucket.take(6_000, 1, 1_000, 0), Err(10));
        assert_eq!(bucket.debt_ms(6_000, 0), 1_000);
        assert_eq!(bucket.debt_ms(6_000, 400), 600);
        assert_eq!(bucket.take(6_000, 1, 0, 1_000), Err(10));
        assert_eq!(bucket.take(6_000, 1, 0, 1_010), Ok(()));
    }

    #[test]
    fn more_than_ever_fits_is_taken_from_a_full_bucket() {
        let mut bucket = Bucket::new(20, 0);
        assert_eq!(bucket.take(20, 32, 0, 0), Ok(()));
        assert_eq!(bucket.take(20, 32, 0, 0), Err(96_000));
        assert_eq!(bucket.take(20, 1, 0, 36_000), Err(3_000));
        assert_eq!(bucket.take(20, 1, 0, 39_000), Ok(()));
    }

    #[test]
    fn a_clock_that_is_set_back_brings_nothing_and_stops_nothing() {
        let mut bucket = Bucket::new(60, 10_000);
        bucket.take(60, 60, 0, 10_000).unwrap();
        assert_eq!(bucket.take(60, 1, 0, 4_000), Err(1_000));
        assert_eq!(bucket.take(60, 1, 0, 5_000), Ok(()));
        assert_eq!(bucket.take(60, 1, 0, i64::MAX), Ok(()));
        assert_eq!(bucket.take(u64::MAX, u64::MAX, i64::MAX, i64::MIN), Ok(()));
    }
}
