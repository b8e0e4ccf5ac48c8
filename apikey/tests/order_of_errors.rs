//! Each refusal, and which one wins when a key has several faults. The order is part of the format: the edge
//! counts and answers by it.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failing test may stop where it stands"
)]

mod by_hand;

use apikey::{
    CustomerId, Derivation, Fingerprint, Group, GroupSecret, KeyError, KeyText, MacKey, Service, decode,
};
use by_hand::{SECRET, head, mac_key, sealed, text, verdict};

/// A key that is right in every way, as text that can be spoilt.
fn good() -> String {
    sealed(&SECRET, b'S', head(1, false, 1, 5, 42))
}

/// The key with one character of its tag changed.
fn with_wrong_tag(mut key: String) -> String {
    let replacement = if &key[21..22] == "A" { "B" } else { "A" };
    key.replace_range(21..22, replacement);
    key
}

fn refusal(text: impl AsRef<[u8]>) -> KeyError {
    verdict(text, &mac_key()).unwrap_err()
}

#[test]
fn the_key_that_these_tests_spoil_is_good() {
    assert_eq!(verdict(good(), &mac_key()).unwrap().customer(), CustomerId::new(42).unwrap());
}

// === each refusal ===

#[test]
fn a_key_of_another_length_is_malformed() {
    let long = good().repeat(3);
    for length in (0..=64).filter(|&length| length != 25) {
        assert_eq!(decode(&long.as_bytes()[..length]).unwrap_err(), KeyError::Malformed, "length {length}");
    }
}

#[test]
fn a_character_outside_the_alphabet_is_malformed() {
    for position in 1..25 {
        for character in ['0', '1', '8', '9', '=', '-', ' ', '@', '[', '`', '{', '\0', '\n'] {
            let mut key = good();
            key.replace_range(position..=position, character.encode_utf8(&mut [0; 4]));
            assert_eq!(refusal(key), KeyError::Malformed, "{character:?} at {position}");
        }
    }
}

#[test]
fn a_byte_outside_ascii_is_malformed_wherever_it_stands() {
    for position in 0..25 {
        for byte in [0x80, 0xC3, 0xFF, b'S' | 0x80] {
            let mut key = good().into_bytes();
            key[position] = byte;
            assert_eq!(refusal(key), KeyError::Malformed);
        }
    }
}

#[test]
fn a_first_character_that_is_no_letter_or_digit_is_malformed() {
    for first in (0..=127_u8).filter(|first| !first.is_ascii_alphanumeric()) {
        let mut key = good().into_bytes();
        key[0] = first;
        assert_eq!(refusal(key), KeyError::Malformed);
    }
}

#[test]
fn a_derivation_outside_1_to_1023_is_malformed_in_a_key_that_is_not_imported() {
    for version in [0, 1] {
        for derivation in [0, 1024, 1025, 0x8000, 0xFF_FFFF] {
            let key = sealed(&SECRET, b'S', head(version, false, 1, derivation, 42));
            assert_eq!(refusal(key), KeyError::Malformed, "version {version}, derivation {derivation}");
        }
    }
}

#[test]
fn an_imported_key_with_a_derivation_is_malformed() {
    for version in [0, 1] {
        for derivation in [1, 1023, 1024, 0xFF_FFFF] {
            let key = sealed(&SECRET, b'S', head(version, true, 1, derivation, 42));
            assert_eq!(refusal(key), KeyError::Malformed, "version {version}, derivation {derivation}");
        }
    }
}

#[test]
fn a_version_0_key_with_any_reserved_bit_set_is_malformed_even_if_its_tag_is_right() {
    for bit in 0..32 {
        let payload = [head(0, false, 1, 5, 42).as_slice(), &(1_u32 << bit).to_be_bytes()].concat();
        let tag = by_hand::reference_mac(&SECRET, &payload);
        assert_eq!(refusal(text(b'S', &payload, &tag[..2])), KeyError::Malformed, "bit {bit}");
    }
}

#[test]
fn every_other_letter_or_digit_in_front_is_an_unknown_service() {
    for first in (0..=127_u8).filter(|first| first.is_ascii_alphanumeric() && !b"SRGsrg".contains(first)) {
        let key = sealed(&SECRET, first, head(1, false, 1, 5, 42));
        assert_eq!(refusal(key), KeyError::UnknownService, "{}", char::from(first));
    }
}

#[test]
fn versions_2_and_3_are_unsupported() {
    for version in [2, 3] {
        assert_eq!(
            refusal(sealed(&SECRET, b'S', head(version, false, 1, 5, 42))),
            KeyError::UnsupportedVersion
        );
    }
}

