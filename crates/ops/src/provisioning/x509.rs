//! Attestation by certificates: which ones an enrollment takes, as it is kept, read and shown.
//!
//! An individual enrollment knows its device's own certificates, a group those that sign for its devices; both may
//! refer to CAs of their provisioning service instead. Which certificate a device has shown, and whether it counts,
//! is for the gates to say. Certificates are no secrets: every answer has what they say of themselves.

use super::enrollment::Kind;
use crate::certificate_text;
use crate::resources::fields::Fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::{Authority, Counts};
use gate::x509::{Certificate, Lateness, Thumbprints};
use model::{CertificateChain, Error, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

const CLIENT: &str = "clientCertificates";
const SIGNING: &str = "signingCertificates";
const REFERENCES: &str = "caReferences";
/// Longest name of a CA that an enrollment refers to, as certificates have it.
const NAME_CHARS_MAX: usize = 64;

/// Which certificates count.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum X509 {
    /// The device's own, in base64 of their DER.
    ClientCertificates(Pair),
    /// Those that sign for the devices of a group, likewise.
    SigningCertificates(Pair),
    /// CAs of the provisioning service by their names.
    CaReferences(Pair),
}

/// Two of a kind, so that one can take the place of the other. At least one is there.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(super) primary: Option<String>,
    pub(super) secondary: Option<String>,
}

impl Pair {
    pub(super) fn all(&self) -> impl Iterator<Item = &String> {
        self.primary.iter().chain(&self.secondary)
    }

    fn slots(&self) -> [(&'static str, &Option<String>); 2] {
        [("primary", &self.primary), ("secondary", &self.secondary)]
    }
}

impl X509 {
    const fn pair(&self) -> (&'static str, &Pair) {
        match self {
            Self::ClientCertificates(it) => (CLIENT, it),
            Self::SigningCertificates(it) => (SIGNING, it),
            Self::CaReferences(it) => (REFERENCES, it),
        }
    }

    /// As answers show it. `is_whole` adds the certificates to what they say of themselves.
    pub(super) fn shown(&self, is_whole: bool) -> Value {
        let (name, pair) = self.pair();
        let mut shown = Map::new();
        for (slot, text) in pair.slots() {
            let Some(text) = text else { continue };
            let value = match self {
                Self::CaReferences(_) => json!(text),
                Self::ClientCertificates(_) | Self::SigningCertificates(_) => {
                    let mut one =
                        json!({ "info": STANDARD.decode(text).ok().and_then(|it| info(&it)) });
                    if is_whole {
                        model::json::set(&mut one, "certificate", json!(text));
                    }
                    one
                }
            };
            shown.insert(slot.to_owned(), value);
        }
        json!({ "type": "x509", "x509": { name: shown } })
    }

    /// What the gates look for. `authorities` are those of the provisioning service: one that is referred to and is
    /// not among them leads nowhere.
    ///
    /// # Errors
    /// [`Error::Internal`] where what is kept is no base64.
    pub(super) fn counts(&self, authorities: &[Authority]) -> Result<Counts, Error> {
        let (_, pair) = self.pair();
        let ders = || {
            let decoded: Result<Vec<Vec<u8>>, _> =
                pair.all().map(|it| STANDARD.decode(it)).collect();
            decoded.map_err(|it| Error::Internal {
                message: format!("a certificate of an enrollment: {it}"),
            })
        };
        Ok(match self {
            Self::ClientCertificates(_) => {
                Counts::Thumbprints(ders()?.iter().map(|it| Thumbprints::of(it).sha256).collect())
            }
            // Whoever may write the enrollment vouches for what it holds.
            Self::SigningCertificates(_) => Counts::OfThese(
                ders()?
                    .into_iter()
                    .map(|der| Authority { name: subject(&der), der, is_verified: true })
                    .collect(),
            ),
            Self::CaReferences(_) => Counts::OfThese(
                pair.all().filter_map(|name| named(authorities, name)).cloned().collect(),
            ),
        })
    }

