//! A TPM in software, as far as registrations take one: it has two keys that decrypt, opens what was encrypted for
//! both of them, and says nothing of why it did not. The inverse of what the server makes, written apart from it.

use aes::Aes128;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::hmac;
use rsa::hazmat::rsa_decrypt_and_check;
use rsa::pkcs8::{EncodePrivateKey as _, LineEnding};
use rsa::rand_core::OsRng;
use rsa::traits::PublicKeyParts as _;
use rsa::{BigUint, RsaPrivateKey};

const HASH_BYTES: usize = 32;

/// What the endorsement key's template says before its modulus: `TPMT_PUBLIC` of the default template.
const ENDORSEMENT: &str = "0001000b000300b20020837197674484b3f81a90cc8d46a5d724fd52d76e06520b64f2a1da1b331469aa\
                           00060080004300100800000000000100";
/// The same of the storage root key.
const STORAGE: &str = "0001000b00030472000000060080004300100800000000000100";

/// The two keys of a TPM.
pub struct Tpm {
    endorsement: RsaPrivateKey,
    storage: RsaPrivateKey,
}

impl Tpm {
    /// Makes the keys, which takes a while.
    pub fn new() -> Self {
        let new = || RsaPrivateKey::new(&mut OsRng, 2_048);
        Self { endorsement: new().expect("enough primes"), storage: new().expect("enough primes") }
    }

    /// The private keys as PEM: of endorsement, and of storage.
    pub fn pem(&self) -> [String; 2] {
        [&self.endorsement, &self.storage]
            .map(|it| it.to_pkcs8_pem(LineEnding::LF).expect("it was made here").to_string())
    }

    /// `TPM2B_PUBLIC`, in base64.
    pub fn endorsement_key(&self) -> String {
        STANDARD.encode(sized(&area(ENDORSEMENT, &self.endorsement)))
    }

    pub fn storage_root_key(&self) -> String {
        STANDARD.encode(sized(&area(STORAGE, &self.storage)))
    }

    /// The key in what a provisioning service has sent, in base64, where it is for this TPM and whole.
    pub fn activates(&self, sent: &str) -> Option<Vec<u8>> {
        let sent = STANDARD.decode(sent).ok()?;
        let mut rest = sent.as_slice();
        let parts: Option<Vec<&[u8]>> = (0..5).map(|_| take_sized(&mut rest)).collect();
        let [credential, credential_secret, duplicate, duplicate_secret, public] = parts?[..]
        else {
            return None;
        };
        // TPM2_ActivateCredential
        let storage_name = name_of(&area(STORAGE, &self.storage));
        let seed = opened(&self.endorsement, b"IDENTITY\0", credential_secret)?;
        let wrapping = unprotected(&seed, &storage_name, credential)?;
        let wrapping = take_sized(&mut wrapping.as_slice())?.to_vec();
        // TPM2_Import
        let name = name_of(public);
        let seed = opened(&self.storage, b"DUPLICATE\0", duplicate_secret)?;
        let wrapped = unprotected(&seed, &name, duplicate)?;
        let inner = decrypted(&wrapping, &wrapped);
        let mut inner = inner.as_slice();
        let integrity = take_sized(&mut inner)?;
        let is_whole = digest(&SHA256, &[inner, &name].concat()).as_ref() == integrity;
        let sensitive = take_sized(&mut inner).filter(|_| is_whole)?;
        // TPM2_Load
        let mut fields = sensitive.strip_prefix(&[0, 8])?;
        let [password, obfuscation, key] =
            [take_sized(&mut fields)?, take_sized(&mut fields)?, take_sized(&mut fields)?];
        let unique = digest(&SHA256, &[obfuscation, key].concat());
        let is_its = public.ends_with(unique.as_ref()) && password.is_empty() && fields.is_empty();
        is_its.then(|| key.to_vec())
    }
}

impl Default for Tpm {
    fn default() -> Self {
        Self::new()
    }
}