/// The crate has no keyring: what it gives is the group, in time for the caller to refuse it.
#[test]
fn the_group_is_readable_before_the_tag_is_checked() {
    for group in 0..32 {
        let key = with_wrong_tag(sealed(&SECRET, b'S', head(1, false, group, 5, 42)));
        assert_eq!(decode(key.as_bytes()).unwrap().group(), Group::new(group).unwrap());
    }
}

#[test]
fn a_wrong_tag_is_a_bad_mac() {
    assert_eq!(refusal(with_wrong_tag(good())), KeyError::BadMac);
    assert_eq!(refusal(with_wrong_tag(sealed(&SECRET, b'S', head(0, false, 1, 5, 42)))), KeyError::BadMac);
}

/// All 48 bits of version 1: a check of the visible tag alone would leave 32 of them to the forger.
#[test]
fn each_of_the_48_mac_bits_of_version_1_is_checked() {
    let head = head(1, false, 1, 5, 42);
    let mac = by_hand::reference_mac(&SECRET, &[b"S".as_slice(), &head].concat());
    for bit in 0..48 {
        let mut changed = mac;
        changed[bit / 8] ^= 1 << (bit % 8);
        let payload = [head.as_slice(), &changed[..4]].concat();
        assert_eq!(refusal(text(b'S', &payload, &changed[4..6])), KeyError::BadMac, "bit {bit}");
    }
}

#[test]
fn each_of_the_16_tag_bits_of_version_0_is_checked() {
    let payload = [head(0, false, 1, 5, 42).as_slice(), &[0; 4]].concat();
    let mac = by_hand::reference_mac(&SECRET, &payload);
    for bit in 0..16 {
        let mut changed = mac;
        changed[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(refusal(text(b'S', &payload, &changed[..2])), KeyError::BadMac, "bit {bit}");
    }
}

#[test]
fn customer_0_with_a_right_tag_is_a_bad_customer() {
    for (version, imported, derivation) in [(0, false, 5), (1, false, 5), (0, true, 0), (1, true, 0)] {
        let key = sealed(&SECRET, b'S', head(version, imported, 1, derivation, 0));
        assert_eq!(refusal(key), KeyError::BadCustomer, "version {version}, imported {imported}");
    }
}

// === which one wins ===

#[test]
fn malformed_comes_before_an_unknown_service() {
    let bad_field = sealed(&SECRET, b'X', head(1, false, 1, 0, 42));
    assert_eq!(refusal(bad_field), KeyError::Malformed);

    let mut bad_character = sealed(&SECRET, b'X', head(1, false, 1, 5, 42));
    bad_character.replace_range(10..11, "8");
    assert_eq!(refusal(bad_character), KeyError::Malformed);

    let mut spare_bit = sealed(&SECRET, b'X', head(1, false, 1, 5, 42));
    spare_bit.replace_range(24..25, "B");
    assert_eq!(refusal(spare_bit), KeyError::Malformed);
}

#[test]
fn malformed_comes_before_an_unsupported_version() {
    for version in [2, 3] {
        let mut spare_bit = sealed(&SECRET, b'S', head(version, false, 1, 5, 42));
        spare_bit.replace_range(20..21, "B");
        assert_eq!(refusal(spare_bit), KeyError::Malformed);
    }
}

#[test]
fn malformed_comes_before_a_bad_mac_and_a_bad_customer() {
    assert_eq!(refusal(with_wrong_tag(sealed(&SECRET, b'S', head(1, false, 1, 0, 0)))), KeyError::Malformed);
}

#[test]
fn an_unknown_service_comes_before_an_unsupported_version() {
    assert_eq!(refusal(sealed(&SECRET, b'X', head(2, false, 1, 5, 42))), KeyError::UnknownService);
}

#[test]
fn an_unknown_service_comes_before_a_bad_mac() {
    assert_eq!(
        refusal(with_wrong_tag(sealed(&SECRET, b'X', head(1, false, 1, 5, 42)))),
        KeyError::UnknownService
    );
}

/// Nothing is known about the fields of versions 2 and 3, so none of them can be wrong.
#[test]
fn an_unsupported_version_is_not_judged_by_the_field_rules() {
    for version in [2, 3] {
        for (imported, derivation) in [(false, 0), (false, 0xFF_FFFF), (true, 7)] {
            let key = sealed(&SECRET, b'S', head(version, imported, 1, derivation, 42));
            assert_eq!(refusal(key), KeyError::UnsupportedVersion);
        }
    }
}

#[test]
fn an_unsupported_version_comes_before_a_bad_mac_and_a_bad_customer() {
    let key = with_wrong_tag(sealed(&SECRET, b'S', head(3, false, 1, 5, 0)));
    assert_eq!(refusal(key), KeyError::UnsupportedVersion);
}

#[test]
fn a_bad_mac_comes_before_a_bad_customer() {
    assert_eq!(refusal(with_wrong_tag(sealed(&SECRET, b'S', head(1, false, 1, 5, 0)))), KeyError::BadMac);
}

// === what errors and debug output say ===

#[test]
fn every_error_says_something_of_its_own() {
    let all = [
        KeyError::Malformed,
        KeyError::UnknownService,
        KeyError::UnsupportedVersion,
        KeyError::UnknownGroup,
        KeyError::BadMac,
        KeyError::BadCustomer,
    ];
    let texts: std::collections::BTreeSet<String> = all.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), all.len());
}

