//! Settings. Each field says its variable, its default and its unit.
//!
//! They are read from a map that is passed in, once, so that a test needs no process of its own and nothing
//! else in the program depends on the environment. [`layers`] makes that map of the settings file, the environment and `--setting`;
//! [`catalogue`] lists all settings, and [`check`] explains them.

mod accounts;
mod agent;
pub mod catalogue;
pub mod check;
mod database;
pub mod example;
pub mod file;
pub mod layers;
mod log;
pub mod nearest;
mod request_log;
mod usage;

pub use accounts::{AccountsConfig, PublicUrl};
pub use agent::AgentConfig;
pub use database::{DatabaseConfig, PostgresUrl};
pub use layers::{Layers, Origin, SettingProblem};
pub use log::{LogConfig, LogFormat};
pub use request_log::{RequestLogConfig, RequestLogTarget};
pub use usage::UsageConfig;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

/// The environment as far as it is text.
pub type Variables = BTreeMap<String, String>;

/// A setting that cannot be used. Never shows the value of `DATABASE_URL`, which may hold a password.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{variable}: {reason}")]
pub struct ConfigError {
    /// The variable's name.
    pub variable: &'static str,
    /// What is wrong and what would be right.
    pub reason: String,
}

/// All settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
    /// Where a running stack writes.
    pub state: StateConfig,
    /// The HTTP server.
    pub api: ApiConfig,
    /// The edge that callers talk to.
    pub edge: EdgeConfig,
    /// The secrets of the keys.
    pub keyring: KeyringConfig,
    /// The database.
    pub database: DatabaseConfig,
    /// How long usage is kept.
    pub usage: UsageConfig,
    /// What becomes of HAProxy's log lines.
    pub request_log: RequestLogConfig,
    /// Sign-in, and who may use the API from where.
    pub accounts: AccountsConfig,
    /// `SUDO_USER`, default none: who has become another user with `sudo` to run a command. Set by it; stands in the activity
    /// log beside the user of the operating system, who is asked of the system itself.
    pub sudo_user: Option<String>,
    /// Where an edge's agent finds its control plane.
    pub agent: AgentConfig,
    /// What is logged, and how.
    pub log: LogConfig,
}

/// Where a running stack writes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateConfig {
    /// `SUIFTLY_STATE`, default `var`: the folder, exactly as given (HAProxy names its maps by it).
    pub folder: PathBuf,
}

/// The HTTP server of the control plane.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApiConfig {
    /// `SUIFTLY_API_LISTEN`, default 127.0.0.1: the address.
    pub listen: IpAddr,
    /// `SUIFTLY_API_PORT`, default 8081.
    pub port: u16,
    /// `SUIFTLY_API_CERT`, default none: a PEM file with the certificate's chain and its key. With it the API speaks TLS only.
    pub certificate: Option<PathBuf>,
}

/// The edge on this machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EdgeConfig {
    /// `SUIFTLY_EDGE_ID`, default `local`: the name of the edge beside `suiftly serve`. Copies of it on one database have
    /// each their own.
    pub id: String,
    /// `SUIFTLY_EDGE_PORT`, default 8080: where callers reach HAProxy.
    pub port: u16,
    /// `SUIFTLY_MODULES`, default `$SUIFTLY_STATE/modules`: where HAProxy finds the module.
    pub modules: PathBuf,
    /// `SUIFTLY_HOME`, default the working directory: where `lua/` and `haproxy/` are.
    pub home: PathBuf,
    /// `SUIFTLY_BOOT_ID`: which run of the machine this is, where `/proc` does not tell.
    pub boot_id: Option<String>,
}

/// The keyring file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyringConfig {
    /// `SUIFTLY_KEYRING`, default `$SUIFTLY_STATE/keyring.toml`.
    pub file: PathBuf,
    /// `SUIFTLY_ACCEPT_V0`, `1` or nothing, default nothing: whether a keyring that is made now accepts
    /// version 0 keys. An existing file is never changed by it.
    pub accept_v0: bool,
}

