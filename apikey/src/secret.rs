//! The secret of a master key group, for the short way from the keyring file to a [`MacKey`](crate::MacKey).

use std::fmt;

use data_encoding::HEXLOWER_PERMISSIVE;
use zeroize::Zeroize;

use crate::ParseSecretError;

/// The 32 random bytes under which a group's keys are authenticated. Whoever has them can make keys for every
/// customer.
///
/// `Debug` is redacted, there is no `Display` and no `==`, and the bytes are overwritten when dropped.
pub struct GroupSecret([u8; 32]);

impl GroupSecret {
    /// Takes 32 bytes that came from the operating system's random numbers.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the keyring file's form: exactly 64 hex digits, either case.
    ///
    /// # Errors
    ///
    /// [`ParseSecretError`] for anything else. It does not repeat what was given.
    pub fn from_hex(hex: &str) -> Result<Self, ParseSecretError> {
        let mut secret = Self([0; 32]);
        // The decoder panics when the buffer does not fit the text, so the length comes first.
        if hex.len() != 2 * secret.0.len() {
            return Err(ParseSecretError);
        }
        HEXLOWER_PERMISSIVE.decode_mut(hex.as_bytes(), &mut secret.0).map_err(|_| ParseSecretError)?;
        Ok(secret)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for GroupSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GroupSecret(redacted)")
    }
}

impl Drop for GroupSecret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}
