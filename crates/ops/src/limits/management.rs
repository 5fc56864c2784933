//! How fast one caller may call resource management and sign-in, where that is limited, as Azure limits them: a burst
//! at once, then so many a second, each kind of request for itself.
//!
//! Source: Azure Resource Manager documentation, "Understand how Azure Resource Manager throttles requests": token
//! buckets for each subscription and principal. How sign-in is throttled is nowhere published; its numbers are ours.

use super::bucket::{BURST_MS, Bucket};
use crate::metrics::{head, sample};
use model::trace::{Caller, Channel};
use model::{Error, Operation, Plane, Timestamp};
use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Callers that are counted at a time; who comes when there are more pushes out who has come long ago.
const CALLERS_MAX: usize = 10_000;
/// Largest number of a burst, and of a second.
const RATE_MAX: u64 = 1_000_000;

/// What is counted apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Reads,
    Writes,
    Deletes,
    Tokens,
}

const KINDS: [(Kind, &str); 4] = [
    (Kind::Reads, "reads"),
    (Kind::Writes, "writes"),
    (Kind::Deletes, "deletes"),
    (Kind::Tokens, "tokens"),
];

impl Kind {
    fn word(self) -> &'static str {
        KINDS.iter().find(|(it, _)| *it == self).map_or("", |(_, word)| word)
    }
}

/// So many at once, and then so many a second.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Rate {
    burst: u64,
    per_second: u64,
}

/// What may come how fast; nothing is limited that is not told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Throttling(BTreeMap<Kind, Rate>);

impl FromStr for Throttling {
    type Err = String;

    /// `off`, `azure`, or kinds with their rates: `writes=200/10,tokens=50/1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let rate = |burst, per_second| Rate { burst, per_second };
        match text {
            "off" => return Ok(Self::default()),
            "azure" => {
                let all = [rate(250, 25), rate(200, 10), rate(200, 10), rate(100, 10)];
                return Ok(Self(KINDS.iter().map(|(it, _)| *it).zip(all).collect()));
            }
            _ => {}
        }
        let read = |part: &str| {
            let (word, told) = part.split_once('=')?;
            let kind = KINDS.iter().find(|(_, it)| *it == word)?.0;
            let (burst, per_second) = told.split_once('/')?;
            let number = |it: &str| it.parse().ok().filter(|it| (1..=RATE_MAX).contains(it));
            Some((kind, rate(number(burst)?, number(per_second)?)))
        };
        text.split(',').map(read).collect::<Option<_>>().map(Self).ok_or_else(|| {
            format!(
                "`off`, `azure`, or some of `reads`, `writes`, `deletes` and `tokens`, each with how many at once and \
                 how many a second, as `writes=200/10,tokens=50/1`, is expected; at most {RATE_MAX}"
            )
        })
    }
}

/// The buckets of all callers.
#[derive(Debug, Default)]
pub(super) struct Management {
    rates: Throttling,
    buckets: Mutex<BTreeMap<(String, Kind), Bucket>>,
    /// In the order of [`KINDS`].
    refused: [AtomicU64; KINDS.len()],
}

/// Whose request of which kind.
pub(crate) struct Tab {
    caller: String,
    kind: Kind,
    rate: Rate,
}

type Ask = fn(&mut Bucket, u64, u64, i64, i64) -> Result<(), i64>;

impl Management {
    pub(super) fn new(rates: Throttling) -> Self {
        Self { rates, ..Self::default() }
    }

    /// What a call counts as. Questions about decisions are nothing that Azure has.
    pub(super) fn tab(
        &self,
        operation: &Operation,
        caller: &Caller,
        channel: &Channel,
    ) -> Option<Tab> {
        let kind = match operation.plane {
            Plane::Token => Kind::Tokens,
            Plane::Control => match channel.request.split_once(' ')? {
                (_, path) if path.starts_with("/decisions") => return None,
                ("GET" | "HEAD", _) => Kind::Reads,
                ("DELETE", _) => Kind::Deletes,
                (_, _) => Kind::Writes,
            },
            Plane::Device | Plane::Service | Plane::Directory | Plane::Open => return None,
        };
        let rate = *self.rates.0.get(&kind)?;
        Some(Tab { caller: caller.key(), kind, rate })
    }

    /// Whether there is room for one more. Takes nothing.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`].
    pub(super) fn look(&self, tab: &Tab, now: Timestamp) -> Result<(), Error> {
        self.ask(tab, now, Bucket::look)
    }

