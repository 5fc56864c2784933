//! Templates are deployed as who deploys them, one call for each resource, and nobody gets a right by it.

use serde_json::{Value, json};
use testkit::{Answer, Identity, World};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const SYSTEM: &str = include_str!("../fixtures/templates/system-assigned.json");
const USER: &str = include_str!("../fixtures/templates/user-assigned.json");

fn printed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn template(parts: Value) -> Value {
    let mut all = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
    });
    for (name, it) in parts.as_object().unwrap() {
        all[name] = it.clone();
    }
    all
}

fn hub(name: &str) -> Value {
    json!({ "type": "Microsoft.Devices/IotHubs", "apiVersion": "2021-07-02", "name": name, "location": "westus",
        "sku": { "name": "S1", "capacity": 1 }, "properties": {} })
}

fn values(parameters: &[(&str, &str)]) -> Value {
    let all =
        parameters.iter().map(|(name, value)| ((*name).to_owned(), json!({ "value": value })));
    Value::Object(all.collect())
}

struct Stage {
    world: World,
}

impl Stage {
    fn new() -> Self {
        Self { world: World::new() }
    }

    fn id(&self, scope: &str, name: &str) -> String {
        let scope = if scope.is_empty() { self.world.group() } else { scope.to_owned() };
        format!("{scope}/providers/Microsoft.Resources/deployments/{name}")
    }

    fn put(&self, who: &Identity, name: &str, properties: &Value) -> Answer {
        let id = self.id("", name);
        self.world.arm_as(who, "PUT", &id, &json!({ "properties": properties }))
    }

    /// Deploys to the group, and waits for the end.
    fn deploy(&self, who: &Identity, name: &str, template: &Value, parameters: &Value) -> Value {
        let properties =
            json!({ "mode": "Incremental", "template": template, "parameters": parameters });
        self.put(who, name, &properties).expect(201);
        self.ended(&self.id("", name))
    }

    fn ended(&self, id: &str) -> Value {
        loop {
            let shown = self.world.arm("GET", id, &Value::Null).expect(200).body;
            let state = shown["properties"]["provisioningState"].as_str().unwrap().to_owned();
            if !["Accepted", "Running"].contains(&state.as_str()) {
                return shown["properties"].clone();
            }
        }
    }

    fn operations(&self, name: &str) -> Vec<Value> {
        let id = format!("{}/operations", self.id("", name));
        let all = self.world.arm("GET", &id, &Value::Null).expect(200).body;
        all["value"].as_array().unwrap().iter().map(|it| it["properties"].clone()).collect()
    }

    fn contributor(&self, name: &str) -> Identity {
        let who = self.world.service_principal(name);
        self.world.assign(&who, CONTRIBUTOR, &self.world.group()).expect(201);
        who
    }
}

/// S3-05, S3-06, S3-07, X-17: the first template as printed, by outer parameters and the group's location.
#[test]
fn the_template_as_printed_makes_a_hub_with_an_identity() {
    let stage = Stage::new();
    let world = &stage.world;
    let admin = world.admin();
    let given = values(&[("iotHubName", "printed-hub")]);
    let ended = stage.deploy(&admin, "d1", &printed(SYSTEM), &given);
    assert_eq!(ended["provisioningState"], "Succeeded", "{ended}");
    let hub = world.arm("GET", &world.hub_named("printed-hub"), &Value::Null).expect(200).body;
    assert_eq!(hub["identity"]["type"], "SystemAssigned");
    assert!(hub["identity"]["principalId"].is_string() && hub["identity"]["tenantId"].is_string());
    assert_eq!(hub["sku"]["name"], "S1");
    let group = world.arm("GET", &world.group(), &Value::Null).expect(200).body;
    assert_eq!(hub["location"], group["location"]);
    assert_eq!(ended["outputResources"][0]["id"], world.hub_named("printed-hub"));
    assert_eq!(ended["parameters"]["skuName"], json!({ "type": "string", "value": "S1" }));
    assert_eq!(stage.ended(&stage.id("", "createIotHub"))["provisioningState"], "Succeeded");
    // Again it is the same.
    let again = stage.deploy(&admin, "d1", &printed(SYSTEM), &given);
    assert_eq!(again["provisioningState"], "Succeeded", "{again}");
    // Where the name is missing, or the region is none, that is said.
    let refused = stage.put(&admin, "d2", &json!({ "template": printed(SYSTEM) })).expect(400);
    assert!(
        refused.body["error"]["message"].as_str().unwrap().contains("`iotHubName`"),
        "{}",
        refused.body
    );
    let nowhere = values(&[("iotHubName", "other-hub"), ("location", "nowhere")]);
    let ended = stage.deploy(&admin, "d2", &printed(SYSTEM), &nowhere);
    assert_eq!(ended["provisioningState"], "Failed");
    assert!(ended.to_string().contains("`nowhere` is not known"), "{ended}");
    let missing = stage.id(&format!("{}0", world.group()), "d");
    let refused = world
        .arm("PUT", &missing, &json!({ "properties": { "template": printed(SYSTEM) } }))
        .expect(404);
    assert_eq!(refused.body["error"]["code"], "ResourceGroupNotFound");
}

