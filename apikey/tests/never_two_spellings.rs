//! A key has one spelling, case aside. A second one would slip past whatever is kept by text, and would mean
//! that some characters of a key are checked by nobody.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failing test may stop where it stands"
)]

mod by_hand;

use std::collections::BTreeSet;

use apikey::{KEY_LEN, KeyError, Service, Version, decode};
use by_hand::{Numbers, any_numbers, any_version, mac_key, some_numbers, verdict};
use data_encoding::BASE32_NOPAD;
use proptest::prelude::*;

/// Exhaustive: 255 other bytes at each of 25 places. Version 0's letter is the one exception, see the test
/// after this.
#[test]
fn every_change_of_one_character_is_refused_unless_it_only_changes_case() {
    let mac = mac_key();
    for numbers in some_numbers() {
        let text = numbers.issue(&mac);
        let good = text.as_str().as_bytes();
        let first = match numbers.version {
            Version::V0 => 1,
            Version::V1 => 0,
        };
        for position in first..KEY_LEN {
            let accepted = bytes_accepted_at(position, good, |changed| verdict(changed, &mac).is_ok());
            assert_eq!(accepted, cases_of(good[position]), "{numbers:?}, position {position}");
        }
    }
}

#[test]
fn a_version_0_key_takes_the_letters_of_the_three_services_and_no_other() {
    let mac = mac_key();
    for numbers in some_numbers().into_iter().filter(|numbers| numbers.version == Version::V0) {
        let text = numbers.issue(&mac);
        let accepted =
            bytes_accepted_at(0, text.as_str().as_bytes(), |changed| verdict(changed, &mac).is_ok());
        assert_eq!(accepted, BTreeSet::from(*b"SRGsrg"));
    }
}

/// Each of the 24 characters stands for 5 bits of its own, so if no single character has a second spelling,
/// the number of spellings is the product over the characters: two for each letter, one for each digit.
#[test]
fn the_spellings_of_a_keys_bytes_are_its_case_variants_and_no_more() {
    let mac = mac_key();
    for numbers in some_numbers() {
        let text = numbers.issue(&mac);
        let good = text.as_str().as_bytes();
        let meaning = meaning_of(good).unwrap();
        let mut spellings = 1_u64;
        for position in 0..KEY_LEN {
            let same =
                bytes_accepted_at(position, good, |changed| meaning_of(changed) == Some(meaning.clone()));
            assert_eq!(same, cases_of(good[position]), "{numbers:?}, position {position}");
            spellings *= u64::try_from(same.len()).unwrap();
        }
        let letters = good.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
        assert_eq!(spellings, 1 << letters);
    }
}

/// The two characters with spare bits, together: 65,536 pairs.
#[test]
fn no_pair_of_last_payload_and_last_tag_character_is_a_second_spelling() {
    let mac = mac_key();
    for numbers in some_numbers() {
        let text = numbers.issue(&mac);
        let good = text.as_str().as_bytes();
        let mut accepted = 0;
        let mut changed: [u8; KEY_LEN] = good.try_into().unwrap();
        for (payload_end, tag_end) in (0..=255).flat_map(|first| (0..=255).map(move |second| (first, second)))
        {
            (changed[20], changed[24]) = (payload_end, tag_end);
            if verdict(changed, &mac).is_ok() {
                assert!(changed.eq_ignore_ascii_case(good));
                accepted += 1;
            }
        }
        assert_eq!(accepted, cases_of(good[20]).len() * cases_of(good[24]).len());
    }
}

#[test]
fn all_255_settings_of_the_spare_bits_are_malformed() {
    let mac = mac_key();
    for numbers in some_numbers() {
        let text = numbers.issue(&mac);
        for spare in 1..=255_u8 {
            let mut respelled = text.as_str().as_bytes().to_vec();
            set_spare_bits(&mut respelled[20], spare >> 4);
            set_spare_bits(&mut respelled[24], spare & 0xF);
            assert_eq!(decode(&respelled).unwrap_err(), KeyError::Malformed);
            assert_eq!(decode(&respelled.to_ascii_lowercase()).unwrap_err(), KeyError::Malformed);
        }
    }
}

#[test]
fn every_case_variant_of_one_key_is_that_key() {
    let mac = mac_key();
    let text = some_numbers()[4].issue(&mac);
    let good = text.as_str().as_bytes();
    let letters: Vec<usize> = (0..KEY_LEN).filter(|&position| good[position].is_ascii_alphabetic()).collect();
    // 2^12 variants of the first twelve letters; the others are independent of them.
    for choice in 0..1_usize << 12 {
        let mut variant = good.to_vec();
        for (bit, &position) in letters.iter().take(12).enumerate() {
            if choice >> bit & 1 == 1 {
                variant[position].make_ascii_lowercase();
            }
        }
        assert_eq!(verdict(&variant, &mac), verdict(good, &mac));
    }
}

