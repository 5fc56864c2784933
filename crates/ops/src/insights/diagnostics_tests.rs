use super::*;
use crate::input::Headers;
use crate::test_env;
use gate::facts::{Hub, Lookups, SharedAccess};
use gate::network::NetworkRules;
use model::operations::{Surface, operation};
use model::{Credential, Op, TrackingId};
use serde_json::Value;

const WORKSPACE: &str = "/subscriptions/s/resourceGroups/rg/providers/p/workspaces/audit";
const GROUP: &str = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Devices";

fn hub(name: &str, host: &str) -> Hub {
    Hub {
        scope: Scope::parse(&format!("{GROUP}/IotHubs/{name}")).unwrap(),
        uid: name.into(),
        host: host.into(),
        location: "westus".into(),
        access: SharedAccess::default(),
        authorities: Vec::new(),
        security: None,
        routing: None,
        network: NetworkRules::default(),
    }
}

fn dps() -> Dps {
    Dps {
        scope: Scope::parse(&format!("{GROUP}/provisioningServices/plant")).unwrap(),
        uid: "d".into(),
        host: "127.71.3.9".into(),
        id_scope: "0ne00000001".into(),
        location: "westus".into(),
        access: SharedAccess::default(),
        identity: None,
        user_assigned: std::collections::BTreeMap::new(),
        links: Vec::new(),
        authorities: Vec::new(),
        network: NetworkRules::default(),
        allocation: gate::facts::Allocation::default(),
    }
}

/// Two hubs of nearly the same name and a provisioning service of just the same.
fn env(directory: &std::path::Path) -> (Env, DiagnosticsWriter) {
    let mut env = test_env::env();
    let mut facts = (*env.facts.load()).clone();
    facts.put_hub(hub("plant", "127.71.3.2"));
    facts.put_hub(hub("plant2", "127.71.3.3"));
    facts.put_dps(dps());
    env.facts = std::sync::Arc::new(crate::facts::FactsCell::new(facts));
    let (diagnostics, writer) = Diagnostics::start(directory.to_owned(), env.metrics.clone());
    env.diagnostics = diagnostics;
    (env, writer)
}

fn sink(resource: &str, category: &'static str) -> Sink {
    Sink {
        resource: format!("{GROUP}/{resource}").to_lowercase(),
        workspace: WORKSPACE.to_owned(),
        categories: BTreeSet::from([category]),
    }
}