/// S3-11, S3-12, X-17: the second template as printed, and the same with three identities.
#[test]
fn the_second_template_as_printed_makes_an_identity_and_its_hub() {
    let stage = Stage::new();
    let (world, admin) = (&stage.world, stage.world.admin());
    let ended = stage.deploy(&admin, "d1", &printed(USER), &values(&[("iotHubName", "plant")]));
    assert_eq!(ended["provisioningState"], "Succeeded", "{ended}");
    let identities = |hub: &str| {
        let hub = world.arm("GET", &world.hub_named(hub), &Value::Null).expect(200).body;
        assert_eq!(hub["identity"]["type"], "UserAssigned");
        let all = hub["identity"]["userAssignedIdentities"].as_object().unwrap().clone();
        all.keys().map(|it| it.rsplit('/').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(identities("plant"), ["plant-identity"]);

    let mut three = printed(USER);
    let inner = &mut three["resources"][0]["properties"]["template"]["resources"];
    let identity = inner[0].clone();
    for more in ["second", "third"] {
        let mut another = identity.clone();
        another["name"] = json!(format!("[concat(variables('identityName'), '-{more}')]"));
        inner.as_array_mut().unwrap().insert(0, another);
        let id = format!(
            "[resourceID('Microsoft.ManagedIdentity/userAssignedIdentities/', concat(variables('identityName'), '-{more}'))]"
        );
        let hub = inner.as_array_mut().unwrap().last_mut().unwrap();
        hub["identity"]["userAssignedIdentities"][id.as_str()] = json!({});
        hub["dependsOn"].as_array_mut().unwrap().push(json!(id));
    }
    let ended = stage.deploy(&admin, "d3", &three, &values(&[("iotHubName", "three")]));
    assert_eq!(ended["provisioningState"], "Succeeded", "{ended}");
    assert_eq!(
        identities("three"),
        ["three-identity", "three-identity-second", "three-identity-third"]
    );
}

/// S2-12: a deployment gives nobody a right: each resource is judged as a call of who deploys, and told as one.
#[test]
fn a_deployment_does_what_its_deployer_may_and_nothing_more() {
    let stage = Stage::new();
    let (world, group) = (&stage.world, stage.world.group());
    let reader = world.service_principal("reader");
    world.assign(&reader, READER, &group).expect(201);
    let template = template(json!({ "resources": [hub("one"), {
        "type": "Microsoft.Authorization/roleAssignments", "apiVersion": "2022-04-01",
        "name": "[guid(resourceGroup().id, 'x')]",
        "properties": {
            "roleDefinitionId": format!("[subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '{CONTRIBUTOR}')]"),
            "principalId": reader.object_id } }] }));
    let refused = stage.put(&reader, "d", &json!({ "template": template })).expect(403);
    assert!(refused.text().contains("Microsoft.Resources/deployments/write"), "{}", refused.text());

    // A Contributor makes hubs, and assigns no roles.
    let contributor = stage.contributor("contributor");
    let ended = stage.deploy(&contributor, "d", &template, &Value::Null);
    assert_eq!(ended["provisioningState"], "Failed");
    world.arm("GET", &world.hub_named("one"), &Value::Null).expect(200);
    let operations = stage.operations("d");
    assert_eq!(operations[0]["provisioningState"], "Succeeded");
    assert_eq!(
        (&operations[1]["provisioningState"], &operations[1]["statusCode"]),
        (&json!("Failed"), &json!("Forbidden"))
    );
    let detail = &ended["error"]["details"][0];
    assert_eq!(detail["code"], "AuthorizationFailed");
    assert!(detail["target"].as_str().unwrap().contains("/roleAssignments/"), "{detail}");
    let tracking = operations[1]["trackingId"].as_str().unwrap();
    assert!(detail["message"].as_str().unwrap().contains(tracking), "{detail}");
    let told = &world.explained(tracking)["decision"];
    assert_eq!(told["outcome"]["gate"], "access");
    assert_eq!(told["call"]["caller"]["objectId"], contributor.object_id);
    assert_eq!(told["call"]["channel"]["deployment"], stage.id("", "d"));

    // Whoever may deploy and make nothing makes nothing.
    let role = world.guid();
    let body = json!({ "properties": { "roleName": "deployer", "assignableScopes": [group],
        "permissions": [{ "actions": ["Microsoft.Resources/deployments/*"] }] } });
    let path = format!("{group}/providers/Microsoft.Authorization/roleDefinitions/{role}");
    world.arm("PUT", &path, &body).expect(201);
    let deployer = world.service_principal("deployer");
    world.assign(&deployer, &role, &group).expect(201);
    let ended = stage.deploy(&deployer, "d2", &printed(SYSTEM), &values(&[("iotHubName", "two")]));
    assert_eq!(ended["provisioningState"], "Failed");
    assert!(ended.to_string().contains("Microsoft.Devices/IotHubs/write"), "{ended}");
    world.arm("GET", &world.hub_named("two"), &Value::Null).expect(404);
}

/// S3-05: policy and locks judge what a deployment makes, and what depends on it is not tried.
#[test]
fn what_a_policy_denies_fails_with_its_reason_and_takes_along_what_depends_on_it() {
    let stage = Stage::new();
    let (world, admin) = (&stage.world, stage.world.admin());
    world
        .define_policy(
            "only-b1",
            &json!({
        "if": { "allOf": [{ "field": "type", "equals": "Microsoft.Devices/IotHubs" },
            { "field": "Microsoft.Devices/IotHubs/sku.name", "notEquals": "B1" }] },
        "then": { "effect": "deny" } }),
        )
        .expect(201);
    world.assign_policy("only-b1", &world.group()).expect(201);
    let mut last = hub("last");
    last["sku"]["name"] = json!("B1");
    let mut behind = last.clone();
    behind["name"] = json!("behind");
    behind["dependsOn"] = json!(["denied"]);
    let ended = stage.deploy(
        &admin,
        "d",
        &template(json!({ "resources": [hub("denied"), behind, last] })),
        &Value::Null,
    );
    assert_eq!(ended["provisioningState"], "Failed");
    assert_eq!(ended["error"]["details"][0]["code"], "RequestDisallowedByPolicy");
    assert!(ended.to_string().contains("only-b1"), "{ended}");
    let named: Vec<Value> = stage
        .operations("d")
        .iter()
        .map(|it| it["targetResource"]["resourceName"].clone())
        .collect();
    assert_eq!(named, ["denied", "last"]);
    world.arm("GET", &world.hub_named("last"), &Value::Null).expect(200);
    world.arm("GET", &world.hub_named("behind"), &Value::Null).expect(404);

    // Asked first, it is told as well, and nothing is made.
    let asked = template(json!({ "resources": [hub("asked")] }));
    let id = format!("{}/validate", stage.id("", "v"));
    let body = json!({ "properties": { "mode": "Incremental", "template": asked } });
    let refused = world.arm("POST", &id, &body).expect(400).body;
    assert_eq!(refused["error"]["code"], "InvalidTemplateDeployment");
    assert_eq!(refused["error"]["details"][0]["code"], "RequestDisallowedByPolicy");
    world.arm("GET", &stage.id("", "v"), &Value::Null).expect(404);
}

/// S3-05: each resource is judged by the facts of its own call, those that the deployment has just changed included.
#[test]
fn what_a_deployment_changes_counts_for_its_next_resource() {
    let stage = Stage::new();
    let (world, admin) = (&stage.world, stage.world.admin());
    let rule = json!({ "if": { "field": "type", "equals": "Microsoft.Devices/IotHubs" }, "then": { "effect": "deny" } });
    world.define_policy("no-hubs", &rule).expect(201);
    let mut behind = hub("behind");
    behind["dependsOn"] = json!(["no-hubs"]);
    let assignment = json!({ "type": "Microsoft.Authorization/policyAssignments", "apiVersion": "2022-06-01", "name": "no-hubs",
        "properties": { "policyDefinitionId":
            "[subscriptionResourceId('Microsoft.Authorization/policyDefinitions', 'no-hubs')]" } });
    let resources = json!({ "resources": [hub("before"), behind, assignment] });
    let ended = stage.deploy(&admin, "d", &template(resources), &Value::Null);
    assert_eq!(ended["error"]["details"][0]["code"], "RequestDisallowedByPolicy", "{ended}");
    let states: Vec<Value> =
        stage.operations("d").iter().map(|it| it["provisioningState"].clone()).collect();
    assert_eq!(states, ["Succeeded", "Succeeded", "Failed"]);
}

/// Threat 57: what is secure is kept and shown nowhere; circles, depth and size are refused by name.
#[test]
fn hostile_templates_are_refused_and_secrets_never_told() {
    let stage = Stage::new();
    let (world, admin) = (&stage.world, stage.world.admin());
    let secret = "open-sesame-57";
    let declared = json!({ "password": { "type": "secureString" } });
    let mut told = hub("told");
    told["location"] = json!("[parameters('password')]");
    let nested = json!({ "type": "Microsoft.Resources/deployments", "apiVersion": "2020-10-01", "name": "inner",
        "properties": { "mode": "Incremental", "template": { "contentVersion": "1.0.0.0", "resources": [told],
            "outputs": {} } } });
    let outputs =
        json!({ "hidden": { "type": "securestring", "value": "[parameters('password')]" } });
    let failing =
        template(json!({ "parameters": declared, "resources": [nested], "outputs": outputs }));
    let ended = stage.deploy(&admin, "secret", &failing, &values(&[("password", secret)]));
    assert_eq!(ended["provisioningState"], "Failed");
    assert!(ended.to_string().contains("location"), "{ended}");
    let fine = template(json!({ "parameters": declared, "resources": [], "outputs": outputs }));
    let succeeded = stage.deploy(&admin, "fine", &fine, &values(&[("password", secret)]));
    let properties = json!({ "template": fine, "parameters": values(&[("password", secret)]) });
    let kept = world.explained(&stage.put(&admin, "again", &properties).expect(201).tracking());
    assert_eq!(kept["decision"]["call"]["operation"], "PutDeployment");
    assert!(!kept.to_string().contains(secret), "{kept}");
    stage.ended(&stage.id("", "again"));
    assert_eq!(succeeded["outputs"]["hidden"], json!({ "type": "securestring" }));
    let all = world
        .arm("GET", &stage.id("", "").replace("/deployments/", "/deployments"), &Value::Null)
        .expect(200)
        .body;
    assert_eq!(all["value"].as_array().unwrap().len(), 4);
    for shown in [
        all.to_string(),
        format!("{:?}", stage.operations("secret")),
        format!("{:?}", stage.operations("inner")),
    ] {
        assert!(!shown.contains(secret), "{shown}");
    }

    let refused = |resources: Value| {
        let answer = stage.put(
            &admin,
            "bad",
            &json!({ "template": template(json!({ "resources": resources })) }),
        );
        let answer = answer.expect(400);
        assert_eq!(answer.code(), "InvalidTemplate");
        answer.text()
    };
    let mut one = hub("one");
    one["dependsOn"] = json!(["two"]);
    let mut two = hub("two");
    two["dependsOn"] = json!(["one"]);
    let circle = refused(json!([one, two]));
    assert!(
        circle.contains("IotHubs/one depends on") && circle.contains("IotHubs/two depends on"),
        "{circle}"
    );
    let mut many = hub("[concat('h', copyIndex())]");
    many["copy"] = json!({ "name": "loop", "count": 1_000_000_000 });
    assert!(refused(json!([many])).contains("800"));

    // Deployments in deployments, one deeper than may be.
    let mut inner = template(json!({ "resources": [] }));
    for depth in (0..6).rev() {
        inner = template(
            json!({ "resources": [{ "type": "Microsoft.Resources/deployments", "apiVersion": "2020-10-01",
            "name": format!("deep{depth}"), "properties": { "mode": "Incremental", "template": inner,
                "expressionEvaluationOptions": { "scope": "inner" } } }] }),
        );
    }
    let ended = stage.deploy(&admin, "deep", &inner, &Value::Null);
    assert!(ended.to_string().contains("DeploymentsTooDeep"), "{ended}");
}

/// What is fetched at run time, outputs, conditions, and names of a template's own.
#[test]
fn resources_speak_of_each_other_and_outputs_of_all() {
    let stage = Stage::new();
    let admin = stage.world.admin();
    let template = template(json!({
        "languageVersion": "2.0",
        "parameters": { "names": { "type": "array", "defaultValue": ["a", "b"] }, "third": { "type": "bool", "defaultValue": false } },
        "resources": {
            "hubs": { "copy": { "name": "hubs", "count": "[length(parameters('names'))]" }, "type": "Microsoft.Devices/IotHubs",
                "apiVersion": "2021-07-02", "name": "[format('hub-{0}', parameters('names')[copyIndex()])]",
                "location": "[resourceGroup().location]", "sku": { "name": "S1", "capacity": 1 }, "properties": {} },
            "third": { "condition": "[parameters('third')]", "type": "Microsoft.Devices/IotHubs",
                "apiVersion": "2021-07-02", "name": "third", "location": "westus", "sku": { "name": "S1", "capacity": 1 } },
            "service": { "type": "Microsoft.Devices/provisioningServices", "apiVersion": "2022-02-05", "name": "links",
                "location": "westus", "sku": { "name": "S1", "capacity": 1 },
                "tags": { "first": "[reference('hubs[0]').hostName]" }, "properties": {} } },
        "outputs": {
            "host": { "type": "string", "value": "[reference('hubs[1]').hostName]" },
            "keys": { "type": "int", "value": "[length(listKeys(resourceId('Microsoft.Devices/IotHubs', 'hub-a'), '2021-07-02').value)]" },
            "none": { "type": "string", "condition": "[parameters('third')]", "value": "x" } },
    }));
    let ended = stage.deploy(&admin, "d", &template, &Value::Null);
    assert_eq!(ended["provisioningState"], "Succeeded", "{ended}");
    let world = &stage.world;
    let host = |name: &str| {
        world.arm("GET", &world.hub_named(name), &Value::Null).expect(200).body["properties"]["hostName"].clone()
    };
    assert_eq!(ended["outputs"]["host"]["value"], host("hub-b"));
    assert_eq!(ended["outputs"]["keys"]["value"], 5);
    assert!(ended["outputs"].get("none").is_none());
    let service = world.hub_named("links").replace("IotHubs", "provisioningServices");
    assert_eq!(
        world.arm("GET", &service, &Value::Null).expect(200).body["tags"]["first"],
        host("hub-a")
    );
    world.arm("GET", &world.hub_named("third"), &Value::Null).expect(404);
}

/// Complete mode takes away what the template does not have, by calls that are judged, too.
#[test]
fn complete_mode_deletes_what_the_template_does_not_have_unless_a_lock_keeps_it() {
    let stage = Stage::new();
    let (world, admin) = (&stage.world, stage.world.admin());
    let group = format!("{}-whole", world.group());
    world.arm("PUT", &group, &json!({ "location": "westus" })).expect(201);
    let id = |name: &str| format!("{group}/providers/Microsoft.Devices/IotHubs/{name}");
    let body =
        json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 }, "properties": {} });
    for name in ["kept", "old", "locked"] {
        world.arm("PUT", &id(name), &body).expect(201);
    }
    let lock = format!("{}/providers/Microsoft.Authorization/locks/l", id("locked"));
    world.arm("PUT", &lock, &json!({ "properties": { "level": "CanNotDelete" } })).expect(201);
    let deployment = stage.id(&group, "d");
    let whole = json!({ "properties": { "mode": "Complete", "template": template(json!({ "resources": [hub("kept")] })) } });

    let asked = world.arm("POST", &format!("{deployment}/whatIf"), &whole).expect(200).body;
    let changes = asked["properties"]["changes"].as_array().unwrap().clone();
    let kind = |name: &str| {
        changes.iter().find(|it| it["resourceId"] == id(name)).unwrap()["changeType"].clone()
    };
    assert_eq!(
        changes.iter().find(|it| it["resourceId"] == id("kept")).unwrap()["delta"],
        json!([])
    );
    assert_eq!((kind("kept"), kind("old")), (json!("NoChange"), json!("Delete")));

    world.arm_as(&admin, "PUT", &deployment, &whole).expect(201);
    let ended = stage.ended(&deployment);
    assert_eq!(ended["provisioningState"], "Failed");
    assert_eq!(ended["error"]["details"][0]["code"], "ScopeLocked");
    for (name, status) in [("kept", 200), ("old", 404), ("locked", 200)] {
        world.arm("GET", &id(name), &Value::Null).expect(status);
    }
    // The first group, whose name is the beginning of this one's, is left alone.
    world.arm("GET", &world.hub(), &Value::Null).expect(200);
}