proptest! {
    #[test]
    fn every_byte_string_is_a_key_or_an_error(text in prop::collection::vec(any::<u8>(), 0..=64)) {
        let _ = verdict(&text, &mac_key());
    }

    #[test]
    fn every_text_of_the_right_length_and_alphabet_is_a_key_or_an_error(text in "[SRGsrgX][A-Za-z2-7]{24}") {
        if let Ok(key) = decode(text.as_bytes()) {
            prop_assert!(spelled_canonically(&text, key.service()), "{}", text);
        }
    }

    #[test]
    fn a_near_miss_is_refused_or_is_the_key_itself(
        numbers in any_numbers(Just(Version::V1)), mutations in prop::collection::vec(any_mutation(), 1..=4),
    ) {
        let mac = mac_key();
        let text = numbers.issue(&mac);
        let mut changed = text.as_str().as_bytes().to_vec();
        for mutation in mutations {
            mutation.apply(&mut changed);
        }
        let accepted = verdict(&changed, &mac).is_ok();
        prop_assert_eq!(accepted, changed.eq_ignore_ascii_case(text.as_str().as_bytes()));
    }

    #[test]
    fn a_key_with_anything_around_it_is_malformed(
        numbers in any_numbers(any_version()),
        before in "[ \t\0A=\u{e9}]{0,3}", after in "[ \t\0A=\u{e9}]{0,3}",
    ) {
        prop_assume!(!before.is_empty() || !after.is_empty());
        let text = format!("{before}{}{after}", numbers.issue(&mac_key()).as_str());
        prop_assert_eq!(decode(text.as_bytes()).unwrap_err(), KeyError::Malformed);
    }

    #[test]
    fn different_numbers_never_share_a_text(
        one in any_numbers(any_version()), two in any_numbers(any_version()),
    ) {
        let mac = mac_key();
        let same = |one: Numbers, two: Numbers| one.head() == two.head() && one.service == two.service;
        prop_assert_eq!(one.issue(&mac).as_str() == two.issue(&mac).as_str(), same(one, two));
    }
}

/// What an attacker, a proxy or a hand does to a key.
#[derive(Clone, Debug)]
enum Mutation {
    Replace(prop::sample::Index, u8),
    FlipBit(prop::sample::Index, u8),
    Swap(prop::sample::Index, prop::sample::Index),
    Remove(prop::sample::Index),
    Insert(prop::sample::Index, u8),
    Lowercase,
}

impl Mutation {
    fn apply(&self, text: &mut Vec<u8>) {
        if text.is_empty() {
            return;
        }
        let length = text.len();
        match *self {
            Self::Replace(at, byte) => *at.get_mut(text) = byte,
            Self::FlipBit(at, bit) => *at.get_mut(text) ^= 1 << bit,
            Self::Swap(one, two) => text.swap(one.index(length), two.index(length)),
            Self::Remove(at) => drop(text.remove(at.index(length))),
            Self::Insert(at, byte) => text.insert(at.index(length), byte),
            Self::Lowercase => text.make_ascii_lowercase(),
        }
    }
}

fn any_mutation() -> impl Strategy<Value = Mutation> {
    let byte =
        || prop_oneof![any::<u8>(), prop::sample::select(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567".to_vec())];
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (index(), 0_u8..8).prop_map(|(at, bit)| Mutation::FlipBit(at, bit)),
        (index(), index()).prop_map(|(one, two)| Mutation::Swap(one, two)),
        index().prop_map(Mutation::Remove),
        (index(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        Just(Mutation::Lowercase),
    ]
}

/// Which bytes pass at this place when everything else stays.
fn bytes_accepted_at(position: usize, good: &[u8], passes: impl Fn(&[u8]) -> bool) -> BTreeSet<u8> {
    let with = |byte| {
        let mut changed: [u8; KEY_LEN] = good.try_into().unwrap();
        changed[position] = byte;
        changed
    };
    (0..=255).filter(|&byte| passes(&with(byte))).collect()
}

fn cases_of(byte: u8) -> BTreeSet<u8> {
    BTreeSet::from([byte.to_ascii_uppercase(), byte.to_ascii_lowercase()])
}

/// Service, payload and tag as an ordinary strict decoder reads them, if the crate decodes the text at all.
fn meaning_of(text: &[u8]) -> Option<(Service, Vec<u8>, Vec<u8>)> {
    let key = decode(text).ok()?;
    let upper = text.to_ascii_uppercase();
    let bytes = |part| BASE32_NOPAD.decode(part).expect("the crate took it, so it is canonical base32");
    Some((key.service(), bytes(&upper[1..21]), bytes(&upper[21..])))
}

fn spelled_canonically(text: &str, service: Service) -> bool {
    meaning_of(text.as_bytes()).is_some_and(|(_, payload, tag)| {
        by_hand::text(service.letter(), &payload, &tag).eq_ignore_ascii_case(text)
    })
}

/// Turns the lower 4 bits of a character's value to `bits`.
fn set_spare_bits(character: &mut u8, bits: u8) {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let value = ALPHABET.iter().position(|letter| letter == character).unwrap();
    assert_eq!(value & 0xF, 0, "an issued key has no spare bit set");
    *character = ALPHABET[value | usize::from(bits)];
}
