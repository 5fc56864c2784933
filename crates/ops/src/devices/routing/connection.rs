//! Where an endpoint is, from its connection string or its address.

use super::Kind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use model::Secret;
use std::collections::BTreeMap;

/// Longest connection string. A bound of ours.
pub(super) const CHARACTERS_MAX: usize = 4_096;
/// Longest host name. Source: RFC 1035, section 2.3.4.
const HOST_BYTES_MAX: usize = 253;

/// Where messages are sent with a key.
#[derive(Clone, Debug)]
pub struct Connection {
    pub host: Host,
    /// The event hub, queue or topic; none of a storage account.
    pub entity: Option<String>,
    /// The name of the rule that the key is of, or of the storage account.
    pub key_name: String,
    pub key: Secret<String>,
}

/// A host name, and a port where it is not the protocol's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    pub name: String,
    pub port: Option<u16>,
}

impl Host {
    /// `name` or `name:port`.
    fn parse(text: &str) -> Option<Self> {
        let (name, port) = match text.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().ok().filter(|it| *it != 0)?)),
            None => (text, None),
        };
        let allowed = |it: u8| it.is_ascii_alphanumeric() || b"-.".contains(&it);
        let is_name = (1..=HOST_BYTES_MAX).contains(&name.len()) && name.bytes().all(allowed);
        is_name.then(|| Self { name: name.to_ascii_lowercase(), port })
    }
}

/// The host of an endpoint's address: `sb://namespace/`, of a storage account `https://account/`.
///
/// # Errors
/// What is expected, as a sentence.
pub fn host_of(kind: Kind, address: &str) -> Result<Host, String> {
    let (scheme, example) = match kind {
        Kind::StorageContainers => ("https://", "https://<account>.blob.core.windows.net/"),
        Kind::ServiceBusQueues | Kind::ServiceBusTopics | Kind::EventHubs => {
            ("sb://", "sb://<namespace>.servicebus.windows.net/")
        }
    };
    let rest = address.get(..scheme.len()).filter(|it| it.eq_ignore_ascii_case(scheme));
    let rest = rest.and_then(|_| address.get(scheme.len()..)).unwrap_or_default();
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // Where a host has no name, its accounts are found by their names in the path.
    let host = match rest.split_once('/') {
        Some((host, account))
            if kind == Kind::StorageContainers
                && account.bytes().all(|it| it.is_ascii_alphanumeric()) =>
        {
            Host::parse(host)
        }
        Some(_) => None,
        None => Host::parse(rest),
    };
    host.ok_or_else(|| format!("expected an address as `{example}`"))
}

/// Takes a connection string apart. `entity` is the endpoint's `entityPath`, where it has one.
///
/// # Errors
/// What is missing or wrong, as a sentence that repeats no value.
pub fn parse(kind: Kind, text: &str, entity: Option<&str>) -> Result<Connection, String> {
    let parts = parts_of(text)?;
    match kind {
        Kind::StorageContainers => of_account(&parts),
        Kind::ServiceBusQueues | Kind::ServiceBusTopics | Kind::EventHubs => {
            of_namespace(kind, &parts, entity)
        }
    }
}

fn parts_of(text: &str) -> Result<Parts<'_>, String> {
    let mut parts = BTreeMap::new();
    for part in text.split(';').filter(|it| !it.trim().is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            return Err("expected `name=value` pairs with `;` between them".to_owned());
        };
        let name = name.trim().to_ascii_lowercase();
        if parts.insert(name.clone(), value.trim()).is_some() {
            let name: String = name.chars().take(40).collect();
            return Err(format!("`{}` stands twice", name.escape_debug()));
        }
    }
    Ok(parts)
}

type Parts<'a> = BTreeMap<String, &'a str>;

fn required<'a>(parts: &Parts<'a>, name: &str, example: &str) -> Result<&'a str, String> {
    let found = parts.get(&name.to_ascii_lowercase()).filter(|it| !it.is_empty());
    found.copied().ok_or_else(|| format!("`{name}` is missing: `{example}`"))
}

