//! Templates, as the Azure CLI deploys them.

use super::az::{Az, binary, text};
use serde_json::Value;
use std::path::PathBuf;
use testkit::Process;

fn fixture(name: &str) -> String {
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/templates").join(name);
    path.display().to_string()
}

struct Stage {
    server: Process,
    az: Az,
    group: String,
    home: tempfile::TempDir,
}

impl Stage {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        let server = Process::start(binary(), &home.path().join("data"), &[]);
        let az = Az::administrator(&server);
        let group = server.connection().get("HUBWARD_RESOURCE_GROUP").unwrap().to_owned();
        Self { server, az, group, home }
    }

    /// `az deployment group {verb}` of a template file, with what follows.
    fn group(&self, verb: &str, name: &str, file: &str, more: &[&str]) -> super::az::Said {
        let mut all =
            vec!["deployment", "group", verb, "--name", name, "--resource-group", &self.group];
        all.extend(["--template-file", file]);
        all.extend(more);
        self.az.run(&all)
    }

    fn hub(&self, name: &str) -> Value {
        let kind = "Microsoft.Devices/IotHubs";
        let all = [
            "resource",
            "show",
            "--resource-type",
            kind,
            "--name",
            name,
            "--resource-group",
            &self.group,
        ];
        self.az.run(&all).json()
    }

    fn written(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    }
}

/// S3-05, S3-06, S3-07, X-17: the first template word for word, with the printed command.
#[test]
fn the_first_printed_template_is_deployed_with_the_printed_command() {
    let stage = Stage::new();
    let file = fixture("system-assigned.json");
    let given = [
        "--parameters",
        "iotHubName=printed-hub",
        "skuName=S1",
        "skuTier=Standard",
        "location=westus",
    ];
    let made = stage.group("create", "first", &file, &given).json();
    assert_eq!(text(&made, "/properties/provisioningState"), "Succeeded");
    let hub = stage.hub("printed-hub");
    assert_eq!(text(&hub, "/identity/type"), "SystemAssigned");
    assert!(
        !text(&hub, "/identity/principalId").is_empty()
            && !text(&hub, "/identity/tenantId").is_empty()
    );
    assert_eq!(text(&hub, "/location"), "westus");

    let of_group = |verb: &[&str], more: &[&str]| {
        let mut all = vec!["deployment"];
        all.extend(verb);
        all.extend(["--resource-group", &stage.group]);
        all.extend(more);
        stage.az.run(&all)
    };
    let shown = of_group(&["group", "show"], &["--name", "first"]).json();
    assert_eq!(
        text(&shown, "/id"),
        format!("{}/providers/Microsoft.Resources/deployments/first", stage.server.group())
    );
    let operations = of_group(&["operation", "group", "list"], &["--name", "first"]).json();
    assert_eq!(text(&operations, "/0/properties/targetResource/resourceName"), "createIotHub");
    let inner = of_group(&["operation", "group", "list"], &["--name", "createIotHub"]).json();
    assert_eq!(
        text(&inner, "/0/properties/targetResource/resourceType"),
        "Microsoft.Devices/IotHubs"
    );
    assert_eq!(of_group(&["group", "list"], &[]).json().as_array().unwrap().len(), 2);

    // What is left out has its default; the group's location is one.
    stage.group("create", "second", &file, &["--parameters", "iotHubName=default-hub"]).json();
    assert_eq!(text(&stage.hub("default-hub"), "/sku/name"), "S1");

    // A region that there is none of, and a group that is not there, are said to be so.
    let nowhere = ["--parameters", "iotHubName=lost-hub", "location=nowhere"];
    let refused = stage.group("create", "third", &file, &nowhere).refused();
    assert!(refused.contains("`nowhere` is not known"), "{refused}");
    let elsewhere = [
        "deployment",
        "group",
        "create",
        "--name",
        "d",
        "--resource-group",
        "nobody",
        "--template-file",
        &file,
    ];
    let all = [elsewhere.as_slice(), &["--parameters", "iotHubName=lost-hub"]].concat();
    let refused = stage.az.run(&all).refused();
    assert!(
        refused.contains("ResourceGroupNotFound") || refused.contains("could not be found"),
        "{refused}"
    );

    of_group(&["group", "delete"], &["--name", "first"]).json();
    of_group(&["group", "show"], &["--name", "first"]).refused();
}

