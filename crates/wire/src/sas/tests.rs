//! Tests of shared access signatures: what clients send, what attackers send, and the way there and back.

use super::*;
use proptest::prelude::*;
use ring::hmac;

const KEY: &[u8] = b"thirty-two bytes of a device key";

fn verifies(token: &SasToken, key: &[u8]) -> bool {
    let signed = format!("{}\n{}", token.resource_text, token.expiry_text);
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::verify(&key, signed.as_bytes(), token.signature.reveal()).is_ok()
}

#[test]
fn fields_may_stand_in_any_order() {
    let texts = [
        "SharedAccessSignature sr=h&sig=AAAA&se=12&skn=owner",
        "SharedAccessSignature skn=owner&se=12&sig=AAAA&sr=h",
        "sharedaccesssignature sig=AAAA&later=x&sr=h&skn=owner&se=12",
    ];
    for text in texts {
        let token = parse(text).unwrap();
        assert_eq!((token.resource.as_str(), token.expiry.seconds()), ("h", 12), "{text}");
        assert_eq!(token.key_name.as_deref(), Some("owner"), "{text}");
        assert_eq!(token.signature.reveal(), &[0, 0, 0], "{text}");
    }
}

#[test]
fn the_signed_text_stays_raw_and_the_resource_is_decoded_once() {
    let token = parse("SharedAccessSignature sr=h%2Fdevices%2fa%2525b&sig=AAAA&se=012").unwrap();
    assert_eq!(token.resource_text, "h%2Fdevices%2fa%2525b");
    assert_eq!(token.resource, "h/devices/a%25b");
    assert_eq!(token.expiry_text, "012");
    assert_eq!(token.key_name, None);
}

#[test]
fn a_signature_reads_the_same_however_it_is_quoted() {
    let bytes = vec![0xfb, 0xff, 0xbf, 0x01];
    for sig in ["+/+/AQ==", "%2B%2F%2B%2FAQ%3D%3D", "%2b%2f%2b%2fAQ%3d%3d", "%2B/%2B/AQ", "+/+/AQ="]
    {
        let token = parse(&format!("SharedAccessSignature sr=h&sig={sig}&se=1")).unwrap();
        assert_eq!(token.signature.reveal(), &bytes, "{sig}");
    }
}

#[test]
fn a_signature_that_is_not_base64_is_empty_and_never_verifies() {
    for sig in ["", "!", "AAAA%", "AAAAA", "%00%ff", "AAAA AAAA", "====", "-_-_", "AB=="] {
        let token = parse(&format!("SharedAccessSignature sr=h&sig={sig}&se=1")).unwrap();
        assert!(token.signature.reveal().is_empty(), "{sig}");
        assert!(!verifies(&token, KEY), "{sig}");
    }
}

#[test]
fn an_empty_policy_name_means_the_devices_own_key() {
    assert_eq!(parse("SharedAccessSignature sr=h&sig=AAAA&se=1&skn=").unwrap().key_name, None);
}