#[test]
fn a_subscription_is_deployed_to_with_a_group_and_what_is_in_it() {
    let stage = Stage::new();
    let world = &stage.world;
    let template = template(json!({ "resources": [
        { "type": "Microsoft.Resources/resourceGroups", "apiVersion": "2021-04-01", "name": "made", "location": "westus" },
        { "type": "Microsoft.Resources/deployments", "apiVersion": "2020-10-01", "name": "inside", "resourceGroup": "made",
            "dependsOn": ["[subscriptionResourceId('Microsoft.Resources/resourceGroups', 'made')]"],
            "properties": { "mode": "Incremental", "expressionEvaluationOptions": { "scope": "inner" },
                "template": { "contentVersion": "1.0.0.0", "resources": [hub("inside-hub")],
                    "outputs": { "where": { "type": "string", "value": "[resourceGroup().name]" } } } } }],
        "outputs": { "where": { "type": "string", "value": "[reference('inside').outputs.where.value]" } } }));
    let id = stage.id(&world.subscription(), "whole");
    let refused =
        world.arm("PUT", &id, &json!({ "properties": { "template": template } })).expect(400);
    assert_eq!(refused.code(), "LocationRequired");
    let body = json!({ "location": "westus", "properties": { "mode": "Incremental", "template": template } });
    let validated = world.arm("POST", &format!("{id}/validate"), &body).expect(200).body;
    assert_eq!(validated["properties"]["validatedResources"].as_array().unwrap().len(), 3);
    world.arm("PUT", &id, &body).expect(201);
    let ended = stage.ended(&id);
    assert_eq!(ended["provisioningState"], "Succeeded", "{ended}");
    assert_eq!(ended["outputs"]["where"]["value"], "made");
    let hub = format!(
        "{}/resourceGroups/made/providers/Microsoft.Devices/IotHubs/inside-hub",
        world.subscription()
    );
    world.arm("GET", &hub, &Value::Null).expect(200);
}

