//! The language and what it says of twins.

use super::*;
use serde_json::json;

mod properties;
mod refusals;

/// The twin of the documentation, with some of each kind of value.
fn twin() -> Value {
    json!({
        "deviceId": "myDeviceId", "etag": "AAAAAAAAAAc=", "status": "enabled", "statusReason": null,
        "connectionState": "Disconnected", "lastActivityTime": "2026-11-22T08:00:00Z",
        "cloudToDeviceMessageCount": 0, "authenticationType": "sas", "version": 2,
        "x509Thumbprint": { "primaryThumbprint": null, "secondaryThumbprint": null },
        "tags": {
            "location": { "region": "US", "plant": "Redmond43" }, "floor": 3, "in": "a name",
            "list": ["a", 2, { "b": true }], "special name!": "it's", "Floor": 4, "half": 0.5,
            "text": "3", "on": true, "null": null,
        },
        "properties": {
            "desired": {
                "telemetryConfig": { "configId": "db00ebf5", "sendFrequencyInSecs": 300 },
                "$metadata": {}, "$version": 4,
            },
            "reported": {
                "connectivity": { "type": "cellular" },
                "telemetryConfig": { "configId": "db00ebf5", "sendFrequencyInSecs": 300, "status": "Success" },
                "$metadata": {}, "$version": 7,
            },
        },
        "capabilities": { "iotEdge": true },
        "configurations": { "climate-15": { "status": "Applied" } },
        "parentScopes": ["ms-azure-iot-edge://edge-1"],
    })
}

fn asked(condition: &str) -> Option<bool> {
    let whole = format!("SELECT * FROM devices WHERE {condition}");
    let query = Query::parse(&whole).unwrap_or_else(|error| panic!("{whole}: {error}"));
    let alone = Condition::parse(condition).unwrap_or_else(|error| panic!("{condition}: {error}"));
    assert_eq!(&alone, query.condition(), "{condition}");
    let answer = alone.truth(&twin());
    assert_eq!(alone.matches(&twin()), answer == Some(true), "{condition}");
    answer
}

fn holds(condition: &str) {
    assert_eq!(asked(condition), Some(true), "{condition}");
}

fn fails(condition: &str) {
    assert_eq!(asked(condition), Some(false), "{condition}");
}

fn is_undefined(condition: &str) {
    assert_eq!(asked(condition), None, "{condition}");
}

/// The rows that a query makes of these twins, or what it shows of each that matches.
fn run(query: &str, twins: &[Value]) -> Vec<Value> {
    let query = Query::parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let found = twins.iter().filter(|it| query.condition().matches(it));
    match query.totals() {
        None => found.filter_map(|it| query.item(it.clone())).collect(),
        Some(mut totals) => {
            found.for_each(|it| totals.add(it).unwrap());
            totals.rows()
        }
    }
}

#[test]
fn the_examples_of_the_documentation_mean_what_they_say() {
    holds("tags.location.region = 'US'");
    holds(
        "tags.location.region = 'US' AND properties.reported.telemetryConfig.sendFrequencyInSecs >= 60",
    );
    fails("properties.reported.connectivity.type IN ['wired', 'wifi']");
    holds("properties.reported.connectivity.type IN ['wired', 'cellular']");
    holds("is_defined(properties.reported.connectivity)");
    holds("is_defined(tags.null) AND NOT is_defined(tags.nothing)");
    holds("status = 'enabled'");
    holds("capabilities.iotEdge = true");
    holds("configurations.[[climate-15]].status = 'Applied'");
    holds("lastActivityTime > '2019-01-22'");
    holds("devices.deviceId = 'myDeviceId'");
    holds("DeviceId IN ['myDeviceId']");
    holds("array_contains(parentScopes, 'ms-azure-iot-edge://edge-1')");
    fails("array_contains(parentScopes, 'ms-azure-iot-edge://edge-10')");
    holds("STARTSWITH(deviceId, 'my') AND ends_with(deviceId, 'Id')");
    holds("deviceId NIN ['another', 'mydeviceid']");
}

#[test]
fn casing_counts_in_values_and_in_the_names_of_authors_only() {
    holds("DEVICEID = 'myDeviceId' aNd STATUS iN [\"enabled\"]");
    fails("deviceId = 'mydeviceid'");
    holds("tags.floor = 3 AND tags.Floor = 4");
    holds("Properties.Desired.$version = 4 AND TAGS.floor = 3 AND Capabilities.IotEdge");
    fails("is_defined(tags.FLOOR)");
    fails("is_defined(properties.reported.Connectivity)");
}

