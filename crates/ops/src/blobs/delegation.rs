//! User delegation keys: who may read or write blobs gets a key by which it signs addresses that others use as it.
//!
//! Nothing is kept of a key: it is made anew of whom it is for and how long, and of the account's own keys. So a new
//! account key ends every user delegation key. Source: Azure Storage, "Get User Delegation Key".

use super::xml::{Xml, read_flat};
use super::{account, no, reply_xml};
use crate::env::Env;
use crate::input::{Input, Reply};
use gate::{Permit, delegation_key};
use model::error::BlobFault;
use model::{DelegationKey, Error, Timestamp};

/// Longest life of a key. Source: as the module's.
const LIFE_MAX_S: i64 = 7 * 86_400;

/// `POST ?restype=service&comp=userdelegationkey`.
pub(crate) fn issue(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let wrong = |because: &str| {
        no(BlobFault::InvalidXml, format!("the key that is asked for cannot be read: {because}"))
    };
    let asked = read_flat(&input.raw, "KeyInfo").map_err(wrong)?;
    let time =
        |name: &str| match asked.iter().find(|(its, _)| its == name).map(|(_, it)| it.as_str()) {
            None | Some("") => Ok(None),
            Some(text) => Timestamp::parse(text).map(Some).ok_or_else(|| wrong("a time is none")),
        };
    let now = env.now();
    let start = time("Start")?.unwrap_or(now);
    let expiry = time("Expiry")?.ok_or_else(|| wrong("`Expiry` is missing"))?;
    if expiry <= start || expiry <= now || expiry > now.plus_seconds(LIFE_MAX_S) {
        return Err(wrong(
            "`Expiry` is a time to come, at most seven days from now, and after `Start`",
        ));
    }
    let Some(object_id) = permit.caller().object_id else {
        return Err(no(
            BlobFault::InvalidXml,
            "only who is in the directory gets a user delegation key",
        ));
    };
    let facts = env.facts.load();
    let version = input.headers.said("x-ms-version").unwrap_or(super::VERSION);
    let key = DelegationKey {
        object_id: object_id.to_string(),
        tenant: facts.tenant.to_string(),
        start: start.rfc3339_seconds(),
        expiry: expiry.rfc3339_seconds(),
        service: "b".to_owned(),
        version: version.to_owned(),
    };
    let keys = facts.target_keys.get(&account(&facts, input)?.scope.key());
    let keys = keys.ok_or_else(|| Error::Internal { message: "an account has no keys".into() })?;
    let text = Xml::new()
        .within("UserDelegationKey", |xml| {
            xml.text("SignedOid", &key.object_id)
                .text("SignedTid", &key.tenant)
                .text("SignedStart", &key.start)
                .text("SignedExpiry", &key.expiry)
                .text("SignedService", &key.service)
                .text("SignedVersion", &key.version)
                .text("Value", delegation_key(&key, keys).reveal());
        })
        .done();
    Ok(reply_xml(text))
}
