//! A browser without a window, for the pages of sign-in: it keeps cookies, and sends the forms that pages have.

use crate::wire_client::{Answer, Wire};
use std::collections::BTreeMap;

/// Somebody's browser, at one origin.
pub struct Browser {
    wire: Wire,
    origin: String,
    cookies: BTreeMap<String, String>,
}

/// A page, or where an answer leads.
#[derive(Debug, Clone)]
pub struct Shown {
    pub answer: Answer,
    path: String,
}

impl Shown {
    /// The page as text.
    pub fn text(&self) -> &str {
        self.answer.body.as_str().unwrap_or("")
    }

    /// Where it leads; empty where it is a page.
    pub fn location(&self) -> &str {
        self.answer.header("location").unwrap_or("")
    }

    /// A parameter of the address that it leads to.
    #[track_caller]
    pub fn parameter(&self, name: &str) -> String {
        let found = self.find_parameter(name);
        found.unwrap_or_else(|| panic!("no `{name}` in `{}`: {}", self.location(), self.text()))
    }

    pub fn find_parameter(&self, name: &str) -> Option<String> {
        let (_, told) = self.location().split_once(['?', '#'])?;
        let mut pairs = told.split('&').filter_map(|it| it.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| decoded(value))
    }

    /// The fields of the first form that nobody sees.
    pub fn hidden(&self) -> BTreeMap<String, String> {
        let form = self.text().split("</form>").next().unwrap_or("");
        let inputs = form.split("<input type=\"hidden\" name=\"").skip(1);
        let read = inputs.filter_map(|it| {
            let (name, rest) = it.split_once("\" value=\"")?;
            Some((name.to_owned(), plain(rest.split_once('"')?.0)))
        });
        read.collect()
    }

    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.text().contains(text),
            "no `{text}` in {} {}",
            self.answer.status,
            self.text()
        );
        self
    }
}

impl Browser {
    /// At an origin such as `https://localhost:8443`.
    pub fn new(wire: &Wire, origin: &str) -> Self {
        Self { wire: wire.clone(), origin: origin.to_owned(), cookies: BTreeMap::new() }
    }

    pub fn opens(&mut self, path: &str) -> Shown {
        let path = path.strip_prefix(&self.origin).unwrap_or(path).to_owned();
        self.sends("GET", &path, &[], None)
    }

    /// Sends the first form of a page, with more fields and others in place of its own.
    pub fn submits(&mut self, page: &Shown, fields: &[(&str, &str)]) -> Shown {
        let mut all = page.hidden();
        for (name, value) in fields {
            all.insert((*name).to_owned(), (*value).to_owned());
        }
        let own = self.origin.clone();
        self.posts(&page.path, &all, &own)
    }

    /// Sends a form as if a page of an origin had it.
    pub fn posts(&mut self, path: &str, fields: &BTreeMap<String, String>, from: &str) -> Shown {
        let body: Vec<String> =
            fields.iter().map(|(key, value)| format!("{key}={}", encoded(value))).collect();
        let path = path.split('?').next().unwrap_or(path).to_owned();
        self.sends("POST", &path, &[("Origin", from)], Some(body.join("&")))
    }

    /// What it shows: `name=value; ...`.
    pub fn cookies(&self) -> String {
        let all: Vec<String> =
            self.cookies.iter().map(|(key, value)| format!("{key}={value}")).collect();
        all.join("; ")
    }

    /// Shows another value under a name from now on.
    pub fn shows(&mut self, name: &str, value: &str) {
        self.cookies.insert(name.to_owned(), value.to_owned());
    }

    /// Forgets who is signed in.
    pub fn forgets(&mut self) {
        self.cookies.clear();
    }

    fn sends(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Shown {
        let cookies = self.cookies();
        let mut all = headers.to_vec();
        if !cookies.is_empty() {
            all.push(("Cookie", &cookies));
        }
        if body.is_some() {
            all.push(("Content-Type", "application/x-www-form-urlencoded"));
        }
        let url = format!("{}{path}", self.origin);
        let answer = self.wire.send(method, &url, &all, body.unwrap_or_default().as_bytes());
        for (name, value) in &answer.headers {
            if name.eq_ignore_ascii_case("set-cookie")
                && let Some((key, value)) =
                    value.split(';').next().and_then(|it| it.split_once('='))
            {
                self.cookies.insert(key.to_owned(), value.to_owned());
            }
        }
        self.cookies.retain(|_, it| !it.is_empty());
        Shown { answer, path: path.to_owned() }
    }

    /// Signs in by the form of a page.
    pub fn signs_in(&mut self, page: &Shown, name: &str, password: &str) -> Shown {
        self.submits(page, &[("username", name), ("password", password)])
    }

    /// The whole of a device code: the page, the name, the code, and yes.
    #[track_caller]
    pub fn approves(&mut self, page: &str, user_code: &str, name: &str, password: &str) {
        let form = self.opens(page);
        let entered = self.signs_in(&form, name, password).says("Enter a code");
        let asked = self.submits(&entered, &[("user_code", user_code), ("step", "code")]);
        let asked = asked.says("Are you signing in to");
        self.submits(&asked, &[("step", "approve")]).says("Done");
    }
}

/// A value of a query or form.
pub fn encoded(text: &str) -> String {
    text.bytes()
        .map(|it| match it {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(it).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or("").as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2.min(part.len()));
        bytes.push(u8::from_str_radix(code, 16).unwrap_or(b'?'));
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn plain(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
