//! The CAs of hubs and provisioning services: uploaded, verified by whoever holds their keys, shown and taken away.
//!
//! A CA counts once it is verified: by a certificate that its key has signed and that carries a code of ours as its
//! name, or because who uploads it says so (`isVerified`), as Azure takes it since 2021. They lie in their owner's
//! document: they come and go with it, and each change reaches the gates and the hub's sessions at once.
//! Which certificates of devices a CA leads to is decided in `gate`.

use crate::certificate_text;
use crate::devices::hubs::{etag, first_version};
use crate::env::Env;
use crate::input::{Input, Reply};
use crate::owner::Owner;
use crate::resources::fields::Fields;
use crate::resources::{check_etag, no_resource};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::Permit;
use gate::facts::Authority;
use gate::x509::{Certificate, Thumbprints};
use model::{Error, Scope, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Most CAs of a hub or provisioning service. Source: IoT Hub quotas and throttling; DPS quotas and limits.
const CERTIFICATES_MAX: usize = 25;
/// Longest name of one. Source: the published contract of Microsoft.Devices.
const NAME_CHARS_MAX: usize = 64;
/// Of a verification code, which is shown in hexadecimal: it has to fit into a common name.
const CODE_BYTES: usize = 24;
/// A CA as it is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CertificateDocument {
    name: String,
    /// Base64 of its DER.
    certificate: String,
    is_verified: bool,
    /// What the certificate that verifies it is to be called, once somebody asked.
    code: Option<String>,
    created: Timestamp,
    updated: Timestamp,
    /// Grows with every write; the etag is made of it.
    version: u64,
}

impl CertificateDocument {
    fn der(&self) -> Result<Vec<u8>, Error> {
        STANDARD.decode(&self.certificate).map_err(|it| Error::Internal {
            message: format!("the certificate `{}` cannot be read: {it}", self.name),
        })
    }

    /// As ARM shows it; times as its contract has them.
    fn shown(&self, owner: &Owner) -> Result<Value, Error> {
        let der = self.der()?;
        let read = Certificate::read(&der).map_err(|_| Error::Internal {
            message: format!("the certificate `{}` is none", self.name),
        })?;
        Ok(json!({
            "id": format!("{}/certificates/{}", owner.scope()?, self.name),
            "name": self.name,
            "type": owner.kind_of_certificate(),
            "etag": etag(self.version),
            "properties": {
                "subject": read.subject,
                "expiry": read.ends.rfc1123(),
                "thumbprint": Thumbprints::of(&der).sha1,
                "isVerified": self.is_verified,
                "created": self.created.rfc1123(),
                "updated": self.updated.rfc1123(),
                "certificate": self.certificate,
            },
        }))
    }

    fn touch(&mut self, now: Timestamp) {
        self.updated = now;
        self.version = self.version.saturating_add(1);
    }
}

/// What the gates decide by.
///
/// # Errors
/// Names the certificate that cannot be read.
pub(crate) fn facts_of(certificates: &[CertificateDocument]) -> Result<Vec<Authority>, String> {
    let fact = |it: &CertificateDocument| {
        let der = it.der().map_err(Error::cause)?;
        Ok(Authority { name: it.name.clone(), der, is_verified: it.is_verified })
    };
    certificates.iter().map(fact).collect()
}

/// The CA at a scope as an answer shows it, where there is one.
pub(crate) async fn current(env: &Env, scope: &Scope) -> Result<Option<Value>, Error> {
    let Some(owner) = Owner::above(scope, env).await? else { return Ok(None) };
    let found = owner.certificates().iter().find(|it| it.name.eq_ignore_ascii_case(scope.name()));
    found.map(|it| it.shown(&owner)).transpose()
}

/// # Errors
/// `ResourceNotFound` for the hub or the provisioning service.
pub(crate) async fn list(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let Place { owner, .. } = Place::of(input, env).await?;
    let all: Result<Vec<Value>, Error> =
        owner.certificates().iter().map(|it| it.shown(&owner)).collect();
    Ok(Reply::list(all?))
}

/// # Errors
/// `ResourceNotFound` for the owner or the certificate.
pub(crate) async fn get(_permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut place = Place::of(input, env).await?;
    let found = place.certificate(input)?.clone();
    Ok(Reply::ok(found.shown(&place.owner)?))
}

