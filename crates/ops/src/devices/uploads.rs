//! Files that devices upload: a device asks for an address that is signed for one blob, puts it there by itself, and
//! says so; whoever serves the hub is told.
//!
//! The hub signs with its storage account's key or, where its endpoint is `identityBased`, with a user delegation key that
//! it asks for as its identity, so that an upload is that identity's with the roles that it has by then.
//! Source: IoT Hub developer guide, "Upload files with IoT Hub"; the public device libraries.

use super::endpoints::IDENTITY_BASED;
use super::named::Named;
use super::registry::{hub_of, read as read_device, shard};
use super::routing::connection::{self, Account};
use super::{hubs, names, service_queues};
use crate::control::{self, delete, failed, parse, put as keep, unread};
use crate::entra::tokens;
use crate::env::Env;
use crate::going_out;
use crate::input::{Input, Reply};
use crate::resources::fields::duration_seconds;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use egress::blob::{BlobError, Blobs, Container, Credential, Signer, Why};
use gate::Permit;
use gate::facts::{Facts, Hub, TargetKind};
use model::error::HubFault;
use model::json::{at, text};
use model::{Error, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::Arc;
use store::{Change, Expect, Scan, ShardId, tables};

/// Most uploads of a device that have begun and are neither over nor too late. Source: IoT Hub quotas.
pub const UPLOADS_MAX: usize = 10;
/// Longest name of a blob, with the device's id. Source: "Naming and referencing containers, blobs, and metadata".
const BLOB_NAME_CHARACTERS_MAX: usize = 1_024;
/// The storage's clock may be behind by so much.
const CLOCK_SKEW_S: i64 = 300;
/// So many uploads are looked at together when those that are too late are forgotten.
const PAGE: usize = 256;

/// An upload that has begun.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Upload {
    blob: String,
    /// Of the device: one of the same name that was made since has not begun it.
    generation: String,
    until: Timestamp,
}

/// Where files go, and how the hub signs for it.
struct Store {
    container: Container,
    credential: Credential,
    ttl_s: i64,
    notifies: bool,
}

/// `POST /devices/{device}/files`.
///
/// # Errors
/// A name that no blob can have; no storage; a storage that says no; [`UPLOADS_MAX`].
pub(crate) async fn begin(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let blob = format!("{}/{}", named.device, blob_name(input)?);
    if blob.chars().count() > BLOB_NAME_CHARACTERS_MAX {
        let because = format!(
            "with the device's id the name has more than {BLOB_NAME_CHARACTERS_MAX} characters"
        );
        return Err(Error::invalid("blobName", because));
    }
    let shard = shard(&hub)?;
    let Some((device, _)) = read_device(env, &shard, &named).await? else {
        return Err(named.not_found());
    };
    let store = store_of(env, &hub).await?;
    let now = env.now();
    let until = now.plus_seconds(store.ttl_s);
    let mut changes = room_for(env, &shard, &named, now).await?;
    let start = now.plus_seconds(-CLOCK_SKEW_S);
    let signed = match &store.credential {
        Credential::Key(key) => {
            store.container.signed(&blob, "rw", start, until, Signer::Account(key))
        }
        Credential::Token(_) | Credential::InAddress => {
            let key = blobs(env, &store).delegation_key(start, until).await;
            let key = key.map_err(|it| said_no(&store, &it))?;
            store.container.signed(&blob, "rw", start, until, Signer::Delegation(&key))
        }
    };
    let correlation = env.new_uuid().simple().to_string();
    let upload = Upload { blob: blob.clone(), generation: device.generation_id, until };
    let key = key_of(&named, &correlation);
    changes.push(keep(tables::FILE_UPLOADS, key, Expect::Absent, &upload)?);
    env.store.commit(&shard, changes).await.map_err(|it| failed(&it))?;
    Ok(Reply::ok(json!({
        "correlationId": correlation,
        "hostName": store.container.place(),
        "containerName": store.container.name,
        "blobName": blob,
        "sasToken": format!("?{}", signed.reveal()),
    })))
}

