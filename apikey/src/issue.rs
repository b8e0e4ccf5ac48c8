//! From numbers to text: [`issue`] makes a key, [`KeyText`] carries it to the one place where it is shown.

use std::fmt;

use zeroize::Zeroize;

use crate::base32;
use crate::{CustomerId, Derivation, Fingerprint, Group, KEY_LEN, MacKey, Service, Version};

/// Makes the text of a key. A pure function of its arguments: the same numbers and secret give the same text,
/// so key text need never be stored.
///
/// `mac` must belong to `group`; that is the caller's promise, since a [`MacKey`] does not know its group.
/// Keeping (group, derivation, customer) unique over all services is the caller's, too: it is what makes
/// fingerprints unique.
pub fn issue(
    version: Version,
    service: Service,
    group: Group,
    derivation: Derivation,
    customer: CustomerId,
    mac: &MacKey,
) -> KeyText {
    let fingerprint = Fingerprint::of(version, group, derivation, customer);
    let trailer = mac.trailer(version, service, fingerprint);
    let mut text = [0; KEY_LEN];
    let [letter, characters @ ..] = &mut text;
    *letter = service.letter();
    base32::encode(fingerprint.get(), trailer.get(), characters);
    KeyText(text)
}

/// The text of a key, upper case. Whoever reads it can use the key, so it is shown once and never stored.
///
/// There is no `Display`, and `Debug` is redacted, so that no key is logged by accident: [`Self::as_str`] has
/// to be written out. The memory is overwritten when it is dropped (moves made before that are beyond our
/// reach).
pub struct KeyText([u8; KEY_LEN]);

impl KeyText {
    /// The key itself, for the one answer that shows it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("a key is made of ASCII letters and digits only")
    }

    /// Enough to tell keys of two services apart on a screen, like `SIEAA…`: the letter and the first 4
    /// payload characters, which hold the group and the top of the derivation and none of the tag.
    pub fn masked(&self) -> String {
        self.as_str().chars().take(5).chain(['…']).collect()
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyText(redacted)")
    }
}

impl Drop for KeyText {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
