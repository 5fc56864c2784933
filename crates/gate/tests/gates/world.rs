//! One tenant, one hub, two people; and a token-signing key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gate::facts::{Hub, Principal, RoleAssignment, SasPolicy, SharedAccess, VerifyingKey};
use gate::network::NetworkRules;
use gate::policy::{Declared, PolicyAssignment, PolicyDefinition, Values, parse_rules};
use gate::{Ask, Authenticated, Door, Facts, Judgement, admit, authenticate, judge, judge_timed};
use model::operations::{Right, operation};
use model::principal::AuthType;
use model::trace::{Caller, Channel, Gate, Object, Step, TraceHead, Verb};
use model::{Credential, ObjectId, Op, PrincipalKind, Scope, Secret, Timestamp, TrackingId};
use ring::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey as _;
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};

pub const ORIGIN: &str = "https://127.70.1.1:8443";
pub const TENANT: &str = "11111111-0000-4000-8000-000000000001";
pub const ANA: &str = "aaaaaaaa-0000-4000-8000-000000000001";
pub const BOB: &str = "bbbbbbbb-0000-4000-8000-000000000002";
pub const HUB: &str =
    "/subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub1";
pub const HUB10: &str =
    "/subscriptions/s1/resourceGroups/rg1/providers/Microsoft.Devices/IotHubs/hub10";
pub const HUB_HOST: &str = "127.70.1.2";
pub const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
pub const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
pub const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
pub const DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";
pub const DATA_READER: &str = "b447c946-2db7-41ec-983d-d8bf3b1c77e3";

/// The key that the server signs with. Made once: it takes a while.
pub static KEY: LazyLock<RsaKeyPair> = LazyLock::new(new_key);

pub fn new_key() -> RsaKeyPair {
    let key = rsa::RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2_048).unwrap();
    RsaKeyPair::from_pkcs8(key.to_pkcs8_der().unwrap().as_bytes()).unwrap()
}

pub fn id(text: &str) -> ObjectId {
    ObjectId::parse(text).unwrap()
}

pub fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

pub fn facts() -> Facts {
    let mut facts = Facts::new(id(TENANT), ORIGIN);
    facts.keys = Arc::new(vec![VerifyingKey {
        key_id: "k1".into(),
        public_der: KEY.public_key().as_ref().to_vec(),
    }]);
    for (who, name) in [(ANA, "ana"), (BOB, "bob")] {
        facts.put_principal(Principal {
            id: id(who),
            kind: PrincipalKind::ServicePrincipal,
            app_id: Some(id(who)),
            display_name: name.into(),
            is_enabled: true,
            resource: None,
        });
    }
    for (hub, host) in [(HUB, HUB_HOST), (HUB10, "127.70.1.20")] {
        facts.put_hub(Hub {
            scope: scope(hub),
            uid: scope(hub).name().to_owned(),
            host: host.into(),
            location: "westus".into(),
            access: SharedAccess {
                is_disabled: false,
                is_disabled_for_devices: false,
                is_disabled_for_modules: false,
                off: None,
                policies: vec![
                    sas_policy("iothubowner", Right::HUB, 1),
                    sas_policy("registryRead", &[Right::RegistryRead], 2),
                    sas_policy("device", &[Right::DeviceConnect], 3),
                ],
            },
            authorities: Vec::new(),
            security: None,
            routing: None,
            network: NetworkRules::default(),
        });
    }
    facts
}

fn sas_policy(name: &str, rights: &[Right], seed: u8) -> SasPolicy {
    SasPolicy {
        name: name.into(),
        rights: rights.to_vec(),
        primary: Secret::new(vec![seed; 32]),
        secondary: Secret::new(vec![seed + 100; 32]),
    }
}

pub fn assign(facts: &mut Facts, who: &str, role: &str, at: &str) {
    let name = format!("{who}-{role}-{at}");
    facts.put_role_assignment(RoleAssignment {
        id: format!("{at}/providers/Microsoft.Authorization/roleAssignments/{name}"),
        name,
        principal: id(who),
        role: id(role),
        scope: scope(at),
        created: NOW,
        deleted: None,
        condition: None,
    });
}

pub fn policy(facts: &mut Facts, name: &str, rules: &Value, at: &str) {
    let definition_id =
        format!("/subscriptions/s1/providers/Microsoft.Authorization/policyDefinitions/{name}");
    facts.put_policy_definition(PolicyDefinition {
        id: definition_id.clone(),
        name: name.into(),
        display_name: String::new(),
        version: "1.0.0".into(),
        parameters: Declared::default(),
        rules: parse_rules(&json!({ "policyRule": rules })).unwrap(),
    });
    facts.put_policy_assignment(PolicyAssignment {
        id: policy_assignment_id(name, at),
        name: name.into(),
        display_name: String::new(),
        scope: scope(at),
        not_scopes: Vec::new(),
        definition_key: definition_id.to_ascii_lowercase(),
        definition_id,
        is_enforced: true,
        parameters: Values::default(),
        messages: Vec::new(),
        overrides: Vec::new(),
        resource_selectors: Vec::new(),
    });
}

