//! What is refused, and what nothing tells.

use super::*;

#[test]
fn what_a_template_cannot_be_is_named() {
    let check = |resources: Value, why: &str| {
        let refusal =
            planned(&template(json!({ "resources": resources })), &Value::Null).unwrap_err();
        assert!(refusal.contains(why), "{refusal}");
    };
    let id = |name: &str| format!("{GROUP}/providers/A.B/c/{name}");
    check(
        json!([
            resource("a", json!({ "dependsOn": ["b"] })),
            resource("b", json!({ "dependsOn": ["c"] })),
            resource("c", json!({ "dependsOn": ["b"] }))
        ]),
        &format!("{} depends on {} depends on {}", id("b"), id("c"), id("b")),
    );
    check(json!([resource("a", json!({ "dependsOn": ["nobody"] }))]), "`nobody` is not defined");
    check(json!([resource("a", json!({})), resource("A", json!({}))]), "more than once");
    check(json!([resource("a/b", json!({}))]), "segments");
    check(json!([resource("[reference('x')]", json!({}))]), "x");
    check(json!([{ "type": "A.B/c", "name": "a" }]), "apiVersion");
    check(
        json!([resource("a", json!({ "copy": { "name": "l", "count": 1_000_000_000 } }))]),
        "800",
    );
    check(json!([resource("a", json!({ "copy": { "name": "l", "count": 2 } }))]), "more than once");
    let loops = |count: usize| {
        json!([
            resource(
                "[concat('a', copyIndex())]",
                json!({ "copy": { "name": "l", "count": count } })
            ),
            resource("b", json!({})),
        ])
    };
    check(loops(800), "800 resources");
    let most = planned(&template(json!({ "resources": loops(799) })), &Value::Null).unwrap();
    assert_eq!(most.resources.len(), RESOURCES_MAX);
}

/// Threat 57: texts that double, variables in a circle, too many of anything.
#[test]
fn nothing_grows_without_bound() {
    let refused = |parts: Value| planned(&template(parts), &Value::Null).unwrap_err();
    let mut doubling = json!({ "v0": "xxxxxxxxxxxxxxxx" });
    for at in 1..40 {
        doubling[format!("v{at}")] =
            json!(format!("[concat(variables('v{0}'), variables('v{0}'))]", at - 1));
    }
    assert!(refused(json!({ "variables": doubling, "resources": [] })).contains("131,072"));
    let circle = json!({ "a": "[variables('b')]", "b": "[variables('a')]" });
    assert!(refused(json!({ "variables": circle, "resources": [] })).contains("itself"));
    let chain: Value = (0..200)
        .map(|it| (format!("v{it}"), json!(format!("[variables('v{}')]", it + 1))))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert!(refused(json!({ "variables": chain, "resources": [] })).contains("nested deeper"));
    let many = |count: usize, of: Value| {
        (0..count).map(|it| (format!("v{it}"), of.clone())).collect::<serde_json::Map<_, _>>()
    };
    assert!(
        refused(json!({ "variables": many(257, json!(1)), "resources": [] }))
            .contains("256 variables")
    );
    let declared = json!({ "type": "int", "defaultValue": 1 });
    assert!(
        refused(json!({ "parameters": many(257, declared), "resources": [] }))
            .contains("256 parameters")
    );
    let output = json!({ "type": "int", "value": 1 });
    assert!(
        refused(json!({ "outputs": many(65, output), "resources": [] })).contains("64 outputs")
    );
    let long = format!("[concat('{}')]", "x".repeat(EXPRESSION_CHARS_MAX));
    assert!(refused(json!({ "variables": { "a": long }, "resources": [] })).contains("24,576"));
    let large = json!({ "large": "[padLeft('x', 100000, 'y')]",
        "copy": [{ "name": "all", "count": 800, "input": "[variables('large')]" }] });
    assert!(refused(json!({ "variables": large, "resources": [] })).contains("steps"));
    let wide = json!({ "copy": [{ "name": "a", "count": 800, "input": { "copy": [{ "name": "b", "count": 800, "input": {
        "copy": [{ "name": "c", "count": 800, "input": "x" }] } }] } }] });
    assert!(refused(json!({ "variables": wide, "resources": [] })).contains("steps"));
}

/// Threat 57: what is secure is shown nowhere, in no message either.
#[test]
fn secure_values_are_never_echoed() {
    let template = template(json!({
        "parameters": {
            "word": { "type": "secureString" },
            "all": { "type": "secureObject", "defaultValue": { "inner": "sesame2" } },
        },
        "resources": [],
        "outputs": {
            "hidden": { "type": "secureString", "value": "[parameters('word')]" },
            "bad": { "type": "int", "value": "[int(parameters('word'))]" },
        },
    }));
    let plan = planned(&template, &json!({ "word": { "value": "sesame1" } })).unwrap();
    assert_eq!(
        plan.parameters,
        json!({ "word": { "type": "secureString" }, "all": { "type": "secureObject" } })
    );
    assert_eq!(plan.secrets, ["sesame1", "sesame2"]);
    let Err(Stop::Fault(told)) = plan.outputs(&Known::new(), &Steps::default()) else { panic!() };
    assert!(told.contains("int") && !told.contains("sesame"), "{told}");
    let mut without = template;
    without["outputs"].as_object_mut().unwrap().remove("bad");
    let plan = planned(&without, &json!({ "word": { "value": "sesame1" } })).unwrap();
    assert_eq!(plan.outputs(&Known::new(), &Steps::default()).unwrap()[0].value, None);
    // One that is wrong is not repeated either.
    let refusal = planned(&without, &json!({ "word": { "value": ["sesame3"] } })).unwrap_err();
    assert!(!refusal.contains("sesame"), "{refusal}");
}
