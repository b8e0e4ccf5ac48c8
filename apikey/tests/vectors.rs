//! `vectors.json` was written by an implementation in another language. Each key in it is read and made here
//! as there.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a failing test may stop where it stands"
)]

use std::collections::BTreeMap;

use apikey::{
    CustomerId, Derivation, Fingerprint, Group, GroupSecret, KeyError, MacKey, Service, VerifiedKey, Version,
    decode, issue,
};
use data_encoding::{BASE32_NOPAD, HEXLOWER};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vectors {
    #[serde(rename = "description")]
    _description: Vec<String>,
    keyring: BTreeMap<u8, String>,
    accepted: Vec<Accepted>,
    refused: Vec<Refused>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Accepted {
    version: u8,
    service: String,
    letter: char,
    group: u8,
    secret_hex: String,
    derivation: u32,
    customer_id: u32,
    imported: bool,
    payload_hex: String,
    tag_hex: String,
    fingerprint: String,
    api_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Refused {
    text: String,
    error: String,
    why: String,
}

fn vectors() -> Vectors {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn mac_key(secret_hex: &str) -> MacKey {
    MacKey::new(&GroupSecret::from_hex(secret_hex).unwrap())
}

#[test]
fn every_accepted_vector_has_the_fields_it_says() {
    for vector in vectors().accepted {
        let key =
            decode(vector.api_key.as_bytes()).unwrap().authenticate(&mac_key(&vector.secret_hex)).unwrap();
        assert_eq!(key.version().number(), vector.version, "{}", vector.api_key);
        assert_eq!(key.service().name(), vector.service);
        assert_eq!(char::from(key.service().letter()), vector.letter);
        assert_eq!(key.group().get(), vector.group);
        assert_eq!(key.derivation().map_or(0, |derivation| u32::from(derivation.get())), vector.derivation);
        assert_eq!(key.customer().get(), vector.customer_id);
        assert_eq!(key.imported(), vector.imported);
        assert_eq!(key.fingerprint().to_string(), vector.fingerprint);
        assert_eq!(vector.fingerprint.parse::<Fingerprint>(), Ok(key.fingerprint()));

        let bytes = |text: &str| HEXLOWER.encode(&BASE32_NOPAD.decode(text.as_bytes()).unwrap());
        assert_eq!(bytes(&vector.api_key[1..21]), vector.payload_hex);
        assert_eq!(bytes(&vector.api_key[21..]), vector.tag_hex);
        assert!(vector.payload_hex.to_ascii_uppercase().starts_with(&vector.fingerprint));
    }
}

#[test]
fn every_accepted_vector_is_the_same_key_in_lower_case() {
    for vector in vectors().accepted {
        let mac = mac_key(&vector.secret_hex);
        let read = |text: &str| decode(text.as_bytes()).unwrap().authenticate(&mac).unwrap();
        assert_eq!(read(&vector.api_key), read(&vector.api_key.to_ascii_lowercase()));
    }
}

#[test]
fn issuing_gives_the_text_of_every_accepted_vector_that_is_not_imported() {
    for vector in vectors().accepted.into_iter().filter(|vector| !vector.imported) {
        let text = issue(
            Version::from_number(vector.version).unwrap(),
            vector.service.parse().unwrap(),
            Group::new(vector.group).unwrap(),
            Derivation::new(vector.derivation).unwrap(),
            CustomerId::new(vector.customer_id).unwrap(),
            &mac_key(&vector.secret_hex),
        );
        assert_eq!(text.as_str(), vector.api_key);
    }
}

#[test]
fn every_refused_vector_is_refused_for_the_reason_it_says() {
    let vectors = vectors();
    let keyring = vectors.keyring.iter().map(|(&group, secret)| (group, mac_key(secret))).collect();
    for vector in vectors.refused {
        let error = verdict(&vector.text, &keyring).unwrap_err();
        assert_eq!(word(error), vector.error, "{}: {}", vector.text, vector.why);
    }
}

#[test]
fn the_vectors_cover_every_version_service_and_error() {
    let vectors = vectors();
    for version in [0, 1] {
        for service in Service::ALL {
            for imported in [false, true] {
                let covers = |vector: &&Accepted| {
                    vector.version == version
                        && vector.service == service.name()
                        && vector.imported == imported
                };
                assert!(
                    vectors.accepted.iter().any(|vector| covers(&vector)),
                    "{version} {service} {imported}"
                );
            }
        }
    }
    let all = [
        KeyError::Malformed,
        KeyError::UnknownService,
        KeyError::UnsupportedVersion,
        KeyError::UnknownGroup,
        KeyError::BadMac,
        KeyError::BadCustomer,
    ];
    for error in all {
        assert!(vectors.refused.iter().any(|vector| vector.error == word(error)), "{error:?}");
    }
}

/// What a caller with a keyring does: the one place where `UnknownGroup` comes from.
fn verdict(text: &str, keyring: &BTreeMap<u8, MacKey>) -> Result<VerifiedKey, KeyError> {
    let key = decode(text.as_bytes())?;
    let mac = keyring.get(&key.group().get()).ok_or(KeyError::UnknownGroup)?;
    key.authenticate(mac)
}

/// The error as the vectors write it.
fn word(error: KeyError) -> &'static str {
    match error {
        KeyError::Malformed => "malformed",
        KeyError::UnknownService => "unknown_service",
        KeyError::UnsupportedVersion => "unsupported_version",
        KeyError::UnknownGroup => "unknown_group",
        KeyError::BadMac => "bad_mac",
        KeyError::BadCustomer => "bad_customer",
    }
}
