//! HMAC-SHA256 (RFC 2104) over one short message, for both versions of the tag.
//!
//! The `hmac` crate is the reference in the tests and is not used here, because this is the hot path: it
//! clones and finalises general block buffers, 134 ns a message where two bare compressions take 88 (measured
//! on a Xeon with SHA instructions; without them the compressions are so slow that the rest hardly shows).
//! Our message is at most 12 bytes (26 for a check value, which is rare) and the inner digest 32, so each of the two hashes after its pad is
//! exactly one block, whose padding is known when the program is built. A [`MacKey`] keeps the state after
//! the pads, and a tag costs two compressions and nothing else.

use std::fmt;

use sha2::block_api::compress256;
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::check::CHECK_MESSAGE;
use crate::{CheckValue, Fingerprint, GroupSecret, Service, Version};

/// What is needed to check and to make tags under one group's secret: SHA-256 after the inner pad block and
/// after the outer.
///
/// As secret as the [`GroupSecret`] it comes from: whoever has it can make keys. 64 bytes, overwritten when
/// dropped.
pub struct MacKey {
    inner: [u32; 8],
    outer: [u32; 8],
}

impl MacKey {
    /// Prepares a group's secret (two compressions, once per group and start).
    pub fn new(secret: &GroupSecret) -> Self {
        Self { inner: state_after_pad(secret, 0x36), outer: state_after_pad(secret, 0x5C) }
    }

    /// What the last 6 bytes of a genuine key are.
    pub(crate) fn trailer(&self, version: Version, service: Service, fingerprint: Fingerprint) -> Trailer {
        let message = match version {
            Version::V0 => version_0_block(fingerprint),
            Version::V1 => version_1_block(service, fingerprint),
        };
        let [first, second, ..] = self.mac_of_block(message).map(u64::from);
        match version {
            Version::V0 => Trailer(first >> 16),
            Version::V1 => Trailer((first << 16) | (second >> 16)),
        }
    }

    /// Which secret this is, without telling it.
    pub fn check_value(&self) -> CheckValue {
        let mut block = [0; BLOCK];
        block.iter_mut().zip(CHECK_MESSAGE).for_each(|(place, byte)| *place = *byte);
        end_message::<{ CHECK_MESSAGE.len() }>(&mut block);
        let [first, ..] = self.mac_of_block(block);
        CheckValue::from_u32(first)
    }

    /// HMAC-SHA256 of a message that is one block with its padding.
    #[inline]
    fn mac_of_block(&self, message: [u8; BLOCK]) -> [u32; 8] {
        let mut digest = self.inner;
        compress256(&mut digest, &[message]);
        let mut mac = self.outer;
        compress256(&mut mac, &[digest_block(&digest)]);
        mac
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey(redacted)")
    }
}

impl Drop for MacKey {
    fn drop(&mut self) {
        self.inner.zeroize();
        self.outer.zeroize();
    }
}

/// The last 6 bytes of a key as a number: reserved bytes 8..12 of the payload, then the tag.
///
/// Version 1 fills all 48 bits with MAC bytes 0..6. Version 0 has zeros and then MAC bytes 0..2. So one
/// comparison serves both, and there is no other: no `==`, no `Debug`.
#[derive(Clone, Copy)]
pub(crate) struct Trailer(u64);

impl Trailer {
    /// The trailer as [`crate::base32`] read it.
    pub(crate) const fn from_u64(bits: u64) -> Self {
        Self(bits)
    }

    /// 48 bits.
    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// The reserved bytes 8..12 of the payload.
    pub(crate) const fn reserved(self) -> u64 {
        self.0 >> 16
    }

    /// Takes the same time wherever the two differ, so that a tag cannot be guessed byte by byte.
    pub(crate) fn equals_in_constant_time(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

/// Bytes in one SHA-256 block.
const BLOCK: usize = 64;

/// SHA-256 (FIPS 180-4 section 6.2) as far as the first block: the secret, filled up with zeros, under the
/// pad byte.
fn state_after_pad(secret: &GroupSecret, pad: u8) -> [u32; 8] {
    /// FIPS 180-4 section 5.3.3.
    const INITIAL: [u32; 8] = [
        0x6A09_E667,
        0xBB67_AE85,
        0x3C6E_F372,
        0xA54F_F53A,
        0x510E_527F,
        0x9B05_688C,
        0x1F83_D9AB,
        0x5BE0_CD19,
    ];
    let mut block = [pad; BLOCK];
    for (padded, byte) in block.iter_mut().zip(secret.as_bytes()) {
        *padded ^= byte;
    }
    let mut state = INITIAL;
    compress256(&mut state, &[block]);
    block.zeroize();
    state
}

/// Version 0 authenticates the payload: bytes 0..8, and the reserved bytes 8..12, which are zero.
fn version_0_block(fingerprint: Fingerprint) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[..8].copy_from_slice(&fingerprint.get().to_be_bytes());
    end_message::<12>(&mut block);
    block
}

/// Version 1 authenticates the upper-case letter and payload bytes 0..8.
fn version_1_block(service: Service, fingerprint: Fingerprint) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    block[0] = service.letter();
    block[1..9].copy_from_slice(&fingerprint.get().to_be_bytes());
    end_message::<9>(&mut block);
    block
}

/// The inner digest, which is the message of the outer hash.
fn digest_block(digest: &[u32; 8]) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    for (bytes, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(digest) {
        *bytes = word.to_be_bytes();
    }
    end_message::<32>(&mut block);
    block
}

/// SHA-256's padding (FIPS 180-4 section 5.1.1) after a message of `LEN` bytes: a 1 bit, zeros, and the
/// number of bits hashed, the pad block before this one included.
fn end_message<const LEN: usize>(block: &mut [u8; BLOCK]) {
    const { assert!(LEN < BLOCK - 8, "message, 1 bit and length share one block") }
    #[expect(clippy::indexing_slicing, reason = "the line above: a longer message stops the build")]
    {
        block[LEN] = 0x80;
    }
    block[BLOCK - 8..].copy_from_slice(&(8 * (BLOCK + LEN) as u64).to_be_bytes());
}
