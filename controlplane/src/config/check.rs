//! Every setting explained, with all that is wrong and all that contradicts itself: `suiftly config check`.
//!
//! Unlike [`Layers::config`] it does not end at the first problem, and it works on what is broken. It looks at settings only:
//! whether files, ports and databases are there is `suiftly doctor`'s.

use super::catalogue::{self, Kind, NOT_SETTINGS, PREFIX, Reader, SETTINGS, Secret, Setting};
use super::layers::{Layers, Origin, SettingProblem};
use super::{Config, ConfigError, Variables, nearest};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// What there is to say about the settings.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The settings file, where there is one.
    pub file: Option<PathBuf>,
    /// All settings in the catalogue's order.
    pub settings: Vec<Explained>,
    /// What cannot be used.
    pub problems: Vec<SettingProblem>,
    /// What can be used and is hardly meant.
    pub warnings: Vec<String>,
}

/// One setting.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Which.
    pub setting: &'static Setting,
    /// Its value in force, without what is secret; `None`: none.
    pub value: Option<String>,
    /// Where that comes from.
    pub origin: Origin,
    /// Whether it can be used; one that cannot has no value in force.
    pub is_usable: bool,
}

/// Explains all settings.
pub fn explain(layers: &Layers, environment: &Variables) -> Explanation {
    let mut problems = layers.problems.clone();
    let (variables, wrong) = without_what_is_wrong(&layers.variables);
    problems.extend(wrong.into_iter().map(|error| layers.problem(error)));
    let edge_only = SETTINGS.iter().filter(|setting| setting.reader == Reader::Edge);
    problems.extend(
        edge_only.filter_map(|setting| wrong_for_edge(setting, layers)).map(|error| layers.problem(error)),
    );
    // What is left is a configuration, unless a default has become unusable.
    let config = Config::from_variables(&variables).ok();
    let values = values(layers, config.as_ref());
    let is_usable = |setting: &Setting| {
        let is_wrong = problems.iter().any(|problem| problem.variable == Some(setting.variable));
        !is_wrong && (config.is_some() || !setting.reader.is_suiftly())
    };
    let settings: Vec<Explained> = SETTINGS
        .iter()
        .map(|setting| {
            let is_usable = is_usable(setting);
            let value = values.get(setting.variable).filter(|_| is_usable).cloned();
            Explained { setting, value, origin: layers.origin(setting.variable), is_usable }
        })
        .collect();
    let mut warnings = contradictions(layers, config.as_ref(), &values);
    warnings.extend(unheard(layers));
    warnings.extend(mistyped(environment));
    Explanation { file: layers.file.clone(), settings, problems, warnings }
}

/// What can be used of the variables, and everything that cannot.
fn without_what_is_wrong(variables: &Variables) -> (Variables, Vec<ConfigError>) {
    let mut variables = variables.clone();
    let mut wrong: Vec<ConfigError> = Vec::new();
    // Each turn takes one variable out, so it ends.
    while let Err(error) = Config::from_variables(&variables) {
        let removed = variables.remove(error.variable).is_some();
        // A default that does not go with another setting: that one goes.
        let other = || {
            let helps = |name: &&String| {
                let mut without = variables.clone();
                without.remove(*name);
                Config::from_variables(&without).err().is_none_or(|next| next != error)
            };
            variables.keys().find(helps).cloned()
        };
        let culprit = if removed { None } else { other() };
        let goes_on = removed || culprit.is_some();
        if let Some(culprit) = culprit {
            variables.remove(&culprit);
        }
        if !wrong.iter().any(|known| known.variable == error.variable) {
            wrong.push(error);
        }
        if !goes_on {
            break;
        }
    }
    (variables, wrong)
}

/// HAProxy says more; this much can be said without it.
fn wrong_for_edge(setting: &Setting, layers: &Layers) -> Option<ConfigError> {
    let value = layers.variables.get(setting.variable)?;
    let reason = match setting.kind {
        Kind::Port => value.parse::<u16>().ok().filter(|port| *port != 0).is_none().then_some("no port"),
        Kind::Number => value.parse::<u64>().is_err().then_some("no whole number"),
        Kind::Switch => (value != "0" && value != "1").then_some("neither 1 nor 0"),
        Kind::Text | Kind::List => None,
    }?;
    let shown = if setting.secret == Secret::Whole { "***" } else { value };
    Some(ConfigError { variable: setting.variable, reason: format!("`{shown}` is {reason}") })
}

