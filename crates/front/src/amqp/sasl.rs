//! Before a connection opens: what its client shows by the mechanism that it chose.
//!
//! With `TPM` a device says which TPM it has, is sent a key that only that one opens, and signs with it. The key is
//! asked for like over HTTPS, by a registration that shows nothing and is refused with it. Source: the public client
//! libraries of the provisioning service.

use super::address::Registrant;
use super::claims::{self, Plain, TOKEN_BYTES_MAX};
use super::driver::Driver;
use crate::amqp::address::Peer;
use crate::authorization;
use ::amqp::CHALLENGE_BYTES_MAX;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use model::{Credential, Error, Op};
use ops::call::run;
use serde_json::json;

/// In the order in which they are offered. Source: the public client libraries.
pub(super) const MECHANISMS: &[&str] = &["MSSBCBS", "ANONYMOUS", "PLAIN", "EXTERNAL", "TPM"];
/// Longest public key of a TPM: what base64 of it may be, see the operation that reads it.
const PUBLIC_KEY_BYTES_MAX: usize = 1_024;
/// Asks for the storage root key.
const MORE: &[u8] = &[0];
/// Before a part of the key that another follows, and before the last.
const PART: u8 = 0b1000_0000;
const LAST_PART: u8 = 0b1100_0000;

/// How far a device with a TPM has come.
pub(super) struct Tpm {
    registrant: Registrant,
    awaited: Awaited,
}

enum Awaited {
    StorageRootKey {
        endorsement_key: Bytes,
    },
    /// That the device has this much of the key.
    Receipt {
        rest: Bytes,
    },
    /// A signature by the key.
    Signature,
}

/// What is said to a client.
enum Said {
    LetIn(bool),
    Challenge(Bytes),
}

impl Driver<'_> {
    /// Answers a client that chose a mechanism. All but one leave proving to what comes after.
    pub(super) async fn sasl(&mut self, mechanism: &str, response: Option<&Bytes>) {
        let said = match mechanism {
            "PLAIN" => Said::LetIn(self.plain(response).await),
            "EXTERNAL" => Said::LetIn(matches!(self.own, Credential::Certificate(_))),
            "TPM" => match response.and_then(tpm) {
                Some(tpm) => {
                    self.tpm = Some(Box::new(tpm));
                    Said::Challenge(Bytes::from_static(MORE))
                }
                None => Said::LetIn(false),
            },
            _ => Said::LetIn(true),
        };
        self.say(said);
    }

    /// Answers a client that answered a challenge.
    pub(super) async fn sasl_response(&mut self, response: &Bytes) {
        let said = match (self.tpm.take(), response.split_first()) {
            (Some(tpm), Some((0, response))) => {
                self.tpm_answered(*tpm, &response.to_vec().into()).await
            }
            _ => Said::LetIn(false),
        };
        self.say(said);
    }

    fn say(&mut self, said: Said) {
        match said {
            Said::LetIn(is_let_in) => self.engine.sasl(is_let_in),
            Said::Challenge(challenge) => self.engine.challenge(challenge),
        }
    }

    async fn plain(&mut self, response: Option<&Bytes>) -> bool {
        match response.and_then(claims::plain) {
            Some(Plain::Service(credential)) => self.claim_all(credential).await,
            Some(Plain::Device { device, module, credential }) => {
                self.connect(Peer { device, module }, "", credential).await.is_ok()
            }
            // Each of its requests is judged: an outcome of SASL has no words to say why not.
            Some(Plain::Registration { registrant, credential }) => {
                self.registers = Some((registrant, credential));
                true
            }
            None => false,
        }
    }

    async fn tpm_answered(&mut self, tpm: Tpm, response: &Bytes) -> Said {
        let Tpm { registrant, awaited } = tpm;
        match awaited {
            Awaited::StorageRootKey { endorsement_key } => {
                if response.len() > PUBLIC_KEY_BYTES_MAX {
                    return Said::LetIn(false);
                }
                match self.key_for(&registrant, &endorsement_key, response).await {
                    Some(key) => self.send_part(registrant, key),
                    None => Said::LetIn(false),
                }
            }
            Awaited::Receipt { rest } => self.send_part(registrant, rest),
            Awaited::Signature => {
                let text = std::str::from_utf8(response).ok();
                let Some(text) = text.filter(|it| it.len() <= TOKEN_BYTES_MAX) else {
                    return Said::LetIn(false);
                };
                // As with PLAIN, each of its requests is judged.
                self.registers = Some((registrant, authorization::signature(text)));
                Said::LetIn(true)
            }
        }
    }

    /// The key that a TPM is sent, as only it can open it; `None` where it is not enrolled as that device.
    async fn key_for(
        &mut self,
        registrant: &Registrant,
        endorsement_key: &Bytes,
        storage_root_key: &Bytes,
    ) -> Option<Bytes> {
        let tpm = json!({
            "endorsementKey": STANDARD.encode(endorsement_key),
            "storageRootKey": STANDARD.encode(storage_root_key),
        });
        let body = json!({ "registrationId": registrant.registration, "tpm": tpm }).to_string();
        // It has nothing to show before this, whatever its handshake has shown.
        self.registers = Some((registrant.clone(), Credential::None));
        let call = self.of_registrant(Op::RegisterDevice, "PUT", registrant, body.into());
        match run(self.env, call).await.error {
            Some(Error::TpmChallenge { key }) => STANDARD.decode(key).ok().map(Bytes::from),
            _ => None,
        }
    }

    fn send_part(&mut self, registrant: Registrant, mut rest: Bytes) -> Said {
        let part = rest.split_to(rest.len().min(CHALLENGE_BYTES_MAX - 1));
        let (first, awaited) = match rest.is_empty() {
            true => (LAST_PART, Awaited::Signature),
            false => (PART, Awaited::Receipt { rest }),
        };
        self.tpm = Some(Box::new(Tpm { registrant, awaited }));
        Said::Challenge([&[first], &part[..]].concat().into())
    }
}

/// Reads `NUL idScope NUL registration NUL endorsementKey`, the last in bytes of any kind.
fn tpm(response: &Bytes) -> Option<Tpm> {
    let mut parts = response.splitn(4, |it| *it == 0);
    let text = |it: &[u8]| std::str::from_utf8(it).ok().map(str::to_owned);
    let (b"", id_scope, registration, endorsement_key) =
        (parts.next()?, text(parts.next()?)?, text(parts.next()?)?, parts.next()?)
    else {
        return None;
    };
    if endorsement_key.len() > PUBLIC_KEY_BYTES_MAX {
        return None;
    }
    let endorsement_key = response.slice_ref(endorsement_key);
    let awaited = Awaited::StorageRootKey { endorsement_key };
    Some(Tpm { registrant: Registrant { id_scope, registration }, awaited })
}
