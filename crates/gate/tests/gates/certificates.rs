//! Certificates of devices at the first gate: the edges of time, and credentials at doors that are not theirs.

use super::world::*;
use gate::facts::{Authority, Counts, OwnCertificate, OwnKeys, OwnProof, SharedAccess};
use gate::x509::{CERTIFICATE_BYTES_MAX, Certificate, Thumbprints};
use gate::{Authenticated, Door, Facts, Refusal, authenticate};
use model::error::{AuthFault, DenialKind};
use model::operations::operation;
use model::principal::AuthType;
use model::trace::TraceHead;
use model::{CertificateChain, Credential, Op, Secret, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
};
use time::OffsetDateTime;

fn params(name: &str, from: Timestamp, until: Timestamp) -> CertificateParams {
    let at = |it: Timestamp| OffsetDateTime::from_unix_timestamp(it.seconds()).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    (params.not_before, params.not_after) = (at(from), at(until));
    params
}

fn around(name: &str) -> CertificateParams {
    params(name, NOW.plus_seconds(-60), NOW.plus_seconds(60))
}

fn own(name: &str) -> Vec<u8> {
    let made = around(name).self_signed(&KeyPair::generate().unwrap()).unwrap();
    made.der().to_vec()
}

fn thumbprints(known: &[&str]) -> OwnProof {
    let known = known.iter().map(|it| (*it).to_owned()).collect();
    proof(Counts::Thumbprints(known))
}

fn proof(counts: Counts) -> OwnProof {
    OwnProof::Certificate(OwnCertificate { name: "d1".into(), via: None, counts, is_enabled: true })
}

fn shows(
    facts: &Facts,
    op: Op,
    own: &[OwnProof],
    certificates: Vec<Vec<u8>>,
    now: Timestamp,
) -> Result<Authenticated, Box<Refusal>> {
    let (scope, head) = (scope(HUB), TraceHead { time: now, ..head("CONNECT d1") });
    let door = Door {
        access: Some(&SharedAccess { is_disabled_for_devices: true, ..SharedAccess::default() }),
        own,
        resource: "127.70.1.2/devices/d1",
        ..Door::new(operation(op), &scope, &head)
    };
    let chain = CertificateChain::new(certificates).unwrap();
    authenticate(&Credential::Certificate(chain), &door, facts)
}

fn fault(refusal: &Refusal) -> (AuthFault, &str, &str) {
    let DenialKind::Unauthenticated(fault) = refusal.denial.kind else {
        panic!("{:?}", refusal.denial)
    };
    (fault, &refusal.denial.message, &refusal.trace.steps[0].findings[0].reason)
}

#[test]
fn a_certificate_holds_from_its_first_second_to_the_end_of_its_last() {
    let facts = facts();
    let der = own("d1");
    let known = Thumbprints::of(&der);
    let at = |offset_ms: i64| {
        let now = Timestamp::from_millis(NOW.millis() + offset_ms);
        shows(&facts, Op::ConnectDevice, &[thumbprints(&[&known.sha1])], vec![der.clone()], now)
    };
    for fine in [-60_000, 0, 60_000, 60_999] {
        let who = at(fine).unwrap();
        assert_eq!(who.caller().auth, AuthType::X509);
        assert_eq!(who.until(), Some(NOW.plus_seconds(60)));
    }
    assert_eq!(fault(&at(-60_001).unwrap_err()).0, AuthFault::Invalid);
    assert_eq!(fault(&at(61_000).unwrap_err()).0, AuthFault::Expired);
}

#[test]
fn either_thumbprint_counts_and_no_part_of_one() {
    let facts = facts();
    let (der, other) = (own("d1"), Thumbprints::of(&own("d1")));
    let known = Thumbprints::of(&der);
    let tries = |known: &[&str]| {
        shows(&facts, Op::ConnectDevice, &[thumbprints(known)], vec![der.clone()], NOW).is_ok()
    };
    assert!(tries(&[&known.sha1]) && tries(&[&other.sha1, &known.sha256]));
    assert!(tries(&[&known.sha256.to_lowercase()]));
    for wrong in [&other.sha1, &other.sha256, &known.sha256[..40].to_owned(), &String::new()] {
        assert!(!tries(&[wrong]), "{wrong}");
    }
    assert!(!tries(&[]));
}

/// What the client is told is the same for all; the reasons are the trace's alone.
#[test]
fn who_is_not_proven_learns_nothing_of_who_is_there() {
    let facts = facts();
    let der = own("d1");
    let keys = OwnProof::Keys(OwnKeys {
        name: "d1".into(),
        via: None,
        primary: Secret::new(vec![1; 32]),
        secondary: Secret::new(vec![2; 32]),
        is_enabled: true,
    });
    let other = Thumbprints::of(&own("d1")).sha1;
    let doors =
        [vec![], vec![keys], vec![thumbprints(&[&other])], vec![proof(Counts::OfAuthority)]];
    let refusals: Vec<Box<Refusal>> = doors
        .iter()
        .map(|it| shows(&facts, Op::ConnectDevice, it, vec![der.clone()], NOW).unwrap_err())
        .collect();
    let told: Vec<_> = refusals.iter().map(|it| fault(it)).collect();
    assert!(told.iter().all(|it| (it.0, it.1) == (told[0].0, told[0].1)), "{told:?}");
    let mut reasons: Vec<&str> = told.iter().map(|it| it.2).collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), doors.len(), "{reasons:?}");
}

