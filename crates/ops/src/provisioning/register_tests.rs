use super::*;
use crate::insights::diagnostics::{Diagnostics, Sink};
use crate::provisioning::attestation::tests::dps;
use crate::test_env;
use std::collections::BTreeSet;

/// A registration as a crash leaves it, begun under `body`.
async fn begun(env: &Env, id: &str, body: &Value) {
    let registration = Registration {
        registration_id: id.into(),
        device_id: Some(id.into()),
        assigned_hub: None,
        status: RegistrationStatus::Assigning,
        substatus: None,
        error_code: None,
        error_message: None,
        created_date_time_utc: String::new(),
        last_updated_date_time_utc: String::new(),
        payload: None,
        operation_id: format!("4.{id}"),
        enrollment_group_id: None,
        tracking_id: None,
        hub_scope: None,
        x509: None,
        tpm: None,
    };
    let intent = Intent {
        name: format!("{REGISTER} {}", registration.operation_id),
        kind: REGISTER.into(),
        tracking_id: registration.operation_id.clone(),
        body: body.to_string().into(),
    };
    let changes =
        vec![registration.change(Expect::Absent).unwrap(), intents::change_begin(&intent)];
    env.store.commit(&ShardId::dps("d1").unwrap(), changes).await.unwrap();
}

#[tokio::test]
async fn what_a_crash_interrupted_ends_under_the_correlation_id_of_the_devices_call() {
    let directory = tempfile::tempdir().unwrap();
    let mut env = test_env::env();
    let mut facts = (*env.facts.load()).clone();
    facts.put_dps(dps("d1"));
    env.facts = std::sync::Arc::new(crate::facts::FactsCell::new(facts));
    let (diagnostics, writer) =
        Diagnostics::start(directory.path().to_owned(), env.metrics.clone());
    env.diagnostics = diagnostics;
    env.diagnostics.reload(vec![Sink {
        resource: dps("d1").scope.key(),
        workspace: "/subscriptions/s/resourceGroups/rg/providers/p/workspaces/audit".into(),
        categories: BTreeSet::from(["DeviceOperations"]),
    }]);

    let mut body = serde_json::to_value(Begun {
        payload: None,
        is_resumed: false,
        registration_id: "pump-1".into(),
        correlation_id: "of-the-device".into(),
        channel: Channel { protocol: "mqtt".into(), ..Channel::default() },
        certificates: Vec::new(),
        tpm: None,
        caller: Caller::anyone(),
    })
    .unwrap();
    begun(&env, "pump-1", &body).await;
    // As it was written before there was a correlation id in it.
    body["registration_id"] = "pump-2".into();
    body.as_object_mut().unwrap().remove("correlation_id").unwrap();
    begun(&env, "pump-2", &body).await;

    assert_eq!(finish_open_registrations(&env).await.unwrap(), 2);
    writer.stop().await;
    let file = std::fs::read_dir(directory.path().join("diagnostics")).unwrap().next().unwrap();
    let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
    let told: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let ids: Vec<&str> = told.iter().map(|it| it["correlationId"].as_str().unwrap()).collect();
    assert_eq!(ids, ["of-the-device", "4.pump-2"]);
    for it in &told {
        assert_eq!(
            (&it["operationName"], &it["resultType"], &it["resultSignature"]),
            (&json!("RegistrationAttempt"), &json!("Failure"), &json!("401"))
        );
        assert!(it["properties"].as_str().unwrap().contains("\"protocol\":\"Mqtt\""), "{it}");
    }
}