/// `PUT`: a new CA, or another one under the same name. One that is sent back as it is stays verified; another has
/// to be verified anew.
///
/// # Errors
/// What is wrong with the name or the certificate; [`Error::Stale`]; `CertificateQuotaExceeded`.
pub(crate) async fn put(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut place = Place::of(input, env).await?;
    let now = env.now();
    let name = checked_name(input)?;
    let at = place.index(name);
    let former = at.and_then(|it| place.owner.certificates().get(it));
    check_etag(input, former.map(|it| etag(it.version)).as_deref())?;
    let body = described(&input.body);
    let der = certificate_in(body, "certificate")?;
    check_authority(&der, now)?;
    let certificate = STANDARD.encode(&der);
    let told = Fields::of(body)?.bool("isVerified")?;
    let mut next = match former {
        Some(former) if former.certificate == certificate => former.clone(),
        Some(former) => {
            CertificateDocument { certificate, is_verified: false, code: None, ..former.clone() }
        }
        None => CertificateDocument {
            name: name.to_owned(),
            certificate,
            is_verified: false,
            code: None,
            created: now,
            updated: now,
            version: first_version(now),
        },
    };
    next.is_verified = told.unwrap_or(next.is_verified);
    let is_new = former.is_none();
    let all = place.owner.certificates_mut();
    match at.and_then(|it| all.get_mut(it)) {
        Some(slot) => {
            next.touch(now);
            slot.clone_from(&next);
        }
        None => all.push(next.clone()),
    }
    if all.len() > CERTIFICATES_MAX {
        return Err(Error::Conflict {
            code: "CertificateQuotaExceeded",
            message: format!(
                "{} has at most {CERTIFICATES_MAX} certificates; delete one first",
                place.owner.noun()
            ),
        });
    }
    place.save(permit, env).await?;
    let shown = next.shown(&place.owner)?;
    // Clients of provisioning services know no 201 here.
    Ok(match place.owner {
        Owner::Hub(_) if is_new => Reply::created(shown),
        Owner::Hub(_) | Owner::Dps(_) => Reply::ok(shown),
    })
}

/// Takes a CA away: its devices are out from here on. One that is not there is deleted already.
///
/// # Errors
/// [`Error::Stale`]; `ResourceNotFound` for the owner.
pub(crate) async fn delete(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut place = Place::of(input, env).await?;
    let Some(at) = place.index(input.param("certificate")) else { return Ok(Reply::empty(204)) };
    let certificates = place.owner.certificates_mut();
    check_etag(input, certificates.get(at).map(|it| etag(it.version)).as_deref())?;
    certificates.remove(at);
    place.save(permit, env).await?;
    Ok(Reply::empty(200))
}

/// `POST .../generateVerificationCode`: a new code, which ends the one before.
///
/// # Errors
/// `ResourceNotFound`; [`Error::Stale`].
pub(crate) async fn generate_code(
    permit: &Permit,
    input: &Input,
    env: &Env,
) -> Result<Reply, Error> {
    let mut place = Place::of(input, env).await?;
    let code = env.random::<CODE_BYTES>().iter().fold(String::new(), |mut text, it| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{it:02X}");
        text
    });
    let certificate = place.certificate(input)?;
    check_etag(input, Some(&etag(certificate.version)))?;
    certificate.code = Some(code.clone());
    certificate.touch(env.now());
    let certificate = certificate.clone();
    place.save(permit, env).await?;
    let mut shown = certificate.shown(&place.owner)?;
    if let Some(properties) = shown.get_mut("properties") {
        model::json::set(properties, "verificationCode", json!(code));
    }
    Ok(Reply::ok(shown))
}

