//! A key on its way into a TPM, that nobody else can open.
//!
//! The key travels as an object of the TPM's own: an HMAC key, duplicated under the storage root key
//! (`TPM2_Import`), with an inner wrapping whose key is a credential (`TPM2_MakeCredential`) that only a TPM opens
//! which holds the endorsement key and that storage root key (`TPM2_ActivateCredential`). The five parts follow each
//! other as the public TPM clients of Azure's SDKs read them. Source: TCG, "Trusted Platform Module Library", part 1,
//! sections 23 and 24, and part 2.

use super::public::{HMAC, KEYED_HASH, Public, RSA_BYTES, SHA_256, name_of};
use aes::Aes128;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use ring::digest::{SHA256, digest};
use ring::hmac;
use rsa::BigUint;
use rsa::hazmat::rsa_encrypt;

const HASH_BYTES: usize = 32;
const AES_BYTES: usize = 16;
/// Of an HMAC key whose user signs without a policy, and that wrong guesses do not lock: `userWithAuth`, `noDA`, `sign`.
const ATTRIBUTES: u32 = 1 << 6 | 1 << 10 | 1 << 18;

/// What an activation draws.
pub(in crate::provisioning) struct Chance {
    /// For the credential and for the duplicate, of which everything else derives.
    pub(in crate::provisioning) seeds: [[u8; HASH_BYTES]; 2],
    /// For the padding of each of them.
    pub(in crate::provisioning) paddings: [[u8; HASH_BYTES]; 2],
    /// The key of the inner wrapping.
    pub(in crate::provisioning) wrapping: [u8; AES_BYTES],
    /// Hides the key from its name.
    pub(in crate::provisioning) obfuscation: [u8; HASH_BYTES],
}

/// `key`, for the TPM that holds both of these. `None` where the library refuses to encrypt.
pub(in crate::provisioning) fn activation(
    endorsement: &Public,
    storage: &Public,
    key: &[u8],
    chance: &Chance,
) -> Option<Vec<u8>> {
    let [credential_seed, duplicate_seed] = &chance.seeds;
    let [credential_padding, duplicate_padding] = &chance.paddings;

    let inner = protected(credential_seed, &storage.name, &sized(&chance.wrapping)?)?;
    let credential_secret = oaep(endorsement, b"IDENTITY\0", credential_seed, credential_padding)?;

    let public = public_area(key, &chance.obfuscation)?;
    let name = name_of(&public);
    let sensitive = sized(&sensitive_area(key, &chance.obfuscation)?)?;
    let mut wrapped = sized(digest(&SHA256, &[&sensitive[..], &name].concat()).as_ref())?;
    wrapped.extend_from_slice(&sensitive);
    cfb(&chance.wrapping, &mut wrapped);
    let duplicate = protected(duplicate_seed, &name, &wrapped)?;
    let duplicate_secret = oaep(storage, b"DUPLICATE\0", duplicate_seed, duplicate_padding)?;

    let parts = [&inner, &credential_secret, &duplicate, &duplicate_secret, &public];
    let parts: Option<Vec<Vec<u8>>> = parts.into_iter().map(|it| sized(it)).collect();
    Some(parts?.concat())
}

/// Encrypted and authenticated by what derives of a seed, for an object's name: the hash first, with its size.
fn protected(seed: &[u8], name: &[u8], plain: &[u8]) -> Option<Vec<u8>> {
    let mut encrypted = plain.to_vec();
    let key: [u8; AES_BYTES] = derived(seed, "STORAGE", name, 128).first_chunk().copied()?;
    cfb(&key, &mut encrypted);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &derived(seed, "INTEGRITY", &[], 256));
    let tag = hmac::sign(&key, &[&encrypted[..], name].concat());
    let mut all = sized(tag.as_ref())?;
    all.extend_from_slice(&encrypted);
    Some(all)
}

