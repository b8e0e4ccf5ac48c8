//! Keys and fingerprints as arguments. None of them is ever repeated in an error: a mistyped one is still
//! nearly a key.

use crate::cli::{Exit, Failure};
use crate::domain::revocations::RevocableFingerprint;
use apikey::{DecodedKey, Fingerprint};
use std::io::{BufRead, Read};
use zeroize::Zeroizing;

/// The longest line that is read from stdin for a key.
const LINE_LEN_MAX: u64 = 1_024;

/// A key's text taken apart; `-` reads it from the first line of stdin.
///
/// # Errors
/// Usage: the text is no key's.
pub fn decode(argument: &str) -> Result<DecodedKey, Failure> {
    decode_or(argument, Exit::Usage)
}

/// The same with another exit code for a text that is no key's.
///
/// # Errors
/// The text is no key's, or stdin cannot be read.
pub fn decode_or(argument: &str, exit: Exit) -> Result<DecodedKey, Failure> {
    let text = read(argument)?;
    apikey::decode(text.as_bytes()).map_err(|error| Failure::new(exit, error.to_string()))
}

fn read(argument: &str) -> Result<Zeroizing<String>, Failure> {
    if argument != "-" {
        return Ok(Zeroizing::new(argument.to_owned()));
    }
    let mut line = Zeroizing::new(String::new());
    std::io::stdin()
        .lock()
        .take(LINE_LEN_MAX)
        .read_line(&mut line)
        .map_err(|error| Failure::new(Exit::Other, format!("the key cannot be read from stdin: {error}")))?;
    Ok(Zeroizing::new(line.trim().to_owned()))
}

/// A fingerprint that a key can have.
///
/// # Errors
/// What is wrong with the text, without the text.
pub fn revocable(text: &str) -> Result<RevocableFingerprint, String> {
    let fingerprint: Fingerprint =
        text.parse().map_err(|error: apikey::ParseFingerprintError| error.to_string())?;
    RevocableFingerprint::try_from(fingerprint).map_err(|error| error.to_string())
}

/// A text with every key in it blacked out: somebody may have put one where something else belongs.
pub fn without_keys(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut word = String::new();
    for character in text.chars().chain(['\n']) {
        if character.is_ascii_alphanumeric() {
            word.push(character);
            continue;
        }
        let is_key = word.len() == apikey::KEY_LEN && apikey::decode(word.as_bytes()).is_ok();
        shown.push_str(if is_key { "(a key, not shown)" } else { &word });
        shown.push(character);
        word.clear();
    }
    shown.pop();
    shown
}
