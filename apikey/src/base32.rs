//! The 24 characters after the letter, as two integers: RFC 4648 base32 without padding, read strictly.
//!
//! Payload (12 bytes) and tag (2 bytes) are encoded each on its own, so both end in 4 spare bits. Seen as one
//! number of 120 bits the characters are
//!
//! ```text
//! | head 64 | reserved 32 | spare 4 | tag 16 | spare 4 |
//! ```
//!
//! and `head` (payload bytes 0..8) and `trailer` (reserved and tag, 48 bits) are all that the rest of the
//! crate needs.
//!
//! Reading is by hand, because it happens on every request: one table look-up also folds lower case, for
//! which the `data-encoding` crate needs a slower table, and the whole takes about a quarter of that crate's
//! time. Writing is rare and is left to the crate; a test holds the two against each other.

use data_encoding::BASE32_NOPAD;

/// Number of characters in which payload and tag are written.
pub(crate) const CHARACTERS: usize = 24;

/// Reads (head, trailer); `None` for a character outside the alphabet or a spare bit that is set. Either case
/// is read.
#[inline]
pub(crate) fn decode(characters: &[u8; CHARACTERS]) -> Option<(u64, u64)> {
    // 24 characters are six groups of four, 20 bits each; the pattern always matches.
    let ([a, b, c, d, e, f], []) = characters.as_chunks::<4>() else { return None };
    let [a, b, c, d, e, f] = [a, b, c, d, e, f].map(twenty_bits);
    // One test for all 24 characters: most keys are good, so a branch at each would cost more than it saves.
    if (a | b | c | d | e | f) >= 1 << 20 || (e | f) & SPARE_BITS != 0 {
        return None;
    }
    let head = (a << 44) | (b << 24) | (c << 4) | (d >> 16);
    let reserved = ((d & 0xFFFF) << 16) | (e >> 4);
    let tag = f >> 4;
    Some((head, (reserved << 16) | tag))
}

/// Writes head and trailer (its lower 48 bits) in upper case, spare bits zero.
pub(crate) fn encode(head: u64, trailer: u64, characters: &mut [u8; CHARACTERS]) {
    let [_, _, r0, r1, r2, r3, tag @ ..] = trailer.to_be_bytes();
    let mut payload = [0; 12];
    payload[..8].copy_from_slice(&head.to_be_bytes());
    payload[8..].copy_from_slice(&[r0, r1, r2, r3]);
    BASE32_NOPAD.encode_mut(&payload, &mut characters[..20]);
    BASE32_NOPAD.encode_mut(&tag, &mut characters[20..]);
}

/// The values of four characters, first one highest. Above 20 bits if one of them was [`NOT_BASE32`].
fn twenty_bits(characters: &[u8; 4]) -> u64 {
    characters.iter().fold(0, |bits, &character| {
        #[expect(clippy::indexing_slicing, reason = "a table of 256 has an entry for every byte")]
        let value = VALUES[usize::from(character)];
        (bits << 5) | u64::from(value)
    })
}

/// The spare bits as they lie in the four characters that end the payload, and in the four of the tag.
const SPARE_BITS: u64 = 0xF;

/// Table entry of a byte outside the alphabet: one bit that no shift brings below bit 20, where it would be
/// taken for a value.
const NOT_BASE32: u32 = 1 << 20;

/// RFC 4648 section 6, table 3: `A`-`Z` are 0..=25, `2`-`7` are 26..=31. Lower case has the values of upper
/// case.
#[expect(clippy::indexing_slicing, reason = "an index out of bounds here stops the build")]
const VALUES: [u32; 256] = {
    let mut values = [NOT_BASE32; 256];
    let mut value = 0;
    while value < 26 {
        values[b'A' as usize + value as usize] = value;
        values[b'a' as usize + value as usize] = value;
        value += 1;
    }
    while value < 32 {
        values[b'2' as usize + value as usize - 26] = value;
        value += 1;
    }
    values
};
