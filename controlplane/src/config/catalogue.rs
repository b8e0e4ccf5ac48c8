//! Every setting that there is, once: what it is called, what it means, what it is without being set, who reads it.
//!
//! `suiftly config check` explains from here, the settings file and `--setting` take their names from here, and tests hold this list
//! against the code, `haproxy.cfg`, the scripts and docs/OPERATIONS.md. A new setting is one entry here, beside the field of
//! [`Config`] that holds it. It does not read anything itself.

use super::{Config, RequestLogTarget};
use std::path::Path;

/// One setting.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// What its text must look like.
    pub kind: Kind,
    /// What holds where nobody sets it; `$SUIFTLY_X` stands for that setting's value, and nothing for none.
    pub default: &'static str,
    /// What it does, with its unit, in one sentence without a full stop.
    pub meaning: &'static str,
    /// What of it nobody may see.
    pub secret: Secret,
    /// Who reads it.
    pub reader: Reader,
}

/// What a setting's text must look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Any text: a path, an address, a URL.
    Text,
    /// A port: 1 to 65535.
    Port,
    /// A number, whole and not negative.
    Number,
    /// `1` or `0`.
    Switch,
    /// Texts, separated by commas or spaces.
    List,
}

/// What of a setting nobody may see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Secret {
    /// Nothing.
    No,
    /// The password in a URL.
    Password,
    /// All of it.
    Whole,
}

/// Who reads a setting. HAProxy, its module and the scripts know the environment only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reader {
    /// `suiftly`, from every layer.
    Suiftly,
    /// HAProxy, its module or the scripts.
    Edge,
    /// Both: they must be told the same.
    Both,
}

impl Reader {
    /// Whether `suiftly` reads it.
    pub const fn is_suiftly(self) -> bool {
        matches!(self, Self::Suiftly | Self::Both)
    }

    /// Whether HAProxy, its module or the scripts do.
    pub const fn is_edge(self) -> bool {
        matches!(self, Self::Edge | Self::Both)
    }
}

impl Setting {
    /// Its name in the settings file and for `--setting`: `api_port`.
    pub fn name(&self) -> String {
        self.variable.strip_prefix(PREFIX).unwrap_or(self.variable).to_ascii_lowercase()
    }

    /// Whether an empty text is a value of its own. Everywhere else empty counts as not set.
    pub fn empty_is_a_value(&self) -> bool {
        self.variable == "SUIFTLY_REQUEST_LOG"
    }

    /// What `config` holds for it, as a text that could be its value; `None` where it holds nothing, or does not hold it.
    pub fn in_force(&self, config: &Config) -> Option<String> {
        let path = |path: &Path| Some(path.display().to_string());
        let switch = |is_on: bool| Some(u8::from(is_on).to_string());
        let Config {
            state,
            api,
            edge,
            keyring,
            database,
            usage,
            request_log,
            accounts,
            agent,
            log,
            sudo_user: _,
        } = config;
        match self.variable {
            "SUIFTLY_STATE" => path(&state.folder),
            "SUIFTLY_LOG_LEVEL" => Some(log.filter.clone()),
            "SUIFTLY_LOG_FORMAT" => Some(log.format.as_str().to_owned()),
            "DATABASE_URL" => Some(database.masked()),
            "SUIFTLY_KEYRING" => path(&keyring.file),
            "SUIFTLY_ACCEPT_V0" => switch(keyring.accept_v0),
            "SUIFTLY_SECRETS" => path(&accounts.secrets_file),
            "SUIFTLY_API_LISTEN" => Some(api.listen.to_string()),
            "SUIFTLY_API_PORT" => Some(api.port.to_string()),
            "SUIFTLY_API_CERT" => api.certificate.as_deref().and_then(path),
            "SUIFTLY_PUBLIC_URL" => Some(accounts.public_url.as_str().to_owned()),
            "SUIFTLY_CORS_ORIGINS" => joined(&accounts.cors_origins),
            "SUIFTLY_TRUSTED_PROXIES" => joined(&accounts.trusted_proxies),
            "SUIFTLY_SIGN_IN_PER_MINUTE" => Some(accounts.sign_in_per_minute.to_string()),
            "SUIFTLY_SIGN_IN_FAILURES_PER_MINUTE" => Some(accounts.sign_in_failures_per_minute.to_string()),
            "SUIFTLY_API_REQUESTS_PER_MINUTE" => Some(accounts.requests_per_minute.to_string()),
            "SUIFTLY_USAGE_MINUTES_KEEP_H" => Some(usage.minutes_keep_h.to_string()),
            "SUIFTLY_USAGE_HOURS_KEEP_D" => Some(usage.hours_keep_d.to_string()),
            "SUIFTLY_USAGE_DAYS_KEEP_D" => Some(usage.days_keep_d.to_string()),
            "SUIFTLY_REQUEST_LOG" => Some(match &request_log.target {
                RequestLogTarget::Off => "none".to_owned(),
                RequestLogTarget::Udp(address) => address.to_string(),
                RequestLogTarget::Unix(path) => format!("unix@{}", path.display()),
            }),
            "SUIFTLY_REQUEST_LOG_KEEP_H" => Some((request_log.keep.as_secs() / 3_600).to_string()),
            "SUIFTLY_REQUEST_LOG_PER_S" => Some(request_log.lines_per_s.to_string()),
            "SUIFTLY_EDGE_ID" => Some(edge.id.clone()),
            "SUIFTLY_EDGE_PORT" => Some(edge.port.to_string()),
            "SUIFTLY_HOME" => path(&edge.home),
            "SUIFTLY_MODULES" => path(&edge.modules),
            "SUIFTLY_BOOT_ID" => edge.boot_id.clone(),
            "SUIFTLY_CONTROL_PLANE" => agent.control_plane.clone(),
            "SUIFTLY_TOKEN_FILE" => agent.token_file.as_deref().and_then(path),
            "SUIFTLY_CA_FILE" => agent.ca_file.as_deref().and_then(path),
            _ => None,
        }
    }
}

