//! Where blobs are: a container, as somebody has written its address.

use crate::client::{Client, EgressError};
use crate::target::{NotATarget, Target};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt;
use std::net::IpAddr;

/// What stays as it is in the path of a blob.
const PATH: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A container of an account: `https://{account}.blob.core.windows.net/{container}`, or with an address in place of the
/// name `https://{address}:{port}/{account}/{container}`. A signature that its address holds is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Container {
    /// Without a query, and without `/` at its end.
    pub(super) target: Target,
    pub account: String,
    pub name: String,
    /// A shared access signature: the query of the address; empty where there is none.
    pub(super) sas: String,
}

/// Why a text is no address of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotAContainer {
    Address(NotATarget),
    /// Nothing in it names a container, or more than that.
    Path,
    Name,
}

impl fmt::Display for NotAContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(why) => why.fmt(f),
            Self::Path => f.write_str(
                "an address of a container as `https://account.blob.core.windows.net/container` is expected",
            ),
            Self::Name => f.write_str(
                "a container is called `$root`, `$web`, `$logs`, or 3 to 63 small letters, digits and single hyphens",
            ),
        }
    }
}

impl std::error::Error for NotAContainer {}

impl Container {
    /// Reads the address of a container, with a shared access signature behind `?` or without.
    ///
    /// # Errors
    /// [`NotAContainer`].
    pub fn parse(uri: &str) -> Result<Self, NotAContainer> {
        let mut target = Target::parse(uri).map_err(NotAContainer::Address)?;
        let whole = std::mem::take(&mut target.path);
        let (path, sas) = whole.split_once('?').unwrap_or((&whole, ""));
        let path = path.trim_end_matches('/');
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        let is_address = target.host.parse::<IpAddr>().is_ok() || target.host == "localhost";
        let (account, name) = match (is_address, segments.as_slice()) {
            (true, [account, name]) => ((*account).to_owned(), *name),
            (false, [name]) => {
                let account = target.host.split('.').next().unwrap_or_default();
                (account.to_owned(), *name)
            }
            (_, _) => return Err(NotAContainer::Path),
        };
        let name = percent_decode_str(name).decode_utf8().map_err(|_| NotAContainer::Name)?;
        if account.is_empty() || !is_name(&name) {
            return Err(NotAContainer::Name);
        }
        let (name, sas) = (name.into_owned(), sas.to_owned());
        target.path = path.to_owned();
        Ok(Self { target, account, name, sas })
    }

    /// The container of a name at the address of an account's blobs: `https://account.blob.core.windows.net/`.
    ///
    /// # Errors
    /// [`NotAContainer`].
    pub fn at(endpoint: &str, name: &str) -> Result<Self, NotAContainer> {
        Self::parse(&format!("{}/{name}", endpoint.trim_end_matches('/')))
    }

    /// Whether it may be called, as far as that can be told before its name is resolved.
    ///
    /// # Errors
    /// [`EgressError::NotEncrypted`] and [`EgressError::NotAllowed`].
    pub fn check(&self, client: &Client) -> Result<(), EgressError> {
        client.check(&self.target)
    }

    pub fn host(&self) -> &str {
        &self.target.host
    }

    pub fn port(&self) -> u16 {
        self.target.port
    }

    /// The host of its account and, where that has no name of its own, the account behind it: what stands in an address
    /// before the container.
    pub fn place(&self) -> String {
        let account = self.target.path.rsplit_once('/').map_or("", |(account, _)| account);
        format!("{}{account}", self.target.authority)
    }

    /// True where its address holds a signature.
    pub fn has_signature(&self) -> bool {
        !self.sas.is_empty()
    }

    /// The path of a blob, percent-encoded.
    pub(super) fn path_of(&self, blob: &str) -> String {
        format!("{}/{}", self.target.path, utf8_percent_encode(blob, PATH))
    }
}

/// Source: "Naming and referencing containers, blobs, and metadata".
fn is_name(name: &str) -> bool {
    let is_plain = (3..=63).contains(&name.len())
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--");
    is_plain || ["$root", "$web", "$logs"].contains(&name)
}

/// Without a signature.
impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.target.fmt(f)
    }
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Container({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_account_and_container() {
        let check = |uri: &str, account: &str, name: &str, path: &str| {
            let read = Container::parse(uri).unwrap();
            assert_eq!((read.account.as_str(), read.name.as_str()), (account, name), "{uri}");
            assert_eq!(read.path_of("a b/c?d.txt"), path, "{uri}");
        };
        let blob = "/jobs/a%20b/c%3Fd.txt";
        check("https://acc.blob.core.windows.net/jobs", "acc", "jobs", blob);
        check("https://Acc.blob.core.windows.net/jobs/?sv=1&sig=s", "acc", "jobs", blob);
        check("https://127.71.3.9:20443/acc/jobs", "acc", "jobs", &format!("/acc{blob}"));
        check("http://localhost:10000/acc/$web", "acc", "$web", "/acc/$web/a%20b/c%3Fd.txt");
        let at = Container::at("https://acc.blob.core.windows.net/", "jobs").unwrap();
        assert_eq!(at.to_string(), "https://acc.blob.core.windows.net/jobs");
        let secret = Container::parse("https://acc.blob.example/jobs?sig=secret").unwrap();
        assert!(secret.has_signature());
        assert!(!format!("{secret} {secret:?}").contains("secret"));
    }

    /// Threat 58.
    #[test]
    fn what_is_no_container_says_why() {
        let wrong = [
            ("https://acc.blob.core.windows.net/", NotAContainer::Path),
            ("https://acc.blob.core.windows.net/jobs/devices.txt", NotAContainer::Path),
            ("https://127.71.3.9/jobs", NotAContainer::Path),
            ("https://127.71.3.9/acc/jobs/x", NotAContainer::Path),
            ("https://acc.blob.core.windows.net/JOBS", NotAContainer::Name),
            ("https://acc.blob.core.windows.net/ab", NotAContainer::Name),
            ("https://acc.blob.core.windows.net/a--b", NotAContainer::Name),
            ("https://acc.blob.core.windows.net/..%2Fx", NotAContainer::Name),
            ("https://u:p@acc.example/jobs", NotAContainer::Address(NotATarget::UserInfo)),
            ("file:///etc/jobs", NotAContainer::Address(NotATarget::NotAnAddress)),
            ("ftp://acc.example/jobs", NotAContainer::Address(NotATarget::Scheme)),
        ];
        for (text, expected) in wrong {
            assert_eq!(Container::parse(text), Err(expected), "{text}");
        }
    }
}