    /// The thumbprints by which the device is known at its hub: its own, of which it may show either, or the one that
    /// it has shown here.
    pub(super) fn thumbprints(&self, shown: String) -> [Option<String>; 2] {
        match self {
            Self::ClientCertificates(pair) => {
                let known = |it: &Option<String>| {
                    let der = it.as_ref().and_then(|it| STANDARD.decode(it).ok());
                    der.map(|it| Thumbprints::of(&it).sha256)
                };
                let (primary, secondary) = (known(&pair.primary), known(&pair.secondary));
                match primary.is_some() {
                    true => [primary, secondary],
                    false => [secondary, None],
                }
            }
            Self::SigningCertificates(_) | Self::CaReferences(_) => [Some(shown), None],
        }
    }

    /// # Errors
    /// [`Error::Invalid`] where it refers to a CA that the provisioning service does not have.
    pub(super) fn check_references(&self, authorities: &[Authority]) -> Result<(), Error> {
        let Self::CaReferences(pair) = self else { return Ok(()) };
        for (slot, name) in pair.slots() {
            let Some(name) = name else { continue };
            if named(authorities, name).is_none() {
                let because = format!(
                    "the provisioning service has no certificate `{}`; upload it first",
                    name.escape_debug()
                );
                return Err(Error::invalid(
                    format!("attestation.x509.{REFERENCES}.{slot}"),
                    because,
                ));
            }
        }
        Ok(())
    }
}

fn named<'a>(authorities: &'a [Authority], name: &str) -> Option<&'a Authority> {
    authorities.iter().find(|it| it.name.eq_ignore_ascii_case(name))
}

fn subject(der: &[u8]) -> String {
    Certificate::read(der).map_or_else(|_| String::new(), |it| it.subject)
}

/// What a certificate says of itself, as the API writes it.
pub(super) fn info(der: &[u8]) -> Option<Value> {
    let read = Certificate::read(der).ok()?;
    let Thumbprints { sha1, sha256 } = Thumbprints::of(der);
    Some(json!({
        "subjectName": read.subject,
        "sha1Thumbprint": sha1,
        "sha256Thumbprint": sha256,
        "issuerName": read.issuer,
        "notBeforeUtc": read.starts.rfc3339(),
        "notAfterUtc": read.ends.rfc3339(),
        "serialNumber": read.serial,
        "version": read.version,
    }))
}

/// A chain in base64, to be kept.
pub(super) fn kept(chain: Option<&CertificateChain>) -> Vec<String> {
    let all = chain.map(|it| std::iter::once(it.leaf()).chain(it.issuers()));
    all.into_iter().flatten().map(|it| STANDARD.encode(it)).collect()
}

/// The chain that was kept.
pub(super) fn read_kept(kept: &[String]) -> Option<CertificateChain> {
    let ders: Option<Vec<Vec<u8>>> = kept.iter().map(|it| STANDARD.decode(it).ok()).collect();
    CertificateChain::new(ders?)
}

/// What a body says of certificates.
#[derive(Clone, Debug)]
pub(super) struct Given {
    which: &'static str,
    slots: [Option<Slot>; 2],
}

#[derive(Clone, Debug)]
enum Slot {
    Text(String),
    /// As an answer had it, without the certificate: the one that is there stays.
    Kept {
        sha256: Option<String>,
    },
}

impl Given {
    /// Reads `attestation.x509`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the place.
    pub(super) fn read(kind: Kind, attestation: &Fields<'_>) -> Result<Self, Error> {
        let own = match kind {
            Kind::Individual => CLIENT,
            Kind::Group => SIGNING,
        };
        let wanted = format!(
            "expected either `{own}` or `{REFERENCES}`, with `primary`, `secondary` or both"
        );
        let refuse = || attestation.refuse("x509", wanted.clone());
        let x509 = attestation.object("x509")?.ok_or_else(refuse)?;
        let mut found = None;
        for which in [CLIENT, SIGNING, REFERENCES] {
            let Some(pair) = x509.object(which)? else { continue };
            let read = |slot: &str| match which {
                REFERENCES => read_reference(&pair, slot),
                _ => read_certificate(&pair, slot, which == SIGNING),
            };
            let slots = [read("primary")?, read("secondary")?];
            if slots.iter().all(Option::is_none) {
                continue;
            }
            if (which != own && which != REFERENCES) || found.is_some() {
                return Err(refuse());
            }
            found = Some(Self { which, slots });
        }
        found.ok_or_else(refuse)
    }

