//! First start: a CA, a tenant, a subscription and an administrator in one commit; then the resource
//! group, the hub, the provisioning service linked to it and the roles of its identity, made by calls of
//! the administrator down the same road as everybody's. The first device is written as a document: the
//! administrator owns the control plane and holds no data role.

use crate::config::Up;
use crate::listeners::can_bind;
use crate::saved::{FORMAT, Saved};
use crate::signing_keys::SigningKey;
use front::tls::Certificates;
use model::operations::operation;
use model::trace::Channel;
use model::{Credential, ObjectId, Op, Plane, Scope, Secret, Timestamp};
use ops::call::{self, Call};
use ops::input::Headers;
use ops::{Env, authorization, devices, entra, provisioning};
use rand::RngCore as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use store::{Engine, Expect, ShardId};

/// How many nets are tried before first start gives up.
const NET_TRIES: usize = 200;
/// The enrollment group that first start makes.
const ENROLLMENT_GROUP: &str = "fleet";
const API_VERSION: &str = "2025-02-01-preview";
/// What the provisioning service may do at the hub: register devices, and write their initial twins.
const DPS_ROLES: [&str; 2] = ["IoT Hub Registry Contributor", "IoT Hub Twin Contributor"];

/// Makes what nobody can be asked to make, in one commit.
pub(crate) async fn found(options: &Up, store: &Engine, now: Timestamp) -> Result<Saved, String> {
    let (ca_certificate, ca_key) = Certificates::make_ca(now).map_err(|it| it.to_string())?;
    let saved = Saved {
        format: FORMAT,
        tenant: new_id(),
        subscription: new_id(),
        loopback_net: match &options.loopback_net {
            Some(net) => net.clone(),
            None => draw_net(options.management_port)?,
        },
        ca_certificate,
        ca_key: Secret::new(ca_key),
        signing_keys: vec![SigningKey::new(now).await?],
        admin_app_id: new_id(),
        admin_object_id: new_id(),
        // Hexadecimal: a secret must not begin with `-`, or command lines take it for an option.
        admin_secret: Secret::new(hex(&random::<32>())),
        admin_user: "admin@hubward.internal".into(),
        // Of as many kinds of characters as a password must have.
        admin_password: Secret::new(format!("Hub-{}", hex(&random::<12>()))),
        resource_group: "hubward-rg".into(),
        hub: format!("hub-{}", hex(&random::<3>())),
        dps: format!("dps-{}", hex(&random::<3>())),
        device: "device-1".into(),
        identity_headers: Vec::new(),
        is_complete: false,
    };
    let mut changes = vec![
        saved.change(Expect::Absent)?,
        ops::resources::subscriptions::change_create(saved.subscription, "Hubward")
            .map_err(|it| it.to_string())?,
        authorization::role_assignments::first(
            new_id(),
            saved.admin_object_id,
            model::roles::OWNER,
            &Scope::root(),
            now,
        )
        .map_err(|it| it.to_string())?,
    ];
    changes.extend(entra::administrator(
        now,
        saved.tenant,
        "administrator",
        saved.admin_app_id,
        new_id(),
        saved.admin_object_id,
        saved.admin_secret.reveal(),
        &random::<16>(),
    ));
    store
        .commit(&ShardId::control(), changes)
        .await
        .map_err(|it| format!("cannot write the first documents: {it}"))?;
    Ok(saved)
}

