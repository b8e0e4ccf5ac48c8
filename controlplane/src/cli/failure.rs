//! Errors on the command line: which exit code each has, and its whole chain as one line.

use crate::app::{ServeError, chain_of};
use crate::config::{ConfigError, SettingProblem};
use crate::db::DbError;
use crate::domain::DomainError;
use crate::keyring::KeyringFileError;
use std::process::ExitCode;

/// With what the process ends. Scripts rely on the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// 0: done.
    Done,
    /// 1: anything that has no number of its own.
    Other,
    /// 2: the command was not understood.
    Usage,
    /// 3: what was named does not exist.
    NotFound,
    /// 4: a rule forbids it.
    Refused,
    /// 5: saved, but an edge has not confirmed.
    NotConfirmed,
}

impl Exit {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Other => 1,
            Self::Usage => 2,
            Self::NotFound => 3,
            Self::Refused => 4,
            Self::NotConfirmed => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command did nothing, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// With what the process ends.
    pub exit: Exit,
    /// For a person; no key and no secret.
    pub text: String,
}

impl Failure {
    /// A failure with this text.
    pub fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    /// One JSON object.
    pub fn json(&self) -> String {
        serde_json::json!({ "error": self.text, "exit_code": self.exit.code() }).to_string()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(Exit::Usage, chain_of(&error))
    }
}

impl From<SettingProblem> for Failure {
    fn from(problem: SettingProblem) -> Self {
        Self::new(Exit::Usage, problem.to_string())
    }
}

impl From<DomainError> for Failure {
    fn from(error: DomainError) -> Self {
        let exit = match &error {
            DomainError::NoCustomer(_) | DomainError::NoService { .. } | DomainError::NoKeyGroup(_) => {
                Exit::NotFound
            }
            DomainError::Refused(_) => Exit::Refused,
            DomainError::Random(_) | DomainError::Db(_) => Exit::Other,
        };
        Self::new(exit, chain_of(&error))
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self::new(Exit::Other, chain_of(&error))
    }
}

impl From<KeyringFileError> for Failure {
    fn from(error: KeyringFileError) -> Self {
        Self::new(Exit::Other, chain_of(&error))
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let is_usage = matches!(
            error,
            ServeError::Connection(_) | ServeError::Certificate(_) | ServeError::ClearText(_)
        );
        Self::new(if is_usage { Exit::Usage } else { Exit::Other }, chain_of(&error))
    }
}
