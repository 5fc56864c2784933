//! A TPM's public key as TPMs write it (`TPM2B_PUBLIC`).
//!
//! One kind is taken, that of the default templates of endorsement and storage root keys: RSA with 2,048 bits and the
//! usual exponent, names by SHA-256, what they protect by AES-128 in CFB mode. Source: TCG, "Trusted Platform Module
//! Library", part 2, and "EK Credential Profile".

use ring::digest::{SHA256, digest};
use rsa::{BigUint, RsaPublicKey};
use std::fmt;

pub(super) const RSA: u16 = 0x0001;
pub(super) const HMAC: u16 = 0x0005;
const AES: u16 = 0x0006;
pub(super) const KEYED_HASH: u16 = 0x0008;
pub(super) const SHA_256: u16 = 0x000B;
const NULL: u16 = 0x0010;
const CFB: u16 = 0x0043;
const AES_BITS: u16 = 128;
const RSA_BITS: u16 = 2_048;
pub(super) const RSA_BYTES: usize = 256;
/// What an exponent of 0 stands for.
const EXPONENT: u32 = 65_537;

/// A key that encrypts for one TPM.
#[derive(Clone, Debug)]
pub(in crate::provisioning) struct Public {
    pub(super) key: RsaPublicKey,
    /// What the TPM knows it by: the algorithm, and the hash of all that the key says of itself.
    pub(super) name: Vec<u8>,
}

/// Why bytes are no such key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::provisioning) enum NotAKey {
    Malformed,
    Other,
}

impl fmt::Display for NotAKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "this is no public key of a TPM (`TPM2B_PUBLIC`)",
            Self::Other => {
                "the key is of another kind: it must be RSA with 2,048 bits, SHA-256 and AES-128 in CFB mode"
            }
        })
    }
}

impl Public {
    /// # Errors
    /// [`NotAKey`], also where anything follows.
    pub(in crate::provisioning) fn read(bytes: &[u8]) -> Result<Self, NotAKey> {
        let mut whole = Reader(bytes);
        let area = whole.sized()?;
        whole.end()?;
        let mut fields = Reader(area);
        let (kind, hash) = (fields.number()?, fields.number()?);
        let _attributes = fields.take(4)?;
        let _policy = fields.sized()?;
        if (kind, hash) != (RSA, SHA_256) {
            return Err(NotAKey::Other);
        }
        if fields.number()? != AES {
            return Err(NotAKey::Other);
        }
        let (bits, mode, scheme) = (fields.number()?, fields.number()?, fields.number()?);
        let rsa_bits = fields.number()?;
        if (bits, mode, scheme, rsa_bits) != (AES_BITS, CFB, NULL, RSA_BITS) {
            return Err(NotAKey::Other);
        }
        let exponent = fields.take(4)?.iter().fold(0_u32, |all, it| all << 8 | u32::from(*it));
        let modulus = fields.sized()?;
        fields.end()?;
        if ![0, EXPONENT].contains(&exponent) || modulus.len() != RSA_BYTES {
            return Err(NotAKey::Other);
        }
        let key = RsaPublicKey::new(BigUint::from_bytes_be(modulus), BigUint::from(EXPONENT))
            .map_err(|_| NotAKey::Malformed)?;
        Ok(Self { key, name: name_of(area) })
    }
}

/// The name of an object whose names are by SHA-256.
pub(super) fn name_of(area: &[u8]) -> Vec<u8> {
    let mut name = SHA_256.to_be_bytes().to_vec();
    name.extend_from_slice(digest(&SHA256, area).as_ref());
    name
}

/// Bytes that are read from the front.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], NotAKey> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(NotAKey::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Result<u16, NotAKey> {
        Ok(self.take(2)?.iter().fold(0, |all, it| all << 8 | u16::from(*it)))
    }

    fn sized(&mut self) -> Result<&'a [u8], NotAKey> {
        let count = self.number()?;
        self.take(usize::from(count))
    }

    const fn end(&self) -> Result<(), NotAKey> {
        match self.0.is_empty() {
            true => Ok(()),
            false => Err(NotAKey::Malformed),
        }
    }
}