/// By variable what is in force, as it may be shown.
fn values(layers: &Layers, config: Option<&Config>) -> BTreeMap<&'static str, String> {
    let mut values = BTreeMap::new();
    for setting in SETTINGS.iter().filter(|setting| setting.reader.is_suiftly()) {
        if let Some(value) = config.and_then(|config| setting.in_force(config)) {
            values.insert(setting.variable, value);
        }
    }
    if let Some(file) = &layers.file {
        values.insert("SUIFTLY_CONFIG", file.display().to_string());
    }
    for setting in SETTINGS.iter().filter(|setting| setting.reader == Reader::Edge) {
        let value = match layers.variables.get(setting.variable) {
            Some(_) if setting.secret == Secret::Whole => "***".to_owned(),
            Some(value) => value.clone(),
            None => default_of(setting, &values),
        };
        if !value.is_empty() {
            values.insert(setting.variable, value);
        }
    }
    values
}

/// The default with the values that it names.
pub(super) fn default_of(setting: &Setting, values: &BTreeMap<&'static str, String>) -> String {
    // The longest name first: one may begin with another.
    values.iter().rev().fold(setting.default.to_owned(), |text, (variable, value)| {
        text.replace(&format!("${variable}"), value)
    })
}

fn contradictions(
    layers: &Layers,
    config: Option<&Config>,
    values: &BTreeMap<&'static str, String>,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let is_set = |variable: &str| layers.variables.contains_key(variable);
    if let Some(config) = config {
        let (api, accounts) = (&config.api, &config.accounts);
        let is_open = !api.listen.is_loopback();
        if is_open && api.certificate.is_none() && accounts.trusted_proxies.is_empty() {
            warnings.push(format!(
                "the control plane listens on {} in clear: tokens can be read on the way; set SUIFTLY_API_CERT, or \
                 SUIFTLY_TRUSTED_PROXIES for a proxy in front that ends TLS",
                api.listen
            ));
        }
        if !is_open
            && api.certificate.is_none()
            && accounts.trusted_proxies.is_empty()
            && !is_loopback(accounts.public_url.authority())
        {
            warnings.push(format!(
                "people reach {} through a proxy on this machine, and SUIFTLY_TRUSTED_PROXIES does not name it: all of them \
                 share one limit of sign-in, and /metrics answers them",
                accounts.public_url.as_str()
            ));
        }
        if is_open && !is_set("SUIFTLY_PUBLIC_URL") {
            warnings.push(format!(
                "the control plane listens on {}, and wallets are asked to sign in to {}; set SUIFTLY_PUBLIC_URL",
                api.listen,
                accounts.public_url.as_str()
            ));
        }
        if !accounts.public_url.is_https() && !is_loopback(accounts.public_url.authority()) {
            warnings.push(format!(
                "SUIFTLY_PUBLIC_URL is {}: browsers would send tokens in clear; write https://",
                accounts.public_url.as_str()
            ));
        }
        if config.agent.control_plane.is_none()
            && (config.agent.token_file.is_some() || config.agent.ca_file.is_some())
        {
            warnings.push(
                "SUIFTLY_TOKEN_FILE and SUIFTLY_CA_FILE mean nothing without SUIFTLY_CONTROL_PLANE"
                    .to_owned(),
            );
        }
    }
    if is_set("SUIFTLY_EDGE_CLEAR_PORT") && !is_set("SUIFTLY_EDGE_CERT") {
        warnings.push("SUIFTLY_EDGE_CLEAR_PORT means nothing without SUIFTLY_EDGE_CERT".to_owned());
    }
    let value = |variable: &str| values.get(variable).map(String::as_str).unwrap_or_default();
    let stats = value("SUIFTLY_STATS_LISTEN");
    if !is_loopback(stats) && value("SUIFTLY_STATS_PASSWORD") == "none" {
        warnings.push(format!(
            "HAProxy's statistics listen on {stats} without a password, and HAProxy refuses to start so; set \
             SUIFTLY_STATS_PASSWORD"
        ));
    }
    warnings.extend(same_ports(values));
    warnings
}

/// Listeners of one machine on one port. Whether they have different addresses is not looked at: who sets that knows.
fn same_ports(values: &BTreeMap<&'static str, String>) -> Vec<String> {
    let ports = ["SUIFTLY_API_PORT", "SUIFTLY_EDGE_PORT", "SUIFTLY_EDGE_CLEAR_PORT", "SUIFTLY_STATS_PORT"];
    let ports: Vec<(&str, &String)> =
        ports.iter().filter_map(|port| Some((*port, values.get(port)?))).collect();
    let mut warnings = Vec::new();
    for (index, (variable, port)) in ports.iter().enumerate() {
        for (other, _) in ports.iter().skip(index + 1).filter(|(_, its)| its == port) {
            warnings
                .push(format!("{variable} and {other} are both {port}: only one of them can listen there"));
        }
    }
    warnings
}