#[test]
fn hostile_texts_are_refused_and_the_field_is_named() {
    let check = |text: &str, expected: NotASas| {
        assert_eq!(parse(text).unwrap_err(), expected, "{text:?}");
    };
    check("", NotASas::NoScheme);
    check("SharedAccessSignature", NotASas::NoScheme);
    check("SharedAccessSignaturesr=h&sig=AAAA&se=1", NotASas::NoScheme);
    check("Bearer sr=h&sig=AAAA&se=1", NotASas::NoScheme);
    check(" SharedAccessSignature sr=h&sig=AAAA&se=1", NotASas::NoScheme);
    check("SharedAccessSignature ", NotASas::NotAPair);
    check("SharedAccessSignature sr=h&&sig=AAAA&se=1", NotASas::NotAPair);
    check("SharedAccessSignature sr=h&sig=AAAA&se", NotASas::NotAPair);
    check("SharedAccessSignature  sr=h&sig=AAAA&se=1", NotASas::Missing("sr"));
    check("SharedAccessSignature SR=h&sig=AAAA&se=1", NotASas::Missing("sr"));
    check("SharedAccessSignature sig=AAAA&se=1", NotASas::Missing("sr"));
    check("SharedAccessSignature sr=h&se=1", NotASas::Missing("sig"));
    check("SharedAccessSignature sr=h&sig=AAAA", NotASas::Missing("se"));
    check("SharedAccessSignature sr=h&sr=h&sig=AAAA&se=1", NotASas::Twice("sr"));
    check("SharedAccessSignature sr=h&sig=AAAA&sig=AAAA&se=1", NotASas::Twice("sig"));
    check("SharedAccessSignature sr=h&sig=AAAA&se=1&se=9", NotASas::Twice("se"));
    check("SharedAccessSignature sr=h&sig=AAAA&se=1&skn=&skn=a", NotASas::Twice("skn"));
    check("SharedAccessSignature sr=&sig=AAAA&se=1", NotASas::Empty("sr"));
    check("SharedAccessSignature sr=h\n&sig=AAAA&se=1", NotASas::ControlCharacter("sr"));
    check("SharedAccessSignature sr=h%00&sig=AAAA&se=1", NotASas::ControlCharacter("sr"));
    check("SharedAccessSignature sr=h&sig=AA\0AA&se=1", NotASas::ControlCharacter("sig"));
    check("SharedAccessSignature sr=h&sig=AAAA&se=1\r", NotASas::ControlCharacter("se"));
    check("SharedAccessSignature sr=h&sig=AAAA&se=1&skn=a%1bb", NotASas::ControlCharacter("skn"));
    check("SharedAccessSignature sr=h%ff&sig=AAAA&se=1", NotASas::NotUtf8("sr"));
    check("SharedAccessSignature sr=h%c0%af&sig=AAAA&se=1", NotASas::NotUtf8("sr"));
    check("SharedAccessSignature sr=h&sig=AAAA&se=1&skn=%ff", NotASas::NotUtf8("skn"));
    for se in ["", "x", "1e9", "-1", "+1", "1.5", " 1", "٣", "1000000000000000"] {
        check(&format!("SharedAccessSignature sr=h&sig=AAAA&se={se}"), NotASas::NotATime);
    }
}

#[test]
fn a_token_of_the_longest_length_is_read_and_one_byte_more_is_not() {
    let frame = "SharedAccessSignature sr=&sig=AAAA&se=1".len();
    let token =
        |bytes: usize| format!("SharedAccessSignature sr={}&sig=AAAA&se=1", "h".repeat(bytes));
    assert!(parse(&token(TOKEN_BYTES_MAX - frame)).is_ok());
    assert_eq!(parse(&token(TOKEN_BYTES_MAX - frame + 1)).unwrap_err(), NotASas::TooLong);
}

#[test]
fn a_token_fits_a_signature_computed_elsewhere() {
    // printf 'hub.example\n1700000000' | openssl dgst -sha256 -mac HMAC -macopt key:secret -binary | base64
    let text =
        sign("hub.example", b"secret", Timestamp::from_seconds(1_700_000_000), Some("device"));
    assert_eq!(
        text,
        "SharedAccessSignature sr=hub.example&sig=6SW7iSOe4Bzq%2FQNF%2F8VuUk0S5ninqlwXJvyq1VkmZ0g%3D&se=1700000000&skn=device"
    );
}

#[test]
fn no_error_repeats_what_was_in_the_token() {
    let told = parse("SharedAccessSignature sr=h&sig=c2VjcmV0&se=soon").unwrap_err().to_string();
    assert!(told.contains("`se`") && !told.contains("c2VjcmV0"), "{told}");
}

proptest! {
    #[test]
    fn what_was_signed_reads_back_and_verifies(
        resource in "[ -~é√]{1,100}",
        key in proptest::collection::vec(any::<u8>(), 0..80),
        seconds in 0_i64..=999_999_999_999_999,
        name in proptest::option::of("[ -~é]{1,64}"),
    ) {
        let expiry = Timestamp::from_seconds(seconds);
        let text = sign(&resource_text(&resource), &key, expiry, name.as_deref());
        let token = parse(&text).unwrap();
        prop_assert_eq!(&token.resource, &resource);
        prop_assert_eq!(token.expiry, expiry);
        prop_assert_eq!(&token.key_name, &name);
        prop_assert!(verifies(&token, &key));
        let mut other = key.clone();
        other.push(1);
        prop_assert!(!verifies(&token, &other));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "(SharedAccessSignature )?((sr|sig|se|skn|x)?=?\\PC{0,12}&?){0,8}") {
        let _ = parse(&text);
    }
}