fn only(parts: &Parts<'_>, known: &[&str]) -> Result<(), String> {
    let is_known = |it: &str| known.iter().any(|its| its.eq_ignore_ascii_case(it));
    match parts.keys().find(|it| !is_known(it)) {
        None => Ok(()),
        Some(other) => {
            let other: String = other.chars().take(40).collect();
            Err(format!(
                "`{}` is not known here; known are {}",
                other.escape_debug(),
                known.join(", ")
            ))
        }
    }
}

const NAMESPACE: &str = "Endpoint=sb://<namespace>.servicebus.windows.net/;SharedAccessKeyName=<rule>;\
                         SharedAccessKey=<key>;EntityPath=<name>";

fn of_namespace(kind: Kind, parts: &Parts<'_>, entity: Option<&str>) -> Result<Connection, String> {
    only(parts, &["Endpoint", "SharedAccessKeyName", "SharedAccessKey", "EntityPath"])?;
    let host = host_of(kind, required(parts, "Endpoint", NAMESPACE)?)?;
    let key_name = required(parts, "SharedAccessKeyName", NAMESPACE)?.to_owned();
    let key = Secret::new(required(parts, "SharedAccessKey", NAMESPACE)?.to_owned());
    let named = parts.get("entitypath").copied().filter(|it| !it.is_empty());
    let entity = match (named, entity.filter(|it| !it.is_empty())) {
        (Some(named), Some(entity)) if !named.eq_ignore_ascii_case(entity) => {
            return Err(
                "its `EntityPath` is another than the `entityPath` of the endpoint".to_owned()
            );
        }
        (Some(it), _) | (None, Some(it)) => it.to_owned(),
        (None, None) => {
            return Err(format!(
                "`EntityPath` is missing: take the connection string of the event hub, queue or topic and not of its \
                 namespace, or add it: `{NAMESPACE}`"
            ));
        }
    };
    Ok(Connection { host, entity: Some(entity), key_name, key })
}

const ACCOUNT: &str = "DefaultEndpointsProtocol=https;AccountName=<account>;AccountKey=<key>;EndpointSuffix=core.windows.net";

/// A storage account, as a connection string names it.
#[derive(Clone, Debug)]
pub struct Account {
    pub name: String,
    /// Where its blobs are, without a `/` at the end; none where the name tells, see [`Account::address`].
    given: Option<String>,
    suffix: String,
    /// None where an identity signs in.
    pub key: Option<Secret<String>>,
}

impl Account {
    /// Where its blobs are: where the string says, else where this server serves an account of the name, else where its
    /// name leads.
    pub fn address(&self, served_at: impl Fn(&str) -> Option<String>) -> String {
        let by_name = || format!("https://{}.blob.{}", self.name, self.suffix);
        self.given.clone().or_else(|| served_at(&self.name)).unwrap_or_else(by_name)
    }
}

/// Takes the connection string of a storage account apart. Its key may be missing.
///
/// # Errors
/// What is missing or wrong, as a sentence that repeats no value.
pub fn account(text: &str) -> Result<Account, String> {
    account_of(&parts_of(text)?)
}

fn of_account(parts: &Parts<'_>) -> Result<Connection, String> {
    let account = account_of(parts)?;
    let host = host_of(Kind::StorageContainers, &account.address(|_| None))?;
    required(parts, "AccountKey", ACCOUNT)?;
    let key = account.key.unwrap_or_else(|| Secret::new(String::new()));
    Ok(Connection { host, entity: None, key_name: account.name, key })
}

