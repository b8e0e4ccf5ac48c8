//! Keys made without the crate under test: bytes by hand, base32 from `data-encoding`, the MAC from `hmac`.
//!
//! Several test binaries include this file, and none uses all of it.
#![allow(dead_code, reason = "each test binary uses its own part")]

use apikey::{
    CustomerId, DecodedKey, Derivation, Group, GroupSecret, KeyError, KeyText, MacKey, Service, Version,
    issue,
};
use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::Sha256;

/// The secret of tests that need no particular one.
pub(crate) const SECRET: [u8; 32] = *b"a secret for tests, of no use...";

pub(crate) fn mac_key() -> MacKey {
    MacKey::new(&GroupSecret::from_bytes(SECRET))
}

/// HMAC-SHA256 as the `hmac` crate computes it.
pub(crate) fn reference_mac(secret: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Payload bytes 0..8.
pub(crate) fn head(version: u8, imported: bool, group: u8, derivation: u32, customer: u32) -> [u8; 8] {
    let flags = (version << 6) | (u8::from(imported) << 5) | group;
    let mut head = [0; 8];
    head[..4].copy_from_slice(&derivation.to_be_bytes());
    head[0] = flags;
    head[4..].copy_from_slice(&customer.to_be_bytes());
    head
}

/// A text whose tag is right, whatever else is wrong with it. Versions 2 and 3 are sealed like version 1.
pub(crate) fn sealed(secret: &[u8; 32], letter: u8, head: [u8; 8]) -> String {
    if head[0] >> 6 == 0 {
        let payload = [head.as_slice(), &[0; 4]].concat();
        let mac = reference_mac(secret, &payload);
        return text(letter, &payload, &mac[..2]);
    }
    let mac = reference_mac(secret, &[&[letter.to_ascii_uppercase()], head.as_slice()].concat());
    text(letter, &[head.as_slice(), &mac[..4]].concat(), &mac[4..6])
}

/// Letter, 12 bytes, 2 bytes as text.
pub(crate) fn text(letter: u8, payload: &[u8], tag: &[u8]) -> String {
    format!("{}{}{}", char::from(letter), BASE32_NOPAD.encode(payload), BASE32_NOPAD.encode(tag))
}

/// The error of the first step that refuses.
pub(crate) fn verdict(text: impl AsRef<[u8]>, mac: &MacKey) -> Result<apikey::VerifiedKey, KeyError> {
    apikey::decode(text.as_ref()).and_then(|key: DecodedKey| key.authenticate(mac))
}

/// The numbers of a key that can be issued.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers {
    pub(crate) version: Version,
    pub(crate) service: Service,
    pub(crate) group: Group,
    pub(crate) derivation: Derivation,
    pub(crate) customer: CustomerId,
}

impl Numbers {
    pub(crate) fn issue(self, mac: &MacKey) -> KeyText {
        issue(self.version, self.service, self.group, self.derivation, self.customer, mac)
    }

    pub(crate) fn head(self) -> [u8; 8] {
        let derivation = u32::from(self.derivation.get());
        head(self.version.number(), false, self.group.get(), derivation, self.customer.get())
    }
}

pub(crate) fn any_version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(Version::V0), Just(Version::V1)]
}

pub(crate) fn any_service() -> impl Strategy<Value = Service> {
    proptest::sample::select(Service::ALL.to_vec())
}

pub(crate) fn any_numbers(version: impl Strategy<Value = Version>) -> impl Strategy<Value = Numbers> {
    let customer = prop_oneof![1..=u32::MAX, Just(1), Just(u32::MAX), Just(1 << 31)];
    (version, any_service(), 0_u8..32, 1_u32..=1023, customer).prop_map(
        |(version, service, group, derivation, customer)| Numbers {
            version,
            service,
            group: Group::new(group).expect("below 32"),
            derivation: Derivation::new(derivation).expect("1..=1023"),
            customer: CustomerId::new(customer).expect("not 0"),
        },
    )
}

/// Keys for the exhaustive tests, which cannot draw thousands: both versions, all services, the ends of every
/// field.
pub(crate) fn some_numbers() -> Vec<Numbers> {
    let mut all = Vec::new();
    for version in [Version::V0, Version::V1] {
        for (service, group, derivation, customer) in [
            (Service::Seal, 1, 1, 1),
            (Service::Grpc, 0, 1023, u32::MAX),
            (Service::Graphql, 31, 512, 0x8000_0000),
            (Service::Seal, 21, 341, 2_863_311_530),
        ] {
            all.push(Numbers {
                version,
                service,
                group: Group::new(group).expect("below 32"),
                derivation: Derivation::new(derivation).expect("1..=1023"),
                customer: CustomerId::new(customer).expect("not 0"),
            });
        }
    }
    all
}
