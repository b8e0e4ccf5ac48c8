//! The secrets file: the keys that access tokens are signed with. Whoever has one can sign in as anybody.
//!
//! To change the key: add another one under a new name and let `current` name it; take the old one out 15 minutes later. All
//! copies of `suiftly serve` on one database need the same file.

use crate::private_file::{self, PrivateFileError};
use crate::random::{self, NoRandom};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The longest secrets file, in bytes.
const LEN_MAX: u64 = 16 * 1_024;
/// The name of the key in a new file.
const FIRST_NAME: &str = "k1";
/// The longest name of a key, in bytes: it stands in every token.
const NAME_LEN_MAX: usize = 16;

/// The keys of access tokens, by name.
#[derive(Clone, PartialEq, Eq)]
pub struct Secrets {
    current: String,
    current_key: Zeroizing<[u8; 32]>,
    keys: BTreeMap<String, Zeroizing<[u8; 32]>>,
}

/// Why there are no secrets. No text shows one.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The file cannot be had.
    #[error("the secrets file {} cannot be used; SUIFTLY_SECRETS names another", .0.display())]
    File(PathBuf, #[source] PrivateFileError),
    /// The text is not what it should be.
    #[error("the secrets file {} cannot be used: {reason}", .file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong, without the text.
        reason: String,
    },
    /// There is no randomness for a key.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileForm {
    current: String,
    access_token_keys: BTreeMap<String, String>,
}

impl Secrets {
    /// Reads the file, and makes it first where there is none.
    ///
    /// # Errors
    /// [`SecretsError`]; a file that others may read is refused.
    pub fn load_or_make(path: &Path) -> Result<Self, SecretsError> {
        match Self::load(path) {
            Err(SecretsError::File(_, PrivateFileError::Missing)) => {
                let made = private_file::make_once(path, &new_text()?);
                made.map_err(|error| SecretsError::File(path.to_owned(), error))?;
                Self::load(path)
            }
            other => other,
        }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`SecretsError`]; a file that others may read is refused.
    pub fn load(path: &Path) -> Result<Self, SecretsError> {
        let text = private_file::read(path, LEN_MAX);
        let text = text.map_err(|error| SecretsError::File(path.to_owned(), error))?;
        Self::parse(&text).map_err(|reason| SecretsError::Content { file: path.to_owned(), reason })
    }

    /// The key that tokens are signed with, and its name.
    pub fn current(&self) -> (&str, &[u8; 32]) {
        (&self.current, &self.current_key)
    }

    /// Every key, by name.
    pub fn all(&self) -> impl Iterator<Item = (&str, &[u8; 32])> {
        self.keys.iter().map(|(name, key)| (name.as_str(), &**key))
    }

    fn parse(text: &str) -> Result<Self, String> {
        // The parser's own text quotes the line, which may hold a key.
        let form: FileForm = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or(text);
            format!("line {} is not what is expected: `current = \"k1\"`, then `[access_token_keys]` with `k1 = \"64 hex digits\"`", before.lines().count().max(1))
        })?;
        let mut keys = BTreeMap::new();
        for (name, hex) in form.access_token_keys {
            let hex = Zeroizing::new(hex);
            if name.is_empty() || name.len() > NAME_LEN_MAX {
                return Err(format!("a key's name has 1 to {NAME_LEN_MAX} characters"));
            }
            let bytes = HEXLOWER_PERMISSIVE.decode(hex.as_bytes()).map(Zeroizing::new).ok();
            let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes.as_slice()).ok());
            let key = key.ok_or_else(|| format!("the key `{name}` is not 64 hex digits"))?;
            keys.insert(name, Zeroizing::new(key));
        }
        let current_key =
            keys.get(&form.current).cloned().ok_or("`current` names no key under `[access_token_keys]`")?;
        Ok(Self { current: form.current, current_key, keys })
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("current", &self.current).finish_non_exhaustive()
    }
}

fn new_text() -> Result<Zeroizing<String>, NoRandom> {
    let key = Zeroizing::new(random::bytes_32()?);
    let hex = Zeroizing::new(HEXLOWER_PERMISSIVE.encode(key.as_slice()));
    Ok(Zeroizing::new(format!(
        "# The keys of access tokens. Whoever has one can sign in as anybody: mode 0600, no copies but for further `suiftly serve`\n\
         # on the same database. To change: add a key, let `current` name it, take the old one out 15 minutes later.\n\
         current = \"{FIRST_NAME}\"\n\n[access_token_keys]\n{FIRST_NAME} = \"{}\"\n",
        *hex
    )))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_new_file_is_private_and_stays_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.toml");
        let first = Secrets::load_or_make(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(Secrets::load_or_make(&path).unwrap(), first);
        assert_eq!(first.current().0, "k1");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = crate::app::chain_of(&Secrets::load_or_make(&path).unwrap_err());
        assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        let key = "5e".repeat(32);
        let good = format!("current = \"k2\"\n[access_token_keys]\nk1 = \"{key}\"\nk2 = \"{key}\"\n");
        assert_eq!(Secrets::parse(&good).unwrap().all().count(), 2);
        for wrong in [
            good.replace("k2 =", "k3 ="),
            good.replace("5e5e\"", "5e\""),
            good.replace("\"k2\"", "k2"),
            good.replace("[access", "[other"),
            format!("{good}\nk1 = \"{key}\""),
            format!("{good}[more]\n"),
            good.replace("k1 =", "a_very_long_name_of_a_key ="),
        ] {
            let reason = Secrets::parse(&wrong).unwrap_err();
            assert!(!reason.contains("5e5e"), "{reason}");
        }
    }
}
