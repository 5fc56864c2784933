//! Who may import whom. A new edge is a line here, so that a reader of the change sees it.

use crate::expect_none;
use crate::files::{self, File};
use crate::rust;
use std::collections::BTreeSet;

/// What each crate may take of ours. `testkit` stands apart: it takes what it likes, and only tests take it.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("wire", &["model"]),
    ("amqp", &[]),
    ("expression", &["model"]),
    ("template", &["model", "expression"]),
    ("gate", &["model", "expression"]),
    ("store", &["model"]),
    ("egress", &["model", "wire", "amqp"]),
    ("ops", &["model", "expression", "template", "gate", "store", "egress"]),
    ("ingest", &["model"]),
    ("console", &["model", "wire"]),
    ("front", &["model", "wire", "amqp", "ops", "console"]),
    ("server", &["model", "store", "egress", "ops", "front", "console"]),
    ("cli", &["model", "wire", "gate", "store", "ops", "ingest"]),
    (ORACLE, &["model", "wire", "gate"]),
];
const ROOT_MAY_IMPORT: &[&str] = &["server", "cli"];
const TESTKIT: &str = "testkit";
/// What the gates are compared with. Its tests know both; it knows nothing of ours and nothing takes it.
const ORACLE: &str = "oracle";

/// Crates that know no runtime, no clock, no socket and no file.
const PURE: &[&str] = &["model", "wire", "amqp", "expression", "template", "gate"];
/// What a pure crate may not take.
const IMPURE_CRATES: &[&str] = &[
    "hyper",
    "hyper-util",
    "rand",
    "rusqlite",
    "rustix",
    "tempfile",
    "tokio",
    "tokio-rustls",
    "ureq",
];
/// Nor name.
const IMPURE_NAMES: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
    "Instant",
    "SystemTime",
    "now_local",
    "now_utc",
];

/// A dependency, as a manifest asks for it.
struct Dependency {
    name: String,
    line: String,
    is_for_tests: bool,
}

struct Manifest {
    path: String,
    dependencies: Vec<Dependency>,
    /// What the manifest says in a form that this reader does not take.
    faults: Vec<String>,
}

fn manifest(path: &str) -> Manifest {
    let mut section = String::new();
    let mut read = Manifest { path: path.to_owned(), dependencies: Vec::new(), faults: Vec::new() };
    for line in files::read(path).lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned();
            if section.contains("dependencies.") || section.contains("build-dependencies") {
                let fault = format!(
                    "{path}: `[{section}]`: one line each, below `[dependencies]`; no build scripts"
                );
                read.faults.push(fault);
            }
        } else if section.ends_with("dependencies") && !line.is_empty() && !line.starts_with('#') {
            let name = line.split(['.', ' ', '=']).next().unwrap_or("").to_owned();
            let is_for_tests = section.ends_with("dev-dependencies");
            read.dependencies.push(Dependency { name, line: line.to_owned(), is_for_tests });
        }
    }
    read
}

/// The manifest of every crate of ours, by the crate's name.
fn crates() -> Vec<(String, Manifest)> {
    let names = files::folders("crates");
    names.into_iter().map(|it| (it.clone(), manifest(&format!("crates/{it}/Cargo.toml")))).collect()
}

