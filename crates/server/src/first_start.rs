//! First start: a CA, a tenant, a subscription and an administrator in one commit; then the resource group
//! and the hub, made by calls of the administrator down the same road as everybody's. The first device is
//! written as a document: the administrator owns the control plane and holds no data role.

use crate::config::Up;
use crate::saved::Saved;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use front::tls::Certificates;
use model::operations::{Surface, operation};
use model::trace::Channel;
use model::{Credential, ObjectId, Op, Scope, Secret, Timestamp};
use ops::call::{self, Call};
use ops::entra::tokens::Signer;
use ops::input::Headers;
use ops::{Env, authorization, devices, entra};
use rand::RngCore as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use store::{Engine, Expect, ShardId};

/// How many nets are tried before first start gives up.
const NET_TRIES: usize = 200;
const API_VERSION: &str = "2024-11-01";

/// Makes what nobody can be asked to make, in one commit.
pub(crate) async fn found(options: &Up, store: &Engine, now: Timestamp) -> Result<Saved, String> {
    let (ca_certificate, ca_key) = Certificates::make_ca(now).map_err(|it| it.to_string())?;
    let saved = Saved {
        tenant: new_id(),
        subscription: new_id(),
        loopback_net: match &options.loopback_net {
            Some(net) => net.clone(),
            None => draw_net(options.management_port)?,
        },
        ca_certificate,
        ca_key: Secret::new(ca_key),
        signing_key: Secret::new(STANDARD.encode(Signer::generate()?)),
        admin_app_id: new_id(),
        admin_object_id: new_id(),
        // Hexadecimal: a secret must not begin with `-`, or command lines take it for an option.
        admin_secret: Secret::new(hex(&random::<32>())),
        resource_group: "hubward-rg".into(),
        hub: format!("hub-{}", hex(&random::<3>())),
        device: "device-1".into(),
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

/// Makes the resource group, the hub and its device. Each step may have been taken before.
pub(crate) async fn complete(options: &Up, saved: &mut Saved, env: &Env) -> Result<(), String> {
    if options.empty {
        (saved.resource_group, saved.hub, saved.device) = Default::default();
    } else {
        let group = format!(
            "/subscriptions/{}/resourceGroups/{}",
            saved.subscription, saved.resource_group
        );
        let hub = format!("{group}/providers/Microsoft.Devices/IotHubs/{}", saved.hub);
        let body = json!({ "location": "westus" });
        put(Op::PutResourceGroup, &group, body, saved, env).await?;
        let body = json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 }, "properties": {} });
        put(Op::PutHub, &hub, body, saved, env).await?;
        let scope = Scope::parse(&hub).map_err(|it| it.to_string())?;
        let facts = env.facts.load();
        let uid = &facts.hub(&scope).ok_or("the hub that was just made is not there")?.uid;
        let shard = ShardId::hub(uid).map_err(|it| it.to_string())?;
        let (change, _) =
            devices::registry::first(&saved.device, env).map_err(|it| it.to_string())?;
        env.store.commit(&shard, vec![change]).await.map_err(|it| it.to_string())?;
    }
    saved.is_complete = true;
    let change = saved.change(Expect::Present)?;
    env.store.commit(&ShardId::control(), vec![change]).await.map_err(|it| it.to_string())?;
    Ok(())
}

/// One call of the administrator.
async fn put(op: Op, path: &str, body: Value, saved: &Saved, env: &Env) -> Result<(), String> {
    let names = ["subscription", "group", "hub"];
    let values = path
        .split('/')
        .filter(|it| !it.is_empty())
        .skip(1)
        .step_by(2)
        .filter(|it| !it.contains("Microsoft."));
    // `/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Devices/IotHubs/{h}`
    let mut params: BTreeMap<&'static str, String> =
        names.into_iter().zip(values.map(str::to_owned)).collect();
    if op == Op::PutHub {
        params.insert("hub", saved.hub.clone());
    }
    let body = bytes::Bytes::from(body.to_string());
    let call = Call {
        operation: operation(op),
        surface: Surface::Arm,
        host: String::new(),
        path: path.to_owned(),
        params,
        query: vec![("api-version".into(), API_VERSION.into())],
        headers: Headers { content_type: Some("application/json".into()), ..Headers::default() },
        credential: Credential::Bearer(Secret::new(token(saved, env)?)),
        channel: Channel {
            protocol: "first start".into(),
            request: format!("PUT {path}"),
            address: String::new(),
        },
        body: Box::new(move |_| Box::pin(async move { Ok(body) })),
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
fn token(saved: &Saved, env: &Env) -> Result<String, String> {
    let now = env.now().seconds();
    let claims = json!({
        "iss": format!("{}/{}/v2.0", env.settings.origin, saved.tenant),
        "aud": "https://management.azure.com",
        "tid": saved.tenant, "oid": saved.admin_object_id, "appid": saved.admin_app_id,
        "iat": now, "nbf": now, "exp": now + 60,
    });
    env.signer.sign(&claims).map_err(|_| "the token-signing key does not work".to_owned())
}

/// A /24 of 127.64.0.0/10 on whose first address nobody listens at the management port.
fn draw_net(port: u16) -> Result<String, String> {
    for _ in 0..NET_TRIES {
        let [a, b] = random::<2>();
        let address = Ipv4Addr::new(127, 64 | (a & 63), b, 1);
        if TcpListener::bind((IpAddr::V4(address), port)).is_ok() {
            return Ok(format!("127.{}.{b}", 64 | (a & 63)));
        }
    }
    Err(format!(
        "no free loopback net: port {port} cannot be bound in any of {NET_TRIES} tried; choose another with `--management-port`"
    ))
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0_u8; N];
    rand::rng().fill_bytes(&mut bytes);
    bytes
}

fn new_id() -> ObjectId {
    ObjectId(uuid::Builder::from_random_bytes(random()).into_uuid())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