#[test]
fn what_cannot_be_compared_is_neither_true_nor_false() {
    is_undefined("tags.nothing = 3");
    is_undefined("tags.nothing != 3");
    is_undefined("NOT tags.nothing = 3");
    is_undefined("tags.nothing = undefined");
    is_undefined("tags.text = 3");
    is_undefined("tags.text != 3");
    is_undefined("tags.location = tags.location");
    is_undefined("tags.list = ['a']");
    is_undefined("tags.floor > null");
    is_undefined("tags.nothing IN [1, null]");
    is_undefined("tags.nothing NIN [1]");
    is_undefined("tags.location");
    is_undefined("NOT tags.text");
    holds("tags.on");
    holds("statusReason = null AND tags.null = null AND NOT tags.null != null");
    holds("tags.floor != null");
    fails("tags.on != true");
    fails("tags.floor IN []");
}

#[test]
fn and_or_and_not_have_three_values() {
    let words = [("true", Some(true)), ("false", Some(false)), ("tags.nothing = 1", None)];
    for (left, a) in words {
        for (right, b) in words {
            let and = match (a, b) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            };
            let or = match (a, b) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            };
            assert_eq!(asked(&format!("{left} AND {right}")), and, "{left} AND {right}");
            assert_eq!(asked(&format!("{left} OR {right}")), or, "{left} OR {right}");
        }
        assert_eq!(asked(&format!("NOT ({left})")), a.map(|it| !it), "NOT {left}");
    }
    holds("true OR false AND false");
    fails("NOT true OR false");
    fails("(true OR false) AND false");
}

#[test]
fn numbers_calculate_and_compare_by_value() {
    holds("tags.floor = 3.0 AND tags.half = 5e-1 AND tags.floor = 0x3");
    holds("1 + 2 * 3 = 7 AND (1 + 2) * 3 = 9 AND 7 % 4 - -1 = 4 AND 7 / 2 = 3.5");
    holds("-tags.floor = -3 AND tags.floor-1 = 2 AND 2-1=1");
    holds("9007199254740993 > 9007199254740992 AND 9223372036854775807 + 1 >= 9223372036854775807");
    is_undefined("1 / 0 = 1");
    is_undefined("tags.text + 1 = 4");
    holds("as_number(tags.text) + 1 = 4");
    is_undefined("as_number('three') = 3");
    holds(
        "ABS(-2) = 2 AND power(2, 3) = 8 AND square(3) = 9 AND ceiling(0.5) = 1 AND floor(0.5) = 0",
    );
    holds("sign(-2) = -1 AND sqrt(9) = 3 AND exp(0) = 1");
}

#[test]
fn functions_tell_types_and_look_into_texts() {
    holds(
        "is_null(tags.null) AND is_bool(tags.on) AND is_number(tags.half) AND is_string(tags.text)",
    );
    holds("is_object(tags.location) AND is_array(tags.list) AND is_primitive(tags.null)");
    fails(
        "is_object(tags.list) OR is_string(tags.nothing) OR is_null(tags.nothing) OR is_number(tags.text)",
    );
    holds(
        "contains(deviceId, 'vice') AND index_of(deviceId, 'D') = 2 AND index_of(deviceId, 'z') = -1",
    );
    holds("length('déjà') = 4 AND lower('ÀB') = 'àb' AND upper(status) = 'ENABLED'");
    holds(
        "concat('a', tags.text, \"b\") = 'a3b' AND substring('abcd', 1, 2) = 'bc' AND substring('abcd', 9) = ''",
    );
    is_undefined("startswith(tags.floor, '3')");
    is_undefined("concat('a', 3) = 'a3'");
}

#[test]
fn the_page_names_every_function() {
    let page = include_str!("../../../../../docs/reference/queries.md");
    for (name, _) in functions::NAMES {
        assert!(page.contains(&format!("`{name}")), "{name}");
    }
}

#[test]
fn paths_reach_lists_special_names_and_keywords() {
    holds("tags.list[0] = 'a' AND tags.list[2].b AND tags.[[special name!]] = 'it\\'s'");
    holds("tags[[in]] = 'a name' AND tags.in = \"a name\"");
    is_undefined("tags.list[3] = 1");
    is_undefined("tags.list.0 = 'a'");
    holds(
        "'\\u0055S' = tags.location.region AND '\\uD83D\\uDE00' = '😀' AND \"a'b\\\\\" = 'a\\'b\\\\'",
    );
    holds("tags.floor IN[3] AND tags.floor NIN [-3]");
}