/// `KDFa` with SHA-256: one round gives as many bits as anything here takes.
fn derived(key: &[u8], label: &str, context: &[u8], bits: u32) -> Vec<u8> {
    let mut text = 1_u32.to_be_bytes().to_vec();
    text.extend_from_slice(label.as_bytes());
    text.push(0);
    text.extend_from_slice(context);
    text.extend_from_slice(&bits.to_be_bytes());
    let mut derived = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), &text).as_ref().to_vec();
    derived.truncate(usize::try_from(bits / 8).unwrap_or(HASH_BYTES));
    derived
}

/// AES-128 in CFB mode, from a vector of zeros.
fn cfb(key: &[u8; AES_BYTES], text: &mut [u8]) {
    let cipher = Aes128::new(key.into());
    let mut feedback = [0_u8; AES_BYTES];
    for part in text.chunks_mut(AES_BYTES) {
        let mut mask = feedback.into();
        cipher.encrypt_block(&mut mask);
        part.iter_mut().zip(&mask).for_each(|(it, mask)| *it ^= mask);
        feedback.iter_mut().zip(part.iter()).for_each(|(it, part)| *it = *part);
    }
}

/// RSA with OAEP, SHA-256 in both places. Source: RFC 8017, section 7.1.1.
fn oaep(
    to: &Public,
    label: &[u8],
    message: &[u8; HASH_BYTES],
    seed: &[u8; HASH_BYTES],
) -> Option<Vec<u8>> {
    // The hash of the label, zeros, one 1 and the message.
    let mut block = vec![0; RSA_BYTES - HASH_BYTES - 1];
    block.splice(..HASH_BYTES, digest(&SHA256, label).as_ref().iter().copied());
    let at = block.len().checked_sub(message.len())?;
    block.splice(at.checked_sub(1)?.., std::iter::once(1).chain(message.iter().copied()));
    mask(seed, &mut block);
    let mut seed = seed.to_vec();
    mask(&block, &mut seed);
    let encoded = [vec![0], seed, block].concat();
    let encrypted = rsa_encrypt(&to.key, &BigUint::from_bytes_be(&encoded)).ok()?.to_bytes_be();
    let mut all = vec![0; RSA_BYTES.checked_sub(encrypted.len())?];
    all.extend_from_slice(&encrypted);
    Some(all)
}

/// `MGF1` with SHA-256, laid over a text.
fn mask(seed: &[u8], text: &mut [u8]) {
    for (counter, part) in (0_u32..).zip(text.chunks_mut(HASH_BYTES)) {
        let hash = digest(&SHA256, &[seed, &counter.to_be_bytes()].concat());
        part.iter_mut().zip(hash.as_ref()).for_each(|(it, mask)| *it ^= mask);
    }
}

/// The public side of the key (`TPMT_PUBLIC`), which names it without telling it.
fn public_area(key: &[u8], obfuscation: &[u8]) -> Option<Vec<u8>> {
    let mut area = Vec::new();
    area.extend_from_slice(&KEYED_HASH.to_be_bytes());
    area.extend_from_slice(&SHA_256.to_be_bytes());
    area.extend_from_slice(&ATTRIBUTES.to_be_bytes());
    area.extend_from_slice(&sized(&[])?);
    area.extend_from_slice(&HMAC.to_be_bytes());
    area.extend_from_slice(&SHA_256.to_be_bytes());
    area.extend_from_slice(&sized(digest(&SHA256, &[obfuscation, key].concat()).as_ref())?);
    Some(area)
}

/// The secret side (`TPMT_SENSITIVE`), without a password.
fn sensitive_area(key: &[u8], obfuscation: &[u8]) -> Option<Vec<u8>> {
    let mut area = KEYED_HASH.to_be_bytes().to_vec();
    for part in [&[], obfuscation, key] {
        area.extend_from_slice(&sized(part)?);
    }
    Some(area)
}

/// Bytes behind their number, as TPMs write them.
fn sized(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut all = u16::try_from(bytes.len()).ok()?.to_be_bytes().to_vec();
    all.extend_from_slice(bytes);
    Some(all)
}
