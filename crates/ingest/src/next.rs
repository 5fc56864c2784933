//! What the answer to an attempt means: it is done, it is tried again, or it has failed. Pure.

use std::time::Duration;

/// The first wait of an attempt that is made again; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait, whatever the server asks for.
const WAIT_MAX: Duration = Duration::from_secs(600);
/// How much a wait may differ: the many that failed together do not come back together.
const JITTER: f64 = 0.2;

/// What was answered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answered {
    /// 0 where nothing was: the connection failed.
    pub(crate) status: u16,
    /// Of an error: `AuthorizationFailed`.
    pub(crate) code: String,
    pub(crate) message: String,
    /// What Hubward says of another attempt.
    pub(crate) hint: Option<Hint>,
    /// What `Retry-After` asks for.
    pub(crate) after: Option<Duration>,
    pub(crate) tracking: Option<String>,
    pub(crate) etag: Option<String>,
}

/// `x-hubward-retry`: whether the same can succeed later, though nobody changes anything.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Hint {
    /// A role is assigned and not yet seen everywhere.
    Propagation,
    Throttle,
    Never,
}

impl Hint {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "propagation" => Some(Self::Propagation),
            "throttle" => Some(Self::Throttle),
            "never" => Some(Self::Never),
            _ => None,
        }
    }
}

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Next {
    Done,
    /// With a token that is issued now.
    WithAnotherToken,
    After(Duration),
    Failed,
}

/// How far an item is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tried {
    /// Waits that it had.
    pub(crate) waits: u32,
    /// It got another token.
    pub(crate) has_another_token: bool,
}

/// `waits_max` bounds the waits of one item, `chance` is in 0..1.
pub(crate) fn next(answered: &Answered, tried: Tried, waits_max: u32, chance: f64) -> Next {
    let again = || match tried.waits < waits_max {
        true => Next::After(wait(tried.waits, answered.after, chance)),
        false => Next::Failed,
    };
    let is_of_roles = answered.code.eq_ignore_ascii_case("AuthorizationFailed");
    match (answered.status, answered.hint) {
        (200..=299, _) => Next::Done,
        // It may have expired under way, or be older than what it is to show.
        (401, _) | (403, Some(Hint::Propagation)) if !tried.has_another_token => {
            Next::WithAnotherToken
        }
        (403, None) if is_of_roles && !tried.has_another_token => Next::WithAnotherToken,
        (403, Some(Hint::Propagation)) => again(),
        // Whoever is not Hubward does not say whether a role is missing or not seen yet.
        (403, None) if is_of_roles => again(),
        (0 | 408 | 429 | 500 | 502 | 503 | 504, _) | (_, Some(Hint::Throttle)) => again(),
        _ => Next::Failed,
    }
}

fn wait(waits: u32, asked: Option<Duration>, chance: f64) -> Duration {
    let own = FIRST_WAIT * 2_u32.saturating_pow(waits.min(16));
    let own = own.mul_f64(1.0 - JITTER + 2.0 * JITTER * chance.clamp(0.0, 1.0));
    // What is asked for is the least: nobody comes earlier.
    asked.map_or(own, |it| it.max(own)).min(WAIT_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(status: u16, code: &str, hint: Option<Hint>) -> Answered {
        Answered { status, code: code.to_owned(), hint, ..Answered::default() }
    }

    fn then(answered: &Answered, waits: u32, has_another_token: bool) -> Next {
        next(answered, Tried { waits, has_another_token }, 3, 0.5)
    }

    const S: Duration = Duration::from_secs(1);

    /// S1-28, S1-29, S1-30: waits of 1, 2 and 4 s where a role spreads, after one new token; none where it is missing.
    #[test]
    fn what_spreads_is_waited_for_and_what_is_missing_is_not() {
        let spreading = answered(403, "AuthorizationFailed", Some(Hint::Propagation));
        assert_eq!(then(&spreading, 0, false), Next::WithAnotherToken);
        for (waits, wait) in [(0, 1), (1, 2), (2, 4)] {
            assert_eq!(then(&spreading, waits, true), Next::After(S * wait));
        }
        assert_eq!(then(&spreading, 3, true), Next::Failed);
        let missing = answered(403, "AuthorizationFailed", Some(Hint::Never));
        assert_eq!(then(&missing, 0, false), Next::Failed);
        // Azure does not tell the two apart.
        let untold = answered(403, "AuthorizationFailed", None);
        assert_eq!(then(&untold, 0, false), Next::WithAnotherToken);
        assert_eq!(then(&untold, 0, true), Next::After(S));
        assert_eq!(then(&answered(403, "RequestDisallowedByPolicy", None), 0, true), Next::Failed);
    }

    #[test]
    fn expired_tokens_are_renewed_once() {
        let expired = answered(401, "InvalidAuthenticationToken", Some(Hint::Never));
        assert_eq!(then(&expired, 0, false), Next::WithAnotherToken);
        assert_eq!(then(&expired, 0, true), Next::Failed);
    }

    #[test]
    fn what_a_server_asks_for_is_the_least_wait_and_bounded() {
        let throttled = |after| Answered {
            after: Some(Duration::from_secs(after)),
            ..answered(429, "TooManyRequests", Some(Hint::Throttle))
        };
        assert_eq!(then(&throttled(7), 0, false), Next::After(S * 7));
        assert_eq!(then(&throttled(0), 1, false), Next::After(S * 2));
        assert_eq!(then(&throttled(86_400), 1, false), Next::After(WAIT_MAX));
        let wait = |chance| next(&answered(503, "", None), Tried::default(), 3, chance);
        let ms = Duration::from_millis;
        assert_eq!((wait(0.0), wait(1.0)), (Next::After(ms(800)), Next::After(ms(1_200))));
    }

    /// S1-30: nothing else is tried again.
    #[test]
    fn other_errors_fail_at_once() {
        for status in [400, 404, 405, 409, 412, 413, 422] {
            assert_eq!(then(&answered(status, "Any", Some(Hint::Never)), 0, false), Next::Failed);
        }
        for status in [0, 408, 429, 500, 502, 503, 504] {
            assert_eq!(then(&answered(status, "", None), 0, false), Next::After(S), "{status}");
        }
        for status in [200, 201, 204] {
            assert_eq!(then(&answered(status, "", None), 0, false), Next::Done);
        }
    }
}