#[test]
fn deployments_are_listed_polled_and_forgotten() {
    let stage = Stage::new();
    let (world, admin) = (&stage.world, stage.world.admin());
    let empty = template(json!({ "resources": [] }));
    let put = stage.put(&admin, "d", &json!({ "template": empty })).expect(201);
    let address = put.header("azure-asyncoperation").unwrap().to_owned();
    assert!(put.header("retry-after").is_some());
    assert_eq!(put.body["properties"]["provisioningState"], "Accepted");
    stage.ended(&stage.id("", "d"));
    let path = address.split_once("://").unwrap().1.split_once('/').unwrap().1;
    let path = format!("/{}", path.split_once('?').unwrap().0);
    assert_eq!(world.arm("GET", &path, &Value::Null).expect(200).body["status"], "Succeeded");
    let of_none = format!("{}/operationStatuses/{}", stage.id("", "d"), world.guid());
    world.arm("GET", &of_none, &Value::Null).expect(404);
    world.arm("HEAD", &stage.id("", "d"), &Value::Null).expect(204);
    world.arm("HEAD", &stage.id("", "d0"), &Value::Null).expect(404);
    world.arm("POST", &format!("{}/cancel", stage.id("", "d")), &Value::Null).expect(409);
    world.arm("DELETE", &stage.id("", "d"), &Value::Null).expect(204);
    world.arm("DELETE", &stage.id("", "d"), &Value::Null).expect(204);
    assert_eq!(
        world.arm("GET", &stage.id("", "d"), &Value::Null).expect(404).code(),
        "DeploymentNotFound"
    );
    let refused = stage.put(&admin, "a!b", &json!({ "template": empty })).expect(400);
    assert_eq!(refused.code(), "InvalidDeploymentName");
    let nowhere = stage.id(&world.hub(), "d");
    world.arm("PUT", &nowhere, &json!({ "properties": { "template": empty } })).expect(404);
    let linked = json!({ "templateLink": { "uri": "http://127.0.0.1/x.json" } });
    assert!(stage.put(&admin, "l", &linked).expect(400).text().contains("linked"));
}