#[test]
fn a_certificate_opens_no_door_but_a_devices() {
    let facts = facts();
    let der = own("d1");
    let known = [thumbprints(&[&Thumbprints::of(&der).sha1])];
    for op in [Op::GetDevice, Op::ListSubscriptions, Op::ListUsers, Op::IssueToken] {
        assert!(shows(&facts, op, &known, vec![der.clone()], NOW).is_err(), "{op:?}");
    }
    let ending = vec![der[..der.len() - 1].to_vec()];
    let refusal = shows(&facts, Op::ConnectDevice, &known, ending, NOW).unwrap_err();
    assert_eq!(fault(&refusal).0, AuthFault::Malformed);
    let mut more = der.clone();
    more.push(0);
    assert!(Certificate::read(&der).is_ok() && Certificate::read(&more).is_err());
    assert!(Certificate::read(&vec![0x30; CERTIFICATE_BYTES_MAX + 1]).is_err());
}

/// Upload takes only CAs, but what a document holds is not trusted for that.
#[test]
fn a_hubs_certificate_that_is_no_ca_leads_nowhere() {
    let key = KeyPair::generate().unwrap();
    let leaf_by = |above: &CertificateParams| {
        let issuer = Issuer::from_params(above, &key);
        let made = around("d1").signed_by(&KeyPair::generate().unwrap(), &issuer).unwrap();
        made.der().to_vec()
    };
    let check = |above: &CertificateParams, is_verified: bool, expected: Result<(), &str>| {
        let mut facts = facts();
        let mut hub = (**facts.hub(&scope(HUB)).unwrap()).clone();
        let der = above.self_signed(&key).unwrap().der().to_vec();
        hub.authorities = vec![Authority { name: "ca".into(), der, is_verified }];
        facts.put_hub(hub);
        let own = [proof(Counts::OfAuthority)];
        let shown = shows(&facts, Op::ConnectDevice, &own, vec![leaf_by(above)], NOW);
        match (shown, expected) {
            (Ok(who), Ok(())) => assert!(who.caller().signed_in.contains("the CA `ca`")),
            (Err(refusal), Err(word)) => {
                let (_, _, reason) = fault(&refusal);
                assert!(reason.contains(word), "{reason}");
            }
            (shown, _) => panic!("{:?}", shown.map(|it| it.caller().clone())),
        }
    };
    let mut ca = around("ca");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    check(&ca, true, Ok(()));
    check(&ca, false, Err("is not verified"));
    check(&around("ca"), true, Err("is no CA's"));
    let mut late = params("ca", NOW.plus_seconds(-9), NOW.plus_seconds(-1));
    late.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    check(&late, true, Err("ended at"));
}

/// A group of an enrollment as the gate sees it.
fn group(via: &str, cas: &[&Vec<u8>], is_enabled: bool) -> OwnProof {
    let authority =
        |it: &&Vec<u8>| Authority { name: via.into(), der: it.to_vec(), is_verified: true };
    OwnProof::Certificate(OwnCertificate {
        name: "pump-1".into(),
        via: Some(via.into()),
        counts: Counts::OfThese(cas.iter().map(authority).collect()),
        is_enabled,
    })
}

#[test]
fn of_several_groups_the_one_whose_ca_stands_nearest_decides() {
    let facts = facts();
    let ca = |name: &str| {
        let mut params = around(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    };
    let [root_key, site_key] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let (root, site) = (ca("root"), ca("site"));
    let root_der = root.self_signed(&root_key).unwrap().der().to_vec();
    let by_root = Issuer::from_params(&root, &root_key);
    let site_der = site.signed_by(&site_key, &by_root).unwrap().der().to_vec();
    let leaf = |name: &str| {
        let by_site = Issuer::from_params(&site, &site_key);
        let made = around(name).signed_by(&KeyPair::generate().unwrap(), &by_site).unwrap();
        vec![made.der().to_vec(), site_der.clone()]
    };
    let via = |own: &[OwnProof]| {
        let shown = shows(&facts, Op::RegisterDevice, own, leaf("Pump-1"), NOW);
        shown.map(|it| it.caller().via.clone().unwrap())
    };
    let reason = |own: &[OwnProof]| fault(&via(own).unwrap_err()).2.to_owned();
    let (far, near) = (group("a-root", &[&root_der], true), group("z-site", &[&site_der], true));
    assert_eq!(via(&[far.clone(), near.clone()]).unwrap(), "z-site");
    assert_eq!(via(&[near.clone(), far.clone()]).unwrap(), "z-site");
    assert_eq!(via(std::slice::from_ref(&far)).unwrap(), "a-root");
    // A group that holds both is as near as its nearer one.
    let both = group("both", &[&root_der, &site_der], true);
    assert_eq!(via(&[far.clone(), both]).unwrap(), "both");
    let off = group("off", &[&site_der], false);
    assert!(reason(&[far.clone(), off.clone()]).contains("disabled"));
    assert!(reason(&[near.clone(), off.clone()]).contains("disabled"), "of two that are as near");
    assert!(reason(&[off, near.clone()]).contains("disabled"));
    let strange = ca("strange").self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec();
    let (one, two) = (group("one", &[&strange], true), group("two", &[], true));
    assert_eq!(via(&[one.clone(), far]).unwrap(), "a-root");
    assert!(reason(std::slice::from_ref(&one)).contains("of the enrollment `one`"));
    assert!(reason(&[one, two]).contains("any of the 2 enrollment groups"));
    // The name is the registration id's, whatever its casing, and nobody else's.
    let other = shows(&facts, Op::RegisterDevice, &[near], leaf("pump-10"), NOW).unwrap_err();
    assert!(fault(&other).2.contains("for `pump-10`"));
}
