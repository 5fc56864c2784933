//! `HostName=...;DeviceId=...;SharedAccessKey=...`: who a device or service is, in one line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::{Secret, Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};
use wire::sas;

/// How long the signatures hold that are made of one.
const SIGNATURE_S: i64 = 60 * 60;

/// A parsed connection string.
#[derive(Debug)]
pub(crate) struct ConnectionString {
    /// Without a port.
    pub(crate) host: String,
    /// Of HTTPS.
    pub(crate) port: Option<u16>,
    pub(crate) device: Option<String>,
    pub(crate) module: Option<String>,
    policy: Option<String>,
    key: Secret<Vec<u8>>,
}

impl ConnectionString {
    /// # Errors
    /// Names the part that is missing or cannot be read, and never what it holds.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let part = |name: &str| {
            text.trim().split(';').find_map(|it| it.strip_prefix(name)?.strip_prefix('='))
        };
        let need = |name: &str| {
            part(name).filter(|it| !it.is_empty()).ok_or_else(|| {
                format!(
                    "the connection string has no `{name}=`; it looks like \
                     `HostName=HOST;DeviceId=DEVICE;SharedAccessKey=KEY`"
                )
            })
        };
        let host = need("HostName")?;
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) => {
                (host, Some(port.parse().map_err(|_| "behind `HostName` and `:` stands no port")?))
            }
            None => (host, None),
        };
        let key = STANDARD.decode(need("SharedAccessKey")?);
        Ok(Self {
            host: host.to_owned(),
            port,
            device: part("DeviceId").map(str::to_owned),
            module: part("ModuleId").map(str::to_owned),
            policy: part("SharedAccessKeyName").map(str::to_owned),
            key: Secret::new(key.map_err(|_| "`SharedAccessKey` is not base64")?),
        })
    }

    /// `HOST` or `HOST:PORT`: where its HTTPS is.
    pub(crate) fn authority(&self) -> String {
        self.port.map_or_else(|| self.host.clone(), |port| format!("{}:{port}", self.host))
    }

    /// A device as its hub names it, a module behind its device.
    pub(crate) fn named(&self) -> String {
        let device = self.device.clone().unwrap_or_default();
        self.module.as_ref().map_or_else(|| device.clone(), |it| format!("{device}/{it}"))
    }

    /// A signature for whatever the key opens: a device itself, or the hub.
    pub(crate) fn signature(&self) -> String {
        let mut resource = self.host.clone();
        if let Some(device) = &self.device {
            resource = format!("{resource}/devices/{device}");
        }
        if let Some(module) = &self.module {
            resource = format!("{resource}/modules/{module}");
        }
        let until = now().plus_seconds(SIGNATURE_S);
        sas::sign(&sas::resource_text(&resource), self.key.reveal(), until, self.policy.as_deref())
    }
}

/// A clock before 1970 gives signatures that ran out, which a hub refuses in so many words.
#[expect(clippy::disallowed_methods, reason = "a client signs by its own clock")]
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_seconds(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_modules_and_policies_are_read() {
        let it = ConnectionString::parse("HostName=h:9443;DeviceId=d;SharedAccessKey=c2VzYW1l\n")
            .unwrap();
        assert_eq!((it.host.as_str(), it.port, it.named().as_str()), ("h", Some(9443), "d"));
        assert_eq!(it.authority(), "h:9443");
        let it = "SharedAccessKey=c2VzYW1l;ModuleId=m;DeviceId=d;HostName=h";
        let it = ConnectionString::parse(it).unwrap();
        assert_eq!((it.authority().as_str(), it.named().as_str()), ("h", "d/m"));
        assert!(it.signature().contains("sr=h%2Fdevices%2Fd%2Fmodules%2Fm&"));
        let it = "HostName=h;SharedAccessKeyName=service;SharedAccessKey=c2VzYW1l";
        let it = ConnectionString::parse(it).unwrap();
        assert_eq!(it.device, None);
        assert!(it.signature().contains("sr=h&") && it.signature().ends_with("&skn=service"));
    }

    #[test]
    fn what_is_missing_is_named_and_no_key_is_shown() {
        let check = |text: &str, word: &str| {
            let said = ConnectionString::parse(text).unwrap_err();
            assert!(said.contains(word) && !said.contains("sesame"), "{said}");
        };
        check("DeviceId=d;SharedAccessKey=c2VzYW1l", "`HostName=`");
        check("HostName=;SharedAccessKey=c2VzYW1l", "`HostName=`");
        check("HostName=h;DeviceId=d", "`SharedAccessKey=`");
        check("HostName=h:x;SharedAccessKey=c2VzYW1l", "port");
        check("HostName=h;SharedAccessKey=sesame!", "base64");
        let it = ConnectionString::parse("HostName=h;SharedAccessKey=c2VzYW1l").unwrap();
        assert!(!format!("{it:?}").contains("115"), "{it:?}");
    }
}
