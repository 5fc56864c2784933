//! What is called: an address of HTTP, as somebody has written it.

use hyper::Uri;
use std::fmt;

/// Longest address.
const BYTES_MAX: usize = 2_048;

/// An address of HTTP. What stands behind its `?` may be secret and is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub(crate) is_tls: bool,
    /// A name or an address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// As it goes into the header `Host`.
    pub(crate) authority: String,
    /// Path and query.
    pub(crate) path: String,
}

/// Why a text is no address that can be called.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NotATarget {
    TooLong,
    NotAnAddress,
    Scheme,
    /// `user@host`: credentials in an address leak, and hide which host is meant.
    UserInfo,
}

impl fmt::Display for NotATarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "an address has at most {BYTES_MAX} bytes"),
            Self::NotAnAddress => {
                f.write_str("an address as `https://functions.example/api/allocate` is expected")
            }
            Self::Scheme => f.write_str("the address has to begin with `https://`"),
            Self::UserInfo => f.write_str("a user in front of the host is not taken"),
        }
    }
}

impl std::error::Error for NotATarget {}

impl Target {
    /// Reads `https://host[:port]/path?query`. `http://` is read as well: whether it may be called is asked then.
    ///
    /// # Errors
    /// [`NotATarget`].
    pub fn parse(text: &str) -> Result<Self, NotATarget> {
        if text.len() > BYTES_MAX {
            return Err(NotATarget::TooLong);
        }
        let uri: Uri = text.parse().map_err(|_| NotATarget::NotAnAddress)?;
        let is_tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(NotATarget::Scheme),
        };
        let authority = uri.authority().ok_or(NotATarget::NotAnAddress)?;
        if authority.as_str().contains('@') {
            return Err(NotATarget::UserInfo);
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(NotATarget::NotAnAddress);
        }
        Ok(Self {
            is_tls,
            host: host.to_ascii_lowercase(),
            port: authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            authority: authority.as_str().to_owned(),
            path: uri.path_and_query().map_or("/", |it| it.as_str()).to_owned(),
        })
    }
}

/// Without what stands behind the `?`.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "https" } else { "http" };
        let path = self.path.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.authority)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_query_never_shown() {
        let read = Target::parse("https://Functions.example/api/allocate?code=secret").unwrap();
        assert_eq!((read.host.as_str(), read.port), ("functions.example", 443));
        assert_eq!(read.path, "/api/allocate?code=secret");
        assert_eq!(read.to_string(), "https://Functions.example/api/allocate");
        assert!(!format!("{read:?}").contains("secret"));
        assert_eq!(Target::parse("http://127.0.0.1:7071").unwrap().port, 7071);
        assert_eq!(Target::parse("https://[::1]:8443/").unwrap().host, "::1");
    }

    #[test]
    fn what_is_no_address_says_why() {
        let wrong = [
            ("", NotATarget::NotAnAddress),
            ("functions.example", NotATarget::Scheme),
            ("/api/allocate", NotATarget::Scheme),
            ("ftp://functions.example/", NotATarget::Scheme),
            ("file:///etc/passwd", NotATarget::NotAnAddress),
            ("https://user:key@functions.example/", NotATarget::UserInfo),
            ("https://", NotATarget::NotAnAddress),
            ("https://a b/", NotATarget::NotAnAddress),
        ];
        for (text, expected) in wrong {
            assert_eq!(Target::parse(text), Err(expected), "{text}");
        }
        let long = format!("https://functions.example/{}", "a".repeat(BYTES_MAX));
        assert_eq!(Target::parse(&long), Err(NotATarget::TooLong));
    }
}
