//! Two things are written by hand for speed, HMAC over one block and base32 reading. Here the crates that
//! would do the same are the judges.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failing test may stop where it stands"
)]

mod by_hand;

use apikey::{CheckValue, GroupSecret, KeyError, MacKey, decode};
use by_hand::{any_numbers, any_service, any_version, sealed, verdict};
use data_encoding::{BASE32_NOPAD, Encoding, Specification};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn an_issued_key_is_the_text_that_hmac_and_data_encoding_make(
        numbers in any_numbers(any_version()), secret: [u8; 32],
    ) {
        let text = numbers.issue(&MacKey::new(&GroupSecret::from_bytes(secret)));
        let reference = sealed(&secret, numbers.service.letter(), numbers.head());
        prop_assert_eq!(text.as_str(), reference);
    }

    #[test]
    fn a_check_value_is_what_the_hmac_crate_makes_and_reads_back(secret: [u8; 32]) {
        let check = MacKey::new(&GroupSecret::from_bytes(secret)).check_value();
        let mac = by_hand::reference_mac(&secret, b"suiftly key group check v1");
        let expected: String = mac[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        prop_assert_eq!(check.to_string(), expected.as_str());
        prop_assert_eq!(expected.parse::<CheckValue>(), Ok(check));
        for other in [expected.to_uppercase() + "x", format!("+{}", &expected[1..]), expected[1..].to_owned()] {
            prop_assert!(other.parse::<CheckValue>().is_err());
        }
    }

    #[test]
    fn a_key_sealed_with_the_hmac_crate_authenticates(
        service in any_service(), secret: [u8; 32], version in 0_u8..2, group in 0_u8..32,
        derivation in 1_u32..=1023, customer in 1..=u32::MAX,
    ) {
        let head = by_hand::head(version, false, group, derivation, customer);
        let mac = MacKey::new(&GroupSecret::from_bytes(secret));
        let key = verdict(sealed(&secret, service.letter(), head), &mac).unwrap();
        prop_assert_eq!(key.fingerprint().get(), u64::from_be_bytes(head));
        prop_assert_eq!(key.customer().get(), customer);
    }

    #[test]
    fn base32_is_read_exactly_where_data_encoding_reads_it(characters in "[A-Za-z2-7]{24}") {
        prop_assert_eq!(is_read(characters.as_bytes()), reference_reads(characters.as_bytes()));
    }

    #[test]
    fn base32_with_any_one_byte_is_read_exactly_where_data_encoding_reads_it(
        characters in "[A-Z2-7]{19}[AQ][A-Z2-7]{3}[AQ]", position in 0_usize..24, byte: u8,
    ) {
        let mut characters = characters.into_bytes();
        characters[position] = byte;
        prop_assert_eq!(is_read(&characters), reference_reads(&characters));
    }
}

/// All 256 bytes at all 24 places, in a text that is otherwise canonical.
#[test]
fn the_table_agrees_with_data_encoding_on_every_byte_in_every_place() {
    for position in 0..24 {
        for byte in 0..=255 {
            let mut characters = *b"QAAAAAAAAAAAAAAAAAAAAAAA";
            characters[position] = byte;
            assert_eq!(is_read(&characters), reference_reads(&characters), "byte {byte} at {position}");
        }
    }
}

/// Whether the crate reads the 24 characters as base32. No service has the letter `X`, so whatever is not
/// malformed is an unknown service. Field rules must not come in between: they end at version 2, and `Q` is
/// the first character that means it.
fn is_read(characters: &[u8]) -> bool {
    let mut text = [b"X".as_slice(), characters].concat();
    if matches!(text[1], b'A'..=b'P' | b'a'..=b'p') {
        text[1] = b'Q';
    }
    match decode(&text).unwrap_err() {
        KeyError::UnknownService => true,
        KeyError::Malformed => false,
        error => panic!("{error:?} for a key with an unknown letter"),
    }
}

/// Whether data-encoding reads both parts, strictly: canonical, no padding, either case.
fn reference_reads(characters: &[u8]) -> bool {
    let reference = reference();
    reference.decode(&characters[..20]).is_ok() && reference.decode(&characters[20..]).is_ok()
}

/// [`BASE32_NOPAD`] that takes lower case, too.
fn reference() -> Encoding {
    let mut specification: Specification = BASE32_NOPAD.specification();
    specification.translate.from = ('a'..='z').collect();
    specification.translate.to = ('A'..='Z').collect();
    specification.encoding().expect("lower case is not in the alphabet otherwise")
}