/// S3-11, S3-12, X-17: the second template word for word, and a parameter file for a variant of three identities.
#[test]
fn the_second_printed_template_is_deployed_with_the_printed_command() {
    let stage = Stage::new();
    let file = fixture("user-assigned.json");
    let given =
        ["--parameters", "iotHubName=plant", "skuName=S1", "skuTier=Standard", "location=westus"];
    let made = stage.group("create", "first", &file, &given).json();
    assert_eq!(text(&made, "/properties/provisioningState"), "Succeeded");
    let hub = stage.hub("plant");
    assert_eq!(text(&hub, "/identity/type"), "UserAssigned");
    let names: Vec<&String> =
        hub["identity"]["userAssignedIdentities"].as_object().unwrap().keys().collect();
    assert!(names.len() == 1 && names[0].ends_with("/plant-identity"), "{names:?}");

    // A comment and a text over two lines, as people write templates.
    let three = r#"{
  // three of them
  "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "parameters": { "hub": { "type": "string" } },
  "resources": [
    { "type": "Microsoft.ManagedIdentity/userAssignedIdentities", "apiVersion": "2018-11-30",
      "name": "[format('{0}-{1}', parameters('hub'), copyIndex())]", "location": "[resourceGroup().location]",
      "copy": { "name": "identities", "count": 3 } },
    { "type": "Microsoft.Devices/IotHubs", "apiVersion": "2021-03-31", "name": "[parameters('hub')]",
      "location": "[resourceGroup().location]", "sku": { "name": "S1", "capacity": 1 },
      "identity": { "type": "UserAssigned", "userAssignedIdentities": {
        "[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', format('{0}-0', parameters('hub')))]": {},
        "[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities', format('{0}-1', parameters('hub')))]": {},
        "[resourceId('Microsoft.ManagedIdentity/userAssignedIdentities',
                     format('{0}-2', parameters('hub')))]": {} } },
      "dependsOn": [ "identities" ] }
  ],
  "outputs": { "host": { "type": "string", "value": "[reference(parameters('hub')).hostName]" } }
}"#;
    let parameters = r#"{ "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentParameters.json#",
        "contentVersion": "1.0.0.0", "parameters": { "hub": { "value": "three" } } }"#;
    let file = stage.written("three.json", three);
    let given = format!("@{}", stage.written("parameters.json", parameters));
    let made = stage.group("create", "three", &file, &["--parameters", &given]).json();
    let hub = stage.hub("three");
    assert_eq!(hub["identity"]["userAssignedIdentities"].as_object().unwrap().len(), 3);
    assert_eq!(made["properties"]["outputs"]["host"]["value"], hub["properties"]["hostName"]);
}

#[test]
fn az_asks_what_a_template_would_do_and_is_told_why_it_would_not() {
    let stage = Stage::new();
    let file = fixture("system-assigned.json");
    let given = ["--parameters", "iotHubName=asked-hub"];
    let validated = stage.group("validate", "v", &file, &given).json();
    assert_eq!(text(&validated, "/properties/provisioningState"), "Succeeded");
    let foreseen = |given: &[&str]| {
        let more = [given, &["--no-pretty-print"]].concat();
        let told = stage.group("what-if", "w", &file, &more).json();
        let all = told["changes"].as_array().unwrap().clone();
        let own =
            all.into_iter().find(|it| text(it, "/resourceId").ends_with("/asked-hub")).unwrap();
        (text(&own, "/changeType").to_owned(), own)
    };
    assert_eq!(foreseen(&given).0, "Create");
    stage.group("create", "d", &file, &given).json();
    assert_eq!(foreseen(&given).0, "NoChange");
    let (kind, own) = foreseen(&["--parameters", "iotHubName=asked-hub", "skuName=S2"]);
    assert_eq!(kind, "Modify");
    assert_eq!(text(&own, "/delta/0/path"), "sku.name");
    let printed = stage.az.paste(&format!(
        "az deployment group what-if --name w --resource-group {} --template-file '{file}' --parameters iotHubName=asked-hub skuName=S2",
        stage.group
    ));
    assert!(
        printed.out.contains("sku.name") && printed.out.contains("1 to modify"),
        "{}{}",
        printed.out,
        printed.err
    );

    let circle = stage.written(
        "circle.json",
        r#"{ "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
            "contentVersion": "1.0.0.0", "resources": [{ "type": "Microsoft.Devices/IotHubs", "apiVersion": "2021-03-31",
            "name": "a-hub", "dependsOn": ["nobody"] }] }"#,
    );
    let refused = stage.group("validate", "v", &circle, &[]).refused();
    assert!(
        refused.contains("InvalidTemplate") && refused.contains("`nobody` is not defined"),
        "{refused}"
    );
}

#[test]
fn az_deploys_to_a_subscription() {
    let stage = Stage::new();
    let template = r#"{
  "$schema": "https://schema.management.azure.com/schemas/2018-05-01/subscriptionDeploymentTemplate.json#",
  "contentVersion": "1.0.0.0",
  "resources": [
    { "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2021-04-01", "name": "made", "location": "westus" }
  ]
}"#;
    let file = stage.written("subscription.json", template);
    let all = [
        "deployment",
        "sub",
        "create",
        "--name",
        "whole",
        "--location",
        "westus",
        "--template-file",
        &file,
    ];
    let made = stage.az.run(&all).json();
    assert_eq!(text(&made, "/properties/provisioningState"), "Succeeded");
    stage.az.run(&["group", "show", "--name", "made"]).json();
    stage.az.run(&["deployment", "sub", "show", "--name", "whole"]).json();
    let listed =
        stage.az.run(&["deployment", "operation", "sub", "list", "--name", "whole"]).json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
}
