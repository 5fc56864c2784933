//! A device that has proven itself, as its hub is to know it.
//!
//! A hub takes from a registration what the device showed here, so that it connects there with the same: the keys
//! that it signed with, or the thumbprint of its certificate. See docs/decisions/0026.

use super::attestation::Known;
use super::challenges::{self, KEY_BYTES};
use super::enrollment::{Attestation, Source};
use super::register::Begun;
use super::x509;
use crate::env::Env;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::{Counts, OwnKeys, OwnProof};
use gate::x509::{Thumbprints, lead};
use model::{CertificateChain, Secret, Timestamp};
use serde_json::{Value, json};

/// What a registration takes to a hub. It may hold keys: no `Debug`.
pub(super) struct Proven {
    pub(super) source: Source,
    /// As the hub's service API takes it.
    pub(super) authentication: Value,
    /// What the device and whoever signed for it have said of themselves, where certificates count.
    pub(super) certificates: Option<Value>,
    /// The key of the hub, which the device's TPM opens, in base64.
    pub(super) activation: Option<String>,
}

impl Proven {
    /// `None` where what the device showed when it began is not what counts any more.
    pub(super) fn of(known: Known, begun: &Begun, env: &Env) -> Option<Self> {
        let Known { proof, source } = known;
        let now = env.now();
        let mut activation = None;
        let (authentication, certificates) = match (&proof, source.attestation()) {
            (OwnProof::Keys(keys), Attestation::SymmetricKey(_))
                if begun.certificates.is_empty() && begun.tpm.is_none() =>
            {
                (by_keys(&keys.primary, &keys.secondary), None)
            }
            // The key that it signed with was for this once: it gets another one for its hub.
            (OwnProof::Keys(own), Attestation::Tpm(tpm)) => {
                let shown = begun.tpm.as_ref().filter(|it| tpm.is_of(it))?;
                let new = || Secret::new(env.random::<KEY_BYTES>().to_vec());
                let keys = OwnKeys { primary: new(), secondary: new(), ..own.clone() };
                activation = Some(challenges::wrapped(env, shown, keys.primary.reveal())?);
                (by_keys(&keys.primary, &keys.secondary), None)
            }
            (OwnProof::Certificate(own), Attestation::X509(x509)) => {
                let chain = x509::read_kept(&begun.certificates)?;
                let shown = Thumbprints::of(chain.leaf());
                let info = certificates(&chain, &own.counts, &shown, now)?;
                (by_thumbprints(x509.thumbprints(shown.sha256)), Some(info))
            }
            (OwnProof::Keys(_) | OwnProof::Certificate(_), _) => return None,
        };
        Some(Self { source, authentication, certificates, activation })
    }
}

impl Proven {
    /// What a webhook is told of how the device proved itself: no keys.
    pub(super) fn shown(&self) -> (&'static str, Value) {
        match (&self.certificates, self.source.attestation()) {
            (Some(info), _) => ("x509", info.clone()),
            (None, Attestation::SymmetricKey(_)) => ("symmetricKey", json!({})),
            (None, Attestation::X509(_)) => ("x509", json!({})),
            (None, Attestation::Tpm(_)) => ("tpm", json!({})),
        }
    }
}

/// Two symmetric keys, as a hub takes them.
pub(crate) fn by_keys(primary: &Secret<Vec<u8>>, secondary: &Secret<Vec<u8>>) -> Value {
    let text = |it: &Secret<Vec<u8>>| STANDARD.encode(it.reveal());
    json!({ "type": "sas", "symmetricKey": {
        "primaryKey": text(primary), "secondaryKey": text(secondary) } })
}

/// The thumbprints of certificates, as a hub takes them.
pub(crate) fn by_thumbprints([primary, secondary]: [Option<String>; 2]) -> Value {
    json!({ "type": "selfSigned", "x509Thumbprint": {
        "primaryThumbprint": primary, "secondaryThumbprint": secondary } })
}

