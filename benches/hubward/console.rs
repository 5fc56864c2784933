//! How soon a page of the console is seen, in Chromium on this machine.

use super::ingestion::node_modules;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::process::Command;
use testkit::Process;

const CHROMIUM: &str = "/usr/bin/chromium";

/// Signs in and opens each of the first pages again and again.
pub fn first_paint(home: &Path) {
    let server = Process::start(Path::new(env!("CARGO_BIN_EXE_hubward")), &home.join("data"), &[]);
    let Some(modules) = node_modules().filter(|_| Path::new(CHROMIUM).exists()) else {
        println!("left out: HUBWARD_NODE_MODULES names no modules of Node, or Chromium is missing");
        return;
    };
    let text = std::fs::read_to_string(server.data().join("connection.env")).unwrap();
    let pairs = text.lines().filter_map(|it| it.split_once('='));
    let env: Map<String, Value> = pairs.map(|(key, it)| (key.to_owned(), json!(it))).collect();
    let world = json!({
        "origin": env["HUBWARD_ARM"],
        "user": env["HUBWARD_ADMIN_USER"],
        "password": env["HUBWARD_ADMIN_PASSWORD"],
        "env": env,
        "chromium": CHROMIUM,
        "pictures": home.join("pictures"),
    });
    let walk = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/compat/node/console/walk.js");
    let mut node = Command::new("node");
    node.arg(walk).arg(world.to_string()).arg("paint").env("NODE_PATH", modules);
    assert!(node.status().unwrap().success());
}
