//! Where the module finds its files. HAProxy's `presetenv` gives the defaults, so `haproxy.cfg` shows them all.

use crate::usage::CountAt;
use std::path::PathBuf;

/// The module's settings, from the environment of the HAProxy process.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The folder with the map files: `maps` in `SUIFTLY_STATE`.
    pub maps: PathBuf,
    /// The keyring file: `SUIFTLY_KEYRING`, else `keyring.toml` in `SUIFTLY_STATE`.
    pub keyring: PathBuf,
    /// The usage ledger: `ledger` in `SUIFTLY_STATE`.
    pub ledger: PathBuf,
    /// `SUIFTLY_COUNT_AT_ANSWER=1`: requests count when they are answered.
    pub count_at: CountAt,
}

impl Settings {
    /// Reads the settings with `variable`, e.g. [`std::env::var_os`]. An empty variable counts as unset.
    ///
    /// # Errors
    /// `SUIFTLY_STATE` is not set.
    pub fn read(variable: impl Fn(&str) -> Option<std::ffi::OsString>) -> Result<Self, SettingsError> {
        let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let state = set("SUIFTLY_STATE").ok_or(SettingsError)?;
        let keyring = set("SUIFTLY_KEYRING").unwrap_or_else(|| state.join("keyring.toml"));
        // The same word that haproxy.cfg compares with; anything else is off there, too.
        let at_answer = variable("SUIFTLY_COUNT_AT_ANSWER").is_some_and(|value| value == "1");
        let count_at = if at_answer { CountAt::Answer } else { CountAt::Admission };
        Ok(Self { maps: state.join("maps"), keyring, ledger: state.join("ledger"), count_at })
    }
}

/// `SUIFTLY_STATE` is not set.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "SUIFTLY_STATE is not set: it names the folder with maps/ and keyring.toml (haproxy.cfg sets a default)"
)]
pub struct SettingsError;
