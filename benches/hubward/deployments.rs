//! What a template of many resources takes: to settle, and to deploy.

use super::{NOW, median, now};
use model::Scope;
use serde_json::{Value, json};
use std::path::Path;
use template::{Plan, Surroundings};
use testkit::Process;

const RESOURCES: usize = 100;
const ROUNDS: usize = 5;

/// A chain of identities, each named by an expression and depending on the one before.
fn template() -> Value {
    let resource = |at: usize| {
        let before = match at {
            0 => json!([]),
            _ => json!([format!(
                "[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities/', concat(variables('name'), '{}'))]",
                at - 1
            )]),
        };
        json!({
            "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2018-11-30",
            "name": format!("[concat(variables('name'), '{at}')]"), "location": "[resourceGroup().location]",
            "tags": { "of": "[format('{0}-{1}', variables('name'), uniqueString(resourceGroup().id))]" },
            "dependsOn": before,
        })
    };
    let resources: Vec<Value> = (0..RESOURCES).map(resource).collect();
    json!({
        "contentVersion": "1.0.0.0", "resources": resources,
        "parameters": { "prefix": { "type": "string" } },
        "variables": { "name": "[concat(parameters('prefix'), '-identity-')]" },
    })
}

/// The time to settle the plan, and the one from `PUT` to `Succeeded` over HTTPS.
pub fn template_of_many(home: &Path) {
    let template = template();
    let given = |round: usize| json!({ "prefix": { "value": format!("r{round}") } });
    let settle = |round: usize| {
        let around = Surroundings {
            scope: Scope::parse("/subscriptions/s/resourceGroups/rg").unwrap(),
            resource_group: Some(json!({ "id": "rg", "location": "westus" })),
            subscription: None,
            tenant: Value::Null,
            environment: Value::Null,
            deployment: Value::Null,
            now: NOW,
        };
        let before = now();
        let plan = Plan::new(&template, &given(round), around, &|| uuid::Uuid::nil()).unwrap();
        assert_eq!(plan.resources.len(), RESOURCES);
        before.elapsed().as_secs_f64() * 1e3
    };
    println!(
        "template of {RESOURCES}: settled in {:.2} ms",
        median((0..ROUNDS).map(settle).collect())
    );

    let server = Process::start(Path::new(env!("CARGO_BIN_EXE_hubward")), home, &[]);
    let (wire, arm, token) = (server.wire(), server.setting("HUBWARD_ARM"), server.arm_bearer());
    let deploy = |round: usize| {
        let url = format!(
            "{arm}{}/providers/Microsoft.Resources/deployments/d{round}?api-version=2024-11-01",
            server.group()
        );
        let body = json!({ "properties": { "mode": "Incremental", "template": template, "parameters": given(round) } });
        let before = now();
        wire.json("PUT", &url, &token, &body).expect(201);
        loop {
            let shown = wire.json("GET", &url, &token, &Value::Null).expect(200).body;
            match shown["properties"]["provisioningState"].as_str().unwrap() {
                "Accepted" | "Running" => {}
                "Succeeded" => return before.elapsed().as_secs_f64() * 1e3,
                state => panic!("{state}: {shown}"),
            }
        }
    };
    println!(
        "template of {RESOURCES}: deployed in {:.0} ms",
        median((0..ROUNDS).map(deploy).collect())
    );
}
