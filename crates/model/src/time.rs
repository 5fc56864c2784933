//! Points in time as numbers, and their calendar text. No clock: `now` is an argument everywhere.

use std::fmt;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

const WITH_MILLIS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
const NO_ZONE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
const AMERICAN: &[BorrowedFormatItem<'_>] =
    format_description!("[month]/[day]/[year] [hour]:[minute]:[second]");
const RFC_1123: &[BorrowedFormatItem<'_>] = format_description!(
    "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
);
const TO_THE_SECOND: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");
const TO_THE_MINUTE: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]Z");
const DATE: &[BorrowedFormatItem<'_>] = format_description!("[year]-[month]-[day]");

/// The latest instant that has calendar text: the end of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    pub const fn from_seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1_000))
    }

    pub const fn millis(self) -> i64 {
        self.0
    }

    pub const fn seconds(self) -> i64 {
        self.0.div_euclid(1_000)
    }

    #[must_use]
    pub const fn plus_seconds(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds.saturating_mul(1_000)))
    }

    /// Reads RFC 3339 text; text without a zone is UTC, as clients mean it.
    pub fn parse(text: &str) -> Option<Self> {
        let moment = OffsetDateTime::parse(text, &Rfc3339)
            .or_else(|_| PrimitiveDateTime::parse(text, NO_ZONE).map(PrimitiveDateTime::assume_utc))
            .or_else(|_| {
                PrimitiveDateTime::parse(text, TO_THE_MINUTE).map(PrimitiveDateTime::assume_utc)
            })
            .or_else(|_| time::Date::parse(text, DATE).map(|it| it.midnight().assume_utc()))
            .ok()?;
        let millis = moment.unix_timestamp_nanos().div_euclid(1_000_000);
        i64::try_from(millis).ok().map(Self)
    }

    /// Reads the date of HTTP, `Sun, 22 Nov 2026 08:00:00 GMT`.
    pub fn parse_http(text: &str) -> Option<Self> {
        let moment = PrimitiveDateTime::parse(text, RFC_1123).ok()?.assume_utc();
        Some(Self::from_seconds(moment.unix_timestamp()))
    }

    /// `2026-11-22T08:00:00Z`: fractions of a second, which not everybody reads, are left out.
    pub fn rfc3339_seconds(self) -> String {
        self.format(TO_THE_SECOND)
    }

    /// `2026-11-22T08:00:00.000Z`.
    pub fn rfc3339(self) -> String {
        self.format(WITH_MILLIS)
    }

    /// `11/22/2026 08:00:00`, the form inside a hub's `Tracking ID`.
    pub fn american(self) -> String {
        self.format(AMERICAN)
    }

    /// `Sun, 22 Nov 2026 08:00:00 GMT`, as ARM shows the times of certificates.
    pub fn rfc1123(self) -> String {
        self.format(RFC_1123)
    }

    fn format(self, form: &[BorrowedFormatItem<'_>]) -> String {
        let millis = self.0.clamp(0, LAST_MS);
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
            .ok()
            .and_then(|it| it.format(form).ok())
            .unwrap_or_else(|| format!("{millis} ms"))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// True for a calendar date `YYYY-MM-DD` that exists.
pub fn is_date(text: &str) -> bool {
    text.len() == 10 && time::Date::parse(text, DATE).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_number_agree() {
        let moment = Timestamp::parse("2026-11-22T08:00:00.250Z").unwrap();
        assert_eq!(moment.rfc3339(), "2026-11-22T08:00:00.250Z");
        assert_eq!(moment.rfc3339_seconds(), "2026-11-22T08:00:00Z");
        assert_eq!(moment.american(), "11/22/2026 08:00:00");
        assert_eq!(moment.rfc1123(), "Sun, 22 Nov 2026 08:00:00 GMT");
        let second = Timestamp::from_seconds(moment.seconds());
        assert_eq!(Timestamp::parse_http("Sun, 22 Nov 2026 08:00:00 GMT"), Some(second));
        assert_eq!(Timestamp::parse_http("2026-11-22T08:00:00Z"), None);
        assert_eq!(Timestamp::parse("2026-11-22T08:00Z"), Some(second));
        assert_eq!(Timestamp::parse("2026-11-22T09:00:00.25+01:00"), Some(moment));
        assert_eq!(Timestamp::parse("2026-11-22T08:00:00").unwrap().seconds(), moment.seconds());
        assert_eq!(Timestamp::parse("22 November"), None);
        assert_eq!(Timestamp::from_millis(i64::MAX).rfc3339(), "9999-12-31T23:59:59.999Z");
        assert!(is_date("2024-02-29") && !is_date("2025-02-29") && !is_date("2025-2-1"));
    }
}
