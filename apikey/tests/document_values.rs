//! The first document's own layout, values and `generateApiKey`, against version 0. Where the document
//! contradicts itself, the test says which side we take.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failing test may stop where it stands"
)]

mod by_hand;

use apikey::{CustomerId, Derivation, Group, KEY_LEN, KeyError, Service, Version, decode, issue};
use by_hand::{SECRET, mac_key, reference_mac, verdict};
use data_encoding::BASE32_NOPAD;
use proptest::prelude::*;

/// `encodeMetadata`: `(version & 0b11) << 6 | (isImported ? 1 : 0) << 5 | (masterKeyGroup & 0b11111)`.
fn encode_metadata(version: u8, is_imported: bool, master_key_group: u8) -> u8 {
    (version & 0b11) << 6 | u8::from(is_imported) << 5 | (master_key_group & 0b1_1111)
}

/// `serviceTypeToChar`, without its default: the document turns an unknown type into Seal, we have no unknown
/// type.
fn service_type_to_char(service_type: &str) -> char {
    match service_type {
        "seal" => 'S',
        "grpc" => 'R',
        "graphql" => 'G',
        other => panic!("no such service: {other}"),
    }
}

/// `generateApiKey`, line by line.
fn generate_api_key(
    customer_id: u32,
    service_type: &str,
    is_imported: bool,
    derivation: u32,
    group: u8,
) -> String {
    let mut payload = [0_u8; 12];
    // 1. Key metadata (1 byte) at offset 0
    payload[0] = encode_metadata(0, is_imported, group);
    // 2. Derivation (3 bytes) at offset 1-3
    if !is_imported {
        payload[1..4].copy_from_slice(&derivation.to_be_bytes()[1..]);
    }
    // 3. Customer ID (4 bytes) at offset 4-7
    payload[4..8].copy_from_slice(&customer_id.to_be_bytes());
    // 4. Reserved (4 bytes) at offset 8-11: zeros already
    // 5. Payload to base32
    let base32_payload = BASE32_NOPAD.encode(&payload);
    // 6. HMAC-SHA256 over the payload, first 2 bytes
    let signature = &reference_mac(&SECRET, &payload)[..2];
    let checksum = BASE32_NOPAD.encode(signature);
    // 7. <service><payload><checksum>
    format!("{}{base32_payload}{checksum}", service_type_to_char(service_type))
}

proptest! {
    #[test]
    fn version_0_is_what_the_documents_generate_api_key_makes(
        service in by_hand::any_service(), group in 0_u8..32,
        derivation in 1_u32..=1023, customer in 1..=u32::MAX,
    ) {
        let documents = generate_api_key(customer, service.name(), false, derivation, group);
        let ours = issue(
            Version::V0,
            service,
            Group::new(group).unwrap(),
            Derivation::new(derivation).unwrap(),
            CustomerId::new(customer).unwrap(),
            &mac_key(),
        );
        prop_assert_eq!(ours.as_str(), documents);
    }

    #[test]
    fn the_documents_imported_keys_are_accepted(
        service in by_hand::any_service(), group in 0_u8..32, customer in 1..=u32::MAX,
    ) {
        let key = verdict(generate_api_key(customer, service.name(), true, 0, group), &mac_key()).unwrap();
        prop_assert!(key.imported());
        prop_assert_eq!(key.version(), Version::V0);
        prop_assert_eq!((key.service(), key.customer().get()), (service, customer));
    }
}

#[test]
fn the_metadata_byte_is_version_at_bit_6_imported_at_bit_5_group_at_bit_0() {
    // The document's default: version 0, not imported, group 1.
    assert_eq!(encode_metadata(0, false, 1), 0x01);
    for (version, imported, group, byte) in [
        (0, false, 1, 0x01),
        (0, true, 1, 0x21),
        (1, false, 1, 0x41),
        (1, true, 31, 0x7F),
        (0, false, 31, 0x1F),
    ] {
        assert_eq!(encode_metadata(version, imported, group), byte);
        let head = by_hand::head(version, imported, group, u32::from(!imported), 1);
        let key = decode(by_hand::sealed(&SECRET, b'S', head).as_bytes()).unwrap();
        assert_eq!(key.fingerprint().get().to_be_bytes()[0], byte);
        assert_eq!((key.version().number(), key.imported(), key.group().get()), (version, imported, group));
    }
}

#[test]
fn the_fields_stand_at_offsets_0_1_4_and_8_big_endian() {
    let key = issue(
        Version::V0,
        Service::Seal,
        Group::new(1).unwrap(),
        Derivation::new(0x0203).unwrap(),
        CustomerId::new(0x0405_0607).unwrap(),
        &mac_key(),
    );
    let payload = BASE32_NOPAD.decode(&key.as_str().as_bytes()[1..21]).unwrap();
    assert_eq!(payload, [0x01, 0x00, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0, 0, 0, 0]);
}

#[test]
fn twelve_bytes_are_20_characters_and_two_are_4() {
    assert_eq!(BASE32_NOPAD.encode_len(12), 20);
    assert_eq!(BASE32_NOPAD.encode_len(2), 4);
    assert_eq!(KEY_LEN, 1 + 20 + 4);
}

/// The document states 25 and shows 27. The numbers beside the example (1, 20 and 4) are right, the example
/// is not.
#[test]
fn the_documents_example_is_two_characters_too_long() {
    let example = "SABCDEFGHIJKLMNOPQRST234567";
    assert_eq!(example.len(), 27);
    assert_eq!(decode(example.as_bytes()).unwrap_err(), KeyError::Malformed);
}

#[test]
fn the_service_letters_are_s_r_and_g() {
    for (service, letter) in [(Service::Seal, 'S'), (Service::Grpc, 'R'), (Service::Graphql, 'G')] {
        assert_eq!(char::from(service.letter()), letter);
        assert_eq!(service_type_to_char(service.name()), letter);
        assert_eq!(Service::from_letter(service.letter()), Some(service));
        assert_eq!(Service::from_letter(service.letter().to_ascii_lowercase()), Some(service));
        assert_eq!(Service::from_number(service.number()), Some(service));
    }
    assert_eq!(Service::ALL.map(Service::number), [1, 2, 3]);
    assert_eq!((Service::from_number(0), Service::from_number(4)), (None, None));
}

/// The document's `charToServiceType` falls back to Seal. An unknown letter must open nothing.
#[test]
fn an_unknown_letter_is_not_seal() {
    let mut key = generate_api_key(42, "seal", false, 1, 1);
    key.replace_range(..1, "Q");
    assert_eq!(decode(key.as_bytes()).unwrap_err(), KeyError::UnknownService);
}

/// The document's `generateApiKey` leaves derivation 0 when none is given. Only an imported key may have it.
#[test]
fn a_key_made_without_a_derivation_is_malformed() {
    let key = generate_api_key(42, "seal", false, 0, 1);
    assert_eq!(decode(key.as_bytes()).unwrap_err(), KeyError::Malformed);
}

#[test]
fn customer_0_is_reserved() {
    assert_eq!(verdict(generate_api_key(0, "seal", false, 1, 1), &mac_key()), Err(KeyError::BadCustomer));
}