fn joined(entries: &[impl ToString]) -> Option<String> {
    let entries: Vec<String> = entries.iter().map(ToString::to_string).collect();
    (!entries.is_empty()).then(|| entries.join(","))
}

/// How our variables begin.
pub const PREFIX: &str = "SUIFTLY_";

/// Variables that begin like ours and are no settings: they choose what tests and benches do.
pub const NOT_SETTINGS: [&str; 2] = ["SUIFTLY_TEST_", "SUIFTLY_BENCH_"];

/// The setting with this name or variable.
pub fn find(name: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.variable == name || setting.name() == name)
}

const fn setting(
    variable: &'static str,
    kind: Kind,
    default: &'static str,
    reader: Reader,
    meaning: &'static str,
) -> Setting {
    Setting { variable, kind, default, meaning, secret: Secret::No, reader }
}

impl Setting {
    const fn with_secret(mut self, secret: Secret) -> Self {
        self.secret = secret;
        self
    }
}

use Kind::{List, Number, Port, Switch, Text};
use Reader::{Both, Edge, Suiftly};

/// All of them, in the order in which they are explained.
#[rustfmt::skip] // a table: one line says what, one line says why
pub const SETTINGS: &[Setting] = &[
    setting("SUIFTLY_CONFIG", Text, "$SUIFTLY_STATE/suiftly.toml", Suiftly,
        "the settings file; one that is named must exist"),
    setting("SUIFTLY_STATE", Text, "var", Both,
        "the folder of everything that a running stack writes"),
    setting("SUIFTLY_LOG_LEVEL", Text, "info", Suiftly,
        "what `suiftly` logs: error, warn, info, debug or trace, or TARGET=LEVEL, separated by commas"),
    setting("SUIFTLY_LOG_FORMAT", Text, "auto", Suiftly,
        "how `suiftly` logs: text, json, or auto, which is text on a terminal and JSON elsewhere"),

    setting("DATABASE_URL", Text, "sqlite://$SUIFTLY_STATE/suiftly.db", Suiftly,
        "the database: sqlite://FILE or postgres://USER@HOST/DATABASE").with_secret(Secret::Password),
    setting("SUIFTLY_KEYRING", Text, "$SUIFTLY_STATE/keyring.toml", Both,
        "the file with the secrets of the master key groups, mode 0600, made at the first start"),
    setting("SUIFTLY_ACCEPT_V0", Switch, "0", Suiftly,
        "1: a keyring that is made now accepts version 0 keys in group 1"),
    setting("SUIFTLY_SECRETS", Text, "$SUIFTLY_STATE/secrets.toml", Suiftly,
        "the file with the keys that access tokens are signed with, mode 0600, made at the first start"),

    setting("SUIFTLY_API_LISTEN", Text, "127.0.0.1", Both,
        "the address on which the control plane answers"),
    setting("SUIFTLY_API_PORT", Port, "8081", Both,
        "the port on which the control plane answers"),
    setting("SUIFTLY_API_CERT", Text, "", Both,
        "a PEM file with chain and key: the control plane speaks TLS 1.2 and 1.3 only"),
    setting("SUIFTLY_PUBLIC_URL", Text, "http://127.0.0.1:$SUIFTLY_API_PORT", Suiftly,
        "where people reach the API; its host and port stand in the messages that wallets sign"),
    setting("SUIFTLY_CORS_ORIGINS", List, "", Suiftly,
        "origins whose pages may call the API, at most 64"),
    setting("SUIFTLY_TRUSTED_PROXIES", List, "", Both,
        "addresses and networks of proxies in front, whose X-Forwarded-For is believed"),
    setting("SUIFTLY_SIGN_IN_PER_MINUTE", Number, "60", Suiftly,
        "requests a minute to each of the sign-in paths from one source"),
    setting("SUIFTLY_SIGN_IN_FAILURES_PER_MINUTE", Number, "10", Suiftly,
        "signatures a minute that may fail for one wallet from one source"),
    setting("SUIFTLY_API_REQUESTS_PER_MINUTE", Number, "600", Suiftly,
        "requests a minute of one session or token"),

    setting("SUIFTLY_USAGE_MINUTES_KEEP_H", Number, "48", Suiftly,
        "hours until usage by the minute becomes usage by the hour"),
    setting("SUIFTLY_USAGE_HOURS_KEEP_D", Number, "90", Suiftly,
        "days until usage by the hour becomes usage by the day"),
    setting("SUIFTLY_USAGE_DAYS_KEEP_D", Number, "1100", Suiftly,
        "days until usage is forgotten"),
    setting("SUIFTLY_REQUEST_LOG", Text, "127.0.0.1:$SUIFTLY_API_PORT", Both,
        "where HAProxy sends its log lines for the request log: 127.0.0.1:PORT by UDP, unix@PATH, or none"),
    setting("SUIFTLY_REQUEST_LOG_KEEP_H", Number, "168", Suiftly,
        "hours for which requests are kept one by one, with callers' addresses"),
    setting("SUIFTLY_REQUEST_LOG_PER_S", Number, "10000", Suiftly,
        "the most requests a second of one edge that are kept one by one; 0 keeps none"),

    setting("SUIFTLY_EDGE_ID", Text, "local", Suiftly,
        "the name of the edge beside `suiftly serve`; several on one database have each their own"),
    setting("SUIFTLY_EDGE_PORT", Port, "8080", Both,
        "the port on which callers reach HAProxy"),
    setting("SUIFTLY_HOME", Text, ".", Both,
        "the folder with lua/ and haproxy/"),
    setting("SUIFTLY_MODULES", Text, "$SUIFTLY_STATE/modules", Both,
        "the folder with the module for Lua 5.3 and 5.4"),
    setting("SUIFTLY_BOOT_ID", Text, "", Suiftly,
        "names this run of the machine where a unit hides /proc, which tells it otherwise"),
    setting("SUIFTLY_CONTROL_PLANE", Text, "", Suiftly,
        "`suiftly agent` only: the control plane's address, https unless it is on this machine"),
    setting("SUIFTLY_TOKEN_FILE", Text, "", Suiftly,
        "`suiftly agent` only: the file with the edge's token, mode 0600"),
    setting("SUIFTLY_CA_FILE", Text, "", Suiftly,
        "`suiftly agent` only: believe only certificates of this authority (PEM)"),

    setting("SUIFTLY_EDGE_LISTEN", Text, "127.0.0.1", Edge,
        "the address on which callers reach HAProxy; with a certificate every address unless it is set"),
    setting("SUIFTLY_EDGE_CERT", Text, "", Edge,
        "a PEM file with chain and key: the edge port speaks TLS 1.2 and 1.3, HTTP/2 and 1.1"),
    setting("SUIFTLY_EDGE_CLEAR_PORT", Port, "", Edge,
        "beside a certificate: a port in clear that answers everything 403 tls_required"),
    setting("SUIFTLY_ALLOW_CLEAR", Switch, "", Edge,
        "1: the hardened variant starts without a certificate"),
    setting("SUIFTLY_CHROOT", Text, "/usr/lib/suiftly/empty", Edge,
        "the empty folder of the hardened variant's worker"),
    setting("SUIFTLY_STATS_LISTEN", Text, "127.0.0.1", Edge,
        "the address of HAProxy's statistics page and metrics"),
    setting("SUIFTLY_STATS_PORT", Port, "8404", Edge,
        "the port of HAProxy's statistics page and metrics"),
    setting("SUIFTLY_STATS_ALLOW", List, "127.0.0.1", Edge,
        "addresses and networks that may look at the statistics, separated by spaces"),
    setting("SUIFTLY_STATS_PASSWORD", Text, "none", Edge,
        "the password of user operator for the statistics, needed beyond loopback").with_secret(Secret::Whole),
    setting("SUIFTLY_UPSTREAM_PORT", Port, "9000", Edge,
        "the port of the demo upstream on this machine"),
    setting("SUIFTLY_UPSTREAM", Text, "127.0.0.1:$SUIFTLY_UPSTREAM_PORT", Edge,
        "the server for Seal and GraphQL, HOST:PORT, HTTP/1.1"),
    setting("SUIFTLY_GRPC_UPSTREAM", Text, "127.0.0.1:$SUIFTLY_UPSTREAM_PORT", Edge,
        "the server for gRPC, HOST:PORT, HTTP/2 in clear"),
    setting("SUIFTLY_UPSTREAM_MAXCONN", Number, "1000", Edge,
        "connections to one server, beyond which requests queue, guaranteed ones first"),
    setting("SUIFTLY_UPSTREAM_QUEUE_S", Number, "5", Edge,
        "seconds that a request waits for a connection to a server; longer than the server's slowest answers"),
    setting("SUIFTLY_HARD_STOP_S", Number, "30", Edge,
        "seconds that an old HAProxy worker lives after a reload"),
    setting("SUIFTLY_COUNT_AT_ANSWER", Switch, "0", Edge,
        "1: a request counts when it is answered, not when it is admitted"),
    setting("SUIFTLY_LOG", Text, "stdout", Edge,
        "where HAProxy logs: any `log` address of HAProxy"),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::check::default_of;
    use super::*;
    use crate::config::Variables;
    use std::collections::{BTreeMap, BTreeSet};

    /// A value that is no default, and not what any of the others would make of it.
    fn another(setting: &Setting) -> &'static str {
        match setting.variable {
            "DATABASE_URL" => "sqlite://other.db",
            "SUIFTLY_API_LISTEN" => "127.0.0.9",
            "SUIFTLY_PUBLIC_URL" | "SUIFTLY_CORS_ORIGINS" => "https://other.example.com",
            "SUIFTLY_TRUSTED_PROXIES" => "192.0.2.0/24",
            "SUIFTLY_REQUEST_LOG" => "127.0.0.1:77",
            "SUIFTLY_LOG_LEVEL" => "debug",
            "SUIFTLY_LOG_FORMAT" => "json",
            "SUIFTLY_USAGE_DAYS_KEEP_D" => "777",
            _ if setting.kind == Kind::Switch => "1",
            _ if matches!(setting.kind, Kind::Number | Kind::Port) => "77",
            _ => "other",
        }
    }

    #[test]
    fn every_default_is_what_the_configuration_really_does() {
        let config = Config::from_variables(&Variables::new()).unwrap();
        let values: BTreeMap<&'static str, String> = SETTINGS
            .iter()
            .filter_map(|setting| Some((setting.variable, setting.in_force(&config)?)))
            .collect();
        for setting in
            SETTINGS.iter().filter(|one| one.reader.is_suiftly() && one.variable != "SUIFTLY_CONFIG")
        {
            let in_force = values.get(setting.variable).cloned().unwrap_or_default();
            assert_eq!(default_of(setting, &values), in_force, "{}", setting.variable);
            assert!(!in_force.contains('$'), "{}", setting.variable);
        }
    }

    #[test]
    fn every_setting_of_suiftly_changes_the_configuration_and_no_other_does() {
        let default = Config::from_variables(&Variables::new()).unwrap();
        for setting in SETTINGS.iter().filter(|setting| setting.variable != "SUIFTLY_CONFIG") {
            let variables = Variables::from([(setting.variable.to_owned(), another(setting).to_owned())]);
            let config = Config::from_variables(&variables).unwrap();
            let variable = setting.variable;
            assert_eq!(config != default, setting.reader.is_suiftly(), "{variable}");
            if setting.reader.is_suiftly() {
                assert_eq!(setting.in_force(&config).as_deref(), Some(another(setting)), "{variable}");
            }
        }
    }

    #[test]
    fn each_setting_has_one_entry_with_a_name_of_its_own_and_a_sentence() {
        let names: BTreeSet<String> = SETTINGS.iter().map(Setting::name).collect();
        assert_eq!(names.len(), SETTINGS.len());
        for setting in SETTINGS {
            assert!(setting.meaning.len() > 10 && !setting.meaning.ends_with('.'), "{}", setting.variable);
            assert!(setting.meaning.len() <= 100, "{}", setting.variable);
            assert!(setting.name().len() <= 30, "{}", setting.variable);
            assert_eq!(find(setting.variable).unwrap().variable, find(&setting.name()).unwrap().variable);
        }
    }
}
