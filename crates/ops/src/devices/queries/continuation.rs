//! Where the next page of a query begins, as a text that the client sends back.
//!
//! It names the last device that was looked at, so that a page neither repeats nor passes over a device that
//! was there all along, whatever is registered or deleted between pages. Whoever changes it gets what the
//! same caller could have asked for from the start; one of another query, or of another hub, is refused.

use super::super::named::Named;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Error;
use ring::digest::{SHA256, digest};

/// Longest text: a version, a digest, a number, two ids of 128 bytes, and what joins them.
const BYTES_MAX: usize = 512;
/// In front of all, so that a later form is told from this one.
const VERSION: &str = "1";

/// Where a page ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Continuation {
    /// The key of the last document that was looked at.
    pub(super) after: String,
    /// How many items are still to come, where the query has a `TOP`.
    pub(super) left: Option<u64>,
}

impl Continuation {
    /// `of` is what the pages belong to: the hub and the query.
    pub(super) fn encode(&self, of: (&str, &str)) -> String {
        let left = self.left.map_or_else(|| "-".to_owned(), |it| it.to_string());
        STANDARD.encode(format!("{VERSION} {} {left} {}", mark(of), self.after))
    }

    /// # Errors
    /// [`Error::Invalid`] where the text is none, or one of something else.
    pub(super) fn decode(text: &str, of: (&str, &str)) -> Result<Self, Error> {
        let because = "send it back as the last answer had it, with the same query";
        Self::read(text, of).ok_or_else(|| Error::invalid("x-ms-continuation", because))
    }

    fn read(text: &str, of: (&str, &str)) -> Option<Self> {
        if text.len() > BYTES_MAX {
            return None;
        }
        let text = String::from_utf8(STANDARD.decode(text).ok()?).ok()?;
        let (version, rest) = text.split_once(' ')?;
        let (marked, rest) = rest.split_once(' ')?;
        let (left, after) = rest.split_once(' ')?;
        let left = match left {
            "-" => None,
            it => Some(it.parse().ok()?),
        };
        // A device's key, or a module's.
        let (device, module) = match after.split_once('/') {
            Some((device, module)) => (device, Some(module)),
            None => (after, None),
        };
        Named::parse(device, module).ok()?;
        (version == VERSION && marked == mark(of)).then(|| Self { after: after.to_owned(), left })
    }
}

/// Tells one query of one hub from every other.
fn mark((hub, query): (&str, &str)) -> String {
    let whole = digest(&SHA256, format!("{hub}\n{query}").as_bytes());
    STANDARD.encode(whole.as_ref().get(..16).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: (&str, &str) = ("7f", "SELECT * FROM devices");

    #[test]
    fn it_reads_back_for_its_own_query_alone() {
        for (after, left) in [
            ("a b", None),
            ("pump-7/$edgeAgent", None),
            ("pump-7", None),
            ("pump-7", Some(3)),
            (&*"d".repeat(128), Some(u64::MAX)),
        ] {
            let it = Continuation { after: after.to_owned(), left };
            let text = it.encode(OF);
            let is_id = !after.contains(' ');
            assert_eq!(Continuation::read(&text, OF), is_id.then_some(it), "{after}");
            assert!(text.len() <= BYTES_MAX);
            assert_eq!(Continuation::read(&text, ("7f0", OF.1)), None);
            assert_eq!(Continuation::read(&text, ("7f", "SELECT *  FROM devices")), None);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let of = |text: &str| STANDARD.encode(text);
        let marked = mark(OF);
        assert!(Continuation::read(&of(&format!("1 {marked} - d")), OF).is_some());
        for text in ["", "x", "1", "1 - d", "2 {} - d", "1 {} -1 d", "1 {} 1", "1 {} - ", "1 x - d"]
        {
            assert_eq!(Continuation::read(&of(&text.replace("{}", &marked)), OF), None, "{text}");
        }
        assert_eq!(Continuation::read("not base64", OF), None);
        assert_eq!(Continuation::read(&"A".repeat(BYTES_MAX + 4), OF), None);
        let error = Continuation::decode("x", OF).unwrap_err();
        assert!(error.to_string().starts_with("x-ms-continuation: "), "{error}");
    }
}