/// Makes the resource group, the hub, its device and the provisioning service. Each step may have been
/// taken before.
pub(crate) async fn complete(options: &Up, saved: &mut Saved, env: &Env) -> Result<(), String> {
    make_person(saved, env).await?;
    if options.empty {
        (saved.resource_group, saved.hub, saved.dps, saved.device) = Default::default();
    } else {
        let group = format!(
            "/subscriptions/{}/resourceGroups/{}",
            saved.subscription, saved.resource_group
        );
        let hub = format!("{group}/providers/Microsoft.Devices/IotHubs/{}", saved.hub);
        let body = json!({ "location": "westus" });
        let params = BTreeMap::from([
            ("subscription", saved.subscription.to_string()),
            ("group", saved.resource_group.clone()),
            ("hub", saved.hub.clone()),
            ("dps", saved.dps.clone()),
        ]);
        put(Op::PutResourceGroup, &group, body, &params, saved, env).await?;
        let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 }, "properties": {} });
        put(Op::PutHub, &hub, body, &params, saved, env).await?;
        let scope = Scope::parse(&hub).map_err(|it| it.to_string())?;
        let facts = env.facts.load();
        let uid = &facts.hub(&scope).ok_or("the hub that was just made is not there")?.uid;
        let shard = ShardId::hub(uid).map_err(|it| it.to_string())?;
        let (change, _) =
            devices::registry::first(&saved.device, env).map_err(|it| it.to_string())?;
        env.store.commit(&shard, vec![change]).await.map_err(|it| it.to_string())?;
        if !saved.dps.is_empty() {
            make_dps(&group, &scope, &params, saved, env).await?;
        }
    }
    saved.is_complete = true;
    let change = saved.change(Expect::Present)?;
    env.store.commit(&ShardId::control(), vec![change]).await.map_err(|it| it.to_string())?;
    Ok(())
}

/// The administrator as a person, who signs in to the console.
async fn make_person(saved: &Saved, env: &Env) -> Result<(), String> {
    if saved.admin_user.is_empty() {
        return Ok(());
    }
    let body = json!({
        "accountEnabled": true,
        "displayName": "Administrator",
        "mailNickname": "admin",
        "userPrincipalName": saved.admin_user,
        "passwordProfile": {
            "password": saved.admin_password.reveal(),
            "forceChangePasswordNextSignIn": false,
        },
    });
    let person = |env: &Env| env.facts.load().people.named(&saved.admin_user).map(|it| it.id);
    if person(env).is_none() {
        make(Op::CreateUser, ("POST", "/v1.0/users"), body, &BTreeMap::new(), saved, env).await?;
    }
    let id = person(env).ok_or("the administrator that was just made is not there")?;
    if env.facts.load().role_assignments.of(id).is_empty() {
        give(id, model::roles::OWNER, &Scope::root(), saved, env).await?;
    }
    Ok(())
}

/// The provisioning service with an identity of its own, by which alone it reaches the hub.
async fn make_dps(
    group: &str,
    hub: &Scope,
    params: &BTreeMap<&'static str, String>,
    saved: &Saved,
    env: &Env,
) -> Result<(), String> {
    let dps = format!("{group}/providers/Microsoft.Devices/provisioningServices/{}", saved.dps);
    let body = json!({
        "location": "westus",
        "sku": { "name": "S1", "capacity": 1 },
        "identity": { "type": "SystemAssigned" },
        "properties": { "iotHubs": [{
            "hostName": hub.name(),
            "location": "westus",
            "authenticationType": "SystemAssigned",
        }] },
    });
    put(Op::PutDps, &dps, body, params, saved, env).await?;
    make_enrollment_group(&dps, env).await?;
    let scope = Scope::parse(&dps).map_err(|it| it.to_string())?;
    let identity = env.facts.load().dps(&scope).and_then(|it| it.identity);
    let identity = identity.ok_or("the provisioning service that was just made has no identity")?;
    for name in DPS_ROLES {
        let facts = env.facts.load();
        let role = facts.roles.values().find(|it| it.is_builtin && it.name == name);
        let role = role.ok_or_else(|| format!("there is no role `{name}`"))?.id;
        let held = facts.role_assignments.of(identity);
        if held.iter().any(|it| it.role == role && it.scope.same_place(hub)) {
            continue;
        }
        give(identity, role, hub, saved, env).await?;
    }
    Ok(())
}