#[test]
fn no_debug_output_holds_a_secret_or_a_tag() {
    let mac = mac_key();
    let key = good();
    assert_eq!(format!("{:?}", GroupSecret::from_bytes(SECRET)), "GroupSecret(redacted)");
    assert_eq!(format!("{mac:?}"), "MacKey(redacted)");
    let decoded = decode(key.as_bytes()).unwrap();
    assert_eq!(format!("{decoded:?}"), "DecodedKey { service: Seal, fingerprint: 410000050000002A, .. }");
    let text: KeyText = by_hand::some_numbers()[0].issue(&mac);
    assert_eq!(format!("{text:?}"), "KeyText(redacted)");
    assert_eq!(text.masked(), format!("{}…", &text.as_str()[..5]));
}

// === values given as text ===

#[test]
fn a_secret_is_exactly_64_hex_digits() {
    let hex = "00112233445566778899aAbBcCdDeEfF".repeat(2);
    let from_hex = MacKey::new(&GroupSecret::from_hex(&hex).unwrap());
    let bytes: Vec<u8> = (0..16).map(|digit| digit * 0x11).collect::<Vec<u8>>().repeat(2);
    let from_bytes = MacKey::new(&GroupSecret::from_bytes(bytes.try_into().unwrap()));
    let issued = by_hand::some_numbers()[4];
    assert_eq!(issued.issue(&from_hex).as_str(), issued.issue(&from_bytes).as_str());

    for wrong in [
        "",
        &hex[1..],
        &format!("{hex}0"),
        &hex.replace('1', "g"),
        &format!(" {}", &hex[1..]),
        &"é".repeat(32),
    ] {
        assert!(GroupSecret::from_hex(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_fingerprint_is_exactly_16_hex_digits() {
    for wrong in [
        "",
        "123456789ABCDEF",
        "123456789ABCDEF01",
        "+123456789ABCDEF",
        "0x123456789ABCDE",
        "123456789ABCDEG0",
        "éééééééé",
    ] {
        assert!(wrong.parse::<Fingerprint>().is_err(), "{wrong:?}");
    }
}

#[test]
fn a_customer_id_is_a_plain_decimal_number_from_1() {
    for (text, number) in [("1", 1), ("4294967295", u32::MAX)] {
        assert_eq!(text.parse::<CustomerId>().unwrap().get(), number);
        assert_eq!(CustomerId::new(number).unwrap().to_string(), text);
    }
    for wrong in ["", "0", "01", "+1", "-1", " 1", "1 ", "1_000", "4294967296", "0x1", "१"] {
        assert!(wrong.parse::<CustomerId>().is_err(), "{wrong:?}");
    }
    assert_eq!(CustomerId::new(0), None);
}

#[test]
fn a_service_is_its_lower_case_name() {
    for service in Service::ALL {
        assert_eq!(service.to_string().parse(), Ok(service));
    }
    for wrong in ["", "Seal", "SEAL", "seal ", "S", "grpc2"] {
        assert!(wrong.parse::<Service>().is_err(), "{wrong:?}");
    }
}

#[test]
fn groups_end_at_31_and_derivations_run_from_1_to_1023() {
    assert_eq!(Group::new(31).map(Group::get), Some(31));
    assert_eq!(Group::new(32), None);
    assert_eq!(Derivation::new(0), None);
    assert_eq!(Derivation::new(1).map(Derivation::get), Some(1));
    assert_eq!(Derivation::new(1023), Some(Derivation::MAX));
    assert_eq!(Derivation::new(1024), None);
    assert_eq!(Derivation::new(65_537), None, "not taken modulo 65,536");
}
