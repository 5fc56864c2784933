//! Keys that TPMs were sent and have to show: each for one registration, for a while, and to begin it once.
//!
//! A device with a TPM has nothing to sign with before it was sent a key that only its TPM opens. Whoever asks for one
//! proves nothing by that and is refused like everybody; the refusal carries the key. As long as nobody has used it
//! the same key is sent again, so that who asks in the name of a device takes nothing from it. A key that began a
//! registration goes on opening what became of it. All are forgotten when the server stops: the device asks anew.

use super::enrollment::{Attestation, ProvisioningStatus, Source};
use super::tpm::{Chance, Public, Tpm, activation};
use super::{attestation, register};
use crate::env::Env;
use crate::input::Input;
use crate::resources::fields::Fields;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gate::facts::Dps;
use model::{Op, Secret, Timestamp};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How long a key opens anything, in seconds.
const CHALLENGE_S: i64 = 600;
/// Most registrations that keys are remembered for. Whoever gets one knows the endorsement key of an enrollment.
const CHALLENGED_MAX: usize = 10_000;
/// Most keys of a registration: one that nobody has used, and those before it.
const KEYS_MAX: usize = 4;
/// Of a key, as long as what it makes signatures by.
pub(crate) const KEY_BYTES: usize = 32;

/// A key that was sent to a TPM.
#[derive(Clone, Debug)]
struct Challenge {
    key: Secret<Vec<u8>>,
    tpm: Tpm,
    until: Timestamp,
    is_used: bool,
}

/// The keys that were sent, by provisioning service and registration id in lower case.
#[derive(Debug, Default)]
pub struct Challenges(Mutex<BTreeMap<(String, String), Vec<Challenge>>>);

impl Challenges {
    fn all(&self) -> MutexGuard<'_, BTreeMap<(String, String), Vec<Challenge>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key for a TPM: the one that it was sent and has not used, or `new`.
    fn issue(
        &self,
        at: (String, String),
        tpm: &Tpm,
        new: [u8; KEY_BYTES],
        now: Timestamp,
    ) -> Secret<Vec<u8>> {
        let mut all = self.all();
        if all.len() >= CHALLENGED_MAX && !all.contains_key(&at) {
            all.retain(|_, keys| keys.iter().any(|it| now < it.until));
            // Whose place is taken asks anew.
            if all.len() >= CHALLENGED_MAX
                && let Some((first, _)) =
                    all.iter().min_by_key(|(_, keys)| keys.last().map(|it| it.until))
            {
                let first = first.clone();
                all.remove(&first);
            }
        }
        let keys = all.entry(at).or_default();
        keys.retain(|it| now < it.until);
        if let Some(known) = keys.iter_mut().find(|it| !it.is_used && it.tpm == *tpm) {
            return known.key.clone();
        }
        if keys.len() >= KEYS_MAX {
            keys.remove(0);
        }
        let key = Secret::new(new.to_vec());
        let until = now.plus_seconds(CHALLENGE_S);
        keys.push(Challenge { key: key.clone(), tpm: tpm.clone(), until, is_used: false });
        key
    }

    /// The keys by which a device may sign now: to register, those that were not used.
    pub(super) fn live(&self, dps: &Dps, id: &str, op: Op, now: Timestamp) -> Vec<Secret<Vec<u8>>> {
        let all = self.all();
        let keys = all.get(&place(dps, id)).into_iter().flatten();
        let counts = |it: &&Challenge| now < it.until && (!it.is_used || op != Op::RegisterDevice);
        keys.filter(counts).map(|it| it.key.clone()).collect()
    }

    /// Uses the key up that is to begin a registration of the TPM with these keys. False where it was used meanwhile.
    pub(super) fn take(&self, dps: &Dps, id: &str, tpm: &Tpm, now: Timestamp) -> bool {
        let mut all = self.all();
        let keys = all.get_mut(&place(dps, id)).into_iter().flatten();
        let found = keys.into_iter().find(|it| !it.is_used && now < it.until && it.tpm == *tpm);
        found.map(|it| it.is_used = true).is_some()
    }
}

fn place(dps: &Dps, id: &str) -> (String, String) {
    (dps.uid.clone(), id.to_ascii_lowercase())
}

/// What a device that registers and has nothing to show yet is sent along with its refusal, where it has a TPM that is
/// enrolled: a key that its TPM opens. `None` for everybody else. The body is read already.
pub(crate) async fn challenge(env: &Env, dps: &Dps, input: &Input) -> Option<String> {
    let id = input.param("registration");
    register::check_body(&input.body, &id.to_ascii_lowercase()).ok()?;
    let shown = Tpm::read(&Fields::of(&input.body).ok()?).ok()?;
    let enrolled = attestation::enrolled(env, dps, id).await.ok()??;
    let is_asker = match (&enrolled, enrolled.attestation()) {
        (Source::Individual(_), Attestation::Tpm(tpm)) => tpm.is_of(&shown),
        (Source::Individual(_) | Source::Group(_), _) => false,
    };
    if !is_asker || enrolled.terms().provisioning_status != ProvisioningStatus::Enabled {
        return None;
    }
    let key = env.challenges.issue(place(dps, id), &shown, env.random(), env.now());
    wrapped(env, &shown, key.reveal())
}

/// A key that only the TPM with these keys opens, in base64.
pub(super) fn wrapped(env: &Env, tpm: &Tpm, key: &[u8]) -> Option<String> {
    let read = |text: &str| Public::read(&STANDARD.decode(text).ok()?).ok();
    let storage = read(tpm.storage_root_key.as_deref()?)?;
    let chance = Chance {
        seeds: [env.random(), env.random()],
        paddings: [env.random(), env.random()],
        wrapping: env.random(),
        obfuscation: env.random(),
    };
    let blob = activation(&read(&tpm.endorsement_key)?, &storage, key, &chance)?;
    Some(STANDARD.encode(blob))
}