fn area(template: &str, key: &RsaPrivateKey) -> Vec<u8> {
    let digits: Vec<u8> = template.bytes().filter(u8::is_ascii_hexdigit).collect();
    let mut area: Vec<u8> = digits
        .chunks(2)
        .map(|it| u8::from_str_radix(&String::from_utf8_lossy(it), 16).expect("hexadecimal"))
        .collect();
    let modulus = key.n().to_bytes_be();
    area.extend_from_slice(&vec![0; 256 - modulus.len()]);
    area.extend_from_slice(&modulus);
    area
}

fn name_of(area: &[u8]) -> Vec<u8> {
    [&[0, 0x0B], digest(&SHA256, area).as_ref()].concat()
}

fn opened(key: &RsaPrivateKey, label: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let number = BigUint::from_bytes_be(secret);
    let none: Option<&mut OsRng> = None;
    let plain = rsa_decrypt_and_check(key, none, &number).ok()?.to_bytes_be();
    let mut block = vec![0; 256_usize.checked_sub(plain.len())?];
    block.extend_from_slice(&plain);
    let (seed, text) = block.get(1..)?.split_at_checked(HASH_BYTES)?;
    let seed: Vec<u8> = xored(seed, &mask(text, HASH_BYTES));
    let text = xored(text, &mask(&seed, text.len()));
    let message = text.strip_prefix(digest(&SHA256, label).as_ref())?;
    let start = message.iter().position(|it| *it != 0)?;
    message.get(start..)?.strip_prefix(&[1]).map(<[u8]>::to_vec)
}

fn mask(seed: &[u8], count: usize) -> Vec<u8> {
    let rounds = (0_u32..8).map(|it| digest(&SHA256, &[seed, &it.to_be_bytes()].concat()));
    let mut all: Vec<u8> = rounds.flat_map(|it| it.as_ref().to_vec()).collect();
    all.truncate(count);
    all
}

fn xored(text: &[u8], mask: &[u8]) -> Vec<u8> {
    text.iter().zip(mask).map(|(a, b)| a ^ b).collect()
}

fn unprotected(seed: &[u8], name: &[u8], text: &[u8]) -> Option<Vec<u8>> {
    let mut rest = text;
    let tag = take_sized(&mut rest)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &derived(seed, "INTEGRITY", &[], 256));
    hmac::verify(&key, &[rest, name].concat(), tag).ok()?;
    Some(decrypted(&derived(seed, "STORAGE", name, 128), rest))
}

fn derived(key: &[u8], label: &str, context: &[u8], bits: u32) -> Vec<u8> {
    let counter = 1_u32.to_be_bytes();
    let text = [&counter[..], label.as_bytes(), &[0], context, &bits.to_be_bytes()].concat();
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    let count = if bits == 128 { 16 } else { HASH_BYTES };
    hmac::sign(&key, &text).as_ref().get(..count).unwrap_or_default().to_vec()
}

fn decrypted(key: &[u8], text: &[u8]) -> Vec<u8> {
    let Ok(cipher) = Aes128::new_from_slice(key) else { return Vec::new() };
    let mut before = [0_u8; 16];
    let mut plain = Vec::new();
    for part in text.chunks(16) {
        let mut mask = before.into();
        cipher.encrypt_block(&mut mask);
        plain.extend(xored(part, &mask));
        before.iter_mut().zip(part).for_each(|(it, part)| *it = *part);
    }
    plain
}

fn sized(bytes: &[u8]) -> Vec<u8> {
    let count = u16::try_from(bytes.len()).expect("keys are short");
    [&count.to_be_bytes()[..], bytes].concat()
}

fn take_sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (count, behind) = rest.split_first_chunk::<2>()?;
    let (taken, behind) = behind.split_at_checked(usize::from(u16::from_be_bytes(*count)))?;
    *rest = behind;
    Some(taken)
}