/// `POST .../verify`: takes a certificate that the CA's key has signed for the code.
///
/// # Errors
/// `ResourceNotFound`; [`Error::Stale`]; [`Error::Invalid`] where the certificate shows nothing.
pub(crate) async fn verify(permit: &Permit, input: &Input, env: &Env) -> Result<Reply, Error> {
    let mut place = Place::of(input, env).await?;
    let now = env.now();
    let certificate = place.certificate(input)?;
    check_etag(input, Some(&etag(certificate.version)))?;
    let refused = |message: &str| Error::Invalid {
        code: "CertificateVerificationFailed",
        at: Some("certificate".into()),
        message: message.to_owned(),
    };
    let Some(code) = certificate.code.as_deref() else {
        return Err(refused("ask for a verification code first (`generateVerificationCode`)"));
    };
    let der = certificate_in(&input.body, "certificate")?;
    let shown = Certificate::read(&der).map_err(|_| refused("this is no X.509 certificate"))?;
    if shown.common_name.as_deref() != Some(code) {
        return Err(refused(
            "its common name is not the verification code; a new code ends the one before",
        ));
    }
    let own = certificate.der()?;
    check_authority(&own, now)?;
    if !Certificate::is_signed_by(&der, &own) {
        return Err(refused("the key of this CA has not signed it"));
    }
    if let Some(lateness) = shown.lateness(now) {
        return Err(refused(&format!("it {lateness}")));
    }
    certificate.is_verified = true;
    certificate.code = None;
    certificate.touch(now);
    let certificate = certificate.clone();
    place.save(permit, env).await?;
    Ok(Reply::ok(certificate.shown(&place.owner)?))
}

impl Owner {
    const fn certificates(&self) -> &Vec<CertificateDocument> {
        match self {
            Self::Hub(it) => &it.certificates,
            Self::Dps(it) => &it.certificates,
        }
    }

    const fn certificates_mut(&mut self) -> &mut Vec<CertificateDocument> {
        match self {
            Self::Hub(it) => &mut it.certificates,
            Self::Dps(it) => &mut it.certificates,
        }
    }

    const fn kind_of_certificate(&self) -> &'static str {
        match self {
            Self::Hub(_) => "Microsoft.Devices/IotHubs/Certificates",
            Self::Dps(_) => "Microsoft.Devices/ProvisioningServices/Certificates",
        }
    }
}

/// An owner, to be changed as a whole.
struct Place {
    owner: Owner,
    revision: u64,
}

impl Place {
    async fn of(input: &Input, env: &Env) -> Result<Self, Error> {
        let (owner, revision) = Owner::of(input, env).await?;
        Ok(Self { owner, revision })
    }

    async fn save(&self, permit: &Permit, env: &Env) -> Result<(), Error> {
        self.owner.save(permit, env, self.revision).await
    }

    fn index(&self, name: &str) -> Option<usize> {
        self.owner.certificates().iter().position(|it| it.name.eq_ignore_ascii_case(name))
    }

    fn certificate(&mut self, input: &Input) -> Result<&mut CertificateDocument, Error> {
        let found = self.index(input.param("certificate"));
        let found = found.and_then(|it| self.owner.certificates_mut().get_mut(it));
        found.ok_or_else(|| no_resource(&input.scope))
    }
}

/// What a body says of a CA: below `properties`, or beside it, as versions before 2022 have it for provisioning
/// services.
fn described(body: &Value) -> &Value {
    model::json::member(body, "properties").filter(|it| !it.is_null()).unwrap_or(body)
}

fn checked_name(input: &Input) -> Result<&str, Error> {
    let name = input.param("certificate");
    let is_fine = |it: u8| it.is_ascii_alphanumeric() || b"-._".contains(&it);
    match (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_fine) {
        true => Ok(name),
        false => Err(Error::invalid(
            "name",
            format!("a certificate's name has 1 to {NAME_CHARS_MAX} letters, digits and `-._`"),
        )),
    }
}

fn certificate_in(body: &Value, name: &str) -> Result<Vec<u8>, Error> {
    let fields = Fields::of(body)?;
    let text = fields.text(name)?.ok_or_else(|| fields.refuse(name, "this text is required"))?;
    certificate_text::der(text).map_err(|it| fields.refuse(name, format!("the certificate {it}")))
}

/// What is no CA, or none any more, would only ever be refused later, where nobody looks.
fn check_authority(der: &[u8], now: Timestamp) -> Result<(), Error> {
    let refuse = |message: String| Error::invalid("properties.certificate", message);
    let read = Certificate::read(der)
        .map_err(|_| refuse("this is not an X.509 certificate, and one alone".into()))?;
    if !read.is_authority {
        return Err(refuse(
            "this is no CA: it needs `basicConstraints` with CA:TRUE, and a key that may sign certificates".into(),
        ));
    }
    match read.lateness(now) {
        Some(lateness @ gate::x509::Lateness::Ended { .. }) => {
            Err(refuse(format!("the certificate {lateness}")))
        }
        Some(gate::x509::Lateness::NotYet { .. }) | None => Ok(()),
    }
}