/// `POST /devices/{device}/files/notifications[/{correlation}]`: the device says how its upload has ended. Services are
/// told of one that has succeeded, where the hub is to tell them.
///
/// # Errors
/// What is no upload of the device, or was too late; a blob that is not there; a storage that says no.
pub(crate) async fn end(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let named = Named::of(input)?;
    let hub = hub_of(permit, env)?;
    let in_path = input.params.get("correlation").map(String::as_str);
    let in_body = text(&input.body, &["correlationId"]);
    let correlation = in_path.or(in_body).unwrap_or_default();
    let unknown = || {
        let what = "there is no such upload of this device: send the `correlationId` that it began with, once";
        Error::hub(HubFault::UnknownUpload, what)
    };
    if correlation.is_empty() || correlation.contains('/') {
        return Err(unknown());
    }
    let Some(is_success) = at(&input.body, &["isSuccess"]).and_then(Value::as_bool) else {
        return Err(Error::invalid("isSuccess", "required: true or false"));
    };
    let shard = shard(&hub)?;
    let key = key_of(&named, correlation);
    let found = control::get_in::<Upload>(env, &shard, tables::FILE_UPLOADS, &key).await?;
    let (upload, revision) = found.ok_or_else(unknown)?;
    let device = read_device(env, &shard, &named).await?;
    if device.is_none_or(|(it, _)| it.generation_id != upload.generation) {
        return Err(unknown());
    }
    let now = env.now();
    let over = delete(tables::FILE_UPLOADS, key, Expect::Revision(revision));
    if upload.until <= now {
        env.store.commit(&shard, vec![over]).await.map_err(|it| failed(&it))?;
        let what = "the time of the upload is over; begin another one";
        return Err(Error::hub(HubFault::LateUpload, what));
    }
    let mut changes = vec![over];
    let store = store_of(env, &hub).await?;
    if is_success && store.notifies {
        let mut blobs = blobs(env, &store);
        let it = blobs.properties(&upload.blob).await.map_err(|it| said_no(&store, &it))?;
        let body = json!({
            "deviceId": named.device.as_str(),
            "blobUri": format!("{}/{}", store.container, upload.blob),
            "blobName": upload.blob,
            "lastUpdatedTime": Timestamp::parse_http(&it.last_modified).unwrap_or(now).rfc3339(),
            "blobSizeInBytes": it.bytes,
            "enqueuedTimeUtc": now.rfc3339(),
        });
        changes.push(service_queues::uploaded(&named.device, body, now, env)?);
    }
    let is_told = changes.len() > 1;
    env.store.commit(&shard, changes).await.map_err(|it| failed(&it))?;
    if is_told {
        env.presence.ring_services(&hub.uid);
    }
    Ok(Reply::empty(204))
}

fn blob_name(input: &Input) -> Result<&str, Error> {
    let name = input.required_text(&["blobName"])?;
    let is_step = |it: &str| it == "." || it == "..";
    let is_plain = !name.is_empty()
        && !name.starts_with('/')
        && !name.contains(|it: char| it.is_control() || it == '\\')
        && !name.split('/').any(is_step);
    let because = "a name of letters and signs is expected, without control characters, `\\`, and `.` or `..` as a part";
    if is_plain { Ok(name) } else { Err(Error::invalid("blobName", because)) }
}

/// The storage of a hub, as its resource has it now.
async fn store_of(env: &Env, hub: &Hub) -> Result<Store, Error> {
    let found = hubs::stored(env, &hub.scope).await?;
    let gone = || Error::UnknownHost { host: hub.scope.name().to_owned() };
    let (document, _) = found.ok_or_else(gone)?;
    let resource = &document.resource;
    let endpoint = at(resource, &["properties", "storageEndpoints", "$default"]);
    let endpoint = endpoint.unwrap_or(&Value::Null);
    let said = |name: &str| text(endpoint, &[name]).filter(|it| !it.is_empty());
    if said("connectionString").is_none() || said("containerName").is_none() {
        let what = format!(
            "the hub `{0}` has no storage for files; `az iot hub update --name {0} --fileupload-storage-connectionstring \
             ... --fileupload-storage-container-name ...` gives it one",
            hub.scope.name()
        );
        return Err(Error::hub(HubFault::NoStorage, what));
    }
    let wrong = |because: String| Error::hub(HubFault::StorageSaysNo, because);
    let facts = env.facts.load();
    let container = container_of(env, &facts, endpoint).map_err(wrong)?;
    let host = container.host();
    let credential = credential(env, &facts, resource, endpoint, host).map_err(wrong)?;
    let ttl = said("sasTtlAsIso8601").and_then(duration_seconds);
    let notifies = at(resource, &["properties", "enableFileUploadNotifications"]);
    Ok(Store {
        container,
        credential,
        ttl_s: ttl.and_then(|it| i64::try_from(it).ok()).unwrap_or(3_600),
        notifies: notifies.and_then(Value::as_bool).unwrap_or(false),
    })
}

/// The container that the storage of a hub names.
///
/// # Errors
/// What is missing or wrong, as a sentence that repeats no value.
pub(super) fn container_of(
    env: &Env,
    facts: &Facts,
    endpoint: &Value,
) -> Result<Container, String> {
    let account = account_of(endpoint)?;
    let name = text(endpoint, &["containerName"]).unwrap_or_default();
    let address = account.address(|it| served_at(it, facts, env));
    Container::at(&address, name).map_err(|it| it.to_string())
}

fn account_of(endpoint: &Value) -> Result<Account, String> {
    connection::account(text(endpoint, &["connectionString"]).unwrap_or_default())
}

