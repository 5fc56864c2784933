//! What holds for every source: one gate, no dead files, nothing put off, nothing of the machine that it
//! was written on.

use crate::expect_none;
use crate::files::{self, File};
use crate::rust;
use std::collections::BTreeSet;

/// Where calls are admitted, and where permits are made.
const ROAD: &str = "crates/ops/src/call.rs";
const GATE: &str = "crates/gate/src/decide.rs";
const GATE_LIBRARY: &str = "crates/gate/src/lib.rs";

/// A file longer than this wants to be two.
const LINES_MAX: usize = 500;

fn is_test_file(file: &File) -> bool {
    let is_in_tests = file.path.contains("/tests/") || file.path.starts_with("tests/");
    is_in_tests || file.name() == "tests.rs" || file.name().ends_with("_tests.rs")
}

/// The sources that end up in the product.
fn shipped() -> impl Iterator<Item = (String, String)> {
    let is_shipped = |it: &File| {
        let is_source = it.path.starts_with("crates/") || it.path.starts_with("src/");
        is_source && !is_test_file(it)
    };
    files::rust().into_iter().filter(is_shipped).map(|it| (it.path, rust::shipped(&it.text)))
}

#[test]
fn calls_are_admitted_in_one_place() {
    let mut faults = Vec::new();
    let mut calls = 0;
    for (path, code) in shipped() {
        let places = rust::places(&code, "admit").count();
        match path.as_str() {
            GATE | GATE_LIBRARY => {}
            ROAD => calls += places,
            _ if places > 0 => faults.push(path),
            _ => {}
        }
    }
    expect_none("`gate::admit` is called from elsewhere, too", &faults);
    assert_eq!(calls, 1, "`{ROAD}` calls `gate::admit` once");
}

#[test]
fn permits_are_made_in_one_place() {
    let mut faults = Vec::new();
    for (path, code) in shipped().filter(|(path, _)| path != GATE) {
        for (before, behind) in rust::places(&code, "Permit") {
            let is_type =
                ["impl", "for", "->", "&"].iter().any(|it| before.trim_end().ends_with(it));
            if behind.trim_start().starts_with('{') && !is_type {
                faults.push(path.clone());
            }
        }
    }
    expect_none("a `Permit` is made outside the gate", &faults);
}

#[test]
fn every_source_belongs_to_its_crate() {
    let sources: Vec<File> =
        files::rust().into_iter().filter(|it| it.path.contains("/src/")).collect();
    let declared: BTreeSet<(String, String)> = sources
        .iter()
        .flat_map(|it| modules(&it.text).map(|module| (crate_of(&it.path), module)))
        .collect();
    let faults: Vec<String> = sources
        .iter()
        .filter(|it| !["lib.rs", "main.rs"].contains(&it.name()))
        .filter(|it| {
            let module = match it.name() {
                "mod.rs" => it.folder().rsplit('/').next().unwrap_or(""),
                name => name.trim_end_matches(".rs"),
            };
            !declared.contains(&(crate_of(&it.path), module.to_owned()))
        })
        .map(|it| it.path.clone())
        .collect();
    expect_none("files that no `mod` names", &faults);
}

fn crate_of(path: &str) -> String {
    path.split("/src/").next().unwrap_or("").to_owned()
}

/// What a source declares with `mod name;` or `#[path = "name.rs"]`.
fn modules(source: &str) -> impl Iterator<Item = String> {
    source.lines().filter_map(|line| {
        let line = line.trim();
        if let Some(path) = line.strip_prefix("#[path = \"") {
            let name = path.rsplit('/').next()?;
            return Some(name.split(".rs").next()?.to_owned());
        }
        let name = line.strip_suffix(';')?.rsplit_once("mod ")?.1;
        Some(name.to_owned())
    })
}

#[test]
fn files_are_short_enough_to_read() {
    let lengths = files::rust().into_iter().map(|it| (it.path, it.text.lines().count()));
    let faults: Vec<String> = lengths
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    expect_none(&format!("more than {LINES_MAX} lines"), &faults);
}

#[test]
fn nothing_is_put_off_in_a_source() {
    // Written in two, so that this file is not its own first finding.
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("HA", "CK")];
    let macros = [concat!("to", "do!"), concat!("unimple", "mented!")];
    let ignore = concat!("#[ig", "nore");
    let mut faults = Vec::new();
    for File { path, text } in files::rust() {
        let mut told = |what: &str| faults.push(format!("{path}: `{what}`"));
        words.iter().filter(|it| rust::has_word(&text, it)).for_each(|it| told(it));
        let code = rust::code(&text);
        macros.iter().filter(|it| code.contains(**it)).for_each(|it| told(it));
        if code.contains(ignore) {
            told(ignore);
        }
        if text.contains(concat!("// X", "XX")) {
            told(concat!("X", "XX"));
        }
    }
    expect_none("put off instead of done or dropped", &faults);
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    // In two parts, as above.
    let folders =
        [concat!("/wo", "rk"), concat!("/ro", "ot"), concat!("/t", "mp/"), concat!("/ho", "me/")];
    let hosts = [
        concat!("index.crates", ".io"),
        concat!("static.crates", ".io"),
        concat!("pypi", ".org"),
        concat!("files.python", "hosted.org"),
        concat!("registry.npm", "js.org"),
        concat!("index", "-url"),
    ];
    let mut faults = Vec::new();
    for File { path, text } in files::all() {
        for (number, line) in text.lines().enumerate() {
            let place = format!("{path}:{}", number + 1);
            let machine = folders.iter().filter(|it| is_absolute(line, it));
            faults.extend(machine.map(|it| format!("{place}: the folder `{it}`")));
            let registry = hosts.iter().filter(|it| line.contains(**it));
            faults.extend(registry.map(|it| format!("{place}: the registry `{it}`")));
        }
    }
    expect_none("not ours to name", &faults);
}

/// True where `folder` begins an absolute path in `line`: not the tail of another path, not the head of a
/// longer name.
fn is_absolute(line: &str, folder: &str) -> bool {
    let is_part =
        |it: char| it.is_alphanumeric() || matches!(it, '.' | '_' | '-' | '}' | '/' | '~');
    line.match_indices(folder).any(|(at, _)| {
        let before = line.get(..at).unwrap_or("");
        let behind = line.get(at + folder.len()..).unwrap_or("");
        !before.ends_with(is_part)
            && (folder.ends_with('/') || !behind.starts_with(char::is_alphanumeric))
    })
}

#[test]
fn an_absolute_folder_is_told_from_a_longer_name() {
    let folder = concat!("/wo", "rk");
    assert!(is_absolute(&format!("see `{folder}/main`"), folder));
    assert!(is_absolute(&format!("\"{folder}\""), folder));
    assert!(!is_absolute(&format!("{folder}spaces/x"), folder));
    assert!(!is_absolute(&format!("frame{folder}"), folder));
    assert!(!is_absolute(&format!("/a{folder}"), folder));
}