/// Gives somebody a role.
async fn give(
    principal: ObjectId,
    role: impl std::fmt::Display,
    scope: &Scope,
    saved: &Saved,
    env: &Env,
) -> Result<(), String> {
    let id = new_id();
    let below = format!("providers/Microsoft.Authorization/roleAssignments/{id}");
    let body = json!({ "properties": {
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": principal,
    } });
    let params = BTreeMap::from([("name", id.to_string())]);
    put(Op::PutRoleAssignment, scope.join(&below).as_str(), body, &params, saved, env).await
}

/// The enrollment group that devices of a new server can register by.
async fn make_enrollment_group(dps: &str, env: &Env) -> Result<(), String> {
    let scope = Scope::parse(dps).map_err(|it| it.to_string())?;
    let facts = env.facts.load();
    let uid =
        &facts.dps(&scope).ok_or("the provisioning service that was just made is not there")?.uid;
    let shard = ShardId::dps(uid).map_err(|it| it.to_string())?;
    let (change, _) = provisioning::enrollments::first_group(ENROLLMENT_GROUP, &Value::Null, env)
        .map_err(|it| it.to_string())?;
    env.store.commit(&shard, vec![change]).await.map(drop).map_err(|it| it.to_string())
}

/// One call of the administrator.
async fn put(
    op: Op,
    path: &str,
    body: Value,
    params: &BTreeMap<&'static str, String>,
    saved: &Saved,
    env: &Env,
) -> Result<(), String> {
    make(op, ("PUT", path), body, params, saved, env).await
}

async fn make(
    op: Op,
    (method, path): (&str, &str),
    body: Value,
    params: &BTreeMap<&'static str, String>,
    saved: &Saved,
    env: &Env,
) -> Result<(), String> {
    let body = bytes::Bytes::from(body.to_string());
    let call = Call {
        operation: operation(op),
        surface: operation(op).surface(),
        host: String::new(),
        path: path.to_owned(),
        params: params.clone(),
        query: vec![("api-version".into(), API_VERSION.into())],
        headers: Headers { content_type: Some("application/json".into()), ..Headers::default() },
        credential: Credential::Bearer(Secret::new(token(operation(op).plane, saved, env)?)),
        channel: Channel {
            protocol: "first start".into(),
            request: format!("{method} {path}"),
            address: String::new(),
            ..Channel::default()
        },
        body: Box::new(move |_, _| Box::pin(async move { Ok(body) })),
    };
    let answer = call::run(env, call).await;
    match answer.status {
        200..=299 => Ok(()),
        status => {
            let said = answer.body.unwrap_or(Value::Null);
            Err(format!("first start could not make `{path}`: {status} {said}"))
        }
    }
}

/// A token for the administrator, from the same signer as every other.
fn token(plane: Plane, saved: &Saved, env: &Env) -> Result<String, String> {
    let now = env.now().seconds();
    let audience = match plane {
        Plane::Directory => "https://graph.microsoft.com",
        Plane::Control | Plane::Service | Plane::Open | Plane::Token | Plane::Device => {
            "https://management.azure.com"
        }
    };
    let claims = json!({
        "iss": format!("{}/{}/v2.0", env.settings.origin, saved.tenant),
        "aud": audience,
        "tid": saved.tenant, "oid": saved.admin_object_id, "appid": saved.admin_app_id,
        "iat": now, "nbf": now, "exp": now + 60,
    });
    env.signing_keys.sign(&claims).map_err(|_| "the token-signing key does not work".to_owned())
}

/// A /24 of 127.64.0.0/10 on whose first address nobody listens at the management port.
fn draw_net(port: u16) -> Result<String, String> {
    for _ in 0..NET_TRIES {
        let [a, b] = random::<2>();
        let address = Ipv4Addr::new(127, 64 | (a & 63), b, 1);
        if can_bind(IpAddr::V4(address), port).is_ok() {
            return Ok(format!("127.{}.{b}", 64 | (a & 63)));
        }
    }
    Err(format!(
        "no free loopback net: port {port} cannot be bound in any of {NET_TRIES} tried; choose another with `--management-port`"
    ))
}

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn new_id() -> ObjectId {
    ObjectId(uuid::Builder::from_random_bytes(random()).into_uuid())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
