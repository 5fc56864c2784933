//! Shared access signatures of storage: the query that opens an account, a container or a blob for whoever holds it.
//!
//! There are three: of an account, of a container or blob by a key of the account, and of a container or blob by a
//! *user delegation key*, which stands for whoever asked for it. What is signed depends on the version that the
//! signature names. Source: Azure Storage services REST API, "Create an account SAS", "Create a service SAS", "Create a
//! user delegation SAS", and the public client libraries.

use super::sign;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::collections::BTreeMap;
use std::fmt;

/// The oldest version whose signatures are read; the public libraries have sent later ones for years.
pub const VERSION_MIN: &str = "2015-04-05";
/// Most bytes of all fields.
pub const BYTES_MAX: usize = 8 << 10;

/// The fields that a signature may have.
const FIELDS: &[&str] = &[
    "sv", "sr", "ss", "srt", "sp", "st", "se", "si", "sip", "spr", "ses", "snapshot", "sig",
    "skoid", "sktid", "skt", "ske", "sks", "skv", "saoid", "suoid", "scid", "skdutid", "sduoid",
    "srh", "srq", "rscc", "rscd", "rsce", "rscl", "rsct",
];

/// Whose key has signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The account's, for the account.
    Account,
    /// The account's, for a container or blob.
    Service,
    /// A user delegation key, likewise.
    Delegation,
}

/// What a signature is asked to open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place<'a> {
    pub account: &'a str,
    pub container: &'a str,
    /// Decoded; empty for the container itself.
    pub blob: &'a str,
}

/// The query is no shared access signature that is served here. Repeats no value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotASas {
    TooLong,
    Missing(&'static str),
    Twice(&'static str),
    /// It says something that is not served.
    NotServed(&'static str),
    /// A value that cannot be read.
    Unreadable(&'static str),
}

impl fmt::Display for NotASas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "it is longer than {BYTES_MAX} bytes"),
            Self::Missing(field) => write!(f, "it has no `{field}`"),
            Self::Twice(field) => write!(f, "it has `{field}` more than once"),
            Self::NotServed(field) => write!(f, "what its `{field}` says is not served here"),
            Self::Unreadable(field) => write!(f, "its `{field}` cannot be read"),
        }
    }
}

impl std::error::Error for NotASas {}

