//! The clients that people sign in with: those that every tenant knows, and the applications of this one; and
//! where each may have a person's code sent.

use super::Proof;
use super::application::{self, Fault, token_no};
use super::{No, assertion, secret};
use crate::facts::{Application, Facts};
use model::credential::ShownClient;
use model::error::TokenFault;
use model::trace::FindingKind;
use model::{Credential, ObjectId, Timestamp};

/// The pages of sign-in themselves: what a browser's session was opened with. No client may call itself that.
pub const SIGN_IN_PAGES: &str = "69662a4a-68b8-4ab6-80be-2306d54eae85";
/// The console of this server.
pub const CONSOLE: &str = "9f6be937-0774-4fe1-bbd6-f539cb52cd1b";
/// Where the console is sent a code, below the management origin.
pub const CONSOLE_REDIRECT: &str = "/console/signed-in";

/// A client that every tenant knows. None holds a secret.
struct Known {
    id: &'static str,
    name: &'static str,
    /// Takes a person's password itself, and asks for device codes.
    is_of_terminals: bool,
}

/// Source: Microsoft Entra, "Application IDs of commonly used Microsoft applications". The last is ours.
const KNOWN: &[Known] = &[
    Known {
        id: "04b07795-8ddb-461a-bbee-02f9e1bf7b46",
        name: "Microsoft Azure CLI",
        is_of_terminals: true,
    },
    Known {
        id: "1950a258-227b-4e31-a9cf-717495945fc2",
        name: "Microsoft Azure PowerShell",
        is_of_terminals: true,
    },
    Known { id: CONSOLE, name: "Hubward console", is_of_terminals: false },
];

/// Of what kind a redirect URI is, as it was registered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RedirectKind {
    /// A program that holds no secret.
    Public,
    /// A page in a browser, likewise.
    Spa,
    /// A server, which proves itself.
    Web,
}

/// An address that codes may be sent to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Redirect {
    pub kind: RedirectKind,
    pub uri: String,
}

/// A client that people sign in with.
pub struct Client<'a> {
    pub id: ObjectId,
    of: Of<'a>,
}

enum Of<'a> {
    Everybody(&'static Known),
    Tenant(&'a Application),
}

impl<'a> Client<'a> {
    /// The client of an id.
    pub(crate) fn named(id: &str, facts: &'a Facts) -> Result<Self, Fault> {
        let known = KNOWN.iter().find(|it| it.id.eq_ignore_ascii_case(id));
        if let Some((known, id)) = known.and_then(|it| Some((it, ObjectId::parse(it.id)?))) {
            return Ok(Self { id, of: Of::Everybody(known) });
        }
        let application = application::named(id, facts)?;
        let principal = application.principal.and_then(|it| facts.principals.get(&it));
        if principal.is_some_and(|it| !it.is_enabled) {
            let sentence = "the application's service principal is switched off.".to_owned();
            return Err((TokenFault::UnknownApplication, sentence));
        }
        Ok(Self { id: application.app_id, of: Of::Tenant(application) })
    }

    /// The same for who asks without calling.
    pub fn find(id: ObjectId, facts: &'a Facts) -> Option<Self> {
        Self::named(&id.to_string(), facts).ok()
    }

    pub fn name(&self) -> &'a str {
        match self.of {
            Of::Everybody(known) => known.name,
            Of::Tenant(application) => &application.display_name,
        }
    }

    /// True where it may sign people in by device codes.
    pub(super) fn takes_device_codes(&self) -> bool {
        match self.of {
            Of::Everybody(known) => known.is_of_terminals,
            Of::Tenant(application) => application.is_public,
        }
    }

    /// True where it may take a person's password itself.
    pub(super) fn takes_passwords(&self) -> bool {
        matches!(self.of, Of::Everybody(known) if known.is_of_terminals)
    }

    /// True where it runs in a browser or behind one, as far as its addresses tell.
    pub(crate) fn is_of_browsers(&self) -> bool {
        match self.of {
            Of::Everybody(known) => !known.is_of_terminals,
            Of::Tenant(application) => {
                let is_public = |it: &Redirect| it.kind == RedirectKind::Public;
                !application.is_public
                    && !application.redirects.is_empty()
                    && !application.redirects.iter().any(is_public)
            }
        }
    }

    /// As what an address is registered, letter by letter; none where it is not. Of a program on the person's own
    /// machine the port is its own affair.
    ///
    /// Source: Microsoft identity platform, "Redirect URI restrictions and limitations", "Localhost exceptions";
    /// RFC 8252, section 7.3.
    pub(crate) fn redirect(&self, uri: &str, facts: &Facts) -> Option<RedirectKind> {
        match self.of {
            Of::Everybody(known) if known.id == CONSOLE => {
                let is_own = uri.strip_prefix(&facts.origin) == Some(CONSOLE_REDIRECT);
                is_own.then_some(RedirectKind::Public)
            }
            Of::Everybody(_) => {
                is_at_loopback("http://localhost", uri).then_some(RedirectKind::Public)
            }
            Of::Tenant(application) => {
                let fits = |it: &&Redirect| {
                    it.uri == uri
                        || (it.kind == RedirectKind::Public && is_at_loopback(&it.uri, uri))
                };
                application.redirects.iter().find(fits).map(|it| it.kind)
            }
        }
    }
}

