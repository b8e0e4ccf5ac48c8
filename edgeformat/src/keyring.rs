//! The keyring file: the secrets of the master key groups (DESIGN section 3). Both planes read it, each on its own
//! machine; it never travels over the runtime socket.
//!
//! ```toml
//! default_group = 1           # new keys are issued in it
//! accept_v0_groups = []       # groups whose version 0 keys are accepted; may be left out
//! [groups]
//! 1 = "64 hex digits"
//! ```

use apikey::{CheckValue, Group, GroupSecret, MacKey};
use serde::Deserialize;
use std::collections::BTreeMap;

/// The largest keyring file, in bytes: 32 groups and comments fit many times.
pub const KEYRING_LEN_MAX: u64 = 64 * 1024;

/// A keyring file, read and checked.
#[derive(Debug)]
pub struct Keyring {
    /// The group in which new keys are issued.
    pub default_group: Group,
    /// Groups whose version 0 keys are accepted; each is in [`Self::groups`].
    pub accept_v0_groups: Vec<Group>,
    /// Every group with its secret, in rising order.
    pub groups: Vec<(Group, GroupSecret)>,
}

/// What is wrong with a keyring file. The text never shows a secret.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum KeyringError {
    /// It is not TOML of the expected shape.
    #[error("{0}")]
    Shape(String),
    /// A group's number is not 0..=31.
    #[error("`{0}` is no master key group; groups are 0 to 31, written without leading zeros")]
    GroupNumber(String),
    /// A secret is not 64 hex digits.
    #[error("the secret of group {0} must be 64 hex digits (32 bytes), e.g. from `openssl rand -hex 32`")]
    Secret(u8),
    /// A group is named that has no secret.
    #[error("{field} names group {group}, which has no secret under [groups]")]
    NoSuchGroup {
        /// `default_group` or `accept_v0_groups`.
        field: &'static str,
        /// The group.
        group: u8,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    default_group: u8,
    #[serde(default)]
    accept_v0_groups: Vec<u8>,
    groups: BTreeMap<String, String>,
}

impl Keyring {
    /// Reads the text of a keyring file.
    ///
    /// # Errors
    /// The first thing that is wrong. A keyring is taken whole or not at all.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        // Only `message` and the line are shown: the error's own Display quotes the line, which may hold a secret.
        let file: File = toml::from_str(text).map_err(|error| {
            let line = error
                .span()
                .map_or(0, |span| text.bytes().take(span.start).filter(|b| *b == b'\n').count() + 1);
            KeyringError::Shape(format!("line {line}: {}", without_values(error.message())))
        })?;
        let mut groups = Vec::with_capacity(file.groups.len());
        for (name, hex) in &file.groups {
            let number: Option<u8> = name.parse().ok().filter(|number: &u8| number.to_string() == *name);
            let group =
                number.and_then(Group::new).ok_or_else(|| KeyringError::GroupNumber(shown_name(name)))?;
            let secret = GroupSecret::from_hex(hex).map_err(|_| KeyringError::Secret(group.get()))?;
            groups.push((group, secret));
        }
        groups.sort_by_key(|(group, _)| group.get());
        let known = |field: &'static str, group: u8| {
            let found = groups.iter().find(|(known, _)| known.get() == group);
            found.map(|(known, _)| *known).ok_or(KeyringError::NoSuchGroup { field, group })
        };
        let default_group = known("default_group", file.default_group)?;
        let accept_v0_groups = file
            .accept_v0_groups
            .iter()
            .map(|group| known("accept_v0_groups", *group))
            .collect::<Result<_, _>>()?;
        Ok(Self { default_group, accept_v0_groups, groups })
    }
}

impl Keyring {
    /// Every group with the check value of its secret, in rising order.
    pub fn checks(&self) -> Vec<(Group, CheckValue)> {
        self.groups.iter().map(|(group, secret)| (*group, MacKey::new(secret).check_value())).collect()
    }

    /// The check value of one group; none where the keyring does not have it.
    pub fn check_of(&self, group: Group) -> Option<CheckValue> {
        self.checks().into_iter().find_map(|(known, check)| (known == group).then_some(check))
    }
}

/// The parser's message up to the first value that it quotes: a value may be a secret.
fn without_values(message: &str) -> &str {
    message.split(['"', '\n']).next().unwrap_or_default().trim_end()
}

fn shown_name(name: &str) -> String {
    // A secret that stands on the wrong side of `=` must not be printed either.
    if name.len() <= 4 { name.to_owned() } else { format!("{}…", name.chars().take(2).collect::<String>()) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn a_keyring_is_read_whole() {
        let text = format!(
            "default_group = 2\naccept_v0_groups = [0]\n[groups]\n0 = \"{SECRET}\"\n2 = \"{SECRET}\"\n"
        );
        let keyring = Keyring::parse(&text).unwrap();
        assert_eq!(keyring.default_group.get(), 2);
        assert_eq!(keyring.accept_v0_groups.iter().map(|g| g.get()).collect::<Vec<_>>(), [0]);
        assert_eq!(keyring.groups.len(), 2);
    }

    #[test]
    fn every_mistake_is_refused_with_its_own_words_and_without_the_secret() {
        let cases = [
            ("", "line"),
            ("default_group = 1\n", "missing field"),
            (&format!("default_group = 1\n[groups]\n1 = \"{SECRET}0\"\n"), "64 hex digits"),
            (&format!("default_group = 1\n[groups]\n1 = \"{}\"\n", &SECRET[..62]), "64 hex digits"),
            (&format!("default_group = 2\n[groups]\n1 = \"{SECRET}\"\n"), "default_group names group 2"),
            (
                &format!("default_group = 1\naccept_v0_groups = [3]\n[groups]\n1 = \"{SECRET}\"\n"),
                "names group 3",
            ),
            (&format!("default_group = 1\n[groups]\n32 = \"{SECRET}\"\n"), "0 to 31"),
            (&format!("default_group = 1\n[groups]\n01 = \"{SECRET}\"\n"), "0 to 31"),
            (&format!("default_group = 1\n[groups]\n{SECRET} = \"1\"\n"), "0 to 31"),
            (
                &format!("default_group = 1\nsecret = \"{SECRET}\"\n[groups]\n1 = \"{SECRET}\"\n"),
                "unknown field",
            ),
            (&format!("default_group = \"{SECRET}\"\n[groups]\n1 = \"{SECRET}\"\n"), "line 1"),
            (&format!("default_group = 1\n[groups]\n1 = {SECRET}\n"), "line 3"),
            (&format!("default_group = 1\n[groups]\n1 = \"{SECRET}\"\n1 = \"{SECRET}\"\n"), "line 4"),
        ];
        for (text, expected) in cases {
            let error = Keyring::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text:?} gave {error:?}, expected {expected:?}");
            assert!(!error.contains(&SECRET[..16]), "the error shows a secret: {error}");
        }
    }
}