/// A signature by its fields, as they stand in the query, decoded once. No `Debug`: it opens what it opens.
#[derive(Clone, PartialEq, Eq)]
pub struct Sas(BTreeMap<&'static str, String>);

impl Sas {
    /// Takes the fields of a signature out of a query; none where it has no `sig`.
    ///
    /// # Errors
    /// [`NotASas`], which names the field.
    pub fn read(query: &[(String, String)]) -> Result<Option<Self>, NotASas> {
        let mut fields = BTreeMap::new();
        let mut bytes = 0_usize;
        for (name, value) in query {
            let Some(known) = FIELDS.iter().find(|it| name.eq_ignore_ascii_case(it)) else {
                continue;
            };
            bytes = bytes.saturating_add(value.len());
            if fields.insert(*known, value.clone()).is_some() {
                return Err(NotASas::Twice(known));
            }
        }
        if !fields.contains_key("sig") {
            return Ok(None);
        }
        if bytes > BYTES_MAX {
            return Err(NotASas::TooLong);
        }
        let sas = Self(fields);
        let must: &[&'static str] = match sas.kind() {
            Kind::Account => &["sv", "ss", "srt", "sp", "se"],
            Kind::Service => &["sv", "sr", "sp", "se"],
            Kind::Delegation => &["sv", "sr", "sp", "se", "sktid", "skt", "ske", "sks", "skv"],
        };
        if let Some(missing) = must.iter().find(|it| sas.get(it).is_empty()) {
            return Err(match sas.get("si").is_empty() {
                true => NotASas::Missing(missing),
                false => NotASas::NotServed("si"),
            });
        }
        let version = sas.get("sv");
        let is_version =
            version.len() == 10 && version.bytes().all(|it| it.is_ascii_digit() || it == b'-');
        if !is_version || version < VERSION_MIN {
            return Err(NotASas::Unreadable("sv"));
        }
        // Each narrows what the signature opens: what is not enforced must not be taken.
        let unserved =
            ["si", "snapshot", "ses", "srh", "srq", "sduoid", "skdutid", "saoid", "suoid"];
        if let Some(field) = unserved.iter().find(|it| !sas.get(it).is_empty()) {
            return Err(NotASas::NotServed(field));
        }
        if sas.kind() != Kind::Account && !["b", "c"].contains(&sas.get("sr")) {
            return Err(NotASas::NotServed("sr"));
        }
        Ok(Some(sas))
    }

    /// A signature that is still to be made, of its fields.
    pub fn new<'a>(fields: impl IntoIterator<Item = (&'static str, &'a str)>) -> Self {
        Self(fields.into_iter().map(|(name, value)| (name, value.to_owned())).collect())
    }

    /// A field; empty where it is not there.
    pub fn get(&self, field: &str) -> &str {
        self.0.get(field).map_or("", String::as_str)
    }

    pub fn kind(&self) -> Kind {
        match (
            self.get("skoid").is_empty(),
            self.get("ss").is_empty() && self.get("srt").is_empty(),
        ) {
            (false, _) => Kind::Delegation,
            (true, false) => Kind::Account,
            (true, true) => Kind::Service,
        }
    }

    /// What was signed, if the signature is for this place: one for a container is for every blob in it.
    pub fn text(&self, place: &Place<'_>) -> String {
        let version = self.get("sv");
        let Place { account, container, blob } = place;
        let resource = match self.get("sr") {
            "b" => format!("/blob/{account}/{container}/{blob}"),
            _ => format!("/blob/{account}/{container}"),
        };
        let since = |first: &str, names: &'static [&'static str]| match version >= first {
            true => names,
            false => &[],
        };
        let lines = |groups: &[&[&str]]| {
            let all = groups.iter().flat_map(|it| it.iter());
            all.map(|it| self.get(it)).collect::<Vec<_>>().join("\n")
        };
        let ses = since("2020-12-06", &["ses"]);
        let tail: &[&str] = &["rscc", "rscd", "rsce", "rscl", "rsct"];
        let sr = since("2018-11-09", &["sr", "snapshot"]);
        let time: &[&str] = &["sp", "st", "se"];
        let way: &[&str] = &["sip", "spr", "sv"];
        match self.kind() {
            Kind::Account => {
                let fields: &[&str] = &["sp", "ss", "srt", "st", "se"];
                format!("{account}\n{}\n", lines(&[fields, way, ses]))
            }
            Kind::Service => {
                format!("{}\n{resource}\n{}", lines(&[time]), lines(&[&["si"], way, sr, ses, tail]))
            }
            Kind::Delegation => {
                let key: &[&str] = &["skoid", "sktid", "skt", "ske", "sks", "skv"];
                let agents = since("2020-02-10", &["saoid", "suoid", "scid"]);
                let users = since("2025-07-05", &["skdutid", "sduoid"]);
                let request = since("2026-04-06", &["srh", "srq"]);
                let rest = lines(&[key, agents, users, way, sr, ses, request, tail]);
                format!("{}\n{resource}\n{rest}", lines(&[time]))
            }
        }
    }

    /// The query that opens the place, signed. `key` is decoded from base64.
    pub fn signed(&self, place: &Place<'_>, key: &[u8]) -> String {
        let signature = sign(key, &self.text(place));
        let all = self.0.iter().map(|(name, value)| (*name, value.as_str()));
        let pairs = all.chain([("sig", signature.as_str())]);
        let pairs = pairs.map(|(name, value)| {
            format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place { account: "acc", container: "logs", blob: "a/b c" };

    fn pairs(text: &str) -> Vec<(String, String)> {
        let pairs = text.split('&').filter_map(|it| it.split_once('='));
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[track_caller]
    fn text(query: &str) -> String {
        Sas::read(&pairs(query)).ok().flatten().unwrap().text(&PLACE)
    }

    #[test]
    fn the_texts_are_those_that_are_published() {
        assert_eq!(
            text("sv=2022-11-02&ss=b&srt=sco&sp=rl&st=S&se=E&spr=https&sig=x"),
            "acc\nrl\nb\nsco\nS\nE\n\nhttps\n2022-11-02\n\n"
        );
        assert_eq!(
            text("sv=2019-12-12&ss=b&srt=s&sp=r&se=E&sig=x"),
            "acc\nr\nb\ns\n\nE\n\n\n2019-12-12\n"
        );
        assert_eq!(
            text("sv=2022-11-02&sr=b&sp=r&st=S&se=E&sip=10.0.0.1&rsct=text/plain&sig=x"),
            "r\nS\nE\n/blob/acc/logs/a/b c\n\n10.0.0.1\n\n2022-11-02\nb\n\n\n\n\n\n\ntext/plain"
        );
        assert_eq!(
            text("sv=2018-03-28&sr=c&sp=r&se=E&sig=x"),
            "r\n\nE\n/blob/acc/logs\n\n\n\n2018-03-28\n\n\n\n\n"
        );
        let delegated = "sr=c&sp=r&se=E&skoid=O&sktid=T&skt=KS&ske=KE&sks=b&skv=V&sig=x";
        assert_eq!(
            text(&format!("sv=2022-11-02&{delegated}")),
            "r\n\nE\n/blob/acc/logs\nO\nT\nKS\nKE\nb\nV\n\n\n\n\n\n2022-11-02\nc\n\n\n\n\n\n\n"
        );
        assert_eq!(
            text(&format!("sv=2026-04-06&{delegated}")),
            "r\n\nE\n/blob/acc/logs\nO\nT\nKS\nKE\nb\nV\n\n\n\n\n\n\n\n2026-04-06\nc\n\n\n\n\n\n\n\n\n"
        );
    }

    #[test]
    fn what_is_signed_reads_back() {
        let made = Sas::new([
            ("sv", "2022-11-02"),
            ("sr", "b"),
            ("sp", "cw"),
            ("se", "2026-01-01T00:00:00Z"),
        ]);
        let query = made.signed(&PLACE, b"key");
        let decoded: Vec<(String, String)> = pairs(&query)
            .into_iter()
            .map(|(name, it)| {
                (
                    name,
                    percent_encoding::percent_decode_str(&it).decode_utf8().unwrap().into_owned(),
                )
            })
            .collect();
        let read = Sas::read(&decoded).ok().flatten().unwrap();
        assert_eq!(read.text(&PLACE), made.text(&PLACE));
        assert_eq!(read.get("sig"), sign(b"key", &made.text(&PLACE)));
        // Another container, another blob, a namesake: another text, which the signature does not fit.
        for other in [
            Place { container: "logs1", ..PLACE },
            Place { blob: "a", ..PLACE },
            Place { account: "acc1", ..PLACE },
        ] {
            assert_ne!(read.text(&other), made.text(&PLACE));
        }
    }

    #[test]
    fn what_is_not_served_is_refused_and_named() {
        let check = |query: &str, expected: NotASas| {
            assert_eq!(Sas::read(&pairs(query)).err(), Some(expected), "{query}");
        };
        let whole = "sv=2022-11-02&sr=b&sp=r&se=E&sig=x";
        assert!(Sas::read(&pairs("comp=list&prefix=sig")).is_ok_and(|it| it.is_none()));
        check("sv=2022-11-02&sr=b&sp=r&sig=x", NotASas::Missing("se"));
        check("sr=b&sp=r&se=E&sig=x", NotASas::Missing("sv"));
        check("sv=2022-11-02&ss=b&srt=o&se=E&sig=x", NotASas::Missing("sp"));
        check("sv=2022-11-02&sr=b&si=p&sig=x", NotASas::NotServed("si"));
        check(&format!("{whole}&si=p"), NotASas::NotServed("si"));
        check(&format!("{whole}&SE=E"), NotASas::Twice("se"));
        check(&format!("{whole}&snapshot=T"), NotASas::NotServed("snapshot"));
        check("sv=2022-11-02&sr=d&sp=r&se=E&sig=x", NotASas::NotServed("sr"));
        check("sv=2012-02-12&sr=b&sp=r&se=E&sig=x", NotASas::Unreadable("sv"));
        check("sv=today&sr=b&sp=r&se=E&sig=x", NotASas::Unreadable("sv"));
        check("sv=2022-11-02&sr=b&sp=r&se=E&skoid=O&sig=x", NotASas::Missing("sktid"));
        check(&format!("{whole}&rscc={}", "a".repeat(BYTES_MAX)), NotASas::TooLong);
    }
}
