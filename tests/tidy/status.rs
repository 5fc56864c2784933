//! What is done and what is not: `docs/status.md` lists every row of the sources, and a row is done only
//! where a test says in its doc comment that it shows it.

use crate::expect_none;
use crate::files::{self, File};
use crate::rust;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// The rows of each source.
const SOURCES: [(&str, RangeInclusive<u32>); 5] =
    [("S0", 1..=44), ("S1", 1..=42), ("S2", 1..=65), ("S3", 1..=35), ("X", 1..=21)];
/// A sentence longer than this belongs on a page of its own.
const SENTENCE_CHARS_MAX: usize = 240;
/// How the line of the README begins that shows the counts.
const COUNTS: &str = "Status: ";

struct Row {
    id: String,
    is_done: bool,
    sentence: String,
}

/// Every id that there is, in order.
fn ids() -> Vec<String> {
    let of = |(source, rows): &(&str, RangeInclusive<u32>)| {
        rows.clone().map(|it| format!("{source}-{it:02}")).collect::<Vec<_>>()
    };
    SOURCES.iter().flat_map(of).collect()
}

/// The rows of the page, and what is wrong with their form.
fn rows() -> (Vec<Row>, Vec<String>) {
    let page = files::read("docs/status.md");
    let (mut rows, mut faults) = (Vec::new(), Vec::new());
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [id, state, sentence] = cells.as_slice() else { continue };
        if named_in(id).next() != Some(id) {
            continue;
        }
        match *state {
            "done" | "open" => rows.push(Row {
                id: (*id).to_owned(),
                is_done: *state == "done",
                sentence: (*sentence).to_owned(),
            }),
            other => faults.push(format!("{id}: `{other}` is neither `done` nor `open`")),
        }
    }
    (rows, faults)
}

/// The ids in a text: a letter, perhaps a digit, a hyphen and two digits, with nothing around them.
fn named_in(text: &str) -> impl Iterator<Item = &str> {
    let is_part = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
    text.split(move |it| !is_part(it)).filter(|word| match word.split_once('-') {
        Some((source, number)) => {
            let is_source = source == "X"
                || source.strip_prefix('S').is_some_and(|it| it.len() == 1 && is_number(it));
            is_source && number.len() == 2 && is_number(number)
        }
        None => false,
    })
}

fn is_number(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_digit())
}

/// Which tests name a row: id to `path: name`. Ignored tests show nothing.
fn shown() -> BTreeMap<String, Vec<String>> {
    let mut shown: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for File { path, text } in files::rust() {
        let is_run =
            path.starts_with("crates/") || path.starts_with("tests/") || path.starts_with("src/");
        if !is_run {
            continue;
        }
        for test in rust::tests(&text).into_iter().filter(|it| !it.is_ignored) {
            for id in named_in(&test.doc) {
                shown.entry(id.to_owned()).or_default().push(format!("{path}: {}", test.name));
            }
        }
    }
    shown
}

#[test]
fn the_page_lists_every_row_once_and_in_order() {
    let (rows, mut faults) = rows();
    let listed: Vec<&str> = rows.iter().map(|it| it.id.as_str()).collect();
    let known: BTreeSet<&str> = listed.iter().copied().collect();
    let wanted = ids();
    faults.extend(
        wanted
            .iter()
            .filter(|it| !known.contains(it.as_str()))
            .map(|it| format!("{it} is missing")),
    );
    for row in &rows {
        let length = row.sentence.chars().count();
        if !(10..=SENTENCE_CHARS_MAX).contains(&length) {
            faults.push(format!("{}: a sentence of {length} characters", row.id));
        }
    }
    expect_none("docs/status.md", &faults);
    assert_eq!(listed, wanted, "the rows of docs/status.md, in their order");
}

#[test]
fn a_done_row_is_named_by_a_test() {
    let (rows, _) = rows();
    let shown = shown();
    let faults: Vec<String> = rows
        .iter()
        .filter(|it| it.is_done && !shown.contains_key(&it.id))
        .map(|it| format!("{} is done, and no test names it", it.id))
        .collect();
    expect_none("docs/status.md", &faults);
}

#[test]
fn a_test_names_only_rows_that_there_are() {
    let known: BTreeSet<String> = ids().into_iter().collect();
    let faults: Vec<String> = shown()
        .into_iter()
        .filter(|(id, _)| !known.contains(id))
        .map(|(id, tests)| format!("{}: there is no row {id}", tests.join(", ")))
        .collect();
    expect_none("tests that name rows", &faults);
}

#[test]
fn the_readme_shows_the_counts() {
    let (rows, _) = rows();
    let count = |source: &str| {
        let mine: Vec<&Row> =
            rows.iter().filter(|it| it.id.split('-').next() == Some(source)).collect();
        (mine.iter().filter(|it| it.is_done).count(), mine.len())
    };
    let parts = SOURCES.map(|(source, _)| {
        let (done, all) = count(source);
        format!("{source} {done}/{all}")
    });
    let done = rows.iter().filter(|it| it.is_done).count();
    let line =
        format!("{COUNTS}{done} of {} rows are shown by tests ({}).", rows.len(), parts.join(", "));
    let readme = files::read("README.md");
    assert!(
        readme.lines().any(|it| it.starts_with(COUNTS)),
        "README.md has a line that begins `{COUNTS}`"
    );
    let wanted: String = readme
        .lines()
        .map(|it| if it.starts_with(COUNTS) { format!("{line}\n") } else { format!("{it}\n") })
        .collect();
    files::expect_fresh("README.md", &wanted);
}

#[test]
fn an_id_stands_alone() {
    let found: Vec<&str> =
        named_in("S0-14: as S2-12, X-01; not S0-1, S0-144, AS0-14, S10-14, X-509, s0-14").collect();
    assert_eq!(found, ["S0-14", "S2-12", "X-01"]);
}