    /// Counts one.
    ///
    /// # Errors
    /// As [`Management::look`].
    pub(super) fn take(&self, tab: &Tab, now: Timestamp) -> Result<(), Error> {
        self.ask(tab, now, Bucket::take)
    }

    fn ask(&self, tab: &Tab, now: Timestamp, how: Ask) -> Result<(), Error> {
        let Tab { caller, kind, rate } = tab;
        let (per_minute, now_ms) = (rate.per_second.saturating_mul(60), now.millis());
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CALLERS_MAX {
            let is_busy = |it: &Bucket| it.is_younger(now_ms);
            buckets.retain(|_, it| is_busy(it));
        }
        if buckets.len() >= CALLERS_MAX {
            buckets.pop_first();
        }
        let bucket = buckets
            .entry((caller.clone(), *kind))
            .or_insert_with(|| Bucket::new(per_minute, now_ms));
        // A bucket holds a minute. What of it is no burst stays in it; a longer burst is lent.
        let burst_ms = i64::try_from(rate.burst.saturating_mul(1_000) / rate.per_second);
        let lent_ms = burst_ms.unwrap_or(i64::MAX).saturating_sub(BURST_MS);
        let Err(wait_ms) = how(bucket, per_minute, 1, lent_ms, now_ms) else { return Ok(()) };
        drop(buckets);
        let at = KINDS.iter().position(|(it, _)| it == kind);
        if let Some(counted) = at.and_then(|it| self.refused.get(it)) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        let retry_after_s = u64::try_from(wait_ms).unwrap_or(0).div_ceil(1_000).max(1);
        Err(Error::TooManyRequests {
            message: format!(
                "too many {} of one caller: {} are taken at once, and then {} a second; try again after \
                 {retry_after_s} s.",
                match kind {
                    Kind::Tokens => "requests for tokens",
                    Kind::Reads | Kind::Writes | Kind::Deletes => kind.word(),
                },
                rate.burst,
                rate.per_second
            ),
            retry_after_s,
        })
    }

    /// What came too fast, in Prometheus' text form; nothing where nothing is limited.
    pub(super) fn render(&self) -> String {
        let mut text = String::new();
        if self.rates.0.is_empty() {
            return text;
        }
        let name = "hubward_management_throttled_total";
        head(&mut text, name, "counter", "Requests to management and sign-in that came too fast.");
        for ((_, word), refused) in KINDS.iter().zip(&self.refused) {
            sample(&mut text, name, &[("kind", word)], refused.load(Ordering::Relaxed));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_nothing_else_is() {
        let read = |text: &str| text.parse::<Throttling>();
        assert_eq!(read("off").unwrap(), Throttling::default());
        assert_eq!(read("azure").unwrap().0.len(), 4);
        let told = read("writes=200/10,tokens=5/1").unwrap().0;
        assert_eq!(told[&Kind::Tokens], Rate { burst: 5, per_second: 1 });
        assert!(!told.contains_key(&Kind::Reads));
        for wrong in
            ["", "aws", "writes", "writes=1", "writes=0/1", "writes=1/0", "x=1/1", "writes=1/1,"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("writes=1000001/1").is_err());
    }

    #[test]
    fn a_burst_is_taken_and_then_the_rate_of_each_caller() {
        let management = Management::new("writes=20/10".parse().unwrap());
        let rate = Rate { burst: 20, per_second: 10 };
        let tab = |caller: &str| Tab { caller: caller.to_owned(), kind: Kind::Writes, rate };
        let at = |ms| Timestamp::from_millis(ms);
        let taken = |caller: &str, now| {
            (0..40).filter(|_| management.take(&tab(caller), at(now)).is_ok()).count()
        };
        assert_eq!(taken("a", 0), 20);
        assert_eq!(taken("a", 500), 5);
        assert_eq!(taken("a10", 500), 20);
        management.look(&tab("a"), at(600)).unwrap();
        assert_eq!(taken("a", 10_000), 20);
        let refused = management.take(&tab("a"), at(10_000)).unwrap_err();
        assert_eq!((refused.retry_after_s(), refused.wire().http_status), (Some(1), 429));
        assert!(management.render().contains("{kind=\"writes\"} "));
    }

    #[test]
    fn a_burst_may_be_longer_than_a_minute() {
        let management = Management::new("tokens=200/1".parse().unwrap());
        let rate = Rate { burst: 200, per_second: 1 };
        let tab = Tab { caller: "a".into(), kind: Kind::Tokens, rate };
        let now = Timestamp::from_millis(0);
        assert_eq!((0..300).filter(|_| management.take(&tab, now).is_ok()).count(), 200);
    }
}