    /// What is to be kept in place of `former`.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the body leaves a certificate out that is not there, or brings one that has ended.
    pub(super) fn complete(self, former: Option<&X509>, now: Timestamp) -> Result<X509, Error> {
        let which = self.which;
        let before = former.map(X509::pair).filter(|(name, _)| *name == which).map(|(_, it)| it);
        let before = before.map_or([None, None], |it| [it.primary.clone(), it.secondary.clone()]);
        let complete = |slot: Option<Slot>, before: Option<String>, name: &str| {
            let place = || format!("attestation.x509.{which}.{name}.certificate");
            match slot {
                None => Ok(None),
                Some(Slot::Text(text)) if which == REFERENCES || before.as_ref() == Some(&text) => {
                    Ok(Some(text))
                }
                Some(Slot::Text(text)) => match ended(&text, now) {
                    None => Ok(Some(text)),
                    Some(because) => Err(Error::invalid(place(), because)),
                },
                Some(Slot::Kept { sha256 }) => before
                    .filter(|it| sha256.is_none_or(|wanted| is_known_as(it, &wanted)))
                    .map(Some)
                    .ok_or_else(|| {
                        Error::invalid(place(), "required: there is none here that could stay")
                    }),
            }
        };
        let ([primary, secondary], [first, second]) = (self.slots, before);
        let pair = Pair {
            primary: complete(primary, first, "primary")?,
            secondary: complete(secondary, second, "secondary")?,
        };
        Ok(match which {
            CLIENT => X509::ClientCertificates(pair),
            SIGNING => X509::SigningCertificates(pair),
            _ => X509::CaReferences(pair),
        })
    }

    /// What policy judges.
    pub(super) fn judged(&self) -> Value {
        let mut slots = Map::new();
        for (name, slot) in ["primary", "secondary"].iter().zip(&self.slots) {
            let value = match slot {
                Some(Slot::Text(text)) if self.which == REFERENCES => json!(text),
                Some(Slot::Text(text)) => {
                    json!({ "info": STANDARD.decode(text).ok().and_then(|it| info(&it)) })
                }
                Some(Slot::Kept { .. }) => json!({}),
                None => continue,
            };
            slots.insert((*name).to_owned(), value);
        }
        json!({ "type": "x509", "x509": { self.which: slots } })
    }
}

fn read_reference(pair: &Fields<'_>, slot: &str) -> Result<Option<Slot>, Error> {
    match pair.text(slot)?.filter(|it| !it.is_empty()) {
        None => Ok(None),
        Some(name) if name.chars().count() <= NAME_CHARS_MAX => {
            Ok(Some(Slot::Text(name.to_owned())))
        }
        Some(_) => Err(pair.refuse(slot, "expected the name of a certificate")),
    }
}

fn read_certificate(pair: &Fields<'_>, slot: &str, must_sign: bool) -> Result<Option<Slot>, Error> {
    let Some(given) = pair.object(slot)? else { return Ok(None) };
    let Some(text) = given.text("certificate")?.filter(|it| !it.is_empty()) else {
        let Some(info) = given.object("info")? else { return Ok(None) };
        let sha256 = info.text("sha256Thumbprint")?.map(str::to_owned);
        return Ok(Some(Slot::Kept { sha256 }));
    };
    let refuse = |because: String| given.refuse("certificate", because);
    let der = certificate_text::der(text).map_err(|it| refuse(format!("the certificate {it}")))?;
    let read = Certificate::read(&der)
        .map_err(|_| refuse("this is not an X.509 certificate, and one alone".into()))?;
    if must_sign && !read.is_authority {
        return Err(refuse(
            "this is no CA: it needs `basicConstraints` with CA:TRUE, and a key that may sign certificates".into(),
        ));
    }
    Ok(Some(Slot::Text(STANDARD.encode(der))))
}

fn ended(text: &str, now: Timestamp) -> Option<String> {
    let read = STANDARD.decode(text).ok().and_then(|it| Certificate::read(&it).ok())?;
    match read.lateness(now)? {
        it @ Lateness::Ended { .. } => Some(format!("the certificate {it}")),
        Lateness::NotYet { .. } => None,
    }
}

fn is_known_as(text: &str, thumbprint: &str) -> bool {
    STANDARD.decode(text).is_ok_and(|it| Thumbprints::of(&it).has(thumbprint))
}