pub fn policy_assignment_id(name: &str, at: &str) -> String {
    format!("{at}/providers/Microsoft.Authorization/policyAssignments/{name}")
}

/// A header and claims as the server would sign them for Ana, for the control plane.
pub fn claims() -> Value {
    json!({
        "iss": format!("{ORIGIN}/{TENANT}/v2.0"), "tid": TENANT, "aud": "https://management.core.windows.net/",
        "oid": ANA, "appid": ANA, "iat": NOW.seconds(), "nbf": NOW.seconds(), "exp": NOW.seconds() + 3_600,
    })
}

pub fn header() -> Value {
    json!({ "typ": "JWT", "alg": "RS256", "kid": "k1" })
}

pub fn unsigned(header: &Value, claims: &Value) -> String {
    let part = |it: &Value| URL_SAFE_NO_PAD.encode(it.to_string());
    format!("{}.{}", part(header), part(claims))
}

pub fn signed_by(key: &RsaKeyPair, header: &Value, claims: &Value) -> String {
    let text = unsigned(header, claims);
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &ring::rand::SystemRandom::new(), text.as_bytes(), &mut signature)
        .unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

pub fn head(request: &str) -> TraceHead {
    TraceHead {
        id: TrackingId(uuid::Uuid::nil()),
        time: NOW,
        correlation_id: String::new(),
        channel: Channel {
            protocol: "https".into(),
            request: request.into(),
            address: "127.0.0.1".into(),
            ..Channel::default()
        },
        replica: None,
    }
}

pub fn caller(who: &str) -> Caller {
    Caller {
        kind: PrincipalKind::ServicePrincipal,
        object_id: Some(id(who)),
        app_id: Some(id(who)),
        name: if who == ANA { "ana".into() } else { "bob".into() },
        auth: AuthType::Entra,
        signed_in: "in a test".into(),
        token_issued: Some(NOW),
        via: None,
        rights: Vec::new(),
    }
}

/// A device that a call would write.
pub fn device(hub: &str, name: &str) -> Object {
    Object {
        kind: "Microsoft.Devices/IotHubs/devices".into(),
        name: name.into(),
        id: format!("{hub}/devices/{name}"),
        body: json!({ "deviceId": name }),
        verb: Verb::Write,
    }
}

/// What the gates say to somebody who registers a device.
pub fn registers(facts: &Facts, who: &str, hub: &str, name: &str) -> Judgement {
    does(facts, who, Op::PutDevice, hub, &[device(hub, name)])
}

pub fn does(facts: &Facts, who: &str, op: Op, at: &str, objects: &[Object]) -> Judgement {
    asked(who, op, at, objects, |ask| judged(ask, facts))
}

/// Whoever reads what is open to all: a proof for those who ask about others.
pub fn somebody(facts: &Facts) -> Authenticated {
    let (root, nobody) = (Scope::root(), head("GET /"));
    let door = Door::new(operation(Op::ReadEndpoints), &root, &nobody);
    authenticate(&Credential::None, &door, facts).unwrap()
}

/// What the gates say, asked for a trace and once more for the quick verdict of a call that nobody keeps:
/// both say the same.
pub fn judged(ask: &Ask<'_>, facts: &Facts) -> Judgement {
    let found = judge(ask, facts);
    let somebody = somebody(facts);
    let mut uncounted = facts.clone();
    uncounted.lookups = Arc::default();
    let quick = admit(&somebody, ask, &uncounted, &|| 0).map_err(|it| it.denial.kind);
    let whole = found.denial.as_ref().map_or(Ok(()), |it| Err(it.kind.clone()));
    assert_eq!(quick.map(|_| ()), whole, "{:?}", ask.operation.op);
    found
}

/// The same as a call that was made: what it looks up is counted.
pub fn decided(facts: &Facts, who: &str, op: Op, at: &str, objects: &[Object]) -> Judgement {
    let proven = Step::not_evaluated(Gate::Authentication);
    asked(who, op, at, objects, |ask| judge_timed(proven, ask, facts, &|| 0))
}

fn asked(
    who: &str,
    op: Op,
    at: &str,
    objects: &[Object],
    then: impl FnOnce(&Ask<'_>) -> Judgement,
) -> Judgement {
    let (scope, head, caller) = (scope(at), head("PUT /devices/d1"), caller(who));
    then(&Ask { objects, ..Ask::new(operation(op), &scope, &caller, &head) })
}