/// Where this server serves the blobs of an account, if it does.
pub(super) fn served_at(account: &str, facts: &Facts, env: &Env) -> Option<String> {
    let is_it = |it: &&Arc<gate::facts::Target>| {
        it.kind == TargetKind::Storage && it.scope.name().eq_ignore_ascii_case(account)
    };
    let target = facts.targets.values().find(is_it).filter(|it| !it.host.is_empty())?;
    let host = names::host_name(&target.host, env.settings.hub_port);
    Some(format!("https://{host}/{}", target.scope.name()))
}

fn credential(
    env: &Env,
    facts: &Facts,
    hub: &Value,
    endpoint: &Value,
    host: &str,
) -> Result<Credential, String> {
    let is_by_identity = text(endpoint, &["authenticationType"])
        .is_some_and(|it| it.eq_ignore_ascii_case(IDENTITY_BASED));
    if is_by_identity {
        let named = text(endpoint, &["identity", "userAssignedIdentity"]);
        let who = going_out::identity_of(hub, named, facts)?;
        let token = going_out::token_for(env, facts, &who, (host, tokens::STORAGE));
        return token.map(Credential::Token);
    }
    key_of_account(endpoint)
}

/// The key of the account that the storage of a hub names.
///
/// # Errors
/// As [`container_of`].
pub(super) fn key_of_account(endpoint: &Value) -> Result<Credential, String> {
    let key = account_of(endpoint)?;
    let key = key.key.ok_or("the connection string of the hub's storage has no `AccountKey`")?;
    let key = STANDARD.decode(key.reveal()).map_err(|_| "`AccountKey` is not base64")?;
    Ok(Credential::Key(Secret::new(key)))
}

fn blobs(env: &Env, store: &Store) -> Blobs {
    let (client, now) = (env.egress.clone(), Arc::clone(&env.clock.now));
    Blobs::new(client, store.container.clone(), store.credential.clone(), now)
}

/// What the storage says to the hub, for the device.
fn said_no(store: &Store, error: &BlobError) -> Error {
    let what = format!("the storage `{}` says: {}", store.container, error.told());
    match error.why {
        Why::Throttled | Why::Unreachable => Error::Unavailable { message: what },
        Why::NotFound | Why::Unauthorized | Why::Conflict | Why::Refused => {
            Error::hub(HubFault::StorageSaysNo, what)
        }
    }
}

fn key_of(named: &Named, correlation: &str) -> String {
    format!("{}/{correlation}", named.device)
}

/// Takes out what of a device is too late.
///
/// # Errors
/// [`HubFault::TooManyUploads`] where as many as may be are not.
async fn room_for(
    env: &Env,
    shard: &ShardId,
    named: &Named,
    now: Timestamp,
) -> Result<Vec<Change>, Error> {
    let scan = Scan { prefix: format!("{}/", named.device), after: None, limit: PAGE };
    let all = env.store.scan(shard, tables::FILE_UPLOADS, scan).await.map_err(|it| unread(&it))?;
    let (late, live) = late_of(all, now)?;
    match live < UPLOADS_MAX {
        true => Ok(late),
        false => {
            let what = format!(
                "the device has {live} uploads under way, which is the most; say of each how it has ended"
            );
            Err(Error::hub(HubFault::TooManyUploads, what))
        }
    }
}

/// What takes out those that are too late, and how many are not.
fn late_of(
    all: Vec<(String, store::Document)>,
    now: Timestamp,
) -> Result<(Vec<Change>, usize), Error> {
    let (mut late, mut live) = (Vec::new(), 0);
    for (key, document) in all {
        match parse::<Upload>(tables::FILE_UPLOADS, &key, &document)?.until <= now {
            true => {
                late.push(delete(tables::FILE_UPLOADS, key, Expect::Revision(document.revision)));
            }
            false => live += 1,
        }
    }
    Ok((late, live))
}

/// Forgets the uploads of a hub that nobody has ended in time.
///
/// # Errors
/// [`Error::Internal`] where the store fails.
pub(super) async fn forget_late(env: &Env, hub: &Hub) -> Result<(), Error> {
    let (shard, now) = (shard(hub)?, env.now());
    let mut after = None;
    loop {
        let scan = Scan { prefix: String::new(), after, limit: PAGE };
        let page = env.store.scan(&shard, tables::FILE_UPLOADS, scan).await;
        let page = page.map_err(|it| unread(&it))?;
        after = page.last().filter(|_| page.len() == PAGE).map(|(key, _)| key.clone());
        let (late, _) = late_of(page, now)?;
        if !late.is_empty() {
            match env.store.commit(&shard, late).await {
                // A device has said something of one meanwhile: the next round looks again.
                Ok(_) | Err(store::CommitError::Conflict { .. }) => {}
                Err(error) => return Err(failed(&error)),
            }
        }
        if after.is_none() {
            return Ok(());
        }
    }
}
