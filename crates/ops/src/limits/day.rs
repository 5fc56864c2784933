//! How many messages a hub has had today.

use model::limits::Sku;

const MS_PER_DAY: i64 = 86_400_000;

/// The meter of a day, which begins at 00:00 UTC.
#[derive(Debug, Default)]
pub(super) struct Day {
    number: i64,
    used: u64,
}

impl Day {
    /// Messages so far.
    pub(super) fn used(&mut self, now_ms: i64) -> u64 {
        let number = now_ms.div_euclid(MS_PER_DAY);
        // A clock that was set back does not give yesterday's messages again.
        if number > self.number {
            *self = Self { number, used: 0 };
        }
        self.used
    }

    /// Counts so many more.
    ///
    /// # Errors
    /// In how many milliseconds the next day begins. Nothing was counted then.
    pub(super) fn take(&mut self, sku: Sku, messages: u64, now_ms: i64) -> Result<(), i64> {
        match self.used(now_ms).saturating_add(messages) <= sku.messages_per_day() {
            true => {
                self.charge(messages, now_ms);
                Ok(())
            }
            false => Err(MS_PER_DAY - now_ms.rem_euclid(MS_PER_DAY)),
        }
    }

    /// Counts what was only known once it was there.
    pub(super) fn charge(&mut self, messages: u64, now_ms: i64) {
        self.used = self.used(now_ms).saturating_add(messages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_takes_its_messages_and_the_next_as_many_again() {
        let sku: Sku = "F1".parse().unwrap();
        let noon = 100 * MS_PER_DAY + MS_PER_DAY / 2;
        let mut day = Day::default();
        assert_eq!(day.take(sku, 8_000, noon), Ok(()));
        assert_eq!(day.take(sku, 1, noon), Err(MS_PER_DAY / 2));
        assert_eq!(day.take(sku, 1, 101 * MS_PER_DAY - 1), Err(1));
        // Set back by a day.
        assert_eq!(day.take(sku, 1, noon - MS_PER_DAY), Err(MS_PER_DAY / 2));
        assert_eq!(day.used(101 * MS_PER_DAY - 1), 8_000);
        assert_eq!(day.used(101 * MS_PER_DAY), 0);
        assert_eq!(day.take(sku, 7_999, 101 * MS_PER_DAY), Ok(()));
        assert_eq!(day.take(sku, 2, 101 * MS_PER_DAY), Err(MS_PER_DAY));
        assert_eq!(day.take(sku, 1, 101 * MS_PER_DAY), Ok(()));
    }

    #[test]
    fn what_is_known_afterwards_counts_also_past_the_end() {
        let sku: Sku = "F1".parse().unwrap();
        let mut day = Day::default();
        day.take(sku, 8_000, 0).unwrap();
        day.charge(3, 0);
        assert_eq!(day.used(0), 8_003);
    }
}
