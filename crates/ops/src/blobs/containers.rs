//! Containers as clients of blobs make and see them. Each is the document that Azure Resource Manager has, too.

use super::list::{marker, marker_of, page_of};
use super::xml::Xml;
use super::{account, etag, no, no_container, reply_xml, versioned};
use crate::devices::names;
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::targets;
use gate::Permit;
use gate::facts::Target;
use model::error::BlobFault;
use model::json::text;
use model::{Error, Timestamp};
use serde_json::{Value, json};

/// Where the account answers, as answers tell it.
pub(super) fn endpoint(account: &Target, env: &Env) -> String {
    format!(
        "https://{}/{}/",
        names::host_name(&account.host, env.settings.hub_port),
        account.scope.name()
    )
}

/// What Azure Resource Manager would be sent for this container.
///
/// # Errors
/// An access to everybody that the account does not allow, or that there is not; metadata.
pub(crate) fn body(input: &Input, env: &Env) -> Result<Value, Error> {
    let access = match input.headers.said("x-ms-blob-public-access") {
        None => "None",
        Some("blob") => "Blob",
        Some("container") => "Container",
        Some(_) => {
            let message = "`x-ms-blob-public-access` is `blob` or `container`";
            return Err(no(BlobFault::InvalidHeaderValue, message));
        }
    };
    if access != "None" && !account(&env.facts.load(), input)?.is_public {
        let message = "the account allows nobody to make anything public (`allowBlobPublicAccess`)";
        return Err(no(BlobFault::PublicAccessNotPermitted, message));
    }
    if input.headers.storage.iter().any(|(name, _)| name.starts_with("x-ms-meta-")) {
        return Err(no(
            BlobFault::UnsupportedHeader,
            "containers have no metadata here; leave it out",
        ));
    }
    Ok(json!({ "properties": { "publicAccess": access } }))
}

/// `PUT ?restype=container`.
pub(crate) async fn create(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    if env.facts.load().entity(permit.scope()).is_some() {
        return Err(no(BlobFault::ContainerAlreadyExists, "the container is there already"));
    }
    let made = targets::put(permit, &as_resource(permit, input), env).await;
    if let Err(Error::Invalid { at: Some(at), message, .. }) = &made
        && at == "name"
    {
        return Err(no(BlobFault::InvalidResourceName, message));
    }
    made?;
    let (resource, revision) = found(permit, env).await?;
    Ok(versioned(Reply::empty(201), revision, changed(&resource)))
}

/// The call as Azure Resource Manager would have it: its path names the group.
fn as_resource(permit: &Permit, input: &Input) -> Input {
    let mut input = input.clone();
    for (name, value) in
        ["subscription", "group"].iter().zip(permit.scope().segments().skip(1).step_by(2))
    {
        input.params.insert(name, value.to_owned());
    }
    input
}

async fn found(permit: &Permit, env: &Env) -> Result<(Value, u64), Error> {
    targets::found(env, permit.scope()).await?.ok_or_else(no_container)
}

fn changed(resource: &Value) -> Timestamp {
    let at = text(resource, &["properties", "updatedAt"]).and_then(Timestamp::parse);
    at.unwrap_or(Timestamp::from_seconds(0))
}

fn public(resource: &Value) -> Option<String> {
    let access = text(resource, &["properties", "publicAccess"]).unwrap_or("None");
    (access != "None").then(|| access.to_ascii_lowercase())
}

/// `GET` and `HEAD ?restype=container`.
pub(crate) async fn get(permit: &Permit, _input: &Input, env: &Env) -> Result<Reply, Error> {
    let (resource, revision) = found(permit, env).await?;
    let reply = versioned(Reply::empty(200), revision, changed(&resource))
        .with_header("x-ms-lease-status", "unlocked")
        .with_header("x-ms-lease-state", "available")
        .with_header("x-ms-has-immutability-policy", "false")
        .with_header("x-ms-has-legal-hold", "false");
    Ok(match public(&resource) {
        Some(access) => reply.with_header("x-ms-blob-public-access", access),
        None => reply,
    })
}

/// `DELETE ?restype=container`: with all that is in it.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    found(permit, env).await?;
    targets::delete(permit, &as_resource(permit, input), env).await?;
    Ok(Reply::empty(202))
}

/// `GET ?comp=list`: the containers of the account by name, a page at a time.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let (most, after) = (page_of(input)?, marker_of(input)?);
    let prefix = input.query("prefix").unwrap_or_default();
    let facts = env.facts.load();
    let account = account(&facts, input)?;
    let place = account.scope.join("blobServices/default/containers");
    let mut names = facts.entities_below(&place).filter(|(name, _)| {
        name.starts_with(prefix) && after.as_deref().is_none_or(|it| *name > it)
    });
    let shown: Vec<_> = names.by_ref().take(most).collect();
    let next = names.next().and_then(|_| shown.last()).map(|(name, _)| marker(name));
    let mut found = Vec::with_capacity(shown.len());
    for (name, container) in shown {
        if let Some((resource, revision)) = targets::found(env, &container.scope).await? {
            found.push((name, resource, revision));
        }
    }
    let mut xml = Xml::new();
    xml.with("EnumerationResults", &[("ServiceEndpoint", &endpoint(account, env))], |xml| {
        xml.known("Prefix", input.query("prefix")).known("Marker", input.query("marker"));
        xml.known("MaxResults", input.query("maxresults"));
        xml.within("Containers", |xml| {
            for (name, resource, revision) in &found {
                xml.within("Container", |xml| {
                    xml.text("Name", name).within("Properties", |xml| {
                        xml.text("Last-Modified", changed(resource).rfc1123())
                            .text("Etag", format!("\"{}\"", etag(*revision)))
                            .text("LeaseStatus", "unlocked")
                            .text("LeaseState", "available")
                            .known("PublicAccess", public(resource));
                    });
                });
            }
        });
        xml.text("NextMarker", next.unwrap_or_default());
    });
    Ok(reply_xml(xml.done()))
}
