//! The text that a wallet signs. It names where it is for, whose it is, when it was given out and for what, so that a page that
//! relays it shows its own name, and a signature is of no use anywhere else. In the manner of EIP-4361, with Sui's address.

use crate::clock::rfc3339_ms;
use crate::domain::WalletAddress;
use crate::random;
use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// How long a challenge can be answered: 5 minutes.
pub const CHALLENGE_LIFE_MS: i64 = 5 * 60 * 1_000;
/// The longest text that is looked at, in bytes. Ours have about 600.
pub const MESSAGE_LEN_MAX: usize = 2_048;

const FIRST_LINE_END: &str = " wants you to sign in with your Sui wallet:";
const NONCE_LINE: &str = "Nonce: ";
/// 32 random bytes in hex: 256 bits, where 128 are asked for.
const NONCE_LEN: usize = 64;

/// What a text says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Challenge<'a> {
    /// Host and port of the API, as people reach it.
    pub domain: &'a str,
    /// Whose wallet should sign.
    pub wallet: &'a WalletAddress,
    /// 64 random hex digits.
    pub nonce: String,
    /// When it is given out, unix milliseconds.
    pub issued_at_ms: i64,
}

impl<'a> Challenge<'a> {
    /// A challenge that was never there before.
    ///
    /// # Errors
    /// The operating system gave no randomness.
    pub fn random(domain: &'a str, wallet: &'a WalletAddress, now_ms: i64) -> Result<Self, random::NoRandom> {
        Ok(Self { domain, wallet, nonce: HEXLOWER.encode(&random::bytes_32()?), issued_at_ms: now_ms })
    }

    /// From when on it is refused, unix milliseconds.
    pub const fn expires_at_ms(&self) -> i64 {
        self.issued_at_ms.saturating_add(CHALLENGE_LIFE_MS)
    }

    /// The text, to the byte.
    pub fn text(&self) -> String {
        let Self { domain, wallet, nonce, issued_at_ms } = self;
        let mut text = format!("{domain}{FIRST_LINE_END}\n{}\n\n", wallet.as_str());
        text.push_str(
            "Sign in to Suiftly. This proves that the wallet is yours. It moves no coins and approves no transaction.\n\n",
        );
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "Purpose: sign-in\n{NONCE_LINE}{nonce}\nIssued At: {}\nExpiration Time: {}",
            rfc3339_ms(*issued_at_ms),
            rfc3339_ms(self.expires_at_ms())
        );
        text
    }
}

/// The nonce in a text that may have been ours.
pub fn nonce_in(text: &str) -> Option<&str> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(NONCE_LINE));
    let (nonce, None) = (lines.next()?, lines.next()) else { return None };
    (nonce.len() == NONCE_LEN && nonce.bytes().all(|digit| digit.is_ascii_hexdigit())).then_some(nonce)
}

/// The domain that a text names.
pub fn domain_in(text: &str) -> Option<&str> {
    text.lines().next()?.strip_suffix(FIRST_LINE_END)
}

/// The address that a text names.
pub fn wallet_in(text: &str) -> Option<&str> {
    text.lines().nth(1)
}

/// What is stored instead of a text or a nonce.
pub fn sha256_hex(text: &str) -> String {
    HEXLOWER.encode(&Sha256::digest(text.as_bytes()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_text_is_what_the_documents_say() {
        let wallet: WalletAddress = format!("0x{}", "ab".repeat(32)).parse().unwrap();
        let challenge = Challenge {
            domain: "api.example.com",
            wallet: &wallet,
            nonce: "0123456789abcdef".repeat(4),
            issued_at_ms: 1_795_251_900_123,
        };
        let expected = format!(
            "api.example.com wants you to sign in with your Sui wallet:\n0x{}\n\n\
             Sign in to Suiftly. This proves that the wallet is yours. It moves no coins and approves no transaction.\n\n\
             Purpose: sign-in\nNonce: {}\nIssued At: 2026-11-21T09:05:00.123Z\nExpiration Time: 2026-11-21T09:10:00.123Z",
            "ab".repeat(32),
            "0123456789abcdef".repeat(4)
        );
        assert_eq!(challenge.text(), expected);
        assert_eq!(nonce_in(&expected), Some(challenge.nonce.as_str()));
        assert_eq!(domain_in(&expected), Some("api.example.com"));
        assert_eq!(wallet_in(&expected), Some(wallet.as_str()));
    }

    #[test]
    fn two_nonces_or_none_are_no_nonce() {
        let line = format!("Nonce: {}", "a".repeat(64));
        assert_eq!(nonce_in(&line).map(str::len), Some(64));
        for text in [
            "",
            "Nonce: ",
            "Nonce: abc",
            &format!("{line}\n{line}"),
            &format!(" {line}"),
            &format!("{line}0"),
        ] {
            assert_eq!(nonce_in(text), None, "{text}");
        }
    }
}
