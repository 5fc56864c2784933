//! What bytes are told by: MD5 and CRC-64, made as the bytes come.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};

/// The polynomial of the NVMe specification, reflected. Source: the public client libraries of Azure Storage.
const POLYNOMIAL: u64 = 0x9A6C_9329_AC4B_C9B5;

const TABLE: [u64; 256] = {
    let mut table = [0; 256];
    let (mut index, mut seed) = (0_usize, 0_u64);
    while index < 256 {
        let (mut value, mut bit) = (seed, 0);
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        (index, seed) = (index + 1, seed + 1);
    }
    table
};

/// Both, of the bytes so far.
#[derive(Clone, Default)]
pub(super) struct Sums {
    md5: Md5,
    /// Complemented, so that nothing comes to nothing.
    crc64: u64,
}

impl Sums {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        let next = |crc: u64, byte: &u8| {
            let [low, ..] = crc.to_le_bytes();
            (crc >> 8) ^ TABLE.get(usize::from(low ^ byte)).copied().unwrap_or_default()
        };
        self.crc64 = !bytes.iter().fold(!self.crc64, next);
    }

    /// In base64, as `Content-MD5` has it.
    pub(super) fn md5(self) -> String {
        STANDARD.encode(self.md5.finalize())
    }

    /// In base64, as `x-ms-content-crc64` has it.
    pub(super) fn crc64(&self) -> String {
        STANDARD.encode(self.crc64.to_le_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_that_are_published() {
        let mut sums = Sums::default();
        assert_eq!(sums.clone().crc64(), "AAAAAAAAAAA=");
        for part in ["1234", "", "56789"] {
            sums.add(part.as_bytes());
        }
        // The check value of CRC-64/NVME.
        assert_eq!(sums.crc64, 0xAE8B_1486_0A79_9888);
        assert_eq!(sums.md5(), "JfnnlDI7RTiF9RgfG2JNCw==");
    }
}
