//! What became of the cases, for people, for programs and for CI.

use super::file::Stop;
use super::shown::Shown;
use super::{Tested, judge};
use crate::answer::Answer;
use crate::page::{Colours, Page, Style};
use crate::render::{Question, decision};
use crate::text::{escape, escape_json};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Most roles and rules that are listed as shown by no case.
const MISSING_MAX: usize = 50;
/// The width of a trace inside XML.
const XML_CHARS: usize = 100;

/// A line for each case, the traces of those that fail, what no case shows, and how many pass.
pub(super) fn table(tested: &[Tested], shown: &Shown) -> String {
    let mut page = Page::for_stdout();
    for it in tested {
        let word = match (it.passes(), it.is_broken()) {
            (true, _) => "pass",
            (false, false) => "FAIL",
            (false, true) => "BROKEN",
        };
        // One line, however long: scripts count them.
        page.verbatim(0, &format!("{word} {}: {}", it.id, line(it)));
        if let Ok(judge::Answer { passes: false, trace: Some(trace), .. }) = &it.answer {
            page.blank();
            lay_out(trace, &mut page);
            page.blank();
        }
    }
    let missing = shown.missing();
    if !missing.is_empty() {
        page.blank();
        page.paragraph(0, Style::Bold, "Shown by no case");
        for it in missing.iter().take(MISSING_MAX) {
            page.verbatim(2, it);
        }
        if let Some(more) = missing.len().checked_sub(MISSING_MAX).filter(|it| *it > 0) {
            page.paragraph(2, Style::Dim, &format!("and {more} more"));
        }
    }
    let mut features: BTreeMap<&str, usize> = BTreeMap::new();
    for it in tested {
        if let Err(Stop::NotSupported(feature)) = &it.answer {
            *features.entry(feature).or_default() += 1;
        }
    }
    page.blank();
    if !features.is_empty() {
        let count: usize = features.values().sum();
        page.paragraph(0, Style::Bold, &format!("Not supported: {count} of those that fail"));
        for (feature, count) in &features {
            page.paragraph(2, Style::Plain, &format!("{count}  {feature}"));
        }
        page.blank();
    }
    let passing = tested.iter().filter(|it| it.passes()).count();
    page.paragraph(0, Style::Bold, &format!("{passing} of {}", tested.len()));
    page.into_text()
}

fn line(it: &Tested) -> String {
    match &it.answer {
        Ok(answer) => format!("expected {}; got {}", words(&answer.expected), words(&answer.got)),
        Err(Stop::NotSupported(feature)) => format!("not supported: {feature}"),
        Err(Stop::Broken { at, because }) => format!("{}: {at}: {because}", it.file),
    }
}

/// An answer in a few words: `deny at rbac, 401 IotHubUnauthorized`.
fn words(answer: &Value) -> String {
    let Some(members) = answer.as_object() else { return answer.to_string() };
    let text = |it: &Value| it.as_str().map_or_else(|| it.to_string(), str::to_owned);
    let mut parts = Vec::new();
    for (name, it) in members {
        match name.as_str() {
            "decision" => parts.push(text(it)),
            "gate" if it == "none" => {}
            "gate" => parts.push(format!("at {}", text(it))),
            "code" if it.is_null() => {}
            "code" | "status" => parts.push(text(it)),
            "by" => {
                let named = it.as_object().into_iter().flatten();
                parts.extend(named.map(|(kind, name)| format!("by {kind} {}", text(name))));
            }
            _ => parts.push(format!("{name} {it}")),
        }
    }
    parts.join(" ")
}

/// As `hubward explain` lays it out.
fn lay_out(trace: &model::Trace, page: &mut Page) {
    let answer = Answer { decision: trace.clone(), redacted: false, fixes: Vec::new() };
    decision(&answer, Question::WhatIf, page);
}

/// One object a line.
pub(super) fn json(tested: &[Tested]) -> String {
    let mut out = String::new();
    for it in tested {
        let got = match &it.answer {
            Ok(answer) => answer.got.clone(),
            Err(Stop::NotSupported(feature)) => json!({ "notSupported": feature }),
            Err(Stop::Broken { at, because }) => json!({ "broken": format!("{at}: {because}") }),
        };
        let line = json!({ "id": it.id, "pass": it.passes(), "got": got }).to_string();
        out.push_str(&escape_json(&line));
        out.push('\n');
    }
    out
}

/// `JUnit` XML: a suite for each file. What cannot be understood is an error, the rest that fails a failure.
pub(super) fn junit(tested: &[Tested]) -> String {
    let mut suites: Vec<(&str, Vec<&Tested>)> = Vec::new();
    for it in tested {
        match suites.last_mut() {
            Some((file, cases)) if *file == it.file => cases.push(it),
            Some(_) | None => suites.push((&it.file, vec![it])),
        }
    }
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for (file, cases) in suites {
        let broken = cases.iter().filter(|it| it.is_broken()).count();
        let failing = cases.iter().filter(|it| !it.passes()).count() - broken;
        // Writing to a string cannot fail.
        let _ = writeln!(
            out,
            "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failing}\" errors=\"{broken}\">",
            xml(&escape(file)),
            cases.len()
        );
        for it in cases {
            suite_case(&mut out, it);
        }
        out.push_str("  </testsuite>\n");
    }
    out.push_str("</testsuites>\n");
    out
}

fn suite_case(out: &mut String, it: &Tested) {
    let head = format!(
        "    <testcase classname=\"{}\" name=\"{}\"",
        xml(&escape(&it.file)),
        xml(&escape(&it.id))
    );
    if it.passes() {
        let _ = writeln!(out, "{head}/>");
        return;
    }
    let word = if it.is_broken() { "error" } else { "failure" };
    let mut page = Page::new(XML_CHARS, Colours::Off);
    if let Ok(judge::Answer { trace: Some(trace), .. }) = &it.answer {
        lay_out(trace, &mut page);
    }
    let _ = writeln!(
        out,
        "{head}>\n      <{word} message=\"{}\">{}</{word}>\n    </testcase>",
        xml(&escape(&line(it))),
        xml(&page.into_text())
    );
}

/// Text in XML; characters that XML cannot hold were escaped before.
fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // The last two of the plane are no characters in XML.
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            it => out.push(it),
        }
    }
    out
}
