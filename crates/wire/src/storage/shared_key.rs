//! `Authorization: SharedKey {account}:{signature}` and `SharedKeyLite`: a request signed with a key of the account.
//!
//! Source: Azure Storage services REST API, "Authorize with Shared Key".

use super::sign;
use model::Timestamp;
use std::fmt::Write as _;

/// What of a request is signed.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// As it stands in the request, percent-encoded, from the first `/` on.
    pub path: &'a str,
    /// Decoded, in any order.
    pub query: &'a [(String, String)],
    /// Names in lower case. One that stands several times counts once, as its first.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Which of the two texts is signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    Full,
    Lite,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "SharedKey",
            Self::Lite => "SharedKeyLite",
        }
    }

    /// The scheme of this name, in any casing.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Full, Self::Lite].into_iter().find(|it| it.as_str().eq_ignore_ascii_case(text))
    }
}

/// The headers whose values are signed in their order, beside those that begin with `x-ms-`.
const SIGNED: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];
/// The order in which names of headers are sorted, character by character; what is not in it comes last.
/// Source: the public client libraries.
const ORDER: &[u8] = b"-!#$%&*.^_|~+\"'(),/`0123456789:;<=>?@abcdefghijklmnopqrstuvwxyz[]{}";

impl<'a> Request<'a> {
    fn header(&self, name: &str) -> &'a str {
        self.headers.iter().find(|(its, _)| *its == name).map_or("", |(_, value)| value.trim())
    }

    /// When the request says that it was made: `x-ms-date`, or `Date` where that is missing.
    pub fn date(&self) -> Option<Timestamp> {
        let own = self.header("x-ms-date");
        Timestamp::parse_http(if own.is_empty() { self.header("date") } else { own })
    }

    /// What a key of `account` signs.
    pub fn text(&self, account: &str, scheme: Scheme) -> String {
        let mut text = format!("{}\n", self.method);
        let has_own_date = !self.header("x-ms-date").is_empty();
        let plain: &[&str] = match scheme {
            Scheme::Full => &SIGNED,
            Scheme::Lite => &["content-md5", "content-type", "date"],
        };
        for name in plain {
            let value = match (*name, self.header(name)) {
                ("content-length", "0") => "",
                ("date", _) if has_own_date => "",
                (_, value) => value,
            };
            text.push_str(value);
            text.push('\n');
        }
        self.push_own_headers(&mut text);
        // Writing to a `String` cannot fail.
        let _ = write!(text, "/{account}{}", self.path);
        match scheme {
            Scheme::Full => self.push_query(&mut text),
            Scheme::Lite => {
                let comp = self.query.iter().find(|(name, _)| name.eq_ignore_ascii_case("comp"));
                if let Some((_, value)) = comp {
                    let _ = write!(text, "?comp={value}");
                }
            }
        }
        text
    }

    /// Every header that begins with `x-ms-`, sorted.
    fn push_own_headers(&self, text: &mut String) {
        let own = self.headers.iter().filter(|(name, _)| name.starts_with("x-ms-"));
        let mut own: Vec<_> = own.copied().collect();
        let place = |it: u8| ORDER.iter().position(|its| *its == it).unwrap_or(ORDER.len());
        own.sort_by(|(a, _), (b, _)| a.bytes().map(place).cmp(b.bytes().map(place)));
        own.dedup_by(|(a, _), (b, _)| a == b);
        for (name, value) in own {
            let _ = writeln!(text, "{name}:{}", value.trim());
        }
    }

    /// The query by name, the values of one name in one line.
    fn push_query(&self, text: &mut String) {
        let mut pairs: Vec<(String, &str)> = self
            .query
            .iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.as_str()))
            .collect();
        pairs.sort();
        let mut before: Option<&str> = None;
        for (name, value) in &pairs {
            let _ = match before == Some(name) {
                true => write!(text, ",{value}"),
                false => write!(text, "\n{name}:{value}"),
            };
            before = Some(name);
        }
    }

    /// The value of `Authorization` for this request. `key` is decoded from base64.
    pub fn authorization(&self, account: &str, key: &[u8]) -> String {
        let signature = sign(key, &self.text(account, Scheme::Full));
        format!("{} {account}:{signature}", Scheme::Full.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// The example of the documentation.
    #[test]
    fn the_text_is_the_one_that_is_published() {
        let query = pairs(&[("restype", "container"), ("comp", "metadata"), ("timeout", "20")]);
        let request = Request {
            method: "GET",
            path: "/mycontainer",
            query: &query,
            headers: &[
                ("x-ms-version", "2015-02-21"),
                ("host", "myaccount.blob.core.windows.net"),
                ("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"),
            ],
        };
        assert_eq!(
            request.text("myaccount", Scheme::Full),
            "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\n\
             x-ms-version:2015-02-21\n/myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20"
        );
        assert_eq!(
            request.text("myaccount", Scheme::Lite),
            "GET\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
             /myaccount/mycontainer?comp=metadata"
        );
        assert_eq!(request.date(), Timestamp::parse("2015-06-26T23:39:12Z"));
    }

    #[test]
    fn every_signed_header_has_its_line() {
        let request = Request {
            method: "PUT",
            path: "/acc/c/a%20b",
            query: &[],
            headers: &[
                ("content-length", "11"),
                ("content-type", "text/plain"),
                ("if-none-match", "*"),
                ("range", "bytes=0-1"),
                ("date", "Sun, 11 Oct 2009 21:49:13 GMT"),
                ("x-ms-meta-b", " two "),
                ("x-ms-meta-a", "one"),
            ],
        };
        assert_eq!(
            request.text("acc", Scheme::Full),
            "PUT\n\n\n11\n\ntext/plain\nSun, 11 Oct 2009 21:49:13 GMT\n\n\n*\n\nbytes=0-1\n\
             x-ms-meta-a:one\nx-ms-meta-b:two\n/acc/acc/c/a%20b"
        );
    }

    #[test]
    fn an_empty_body_has_no_length_and_an_own_date_hides_the_usual_one() {
        let headers = [("content-length", "0"), ("date", "x"), ("x-ms-date", "y")];
        let request = Request { method: "PUT", path: "/", query: &[], headers: &headers };
        assert_eq!(request.text("a", Scheme::Full), "PUT\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:y\n/a/");
        assert_eq!(request.date(), None);
    }

    #[test]
    fn several_values_of_a_name_stand_in_one_line() {
        let query = pairs(&[("Include", "b"), ("comp", "list"), ("include", "a")]);
        let request = Request { method: "GET", path: "/c", query: &query, headers: &[] };
        assert!(request.text("a", Scheme::Full).ends_with("/a/c\ncomp:list\ninclude:a,b"));
    }

    #[test]
    fn names_are_sorted_as_the_clients_sort_them() {
        let headers = [
            ("x-ms-meta-ab", "3"),
            ("x-ms-meta-a1", "2"),
            ("x-ms-meta-a_b", "1"),
            ("x-ms-meta-a-b", "0"),
        ];
        let request = Request { method: "GET", path: "/", query: &[], headers: &headers };
        let text = request.text("a", Scheme::Full);
        let order: Vec<usize> = (0..4).map(|it| text.find(&format!(":{it}\n")).unwrap()).collect();
        assert!(order.is_sorted(), "{text}");
    }
}