#[test]
fn a_column_has_its_alias_or_its_last_name() {
    let all = [twin()];
    assert_eq!(
        run(
            "select DeviceId, tags.location.plant as plant, tags.list[0], tags.nothing FROM devices",
            &all
        ),
        [json!({ "DeviceId": "myDeviceId", "plant": "Redmond43", "$3": "a" })]
    );
    assert_eq!(run("SELECT * FROM devices d WHERE d.tags.floor = 3", &all), all);
    assert_eq!(
        run("SELECT LastActivityTime FROM devices WHERE status = 'enabled'", &all),
        [json!({ "LastActivityTime": "2026-11-22T08:00:00Z" })]
    );
    assert_eq!(Query::parse("SELECT TOP 5 * FROM devices").unwrap().top(), Some(5));
}

#[test]
fn rows_are_gathered_by_what_their_documents_have_in_common() {
    let of =
        |status: Value, n: Value| json!({ "properties": { "reported": { "s": status, "n": n } } });
    let all = [
        of(json!("Success"), json!(1)),
        of(json!("Error"), json!("late")),
        of(json!("Success"), json!(2.5)),
        of(json!("Error"), json!(null)),
        json!({}),
    ];
    let query = "SELECT properties.reported.s AS status, COUNT() AS numberOfDevices FROM devices \
                 GROUP BY properties.reported.s";
    assert_eq!(
        run(query, &all),
        [
            json!({ "numberOfDevices": 1 }),
            json!({ "status": "Error", "numberOfDevices": 2 }),
            json!({ "status": "Success", "numberOfDevices": 2 }),
        ]
    );
    let n = "properties.reported.n";
    let totals =
        format!("SELECT SUM({n}) AS s, AVG({n}) AS a, MIN({n}) AS l, MAX({n}) AS g FROM devices");
    assert_eq!(run(&totals, &all), [json!({ "s": 3.5, "a": 1.75, "l": 1, "g": "late" })]);
    assert_eq!(run(&totals, &[]), [json!({})]);
    assert_eq!(run("SELECT COUNT() FROM devices", &all), [json!({ "$1": 5 })]);
    assert_eq!(run("SELECT COUNT() AS n FROM devices WHERE false", &all), [json!({ "n": 0 })]);
    assert_eq!(
        run("SELECT SUM(properties.reported.n) AS s FROM devices", &all[..1]),
        [json!({ "s": 1 })]
    );
    let counts = |text: &str| Query::parse(text).unwrap().counts_all().map(|it| it.len());
    assert_eq!(counts("SELECT COUNT() AS n FROM devices"), Some(1));
    assert_eq!(counts("SELECT COUNT() AS n FROM devices WHERE true"), None);
    assert_eq!(counts("SELECT COUNT() AS n, deviceId FROM devices GROUP BY deviceId"), None);
}

#[test]
fn an_aggregation_has_a_limit_of_rows() {
    let query = Query::parse("SELECT deviceId FROM devices GROUP BY deviceId").unwrap();
    let mut totals = query.totals().unwrap();
    let device = |number: usize| json!({ "deviceId": number.to_string() });
    (0..GROUPS_MAX).for_each(|it| totals.add(&device(it)).unwrap());
    totals.add(&device(0)).unwrap();
    assert_eq!(totals.add(&device(GROUPS_MAX)), Err(TooManyGroups));
}

#[test]
fn a_condition_alone_is_a_where_without_its_word() {
    let source = |text: &str| Condition::parse(text).unwrap().source();
    assert!(Condition::parse("*").unwrap().matches(&json!({})));
    assert_eq!(source("tags.building='43' AND properties.reported.x > 3"), Source::Devices);
    assert_eq!(source("FROM devices.modules WHERE moduleId = '$edgeAgent'"), Source::Modules);
    assert_eq!(source("from devices.modules"), Source::Modules);
    for text in
        ["", "  ", "* AND true", "WHERE true", "FROM devices.modules m moduleId", "true GROUP BY a"]
    {
        assert!(Condition::parse(text).is_err(), "{text}");
    }
}

#[test]
fn names_may_begin_with_their_source_or_its_alias() {
    let job = json!({ "jobId": "j", "deviceId": "d", "status": "completed", "jobType": "scheduleUpdateTwin" });
    let text = "SELECT * FROM devices.jobs WHERE devices.jobs.deviceId = 'd' AND devices.jobs.status = 'completed'";
    let query = Query::parse(text).unwrap();
    assert_eq!(query.source(), Source::Jobs);
    assert!(query.condition().matches(&job));
    let text =
        "select * from devices.modules as m where devices.deviceId = 'd' and M.moduleId = 'a'";
    let module = json!({ "deviceId": "d", "moduleId": "a" });
    assert!(Query::parse(text).unwrap().condition().matches(&module));
}