impl Config {
    /// Reads every setting. A variable that is set but empty counts as not set.
    ///
    /// # Errors
    /// The first setting that cannot be used.
    pub fn from_variables(variables: &Variables) -> Result<Self, ConfigError> {
        let state = StateConfig { folder: PathBuf::from(text(variables, "SUIFTLY_STATE").unwrap_or("var")) };
        let api = ApiConfig {
            listen: match text(variables, "SUIFTLY_API_LISTEN") {
                None => IpAddr::V4(Ipv4Addr::LOCALHOST),
                Some(address) => address.parse().map_err(|_| ConfigError {
                    variable: "SUIFTLY_API_LISTEN",
                    reason: format!("`{address}` is no IP address; write one such as 127.0.0.1 or ::1"),
                })?,
            },
            port: port(variables, "SUIFTLY_API_PORT", 8081)?,
            certificate: text(variables, "SUIFTLY_API_CERT").map(PathBuf::from),
        };
        let edge = EdgeConfig {
            id: edge_id(variables)?,
            port: port(variables, "SUIFTLY_EDGE_PORT", 8080)?,
            modules: text(variables, "SUIFTLY_MODULES")
                .map_or_else(|| state.folder.join("modules"), PathBuf::from),
            home: PathBuf::from(text(variables, "SUIFTLY_HOME").unwrap_or(".")),
            boot_id: text(variables, "SUIFTLY_BOOT_ID").map(str::to_owned),
        };
        let keyring = KeyringConfig {
            file: text(variables, "SUIFTLY_KEYRING")
                .map_or_else(|| state.folder.join("keyring.toml"), PathBuf::from),
            accept_v0: switch(variables, "SUIFTLY_ACCEPT_V0")?,
        };
        let database = DatabaseConfig::from_url(text(variables, "DATABASE_URL"), &state.folder)
            .map_err(|reason| ConfigError { variable: "DATABASE_URL", reason })?;
        let usage = UsageConfig::from_variables(variables)?;
        let request_log = RequestLogConfig::from_variables(variables, api.port)?;
        let accounts = AccountsConfig::from_variables(variables, &state.folder, api.port)?;
        let sudo_user = text(variables, "SUDO_USER").map(str::to_owned);
        let agent = AgentConfig::from_variables(variables);
        let log = LogConfig::from_variables(variables)?;
        Ok(Self { state, api, edge, keyring, database, usage, request_log, accounts, agent, log, sudo_user })
    }
}

impl StateConfig {
    /// The map files that HAProxy reads at start.
    pub fn maps(&self) -> PathBuf {
        self.folder.join("maps")
    }

    /// Where `suiftly admin` waits for the edge.
    pub fn control_socket(&self) -> PathBuf {
        self.folder.join("control.sock")
    }

    /// Where workers count what customers use.
    pub fn ledger(&self) -> PathBuf {
        self.folder.join("ledger")
    }

    /// Held by the one `suiftly serve` of this folder.
    pub fn serve_lock(&self) -> PathBuf {
        self.folder.join("serve.lock")
    }

    /// HAProxy's master: lists the workers and passes commands on to each.
    pub fn haproxy_master_socket(&self) -> PathBuf {
        self.folder.join("haproxy-master.sock")
    }
}

fn text<'a>(variables: &'a Variables, name: &str) -> Option<&'a str> {
    variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

fn edge_id(variables: &Variables) -> Result<String, ConfigError> {
    let id = text(variables, "SUIFTLY_EDGE_ID").unwrap_or(crate::edge::LOCAL_EDGE);
    if crate::domain::token::is_name(id) {
        return Ok(id.to_owned());
    }
    let reason = format!("`{id}` is no edge's name; use 1 to 64 letters, digits and -_.@");
    Err(ConfigError { variable: "SUIFTLY_EDGE_ID", reason })
}

fn port(variables: &Variables, name: &'static str, default: u16) -> Result<u16, ConfigError> {
    let Some(value) = text(variables, name) else { return Ok(default) };
    value.parse().ok().filter(|port| *port != 0).ok_or_else(|| ConfigError {
        variable: name,
        reason: format!("`{value}` is no port; write a number from 1 to 65535"),
    })
}