/// What the certificates say of themselves; `None` where they do not count now.
fn certificates(
    chain: &CertificateChain,
    counts: &Counts,
    shown: &Thumbprints,
    now: Timestamp,
) -> Option<Value> {
    let mut told = json!({ "certificateInfo": x509::info(chain.leaf()) });
    match counts {
        Counts::Thumbprints(known) => known.iter().any(|it| shown.has(it)).then_some(told),
        Counts::OfThese(authorities) => {
            let led = lead(chain, authorities, now).ok()?;
            let signer = authorities.iter().find(|it| it.name == led.by)?;
            model::json::set(&mut told, "signingCertificateInfo", json!(x509::info(&signer.der)));
            Some(told)
        }
        Counts::OfAuthority => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provisioning::attestation::tests::dps;
    use crate::provisioning::attestation::vouched;
    use crate::provisioning::enrollment::Kind;
    use crate::provisioning::enrollment_body::Draft;
    use crate::provisioning::enrollments;
    use crate::test_env::env;
    use model::trace::{Caller, Channel};
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    use store::{Expect, ShardId};

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        // The clock of these tests stands in 1970.
        params.not_before = rcgen::date_time_ymd(1970, 1, 1);
        params
    }

    /// A CA, and a certificate of a device that it has signed: both in base64.
    fn signed() -> (String, String) {
        let (mut ca, key) = (params("ca"), KeyPair::generate().unwrap());
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let above = ca.self_signed(&key).unwrap();
        let issuer = Issuer::from_params(&ca, &key);
        let leaf = params("pump-1").signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        (STANDARD.encode(above.der()), STANDARD.encode(leaf.der()))
    }

    async fn group(env: &Env, attestation: Value) -> Known {
        let body = json!({ "attestation": attestation });
        let draft = Draft::read(Kind::Group, "line", &body).unwrap();
        let source = draft.complete(None, &|| STANDARD.encode([1; 32]), env.now()).unwrap();
        let change = enrollments::change(&source, Expect::Anything).unwrap();
        env.store.commit(&ShardId::dps("d1").unwrap(), vec![change]).await.unwrap();
        let caller = Caller { via: Some("line".into()), ..Caller::anyone() };
        vouched(env, &dps("d1"), "pump-1", &caller).await.unwrap().unwrap()
    }

    fn begun(certificates: &[&String]) -> Begun {
        Begun {
            payload: None,
            is_resumed: false,
            registration_id: "pump-1".into(),
            correlation_id: String::new(),
            channel: Channel::default(),
            caller: Caller::anyone(),
            certificates: certificates.iter().map(|it| (*it).clone()).collect(),
            tpm: None,
        }
    }

    /// A change of the enrollment between the device's call and the hub's, or while the server was down, counts.
    #[tokio::test]
    async fn what_a_device_has_shown_is_looked_at_again_when_its_hub_is_called() {
        let env = env();
        let ((ca, leaf), (other, _)) = (signed(), signed());
        let signing = |ca: &String| {
            json!({ "type": "x509",
                "x509": { "signingCertificates": { "primary": { "certificate": ca } } } })
        };
        let proven = Proven::of(group(&env, signing(&ca)).await, &begun(&[&leaf]), &env).unwrap();
        let sha256 = Thumbprints::of(&STANDARD.decode(&leaf).unwrap()).sha256;
        assert_eq!(proven.authentication["type"], "selfSigned");
        assert_eq!(proven.authentication["x509Thumbprint"]["primaryThumbprint"], sha256);
        let told = proven.certificates.unwrap();
        assert_eq!(told["signingCertificateInfo"]["subjectName"], "CN=ca");

        let is_none = |known: Known, begun: &Begun| Proven::of(known, begun, &env).is_none();
        assert!(is_none(group(&env, signing(&other)).await, &begun(&[&leaf])));
        assert!(is_none(group(&env, signing(&ca)).await, &begun(&[])));
        assert!(is_none(group(&env, signing(&ca)).await, &begun(&[&other, &leaf])));
        let keys = group(&env, json!({ "type": "symmetricKey" })).await;
        assert!(is_none(keys.clone(), &begun(&[&leaf])));
        assert_eq!(Proven::of(keys, &begun(&[]), &env).unwrap().authentication["type"], "sas");
    }
}
