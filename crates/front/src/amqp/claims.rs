//! What a connection has shown: tokens put over `$cbs`, or the password of SASL PLAIN.

use super::address::{Audience, Place, Registrant};
use crate::authorization;
use ::amqp::{Body, Message, Value};
use bytes::Bytes;
use model::{Credential, Secret};

/// Most tokens of services and readers that a connection keeps. Source: IoT Hub error codes, 403005
/// IotHubMaxCbsTokenExceeded; the number is ours.
pub(super) const CLAIMS_MAX: usize = 1_024;
/// Longest token. A header of HTTP takes no more.
pub(super) const TOKEN_BYTES_MAX: usize = 16 << 10;

/// A token that was taken.
#[derive(Clone)]
pub(super) struct Claim {
    pub(super) audience: Audience,
    pub(super) credential: Credential,
}

/// Those of services and readers; a device's is its session's.
#[derive(Default)]
pub(super) struct Claims(Vec<Claim>);

impl Claims {
    /// Keeps a claim in the place of an earlier one for the same; false where there are too many.
    pub(super) fn put(&mut self, claim: Claim) -> bool {
        self.0.retain(|it| it.audience != claim.audience);
        let has_room = self.0.len() < CLAIMS_MAX;
        if has_room {
            self.0.push(claim);
        }
        has_room
    }

    /// What is shown at an address: the host that was meant, and the credential; none where none fits.
    pub(super) fn shown(&self, path: &str) -> (String, Credential) {
        match self.find(path) {
            Some(claim) => (claim.audience.host.clone(), claim.credential.clone()),
            None => (String::new(), Credential::None),
        }
    }

    /// The claim that fits an address best: the longest that covers it.
    fn find(&self, path: &str) -> Option<&Claim> {
        let fitting = self.0.iter().filter(|it| it.audience.covers(path));
        fitting.max_by_key(|it| it.audience.path.len())
    }
}

/// A token as it was put. What a client says of its type is not always so: the text tells.
pub(super) fn token(message: &Message) -> Credential {
    let text = match &message.body {
        Body::Value(Value::String(text)) => Some(text.clone()),
        _ => message.data().and_then(|it| String::from_utf8(it.to_vec()).ok()),
    };
    let malformed = |because| authorization::malformed("token", because);
    let Some(text) = text else { return malformed("it is no text") };
    match text.trim() {
        "" => malformed("it is empty"),
        text if text.len() > TOKEN_BYTES_MAX => malformed("it is longer than 16 KiB"),
        text if text.starts_with("SharedAccessSignature") => authorization::signature(text),
        text => {
            let bare = text.get(..7).filter(|it| it.eq_ignore_ascii_case("bearer "));
            let bare = bare.and_then(|it| text.get(it.len()..)).unwrap_or(text).trim();
            match bare.contains(char::is_whitespace) {
                true => malformed("it holds a space"),
                false => Credential::Bearer(Secret::new(bare.to_owned())),
            }
        }
    }
}

/// Whom SASL PLAIN names, and what it shows.
pub(super) enum Plain {
    /// A shared access policy of the hub.
    Service(Credential),
    Device {
        device: String,
        module: Option<String>,
        credential: Credential,
    },
    /// A device that registers.
    Registration {
        registrant: Registrant,
        credential: Credential,
    },
}