fn call(op: Op, host: &str, params: &[(&'static str, &str)]) -> Call {
    Call {
        operation: operation(op),
        surface: Surface::Hub,
        host: host.into(),
        path: String::new(),
        params: params.iter().map(|(key, it)| (*key, (*it).to_owned())).collect(),
        query: vec![("API-Version".into(), "2021-10-01".into())],
        headers: Headers::default(),
        credential: Credential::None,
        channel: Channel { protocol: "mqtt".into(), ..Channel::default() },
        body: Box::new(|_, _| Box::pin(async { Ok(bytes::Bytes::new()) })),
    }
}

/// Runs nothing, but tells the log what it is told of a call that was answered.
fn is_told(env: &Env, call: &Call, error: Option<&Error>) -> bool {
    let mut draft = env.diagnostics.begin(call, "c-1", env);
    let is_wanted = draft.0.is_some();
    if let Some(error) = error {
        draft.failed(error);
    }
    let tracking = TrackingId(uuid::Uuid::from_u128(7));
    let answer = Answer {
        status: 200,
        body: None,
        message: None,
        content: None,
        headers: Vec::new(),
        more: Vec::new(),
        tracking,
        error: None,
    };
    env.diagnostics.end(draft, &answer, 0);
    is_wanted
}

async fn lines(env: &Env, directory: &std::path::Path) -> Vec<Value> {
    env.diagnostics.flush().await;
    let path = directory.join("diagnostics").join(format!("{}.jsonl", files::stem(WORKSPACE)));
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

#[tokio::test]
async fn a_call_is_recorded_where_a_setting_of_its_resource_asks_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let (env, _writer) = env(directory.path());
    let get = call(Op::GetDevice, "127.71.3.2", &[("device", "d1")]);
    let enrollment = call(Op::GetEnrollment, "127.71.3.9", &[("enrollment", "e1")]);
    assert!(!is_told(&env, &get, None), "no setting");

    env.diagnostics.reload(vec![
        sink("IotHubs/plant2", "DeviceIdentityOperations"),
        sink("IotHubs/plant", "Connections"),
        sink("provisioningServices/plant", "DeviceOperations"),
    ]);
    assert!(!is_told(&env, &get, None), "a namesake's setting, another category's");
    assert!(!is_told(&env, &enrollment, None), "another category's");
    assert!(lines(&env, directory.path()).await.is_empty());

    env.diagnostics.reload(vec![
        sink("IotHubs/plant", "DeviceIdentityOperations"),
        sink("provisioningServices/plant", "ServiceOperations"),
    ]);
    assert!(is_told(&env, &get, None) && is_told(&env, &enrollment, None));
    for other in [
        call(Op::GetDevice, "127.71.3.3", &[]),
        call(Op::PutHub, "127.71.3.2", &[]),
        call(Op::GetDevice, "127.71.3.9", &[]),
        call(Op::GetDevice, "example.org", &[]),
        call(Op::RegisterDevice, "127.71.3.9", &[]),
    ] {
        assert!(!is_told(&env, &other, None), "{:?} at {}", other.operation.op, other.host);
    }
    let found = lines(&env, directory.path()).await;
    let names: Vec<&str> = found.iter().map(|it| it["operationName"].as_str().unwrap()).collect();
    assert_eq!(names, ["get", "Get"]);
    assert_eq!(
        (&found[0]["correlationId"], &found[0]["operationVersion"]),
        (&"c-1".into(), &"2021-10-01".into())
    );
    assert!(found[0]["properties"].as_str().unwrap().contains("\"deviceId\":\"d1\""), "{found:?}");
    assert!(found[1]["properties"].as_str().unwrap().contains("\"id\":\"e1\""), "{found:?}");
}

#[tokio::test]
async fn a_fault_of_the_server_is_recorded_without_its_cause() {
    let directory = tempfile::tempdir().unwrap();
    let (env, _writer) = env(directory.path());
    env.diagnostics.reload(vec![sink("IotHubs/plant", "DeviceIdentityOperations")]);
    let fault = Error::Internal { message: "the key hunter2 cannot be read".into() };
    assert!(is_told(&env, &call(Op::GetDevice, "127.71.3.2", &[]), Some(&fault)));
    let found = lines(&env, directory.path()).await;
    assert_eq!((&found[0]["level"], &found[0]["resultType"]), (&"Error".into(), &"500001".into()));
    assert!(!found[0].to_string().contains("hunter2"), "{found:?}");
}

#[tokio::test]
async fn an_outcome_goes_where_the_devices_call_goes() {
    let directory = tempfile::tempdir().unwrap();
    let (env, _writer) = env(directory.path());
    let (caller, channel) = (Caller::anyone(), Channel::default());
    let outcome = Outcome {
        registration_id: "pump-7",
        caller: &caller,
        channel: &channel,
        correlation_id: "c-1",
        hub: None,
        tracking_id: None,
        failure: Some((400_000, "no hub is linked")),
        took_ns: 0,
    };
    env.diagnostics.outcome(&outcome, &dps(), &env);
    env.diagnostics.reload(vec![sink("provisioningServices/plant", "ServiceOperations")]);
    env.diagnostics.outcome(&outcome, &dps(), &env);
    assert!(lines(&env, directory.path()).await.is_empty());
    env.diagnostics.reload(vec![sink("provisioningServices/plant", "DeviceOperations")]);
    env.diagnostics.outcome(&outcome, &dps(), &env);
    let found = lines(&env, directory.path()).await;
    assert_eq!((found.len(), &found[0]["resultSignature"]), (1, &"400".into()));
}

#[tokio::test]
async fn what_cannot_be_queued_is_dropped_and_counted() {
    let (env, writer) = env(std::path::Path::new("/nowhere"));
    writer.stop().await;
    env.diagnostics.reload(vec![sink("IotHubs/plant", "DeviceIdentityOperations")]);
    assert!(is_told(&env, &call(Op::ListDevices, "127.71.3.2", &[]), None));
    let text = env.metrics.render(&Lookups::default(), &env.presence);
    assert!(text.contains("hubward_diagnostic_records_dropped_total 1\n"), "{text}");
}
