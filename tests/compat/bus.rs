//! Service Bus by the unmodified clients: azure-servicebus for Python, @azure/service-bus for Node.

use super::az::{Az, Said, binary, text};
use super::clients::{interpreter, node_modules, script};
use amqp::{Body, Message, Outcome};
use bytes::Bytes;
use model::Timestamp;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use testkit::{Amqp, IsSettled, Process};

/// What a client says of its steps.
#[track_caller]
fn said(mut client: Command, server: &Process, string: &str) -> Vec<Value> {
    let ca_file = server.connection().ca_file().to_owned();
    client.args(["q1", "t1", "s1"]).env("SERVICE_BUS_CONNECTION_STRING", string);
    client.env("NODE_PATH", node_modules()).env("NODE_EXTRA_CA_CERTS", ca_file);
    let output = client.output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|it| serde_json::from_str(it).unwrap()).collect()
}

struct Stage {
    server: Process,
    az: Az,
    /// How the commands name the namespace.
    at: String,
    /// With the key that opens all of it.
    string: String,
}

impl Stage {
    fn new(home: &Path) -> Self {
        let server = Process::start(binary(), &home.join("data"), &[]);
        let az = Az::administrator(&server);
        let group = server.connection().get("HUBWARD_RESOURCE_GROUP").unwrap().to_owned();
        let at = format!("--resource-group {group} --namespace-name plant-messages");
        let mut stage = Self { server, az, at, string: String::new() };
        stage.run(&format!(
            "namespace create --name plant-messages --resource-group {group} --location westus --sku Standard"
        ));
        stage.makes("queue create --name q1");
        stage.makes("topic create --name t1");
        stage.makes("topic subscription create --name s1 --topic-name t1");
        let rule = "namespace authorization-rule keys list --name RootManageSharedAccessKey";
        let keys = stage.makes(rule).json();
        text(&keys, "/primaryConnectionString").clone_into(&mut stage.string);
        stage
    }

    fn run(&self, words: &str) -> Said {
        let words: Vec<&str> = ["servicebus"].into_iter().chain(words.split(' ')).collect();
        self.az.run(&words)
    }

    fn makes(&self, words: &str) -> Said {
        self.run(&format!("{words} {}", self.at))
    }

    /// A part of the connection string.
    fn part(&self, name: &str) -> &str {
        let mut parts = self.string.split(';').filter_map(|it| it.split_once('='));
        parts.find(|it| it.0 == name).unwrap().1
    }

    /// Somebody who may do everything at a queue, over AMQP.
    fn opens(&self) -> Amqp {
        let host = self.part("Endpoint").trim_start_matches("sb://").trim_end_matches('/');
        let (host, _) = host.split_once(':').unwrap_or((host, ""));
        let mut amqp = Amqp::begin(&self.server.wire(), host, 5_671);
        let resource = format!("sb://{host}/q1");
        let key = self.part("SharedAccessKey").as_bytes();
        let until = Timestamp::parse("2100-01-01T00:00:00Z").unwrap();
        let token = wire::sas::sign(&resource, key, until, Some(self.part("SharedAccessKeyName")));
        assert_eq!(amqp.puts_token(&resource, &token).0, 200);
        amqp
    }
}

/// Nothing that was acknowledged is lost, nothing that was completed comes again, and what was held is there again, one
/// delivery further.
#[test]
fn a_kill_loses_no_message_that_was_acknowledged() {
    let home = tempfile::tempdir().unwrap();
    let mut stage = Stage::new(home.path());
    let mut client = stage.opens();
    let link = client.sends_to("q1").unwrap();
    for it in ["done", "held", "waits"] {
        let body = Body::Data(vec![Bytes::from(it)]);
        assert_eq!(client.sends(link, &Message { body, ..Message::default() }), Outcome::Accepted);
    }
    client.receives_some("q1", IsSettled::No, 2).unwrap();
    let (done, _) = (client.hears(), client.hears());
    assert_eq!(client.decides(&done, Outcome::Accepted), Outcome::Accepted);
    stage.server.crash();
    let mut client = stage.opens();
    client.receives("q1").unwrap();
    for (body, count) in [("held", 1), ("waits", 0)] {
        let heard = client.hears().message;
        assert_eq!(heard.data().unwrap(), body);
        assert_eq!(heard.header.unwrap().delivery_count, count);
    }
    assert!(client.is_quiet());
}

#[test]
fn messages_go_through_queues_and_topics_by_both_clients() {
    let home = tempfile::tempdir().unwrap();
    let stage = Stage::new(home.path());
    let server = &stage.server;
    let (mut python, mut node) = (Command::new(interpreter()), Command::new("node"));
    python.arg(script("python/bus.py")).arg(server.connection().ca_file());
    node.arg(script("node/bus.js"));
    for (client, missing) in
        [(python, "MessagingEntityNotFoundError"), (node, "MessagingEntityNotFound")]
    {
        let said = said(client, server, &stage.string);
        let find = |step: &str| {
            let found = said.iter().find(|it| it[0] == step);
            found.unwrap_or_else(|| panic!("{step}: {said:?}"))[1].clone()
        };
        let received = find("received");
        assert_eq!(received[0], json!(["one", 0, { "level": "3" }]));
        assert_eq!(
            (&received[1], &received[2]),
            (&json!(["two", 0, {}]), &json!(["three", 0, {}]))
        );
        assert_eq!(received[3], "pump");
        assert_eq!(find("renewed"), true);
        let deferred = find("deferred");
        assert!(text(&deferred, "").contains("cannot be deferred"), "{deferred}");
        assert_eq!(find("dead"), json!(["three", "broken", "no JSON"]));
        assert_eq!(find("peeked"), json!(["two"]));
        assert_eq!(find("empty"), json!([]), "the lock still holds");
        assert_eq!(find("copied"), json!(["to all", 0, {}]));
        assert_eq!(find("missing"), missing);
        // For the next one: what is locked still is not there.
        stage.makes("queue delete --name q1");
        stage.makes("queue create --name q1");
    }
}
