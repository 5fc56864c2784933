//! Public keys of a TPM that Debian's `swtpm` emulated, and a key that it has taken in.

use super::*;
use ring::digest::{SHA256, digest};

/// As `tpm2_createek -G rsa` writes it.
const ENDORSEMENT: &str = "AToAAQALAAMAsgAgg3GXZ0SEs/gakMyNRqXXJP1S124GUgtk8qHaGzMUaaoABgCAAEMAEAgAAAAAAAEA73bQK6K41qtWzC5zCjEupJ2OooEEZW1pfKJLxs28kSZZtg2sroY/+e6FEmx1Es+hu7Ouz62I/NJKO8u+mjDJ3XSkAe2VscxzDsX/HAWTi1PNWbq2zhXGbamfUCRM+1O1DTE3o45DuDfpRdHsqikObjVzZnYir693NS8m0RRx64i+m41iISDqQIdDqnWL4tqOk6vNYz8VyKsWMGpEM/RR8fzzVeh6/etwS9Dx2b0QO036LMq95TvFM7XyS0/Aus4Qz5M0xofth/ECeEc3cc+Q2gIgFzfJ4kQjUKZKcrrQ7Fq6VACJHzd6gdQ8hvdNn67xC/GJsD4rRro85nRF4Tpecw==";
/// As `tpm2_createprimary -C o -G rsa2048:null:aes128cfb` writes it, with the attributes of the default template.
const STORAGE: &str = "ARoAAQALAAMEcgAAAAYAgABDABAIAAAAAAABAMz4Xl6KSgsE27uVQoU/T3GFEFeEOa00nvYvHPiW/+5k9RonZPKu+y4k0IJn/v2fxfJSe5Bcl2oTmEdrjcFEeZHOJ1FJVzE68l5mr+OTVb5fM8fd4AdQWkCXgXkU9oj5DUsVInI1qIZCBjAOtnKvf8ow3MBbo2RoBDU1P5Or5Qy+RccMM66wnXH8b9bbPMvy5WmIaBnsunLbxdwMS8fdjJhDuzMSmBTtooERkydBU4NBqT+GyJBJ1bOgBARJBrezcej5en7pd3GbWa2I7AsmDSCPicYbrlUimlw/Occ8CLQr1UsLoBKg4l+b6xUWtC3RHvP7wVWwCXwITk827UMKjRs=";
/// Of what that TPM opened with `tpm2_activatecredential`, took in with `tpm2_import` and `tpm2_load`, and signed with
/// (`tpm2_hmac`) as HMAC-SHA-256 does under the key.
const TAKEN_IN: &str = "y3LqX8iHWm9QZmYFITLRcVXeujZFLElSU4ZCCdollNk=";

fn public(text: &str) -> Public {
    Public::read(&STANDARD.decode(text).unwrap()).unwrap()
}

#[test]
fn a_tpm_takes_in_what_an_activation_makes() {
    let chance = Chance {
        seeds: [[1; 32], [2; 32]],
        paddings: [[3; 32], [4; 32]],
        wrapping: [5; 16],
        obfuscation: [6; 32],
    };
    let made = activation(&public(ENDORSEMENT), &public(STORAGE), &[7; 32], &chance).unwrap();
    assert_eq!(STANDARD.encode(digest(&SHA256, &made)), TAKEN_IN);
}

#[test]
fn keys_of_another_kind_and_what_is_none_are_told_apart() {
    let whole = STANDARD.decode(ENDORSEMENT).unwrap();
    for cut in 0..whole.len() {
        assert!(Public::read(&whole[..cut]).is_err(), "{cut}");
    }
    let more = [&whole[..], &[0]].concat();
    assert_eq!(Public::read(&more).unwrap_err(), public::NotAKey::Malformed);
    let with = |at: usize, value: u8| {
        let mut changed = whole.clone();
        changed[at] = value;
        Public::read(&changed).map(|_| ()).unwrap_err()
    };
    // ECC, SHA-1, another cipher, more bits, another mode, a scheme, other sizes and exponents.
    for (at, value) in
        [(3, 0x23), (5, 0x04), (45, 0x13), (46, 1), (49, 0x42), (51, 0x14), (52, 4), (57, 3)]
    {
        assert_eq!(with(at, value), public::NotAKey::Other, "{at}");
    }
    // An even modulus is none.
    let last = whole.len() - 1;
    assert_eq!(with(last, whole[last] & 0xFE), public::NotAKey::Malformed);
}