fn account_of(parts: &Parts<'_>) -> Result<Account, String> {
    only(
        parts,
        &[
            "DefaultEndpointsProtocol",
            "AccountName",
            "AccountKey",
            "EndpointSuffix",
            "BlobEndpoint",
            "QueueEndpoint",
            "TableEndpoint",
            "FileEndpoint",
        ],
    )?;
    let name = required(parts, "AccountName", ACCOUNT)?;
    let key = parts.get("accountkey").copied().filter(|it| !it.is_empty());
    if key.is_some_and(|it| STANDARD.decode(it).is_err()) {
        return Err("`AccountKey` is not base64".to_owned());
    }
    if parts.get("defaultendpointsprotocol").is_some_and(|it| !it.eq_ignore_ascii_case("https")) {
        return Err(
            "`DefaultEndpointsProtocol` is not `https`, and keys are shown to nobody in the clear"
                .to_owned(),
        );
    }
    let given = parts.get("blobendpoint").map(|it| it.trim_end_matches('/').to_owned());
    if let Some(given) = &given {
        host_of(Kind::StorageContainers, given)?;
    }
    let suffix = parts.get("endpointsuffix").copied().unwrap_or("core.windows.net");
    Ok(Account {
        name: name.to_owned(),
        given,
        suffix: suffix.to_owned(),
        key: key.map(|it| Secret::new(it.to_owned())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HUB: &str = "Endpoint=sb://Plant.servicebus.windows.net/;SharedAccessKeyName=send;SharedAccessKey=c2VjcmV0;EntityPath=e";

    #[test]
    fn connection_strings_say_where_and_with_which_key() {
        let found = parse(Kind::EventHubs, HUB, None).unwrap();
        assert_eq!(found.host.name, "plant.servicebus.windows.net");
        assert_eq!((found.entity.as_deref(), found.key_name.as_str()), (Some("e"), "send"));
        assert_eq!(found.key.reveal(), "c2VjcmV0");
        let local = "endpoint=SB://127.71.3.9:5671;sharedAccessKeyName=n;sharedAccessKey=k==;";
        let found = parse(Kind::ServiceBusQueues, local, Some("q")).unwrap();
        assert_eq!((found.host.port, found.key.reveal().as_str()), (Some(5671), "k=="));
        let account = "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=c2VjcmV0;EndpointSuffix=core.x";
        assert_eq!(
            parse(Kind::StorageContainers, account, None).unwrap().host.name,
            "a.blob.core.x"
        );
        let in_path =
            super::account("AccountName=a;BlobEndpoint=https://127.71.3.8:8443/a/").unwrap();
        assert_eq!(in_path.address(|_| None), "https://127.71.3.8:8443/a");
        assert!(in_path.key.is_none());
        let by_name = super::account("AccountName=a;EndpointSuffix=core.x").unwrap();
        let served = |name: &str| (name == "a").then(|| "https://127.71.3.9/a".to_owned());
        assert_eq!(by_name.address(served), "https://127.71.3.9/a");
        assert_eq!(by_name.address(|_| None), "https://a.blob.core.x");
        let named = "AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=https://127.71.3.8:8443/";
        assert_eq!(parse(Kind::StorageContainers, named, None).unwrap().host.port, Some(8443));
    }

    #[test]
    fn what_is_wrong_with_one_is_said_without_its_key() {
        let refused = |kind, text: &str, expected: &str| {
            let because = parse(kind, text, None).unwrap_err();
            assert!(because.contains(expected), "{because}");
            assert!(!because.contains("c2VjcmV0"), "{because}");
        };
        let hub = |text: &str, expected: &str| refused(Kind::EventHubs, text, expected);
        hub("c2VjcmV0", "name=value");
        hub(&HUB.replace(";EntityPath=e", ""), "`EntityPath` is missing");
        hub(&HUB.replace("SharedAccessKeyName=send;", ""), "`SharedAccessKeyName` is missing");
        hub(
            &HUB.replace("SharedAccessKey=c2VjcmV0", "SharedAccessKey="),
            "`SharedAccessKey` is missing",
        );
        hub(&HUB.replace("sb://", "https://"), "sb://<namespace>");
        hub(&HUB.replace("sb://Plant", "sb://a@b"), "sb://<namespace>");
        hub(&format!("{HUB};EntityPath=f"), "stands twice");
        hub(&format!("{HUB};Password=c2VjcmV0"), "not known here");
        assert!(parse(Kind::EventHubs, HUB, Some("other")).is_err());
        let account = |text: &str, expected: &str| refused(Kind::StorageContainers, text, expected);
        account("AccountKey=c2VjcmV0", "`AccountName` is missing");
        account("AccountName=a;AccountKey=!", "base64");
        account("DefaultEndpointsProtocol=http;AccountName=a;AccountKey=c2VjcmV0", "https");
        account("AccountName=a;AccountKey=c2VjcmV0;BlobEndpoint=http://x/", "https://<account>");
    }
}