/// Of an address, a name or an authority (`[::1]:8081`).
fn is_loopback(authority: &str) -> bool {
    let without_port = match authority.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None if authority.matches(':').count() == 1 => authority.split(':').next().unwrap_or_default(),
        None => authority,
    };
    match without_port.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => without_port == "localhost" || without_port.ends_with(".localhost"),
    }
}

/// What `suiftly` is told where HAProxy and the scripts do not hear it.
fn unheard(layers: &Layers) -> Vec<String> {
    let shared = SETTINGS.iter().filter(|setting| setting.reader == Reader::Both);
    shared
        .filter_map(|setting| {
            let origin = layers.origin(setting.variable);
            matches!(origin, Origin::File { .. } | Origin::Argument).then(|| {
                let variable = setting.variable;
                format!("{variable} comes from {origin}, which HAProxy and the scripts do not read: set the same there")
            })
        })
        .collect()
}

/// Variables that begin like ours and are none.
fn mistyped(environment: &Variables) -> Vec<String> {
    let is_ours = |name: &&String| {
        name.starts_with(PREFIX) && !NOT_SETTINGS.iter().any(|prefix| name.starts_with(prefix))
    };
    let unknown =
        environment.keys().filter(is_ours).filter(|name| catalogue::find(name).is_none()).map(|name| {
            let shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
            match nearest::variable_like(name) {
                Some(known) => {
                    format!("the environment has {shown}, which nothing reads; is {known} meant?")
                }
                None => format!("the environment has {shown}, which nothing reads"),
            }
        });
    unknown.collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn explained(pairs: &[(&str, &str)], arguments: &[&str]) -> Explanation {
        let mut environment: Variables =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        // A folder that does not exist, so that no file is found.
        environment.entry("SUIFTLY_STATE".to_owned()).or_insert_with(|| "/nonexistent/var".to_owned());
        let arguments: Vec<String> = arguments.iter().map(|text| (*text).to_owned()).collect();
        explain(&Layers::read(&arguments, &environment), &environment)
    }

    fn value(explanation: &Explanation, variable: &str) -> Option<String> {
        let found = explanation.settings.iter().find(|one| one.setting.variable == variable);
        found.unwrap().value.clone()
    }

    #[test]
    fn all_problems_are_found_and_the_rest_is_still_explained() {
        let wrong = [
            ("SUIFTLY_API_PORT", "http"),
            ("SUIFTLY_EDGE_PORT", "0"),
            ("SUIFTLY_PUBLIC_URL", "x"),
            ("SUIFTLY_USAGE_MINUTES_KEEP_H", "8000"),
            ("SUIFTLY_STATS_PORT", "x"),
            ("SUIFTLY_COUNT_AT_ANSWER", "yes"),
            ("SUIFTLY_HARD_STOP_S", "-1"),
            ("DATABASE_URL", "y.db"),
            ("SUIFTLY_EDGE_ID", "fra1"),
        ];
        let explanation = explained(&wrong, &["nonsense=1"]);
        let mut found: Vec<_> = explanation.problems.iter().map(|problem| problem.variable).collect();
        found.sort_unstable();
        let expected = [
            None,
            Some("DATABASE_URL"),
            Some("SUIFTLY_API_PORT"),
            Some("SUIFTLY_COUNT_AT_ANSWER"),
            Some("SUIFTLY_EDGE_PORT"),
            Some("SUIFTLY_HARD_STOP_S"),
            Some("SUIFTLY_PUBLIC_URL"),
            Some("SUIFTLY_STATS_PORT"),
            Some("SUIFTLY_USAGE_HOURS_KEEP_D"),
        ];
        assert_eq!(found, expected);
        assert_eq!(value(&explanation, "SUIFTLY_EDGE_ID"), Some("fra1".to_owned()));
        assert_eq!(value(&explanation, "SUIFTLY_API_PORT"), None);
        let unusable = explanation.settings.iter().filter(|one| !one.is_usable).count();
        assert_eq!(unusable, expected.len() - 1);
    }

    #[test]
    fn a_value_in_force_is_shown_with_what_it_follows_and_without_a_secret() {
        let explanation = explained(
            &[
                ("SUIFTLY_UPSTREAM_PORT", "9100"),
                ("SUIFTLY_STATS_PASSWORD", "geheim"),
                ("DATABASE_URL", "postgres://u:geheim@h/d"),
            ],
            &["api_port=8181"],
        );
        for (variable, expected) in [
            ("SUIFTLY_UPSTREAM", "127.0.0.1:9100"),
            ("SUIFTLY_KEYRING", "/nonexistent/var/keyring.toml"),
            ("SUIFTLY_PUBLIC_URL", "http://127.0.0.1:8181"),
            ("SUIFTLY_REQUEST_LOG", "127.0.0.1:8181"),
            ("SUIFTLY_STATS_PASSWORD", "***"),
            ("DATABASE_URL", "postgres://u:***@h/d"),
        ] {
            assert_eq!(value(&explanation, variable).as_deref(), Some(expected), "{variable}");
        }
        assert_eq!(value(&explanation, "SUIFTLY_API_CERT"), None);
        assert!(explanation.problems.is_empty(), "{:?}", explanation.problems);
        assert!(!format!("{explanation:?}").contains("geheim"));
    }

    #[test]
    fn what_contradicts_itself_is_warned_of_and_what_does_not_is_not() {
        assert_eq!(explained(&[], &[]).warnings, Vec::<String>::new());
        let good = [
            ("SUIFTLY_API_LISTEN", "0.0.0.0"),
            ("SUIFTLY_TRUSTED_PROXIES", "192.0.2.1"),
            ("SUIFTLY_PUBLIC_URL", "https://api.example.com"),
            ("SUIFTLY_EDGE_CERT", "edge.pem"),
            ("SUIFTLY_EDGE_CLEAR_PORT", "80"),
            ("SUIFTLY_TEST_SEED", "1"),
        ];
        assert_eq!(explained(&good, &[]).warnings, Vec::<String>::new());
        for (pairs, words) in [
            (
                vec![("SUIFTLY_API_LISTEN", "0.0.0.0"), ("SUIFTLY_PUBLIC_URL", "https://api.example.com")],
                "in clear: tokens can be read",
            ),
            (vec![("SUIFTLY_API_LISTEN", "::"), ("SUIFTLY_API_CERT", "a.pem")], "set SUIFTLY_PUBLIC_URL"),
            (
                vec![("SUIFTLY_PUBLIC_URL", "http://api.example.com:8081"), ("SUIFTLY_API_CERT", "a.pem")],
                "write https://",
            ),
            (
                vec![("SUIFTLY_PUBLIC_URL", "https://api.example.com")],
                "SUIFTLY_TRUSTED_PROXIES does not name it",
            ),
            (vec![("SUIFTLY_CA_FILE", "a.pem")], "without SUIFTLY_CONTROL_PLANE"),
            (vec![("SUIFTLY_EDGE_CLEAR_PORT", "80")], "without SUIFTLY_EDGE_CERT"),
            (vec![("SUIFTLY_STATS_LISTEN", "0.0.0.0")], "set SUIFTLY_STATS_PASSWORD"),
            (vec![("SUIFTLY_EDGE_PORT", "8081")], "SUIFTLY_API_PORT and SUIFTLY_EDGE_PORT are both 8081"),
            (vec![("SUIFTLY_API_PROT", "1")], "is SUIFTLY_API_PORT meant?"),
            (vec![("SUIFTLY_COLOURS_OF_ALL", "1")], "SUIFTLY_COLOURS_OF_ALL, which nothing reads"),
        ] {
            let warnings = explained(&pairs, &[]).warnings;
            assert_eq!(warnings.len(), 1, "{pairs:?}: {warnings:?}");
            assert!(warnings.iter().any(|warning| warning.contains(words)), "{pairs:?}: {warnings:?}");
        }
        let unheard = explained(&[], &["edge_port=8090", "edge_id=a"]).warnings;
        assert_eq!(unheard.len(), 1, "{unheard:?}");
        assert!(unheard.iter().any(|warning| warning.contains("SUIFTLY_EDGE_PORT comes from --setting")));
    }

    #[test]
    fn this_machine_is_known_by_each_of_its_names() {
        for authority in ["127.0.0.1:8081", "[::1]:8081", "::1", "localhost:1", "a.localhost", "127.9.9.9"] {
            assert!(is_loopback(authority), "{authority}");
        }
        for authority in ["10.0.0.1", "[2001:db8::1]:1", "::", "example.com", "localhost.example.com", ""] {
            assert!(!is_loopback(authority), "{authority}");
        }
    }
}
