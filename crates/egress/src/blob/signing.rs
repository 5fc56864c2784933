//! Addresses of blobs that are signed for whoever holds them.

use super::{Container, VERSION};
use model::{DelegationKey, Secret, Timestamp};
use wire::storage::sas::{Place, Sas};

/// A key that stands for the identity that has asked for it.
#[derive(Clone, Debug)]
pub struct SigningKey {
    pub of: DelegationKey,
    /// Decoded from base64.
    pub value: Secret<Vec<u8>>,
}

/// Whose key signs.
#[derive(Clone, Copy, Debug)]
pub enum Signer<'a> {
    /// The account's, decoded from base64.
    Account(&'a Secret<Vec<u8>>),
    Delegation(&'a SigningKey),
}

impl Container {
    /// The query that opens one blob of the container for whoever holds it, without a `?`. `permissions` are letters
    /// in the order of the documentation, as `rw` or `rcwd`.
    pub fn signed(
        &self,
        blob: &str,
        permissions: &str,
        start: Timestamp,
        expiry: Timestamp,
        by: Signer<'_>,
    ) -> Secret<String> {
        let (start, expiry) = (start.rfc3339_seconds(), expiry.rfc3339_seconds());
        let mut fields = vec![
            ("sv", VERSION),
            ("sr", "b"),
            ("sp", permissions),
            ("st", start.as_str()),
            ("se", expiry.as_str()),
        ];
        if self.target.is_tls {
            fields.push(("spr", "https"));
        }
        let key = match by {
            Signer::Account(key) => key,
            Signer::Delegation(SigningKey { of: key, value }) => {
                fields.extend([
                    ("skoid", key.object_id.as_str()),
                    ("sktid", key.tenant.as_str()),
                    ("skt", key.start.as_str()),
                    ("ske", key.expiry.as_str()),
                    ("sks", key.service.as_str()),
                    ("skv", key.version.as_str()),
                ]);
                value
            }
        };
        let place = Place { account: &self.account, container: &self.name, blob };
        Secret::new(Sas::new(fields).signed(&place, key.reveal()))
    }
}