/// True where both lead to the same path of this machine, over plain HTTP, whatever the port. Who registers
/// `localhost` means `127.0.0.1` as well.
fn is_at_loopback(registered: &str, shown: &str) -> bool {
    let (Some(own), Some(its)) = (loopback(registered), loopback(shown)) else { return false };
    own.1 == its.1 && (own.0 == its.0 || own.0 == "localhost")
}

/// Host and path of an address of this machine over plain HTTP, without a port.
fn loopback(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let (host, port) = authority.split_once(':').unwrap_or((authority, "80"));
    let is_port = port.parse::<u16>().is_ok() && port.bytes().all(|it| it.is_ascii_digit());
    let is_plain = path.bytes().all(|it| it.is_ascii_graphic() && !b"?#\\@".contains(&it));
    (matches!(host, "localhost" | "127.0.0.1") && is_port && is_plain).then_some((host, path))
}

/// A client that came with what it can show, and whether that proved it.
pub(super) struct Came {
    pub(super) id: ObjectId,
    pub(super) is_proven: bool,
    /// What to remember its credential by.
    pub(super) once: Option<super::Once>,
}

/// Proves a client as far as it shows something.
pub(super) fn came(
    shown: &ShownClient,
    tenant: &str,
    facts: &Facts,
    now: Timestamp,
) -> Result<Came, Box<No>> {
    let proven = |proof: Proof, once| {
        proof.and_then(|(caller, _)| match caller.app_id {
            Some(id) => Ok(Came { id, is_proven: true, once }),
            None => Err(untold(&shown.id)),
        })
    };
    match shown.proof.as_deref() {
        None => match application::check_tenant(tenant, facts)
            .and_then(|()| Client::named(&shown.id, facts))
        {
            Ok(client) => Ok(Came { id: client.id, is_proven: false, once: None }),
            Err((fault, message)) => {
                Err(token_no(FindingKind::Secret, fault, message, &shortened(&shown.id)))
            }
        },
        Some(Credential::ClientSecret { client_id, secret, .. }) => {
            proven(secret::client_secret(tenant, client_id, secret, facts, now), None)
        }
        Some(Credential::ClientAssertion { client_id, kind, assertion, .. }) => {
            let assertion = assertion.reveal();
            let shown = assertion::Shown { tenant, client_id, kind, assertion };
            let (caller, found, once) = assertion::client_assertion(&shown, facts, now)?;
            proven(Ok((caller, found)), once)
        }
        Some(_) => Err(untold(&shown.id)),
    }
}

fn untold(id: &str) -> Box<No> {
    let sentence = "the client shows something that is neither a secret nor an assertion.";
    token_no(FindingKind::Secret, TokenFault::MissingField, sentence.into(), &shortened(id))
}

/// As much of a name as a trace keeps: anybody may send any.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(NAME_CHARS_SHOWN).collect()
}

const NAME_CHARS_SHOWN: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_may_have_any_port_and_nothing_else_of_its_own() {
        let check = |registered: &str, shown: &str, expected: bool| {
            assert_eq!(is_at_loopback(registered, shown), expected, "{registered} {shown}");
        };
        for right in [
            "http://localhost",
            "http://localhost/",
            "http://localhost:8400",
            "http://localhost:8400/",
            "http://127.0.0.1:1",
        ] {
            check("http://localhost", right, true);
        }
        for wrong in [
            "https://localhost:8400",
            "http://localhost:8400/x",
            "http://localhost:8400?x",
            "http://localhost:8400#x",
            "http://localhost:",
            "http://localhost:70000",
            "http://localhost:+1",
            "http://localhost.evil.example",
            "http://localhost@evil.example",
            "http://localhost:80@evil.example/",
            "http://evil.example/localhost",
            "http://127.0.0.2:1",
            "HTTP://localhost:1",
        ] {
            check("http://localhost", wrong, false);
        }
        check("http://127.0.0.1/back", "http://127.0.0.1:9/back", true);
        check("http://127.0.0.1/back", "http://localhost:9/back", false);
        check("http://localhost/back", "http://localhost:9/back", true);
        check("http://localhost/back", "http://localhost:9/back/", false);
        check("https://app.example/back", "https://app.example:9/back", false);
    }
}
