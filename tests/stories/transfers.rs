//! Identities that are exported into blobs and imported from them: by key, as each identity of the hub, and what
//! becomes of lines that are wrong.

mod plant;

use plant::{DATA_CONTRIBUTOR, Plant};
use serde_json::{Value, json};

const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const OWNER: &str = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
const IOT_DATA_CONTRIBUTOR: &str = "4fc6c259-987e-4a07-842e-c321cc9d413f";

/// The one that the decision behind a tracking id in a sentence was about, and its outcome.
fn decided(plant: &Plant, reason: &str) -> Value {
    let id = reason.split("tracking id ").nth(1).unwrap_or_else(|| panic!("{reason}"));
    let id: String = id.chars().take_while(|it| it.is_ascii_hexdigit() || *it == '-').collect();
    plant.world.explained(&id)["decision"].clone()
}

fn reason(job: &Value) -> &str {
    assert_eq!(job["status"], "failed", "{job}");
    job["failureReason"].as_str().unwrap()
}

/// S3-28, S3-29: what one hub exports another imports, keys, twins, modules and configurations included; without keys
/// none is in the file.
#[test]
fn what_is_exported_is_imported_elsewhere() {
    let plant = Plant::new();
    let pump = plant.world.device(&plant.hub, "pump-1");
    let twin = json!({ "tags": { "line": 4 }, "properties": { "desired": { "speed": 3 } } });
    plant.asks_of(&plant.hub, "PATCH", "/twins/pump-1", &twin).expect(200);
    plant.asks_of(&plant.hub, "PUT", "/devices/pump-1/modules/m", &json!({ "moduleId": "m" }));
    let configuration = json!({ "id": "slow", "priority": 2, "targetCondition": "tags.line = 9",
        "content": { "deviceContent": { "properties.desired.pace": 1 } } });
    plant.asks_of(&plant.hub, "PUT", "/configurations/slow", &configuration).expect(201);
    let mut export = plant.export();
    export["includeConfigurations"] = json!(true);
    let job = plant.runs(&export);
    assert_eq!((&job["status"], &job["progress"]), (&json!("completed"), &json!(100)), "{job}");
    assert!(!job.to_string().contains("sig="), "{job}");
    let lines = plant.lines("others", "devices.txt");
    let line = lines.iter().find(|it| it["id"] == "pump-1" && it["moduleId"].is_null()).unwrap();
    let key = &line["authentication"]["symmetricKey"]["primaryKey"];
    assert_eq!(
        plant.shows(&plant.hub, "pump-1").body["authentication"]["symmetricKey"]["primaryKey"],
        *key
    );
    assert_eq!(
        (&line["tags"]["line"], &line["properties"]["desired"]["speed"]),
        (&json!(4), &json!(3))
    );
    assert!(lines.iter().any(|it| it["moduleId"] == "m"));
    assert_eq!(plant.lines("others", "configurations.txt")[0]["id"], "slow");

    let other = plant.world.hub_named("plant2");
    plant
        .world
        .arm(
            "PUT",
            &other,
            &json!({ "location": "westus", "sku": { "name": "S1", "capacity": 1 } }),
        )
        .expect(201);
    let import = json!({ "type": "import", "inputBlobContainerUri": plant.signed("others", "r"),
        "outputBlobContainerUri": plant.signed("jobs", "cw"), "includeConfigurations": true });
    let id =
        plant.asks_of(&other, "POST", "/jobs/create", &import).expect(200).body["jobId"].clone();
    let job = plant.ends(&other, id.as_str().unwrap());
    assert_eq!(job["status"], "completed", "{job}");
    assert_eq!(plant.lines("jobs", "importErrors.log"), [] as [Value; 0]);
    let shown = plant.shows(&other, "pump-1").expect(200).body;
    assert_eq!(shown["authentication"]["symmetricKey"]["primaryKey"], *key);
    let twin = plant.asks_of(&other, "GET", "/twins/pump-1", &Value::Null).expect(200).body;
    assert_eq!(
        (&twin["tags"]["line"], &twin["properties"]["desired"]["speed"]),
        (&json!(4), &json!(3))
    );
    plant.asks_of(&other, "GET", "/devices/pump-1/modules/m", &Value::Null).expect(200);
    plant.asks_of(&other, "GET", "/configurations/slow", &Value::Null).expect(200);

    let mut without = plant.export();
    without["excludeKeysInExport"] = json!(true);
    without["outputBlobName"] = json!("plain/devices.txt");
    assert_eq!(plant.runs(&without)["status"], "completed");
    let lines = plant.lines("others", "plain/devices.txt");
    assert!(lines.iter().any(|it| it["id"] == "pump-1"));
    let text = json!(lines).to_string();
    assert!(!text.contains(key.as_str().unwrap()), "{text}");
    assert!(text.contains(r#""symmetricKey":{"primaryKey":null,"secondaryKey":null}"#), "{text}");
    drop(pump);
}

/// S3-30, S3-32: the identity that a job names is the one that storage sees, and the hub's own where it names none.
#[test]
fn a_job_calls_as_the_identity_that_it_names() {
    let plant = Plant::new();
    let ((first, one), (second, two)) = (plant.identity("id-1"), plant.identity("id-2"));
    plant.has("SystemAssigned, UserAssigned", &[&first, &second]);
    let own = plant.own();
    for (named, who) in [(Some(&first), &one), (Some(&second), &two), (None, &own)] {
        let export = plant.export_as(named.map(String::as_str));
        let before = plant.runs(&export);
        let decided = decided(&plant, reason(&before));
        assert_eq!(decided["call"]["caller"]["objectId"], who.object_id.as_str(), "{before}");
        plant.world.assign(who, DATA_CONTRIBUTOR, &plant.account).expect(201);
        assert_eq!(plant.runs(&export)["status"], "completed");
    }
}

/// S3-26: the roles that manage an account open no blob of it; the failed job names the identity, the role that lets it,
/// and the decision.
#[test]
fn a_role_that_manages_storage_opens_no_blob() {
    let plant = Plant::new();
    plant.has("SystemAssigned", &[]);
    let own = plant.own();
    for role in [CONTRIBUTOR, OWNER] {
        plant.world.assign(&own, role, &plant.account).expect(201);
        let job = plant.runs(&plant.export_as(None));
        let reason = reason(&job);
        for said in
            ["Storage Blob Data Contributor", &own.object_id, "AuthorizationPermissionMismatch"]
        {
            assert!(reason.contains(said), "{reason}");
        }
        assert_eq!(decided(&plant, reason)["outcome"]["gate"], "access");
    }
    plant.world.assign(&own, DATA_CONTRIBUTOR, &plant.account).expect(201);
    assert_eq!(plant.runs(&plant.export_as(None))["status"], "completed");
}

/// S3-31, S3-33, S3-34 and X-13: the identity that a job is to use must be one of the hub's. Where none is named, that is
/// its own, which is what the bullets about "the user-assigned" one mean there.
#[test]
fn a_job_fails_without_the_identity_that_it_is_to_use() {
    let plant = Plant::new();
    let ((attached, _), (other, _)) = (plant.identity("id-1"), plant.identity("id-10"));
    // Neither kind.
    let job = plant.runs(&plant.export_as(None));
    assert!(reason(&job).contains("has no system-assigned identity"), "{job}");
    let job = plant.runs(&plant.export_as(Some(&other)));
    assert!(reason(&job).contains("id-10") && reason(&job).contains("not attached"), "{job}");
    // A user-assigned one is no stand-in for the hub's own, nor for a namesake.
    plant.has("UserAssigned", &[&attached]);
    let job = plant.runs(&plant.export_as(None));
    assert!(reason(&job).contains("has no system-assigned identity"), "{job}");
    let job = plant.runs(&plant.export_as(Some(&other)));
    assert!(reason(&job).contains("id-10"), "{job}");
    // Nor the other way round.
    plant.has("SystemAssigned", &[]);
    let job = plant.runs(&plant.export_as(Some(&attached)));
    assert!(reason(&job).contains("not attached"), "{job}");
}

/// S3-27: each wrong combination is refused, and the member named.
#[test]
fn a_job_that_makes_no_sense_is_refused_with_the_member() {
    let plant = Plant::new();
    let (id, _) = plant.identity("id-1");
    let (plain, signed) = (plant.container("jobs"), plant.signed("jobs", "rcw"));
    let identity = json!({ "userAssignedIdentity": id });
    let based = "identityBased";
    let wrong = [
        ("type", json!({ "type": "backup", "outputBlobContainerUri": signed })),
        ("outputBlobContainerUri", json!({ "type": "export" })),
        ("outputBlobContainerUri", json!({ "type": "import", "inputBlobContainerUri": signed })),
        ("inputBlobContainerUri", json!({ "type": "import", "outputBlobContainerUri": signed })),
        (
            "inputBlobContainerUri",
            json!({ "type": "export", "outputBlobContainerUri": signed, "inputBlobContainerUri": signed }),
        ),
        (
            "inputBlobName",
            json!({ "type": "export", "outputBlobContainerUri": signed, "inputBlobName": "a" }),
        ),
        ("outputBlobContainerUri", json!({ "type": "export", "outputBlobContainerUri": plain })),
        (
            "outputBlobContainerUri",
            json!({ "type": "export", "outputBlobContainerUri": signed, "storageAuthenticationType": based }),
        ),
        (
            "identity",
            json!({ "type": "export", "outputBlobContainerUri": signed, "identity": identity }),
        ),
        (
            "identity.userAssignedIdentity",
            json!({ "type": "export", "outputBlobContainerUri": plain, "storageAuthenticationType": based, "identity": { "userAssignedIdentity": "id-1" } }),
        ),
        (
            "storageAuthenticationType",
            json!({ "type": "export", "outputBlobContainerUri": plain, "storageAuthenticationType": "password" }),
        ),
        (
            "outputBlobName",
            json!({ "type": "export", "outputBlobContainerUri": signed, "outputBlobName": "" }),
        ),
        (
            "excludeKeysInExport",
            json!({ "type": "export", "outputBlobContainerUri": signed, "excludeKeysInExport": "yes" }),
        ),
    ];
    for (member, body) in wrong {
        let refused = plant.asks(&body).expect(400);
        let said = refused.body.to_string();
        assert!(
            said.contains(&format!("`{member}`")) || said.contains(&format!("{member}:")),
            "{member}: {said}"
        );
    }
    // Threat 58: nowhere that only the server reaches.
    for uri in [
        "https://169.254.169.254/acc/jobs?sig=s",
        "https://127.0.0.1:20843/acc/jobs?sig=s",
        "http://acc.blob.core.windows.net/jobs?sig=s",
        "file:///etc/jobs",
        "https://user@acc.blob.core.windows.net/jobs?sig=s",
    ] {
        let refused = plant.asks(&json!({ "type": "export", "outputBlobContainerUri": uri }));
        assert!(refused.expect(400).body.to_string().contains("outputBlobContainerUri"), "{uri}");
    }
}

/// Threat 61: what is wrong with a line is told in the output, and the good ones are applied; twice does no harm.
#[test]
fn wrong_lines_are_told_and_good_ones_applied() {
    let plant = Plant::new();
    let long = format!(r#"{{"id":"long","tags":{{"a":"{}"}}}}"#, "x".repeat(1 << 20));
    let mut lines = vec![
        r#"{"id":"good-1","importMode":"createOrUpdate","tags":{"line":1}}"#.to_owned(),
        "{ broken".to_owned(),
        r#"{"id":"a/b"}"#.to_owned(),
        r#"{"id":"good-2","importMode":"create"}"#.to_owned(),
        r#"{"id":"nobody","importMode":"update"}"#.to_owned(),
        String::new(),
        long,
        r#"["good-3"]"#.to_owned(),
        r#"{"id":"good-2","importMode":"updateTwin","tags":{"line":2}}"#.to_owned(),
        r#"{"id":"good-1","importMode":"updateIfMatchETag","eTag":"c3RhbGU=","status":"disabled"}"#
            .to_owned(),
        r#"{"id":"good-1","moduleId":"m"}"#.to_owned(),
        r#"{"id":"stranger","moduleId":"m"}"#.to_owned(),
    ];
    lines.extend((0..250).map(|it| format!(r#"{{"id":"many-{it}"}}"#)));
    lines.push(r#"{"id":"many-7","importMode":"delete"}"#.to_owned());
    plant.puts("devices.txt", &lines.join("\r\n"));
    let job = plant.runs(&plant.import());
    assert_eq!(job["status"], "completed", "{job}");
    let told = |plant: &Plant| -> Vec<(u64, String)> {
        let line = |it: &Value| {
            (it["line"].as_u64().unwrap(), it["errorCode"].as_str().unwrap().to_owned())
        };
        let mut all: Vec<_> = plant.lines("others", "importErrors.log").iter().map(line).collect();
        all.sort();
        all
    };
    let told_first = told(&plant);
    let at: Vec<u64> = told_first.iter().map(|(line, _)| *line).collect();
    assert_eq!(at, [2, 3, 5, 7, 8, 10, 12], "{told_first:?}");
    assert_eq!(plant.shows(&plant.hub, "good-2").expect(200).body["status"], "enabled");
    assert_eq!(plant.shows(&plant.hub, "good-1").expect(200).body["status"], "enabled");
    let twin = plant.asks_of(&plant.hub, "GET", "/twins/good-2", &Value::Null).expect(200).body;
    assert_eq!(twin["tags"]["line"], 2);
    plant.shows(&plant.hub, "many-249").expect(200);
    plant.shows(&plant.hub, "many-7").expect(404);
    plant.asks_of(&plant.hub, "GET", "/devices/good-1/modules/m", &Value::Null).expect(200);
    // Again: only what was to be new is there already.
    assert_eq!(plant.runs(&plant.import())["status"], "completed");
    let again: Vec<u64> = told(&plant).iter().map(|(line, _)| *line).collect();
    assert_eq!(again, [2, 3, 4, 5, 7, 8, 10, 12]);
}

/// What an import writes is judged when it is written, as whoever has made the job: a policy's no is told of its line,
/// and who lost the right writes nothing more.
#[test]
fn an_import_is_judged_as_whoever_has_made_it() {
    let plant = Plant::new();
    let world = &plant.world;
    let rule = json!({ "if": { "allOf": [
        { "field": "type", "equals": "Microsoft.Devices/IotHubs/devices" },
        { "field": "name", "like": "bad-*" } ] }, "then": { "effect": "deny" } });
    world.define_policy("names", &rule).expect(201);
    world.assign_policy("names", &world.group()).expect(201);
    plant.puts("devices.txt", "{\"id\":\"good\"}\n{\"id\":\"bad-1\"}\n{\"id\":\"fine\"}\n");
    assert_eq!(plant.runs(&plant.import())["status"], "completed");
    let told = plant.lines("others", "importErrors.log");
    assert_eq!(
        (told.len(), &told[0]["line"], &told[0]["deviceId"]),
        (1, &json!(2), &json!("bad-1"))
    );
    let decided = decided(&plant, told[0]["errorStatus"].as_str().unwrap());
    assert_eq!(decided["outcome"]["gate"], "policy");
    assert_eq!(decided["call"]["caller"]["name"], "iothubowner");
    plant.shows(&plant.hub, "fine").expect(200);
    plant.shows(&plant.hub, "bad-1").expect(404);

    // Somebody with a role, by both planes, and nobody without.
    let ana = world.service_principal("ana");
    let by =
        |method: &str, path: &str, body: &Value| world.hub_as(&ana, method, &plant.hub, path, body);
    by("POST", "/jobs/create", &plant.import()).expect(401);
    world.assign(&ana, IOT_DATA_CONTRIBUTOR, &plant.hub).expect(201);
    plant.puts("devices.txt", "{\"id\":\"of-ana\"}");
    let id = by("POST", "/jobs/create", &plant.import()).expect(200).body["jobId"].clone();
    assert_eq!(plant.ends(&plant.hub, id.as_str().unwrap())["status"], "completed");
    plant.shows(&plant.hub, "of-ana").expect(200);
    // A data role is none of the control plane, nor the other way round.
    let body = json!({ "inputBlobContainerUri": plant.signed("jobs", "r"),
        "outputBlobContainerUri": plant.signed("others", "cw") });
    let import = format!("{}/importDevices", plant.hub);
    world.arm_as(&ana, "POST", &import, &body).expect(403);
    let bob = world.service_principal("bob");
    world.assign(&bob, CONTRIBUTOR, &plant.hub).expect(201);
    world.hub_as(&bob, "POST", &plant.hub, "/jobs/create", &plant.import()).expect(401);
    plant.puts("devices.txt", "{\"id\":\"of-bob\"}");
    let made = world.arm_as(&bob, "POST", &import, &body).expect(200).body;
    assert_eq!((&made["type"], &made["status"]), (&json!("import"), &json!("enqueued")));
    let id = made["jobId"].as_str().unwrap();
    plant.ends(&plant.hub, id);
    let shown = world.arm_as(&bob, "GET", &format!("{}/jobs/{id}", plant.hub), &Value::Null);
    assert_eq!(shown.expect(200).body["status"], "completed");
    plant.shows(&plant.hub, "of-bob").expect(200);
    let body = json!({ "exportBlobContainerUri": plant.signed("others", "cw"), "excludeKeys": true,
        "exportBlobName": "all.txt" });
    let made = world.arm_as(&bob, "POST", &format!("{}/exportDevices", plant.hub), &body);
    let id = made.expect(200).body["jobId"].as_str().unwrap().to_owned();
    assert_eq!(plant.ends(&plant.hub, &id)["status"], "completed");
    assert!(plant.lines("others", "all.txt").iter().any(|it| it["id"] == "of-bob"));
    let listed =
        world.arm_as(&bob, "GET", &format!("{}/jobs", plant.hub), &Value::Null).expect(200);
    assert_eq!(listed.body["value"].as_array().unwrap().len(), 4);
}

/// A signature that opens too little is told of as that; jobs are listed, and one that has ended is not cancelled.
#[test]
fn a_job_that_storage_refuses_says_why() {
    let plant = Plant::new();
    let mut export = plant.export();
    export["outputBlobContainerUri"] = json!(plant.signed("others", "r"));
    let job = plant.runs(&export);
    assert!(reason(&job).contains("shared access signature"), "{job}");
    let job = plant.runs(&plant.import());
    assert!(reason(&job).contains("devices.txt") && reason(&job).contains("404"), "{job}");
    let id = job["jobId"].as_str().unwrap();
    let listed = plant.asks_of(&plant.hub, "GET", "/jobs", &Value::Null).expect(200).body;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    let path = format!("/jobs/{id}");
    plant.asks_of(&plant.hub, "DELETE", &path, &Value::Null).expect(400);
    plant.asks_of(&plant.hub, "DELETE", "/jobs/none", &Value::Null).expect(404);
    plant.asks_of(&plant.hub, "GET", "/jobs/none", &Value::Null).expect(404);
    // Registry readers look; they begin nothing.
    let reads = |method: &str, path: &str, body: &Value| {
        plant.world.hub_by_key("registryRead", method, &plant.hub, path, &[], body)
    };
    reads("GET", &path, &Value::Null).expect(200);
    reads("POST", "/jobs/create", &plant.export()).expect(401);
}
