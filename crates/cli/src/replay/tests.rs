use super::*;
use crate::page::Colours;
use model::trace::{Channel, Recorded};
use model::{Gate, Timestamp, Trace, TrackingId, Verdict};
use std::collections::BTreeMap;
use std::fs;

fn outcome(gate: Option<Gate>, status: u16, code: &str) -> Outcome {
    let verdict = if gate.is_some() { Verdict::Deny } else { Verdict::Allow };
    Outcome { verdict, gate, status, code: code.into(), message: String::new() }
}

fn difference() -> Difference {
    let call = Recorded {
        operation: "PutDevice".into(),
        actions: Vec::new(),
        plane: "service".into(),
        scope: "/".into(),
        objects: Vec::new(),
        caller: None,
        replica: None,
        linked: Vec::new(),
        stranded: Vec::new(),
        attributes: None,
        channel: Channel::default(),
    };
    let then = Trace {
        id: TrackingId::parse("3f0c0f5e-1111-4222-8333-444455556666").unwrap(),
        time: Timestamp::from_seconds(1_795_334_400),
        correlation_id: String::new(),
        call,
        facts: 7,
        steps: Vec::new(),
        outcome: outcome(Some(Gate::Policy), 403, "RequestDisallowedByPolicy"),
        repeats: 0,
        warnings: Vec::new(),
    };
    Difference { then, now: outcome(None, 200, "OK") }
}

fn replayed(same: usize, differences: Vec<Difference>) -> Replayed {
    let passed_over = BTreeMap::from([(PassedOver::AtAuthentication, 2), (PassedOver::NoFacts, 1)]);
    Replayed { same, different: differences.len(), differences, passed_over }
}

fn text(replayed: &Replayed) -> String {
    as_text(replayed, Page::new(160, Colours::Off))
}

#[test]
fn each_difference_is_a_line_and_the_rest_is_counted() {
    let said = text(&replayed(3, vec![difference()]));
    assert_eq!(
        said,
        "\
tracking id                           time                      operation  then                                           now
3f0c0f5e-1111-4222-8333-444455556666  2026-11-22T08:00:00.000Z  PutDevice  deny by policy, 403 RequestDisallowedByPolicy  allow

4 decisions were judged again; 1 came out otherwise
2 passed over: authentication refused them, and credentials are not kept
1 passed over: the facts of their time are not kept, or not any more
"
    );
    let said = text(&replayed(1, Vec::new()));
    assert!(said.starts_with("1 decision was judged again; each came out the same\n"), "{said}");
}

#[test]
fn differences_that_are_not_listed_are_counted() {
    let many = Replayed { different: 5, ..replayed(0, vec![difference()]) };
    assert!(text(&many).contains("and 4 more\n"), "{}", text(&many));
}

#[test]
fn programs_get_both_outcomes() {
    let report: Value = serde_json::from_str(&as_json(&replayed(3, vec![difference()]))).unwrap();
    assert_eq!((&report["same"], &report["different"]), (&json!(3), &json!(1)));
    assert_eq!(report["passedOver"], json!({ "atAuthentication": 2, "noFacts": 1 }));
    let told = &report["differences"][0];
    assert_eq!((&told["facts"], &told["operation"]), (&json!(7), &json!("PutDevice")));
    assert_eq!((&told["then"]["gate"], &told["now"]["gate"]), (&json!("policy"), &Value::Null));
}

#[test]
fn a_directory_without_data_or_with_a_server_says_the_next_step() {
    let home = tempfile::tempdir().unwrap();
    let said = hold(home.path()).unwrap_err().to_string();
    assert!(said.contains("no server has its data in") && said.contains("--data DIR"), "{said}");
    fs::create_dir(home.path().join(STORE)).unwrap();
    let said = hold(home.path()).unwrap_err().to_string();
    assert!(said.contains("cannot use the data directory"), "{said}");
    let lock = File::create(home.path().join(LOCK)).unwrap();
    drop(hold(home.path()).unwrap());
    lock.try_lock().unwrap();
    let said = hold(home.path()).unwrap_err().to_string();
    assert!(said.contains("a server runs on") && said.contains("stop it"), "{said}");
}
