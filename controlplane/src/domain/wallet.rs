//! The address of a Sui wallet.

use std::str::FromStr;

/// `0x` and 64 lower-case hex digits. The same wallet in another case is the same text here.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct WalletAddress(String);

/// The text is no wallet's address.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a wallet's address is 0x and 64 hex digits")]
pub struct WalletError;

impl WalletAddress {
    /// The address as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WalletAddress {
    type Err = WalletError;

    fn from_str(text: &str) -> Result<Self, WalletError> {
        let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).ok_or(WalletError)?;
        if digits.len() != 64 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(WalletError);
        }
        Ok(Self(format!("0x{}", digits.to_ascii_lowercase())))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn case_does_not_make_another_wallet() {
        let lower: WalletAddress = format!("0x{}", "ab".repeat(32)).parse().unwrap();
        let upper: WalletAddress = format!("0X{}", "AB".repeat(32)).parse().unwrap();
        assert_eq!(lower, upper);
        assert_eq!(lower.as_str().len(), 66);
    }

    #[test]
    fn anything_else_is_no_wallet() {
        for text in
            ["", "0x", &"ab".repeat(32), &format!("0x{}", "a".repeat(63)), &format!("0x{}g", "a".repeat(63))]
        {
            assert_eq!(text.parse::<WalletAddress>(), Err(WalletError));
        }
    }
}