#[test]
fn no_crate_imports_what_the_map_does_not_name() {
    let crates = crates();
    let ours: BTreeSet<&str> = crates.iter().map(|(name, _)| name.as_str()).collect();
    let mapped: BTreeSet<&str> =
        MAY_IMPORT.iter().map(|(name, _)| *name).chain([TESTKIT]).collect();
    assert_eq!(ours, mapped, "the crates, and the crates of the map");
    let root = manifest("Cargo.toml");
    let mut faults = Vec::new();
    for (name, manifest) in
        crates.iter().map(|(name, it)| (name.as_str(), it)).chain([("hubward", &root)])
    {
        let allowed = match MAY_IMPORT.iter().find(|(it, _)| *it == name) {
            Some((_, allowed)) => *allowed,
            None => ROOT_MAY_IMPORT,
        };
        for it in manifest.dependencies.iter().filter(|it| ours.contains(it.name.as_str())) {
            let is_allowed = match (it.is_for_tests, it.name.as_str()) {
                _ if name == TESTKIT => true,
                (true, TESTKIT) => true,
                (true, _) if name == "hubward" => true,
                (_, other) => allowed.contains(&other),
            };
            // The root manifest also lists every crate, for the others to take.
            if !is_allowed && !it.line.contains("path =") {
                faults.push(format!("{}: `{name}` may not import `{}`", manifest.path, it.name));
            }
        }
    }
    expect_none("imports that the map does not name", &faults);
}

#[test]
fn what_the_gates_are_compared_with_takes_nothing_of_ours() {
    let crates = crates();
    let ours: BTreeSet<&str> = crates.iter().map(|(name, _)| name.as_str()).collect();
    let (_, oracle) = crates.iter().find(|(name, _)| name == ORACLE).expect("the crate is there");
    let shipped = oracle.dependencies.iter().filter(|it| !it.is_for_tests);
    let faults: Vec<String> =
        shipped.map(|it| it.name.clone()).filter(|it| ours.contains(it.as_str())).collect();
    expect_none("our crates that `oracle` takes outside its tests", &faults);
}

#[test]
fn every_dependency_comes_from_the_workspace() {
    let mut faults = Vec::new();
    for (_, manifest) in crates() {
        faults.extend(manifest.faults);
        let path = &manifest.path;
        for it in manifest.dependencies {
            let is_from_workspace =
                it.line.contains("workspace = true") && !it.line.contains("package =");
            if !is_from_workspace {
                faults.push(format!("{path}: `{}` does not come from the workspace", it.name));
            }
        }
    }
    expect_none("dependencies with a version of their own", &faults);
}

#[test]
fn every_outside_crate_has_a_reason() {
    let mut is_listing = false;
    let mut faults = Vec::new();
    for line in files::read("Cargo.toml").lines() {
        match line.starts_with('[') {
            true => is_listing = line == "[workspace.dependencies]",
            false if !is_listing || line.is_empty() || line.starts_with('#') => {}
            false => {
                let reason = line.split_once(" # ").map_or("", |(_, it)| it);
                if !line.contains("path =") && reason.len() < 10 {
                    faults.push(format!("Cargo.toml: {line}"));
                }
            }
        }
    }
    expect_none("outside crates without a reason beside them", &faults);
}

#[test]
fn every_crate_takes_the_lints_of_the_workspace() {
    let paths = files::folders("crates").into_iter().map(|it| format!("crates/{it}/Cargo.toml"));
    let faults: Vec<String> = paths
        .chain(["Cargo.toml".to_owned()])
        .filter(|it| !files::read(it).contains("[lints]\nworkspace = true"))
        .collect();
    expect_none("manifests without `[lints] workspace = true`", &faults);
}

#[test]
fn pure_crates_know_no_runtime_no_clock_no_socket_and_no_file() {
    let mut faults = Vec::new();
    for (name, manifest) in crates().into_iter().filter(|(name, _)| PURE.contains(&name.as_str())) {
        for it in manifest.dependencies.iter().filter(|it| !it.is_for_tests) {
            if IMPURE_CRATES.contains(&it.name.as_str()) {
                faults.push(format!("{}: `{name}` imports `{}`", manifest.path, it.name));
            }
        }
    }
    for File { path, text } in files::rust() {
        if PURE.iter().any(|it| path.starts_with(&format!("crates/{it}/src/"))) {
            let code = rust::shipped(&text);
            let named = IMPURE_NAMES.iter().filter(|it| rust::has_word(&code, it));
            faults.extend(named.map(|it| format!("{path}: `{it}`")));
        }
    }
    expect_none("what a pure crate may not touch", &faults);
}