fn number(variables: &Variables, name: &'static str, default: u64, max: u64) -> Result<u64, ConfigError> {
    let Some(value) = text(variables, name) else { return Ok(default) };
    value.parse().ok().filter(|number| *number <= max).ok_or_else(|| ConfigError {
        variable: name,
        reason: format!("`{value}` is no number from 0 to {max}"),
    })
}

fn switch(variables: &Variables, name: &'static str) -> Result<bool, ConfigError> {
    match text(variables, name) {
        None | Some("0") => Ok(false),
        Some("1") => Ok(true),
        Some(other) => Err(ConfigError { variable: name, reason: format!("`{other}` is neither 1 nor 0") }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::path::Path;

    fn sqlite(file: &str) -> DatabaseConfig {
        DatabaseConfig::Sqlite(PathBuf::from(file))
    }

    fn config(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Config::from_variables(&variables)
    }

    #[test]
    fn without_variables_the_documented_defaults_hold() {
        let config = config(&[]).unwrap();
        assert_eq!(config.state.folder, Path::new("var"));
        assert_eq!((config.api.port, config.edge.port), (8081, 8080));
        assert_eq!(config.api.listen.to_string(), "127.0.0.1");
        assert_eq!(config.keyring.file, Path::new("var/keyring.toml"));
        assert_eq!(config.database, sqlite("var/suiftly.db"));
        assert!(!config.keyring.accept_v0);
    }

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        assert_eq!(config(&[("SUIFTLY_API_PORT", ""), ("DATABASE_URL", "")]), config(&[]));
    }

    #[test]
    fn files_follow_the_state_folder_unless_they_are_named() {
        let config = config(&[("SUIFTLY_STATE", "/srv/s"), ("SUIFTLY_KEYRING", "k.toml")]).unwrap();
        assert_eq!(config.keyring.file, Path::new("k.toml"));
        assert_eq!(config.database, sqlite("/srv/s/suiftly.db"));
        assert_eq!(config.state.control_socket(), Path::new("/srv/s/control.sock"));
    }

    #[test]
    fn the_scheme_decides_which_database_and_no_error_shows_the_text() {
        assert_eq!(config(&[("DATABASE_URL", "sqlite:///x/y.db")]).unwrap().database, sqlite("/x/y.db"));
        for url in ["postgres://u:geheim@h/d", "postgresql://u:geheim@h/d"] {
            let config = config(&[("DATABASE_URL", url)]).unwrap();
            assert!(matches!(config.database, DatabaseConfig::Postgres(_)));
            assert_eq!(config.database.to_string(), "postgres://u@h/d");
            assert!(!format!("{config:?}").contains("geheim"), "{config:?}");
        }
        let refused =
            ["y.db", "sqllite://y.db", "sqlite:y.db", "sqlite://", "sqlite://:memory:", "sqlite://a?mode=ro"];
        for url in refused.into_iter().chain([
            "host=geheim dbname=x",
            "mysql://u:geheim@h/d",
            "Postgres://u:geheim@h/d",
        ]) {
            let error = config(&[("DATABASE_URL", url)]).unwrap_err();
            assert!(error.to_string().contains("sqlite://"), "{error}");
            assert!(!error.to_string().contains("geheim"), "{error}");
        }
        let error = config(&[("DATABASE_URL", "postgres://u:geheim@h")]).unwrap_err().to_string();
        assert!(error.contains("DATABASE_URL: name the database") && !error.contains("geheim"), "{error}");
    }

    #[test]
    fn a_port_an_address_and_a_switch_must_be_what_they_say() {
        for (name, value) in [
            ("SUIFTLY_API_PORT", "0"),
            ("SUIFTLY_API_PORT", "http"),
            ("SUIFTLY_EDGE_PORT", "70000"),
            ("SUIFTLY_API_LISTEN", "localhost"),
            ("SUIFTLY_ACCEPT_V0", "yes"),
            ("SUIFTLY_EDGE_ID", "fra 1"),
        ] {
            assert_eq!(config(&[(name, value)]).unwrap_err().variable, name);
        }
    }
}