/// Reads `authzid NUL authcid NUL password`: the second is `{policy}@sas.root.{hub}`, `{device}@sas.{hub}`,
/// `{device}/{module}@sas.{hub}` or `{idScope}/registrations/{registration}`, the third a whole signature. Source:
/// RFC 4616; IoT Hub developer guide, "Control access to IoT Hub by using shared access signatures"; the public
/// client libraries of the provisioning service.
pub(super) fn plain(response: &Bytes) -> Option<Plain> {
    let text = std::str::from_utf8(response).ok()?;
    let mut parts = text.split('\0');
    let (_, name, password) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() || password.len() > TOKEN_BYTES_MAX {
        return None;
    }
    let credential = authorization::signature(password);
    let Some((who, rest)) = name.rsplit_once('@') else {
        return match Place::parse(name) {
            Some(Place::Registration(registrant)) => {
                Some(Plain::Registration { registrant, credential })
            }
            _ => None,
        };
    };
    let lower = rest.to_ascii_lowercase();
    if lower.starts_with("sas.root.") {
        return Some(Plain::Service(credential));
    }
    lower.starts_with("sas.").then_some(())?;
    let (device, module) = match who.split_once('/') {
        Some((device, module)) => (device, Some(module.to_owned())),
        None => (who, None),
    };
    Some(Plain::Device { device: device.to_owned(), module, credential })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(text: &str) -> Credential {
        token(&Message { body: Body::Value(Value::string(text)), ..Message::default() })
    }

    #[test]
    fn the_text_of_a_token_tells_what_it_is() {
        let bearer = |it: &str| match put(it) {
            Credential::Bearer(token) => token.reveal().clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(bearer("a.b.c"), "a.b.c");
        assert_eq!(bearer("Bearer a.b.c"), "a.b.c");
        assert!(matches!(put("SharedAccessSignature sr=h&sig=AAAA&se=1"), Credential::Sas(_)));
        let long = "a".repeat(TOKEN_BYTES_MAX + 1);
        for it in ["", " ", "a b", "SharedAccessSignature sr=h", "Bearer ", long.as_str()] {
            let credential = put(it);
            let is_refused = matches!(credential, Credential::Malformed { .. });
            assert!(is_refused || it == "Bearer ", "{credential:?}");
        }
        let none = Message { body: Body::Value(Value::Null), ..Message::default() };
        assert!(matches!(token(&none), Credential::Malformed { .. }));
    }

    #[test]
    fn plain_names_a_policy_a_device_or_a_module() {
        let read = |text: &str| plain(&Bytes::copy_from_slice(text.as_bytes()));
        let signature = "SharedAccessSignature sr=h&sig=AAAA&se=1";
        let service = read(&format!("\0owner@sas.root.h\0{signature}"));
        assert!(matches!(service, Some(Plain::Service(Credential::Sas(_)))));
        let Some(Plain::Device { device, module, .. }) = read(&format!("\0a@b@SAS.h\0{signature}"))
        else {
            panic!()
        };
        assert_eq!((device.as_str(), module), ("a@b", None));
        let Some(Plain::Device { module, .. }) = read(&format!("x\0d/m@sas.h\0{signature}")) else {
            panic!()
        };
        assert_eq!(module.as_deref(), Some("m"));
        let Some(Plain::Registration { registrant, .. }) =
            read(&format!("\00ne1/registrations/pump-1\0{signature}"))
        else {
            panic!()
        };
        assert_eq!(registrant.path(), "/0ne1/registrations/pump-1");
        for it in ["", "\0a@sas.h", "\0a@h\0x", "\0a\0x", "\0a@sas.h\0x\0y", "\0a/registrations\0x"]
        {
            assert!(read(it).is_none(), "{it:?}");
        }
    }

    #[test]
    fn the_claim_that_fits_best_is_taken_and_a_new_one_takes_the_place_of_the_old() {
        let mut claims = Claims::default();
        let mut add = |name: &str, key: &str| {
            let audience = Audience::parse(name).unwrap();
            let credential = Credential::Bearer(Secret::new(key.to_owned()));
            assert!(claims.put(Claim { audience, credential }));
        };
        add("h", "all");
        add("sb://h/e", "old");
        add("sb://h/e", "events");
        let found = |path: &str| match claims.find(path).map(|it| &it.credential) {
            Some(Credential::Bearer(it)) => it.reveal().clone(),
            _ => String::new(),
        };
        assert_eq!(found("/messages/devicebound"), "all");
        assert_eq!(found("/e/ConsumerGroups/g/Partitions/0"), "events");
        assert!(Claims::default().find("/").is_none());
    }
}
