//! Sign-in, and who may use the API from where.

use super::{ConfigError, Variables, number, text};
use edgeformat::Prefix;
use std::path::{Path, PathBuf};

const PUBLIC_URL: &str = "SUIFTLY_PUBLIC_URL";
const CORS_ORIGINS: &str = "SUIFTLY_CORS_ORIGINS";
const TRUSTED_PROXIES: &str = "SUIFTLY_TRUSTED_PROXIES";
const SIGN_IN_PER_MINUTE: &str = "SUIFTLY_SIGN_IN_PER_MINUTE";
const SIGN_IN_FAILURES_PER_MINUTE: &str = "SUIFTLY_SIGN_IN_FAILURES_PER_MINUTE";
const REQUESTS_PER_MINUTE: &str = "SUIFTLY_API_REQUESTS_PER_MINUTE";
/// How many entries a list may have.
const LIST_MAX: usize = 64;

/// Accounts and the API that they use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AccountsConfig {
    /// `SUIFTLY_PUBLIC_URL`, default `http://127.0.0.1:` and the API's port: where people reach the API. Its host and port stand in
    /// the messages that wallets sign.
    pub public_url: PublicUrl,
    /// `SUIFTLY_SECRETS`, default `$SUIFTLY_STATE/secrets.toml`: the keys that access tokens are signed with, mode 0600, made at the
    /// first start. All copies of `suiftly serve` on one database need the same.
    pub secrets_file: PathBuf,
    /// `SUIFTLY_CORS_ORIGINS`, default none: origins whose pages may call the API, separated by commas or spaces.
    pub cors_origins: Vec<String>,
    /// `SUIFTLY_TRUSTED_PROXIES`, default none: addresses and networks, separated by commas or spaces, whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Prefix>,
    /// `SUIFTLY_SIGN_IN_PER_MINUTE`, default 60: how many requests a minute to each of the sign-in paths one source may make; as
    /// many at once.
    pub sign_in_per_minute: u32,
    /// `SUIFTLY_SIGN_IN_FAILURES_PER_MINUTE`, default 10: how many signatures a minute may fail for one wallet from one source.
    pub sign_in_failures_per_minute: u32,
    /// `SUIFTLY_API_REQUESTS_PER_MINUTE`, default 600: how many requests a minute a session or a token may make; as many at once.
    pub requests_per_minute: u32,
}

/// Where people reach the API: scheme, host and port, nothing after it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PublicUrl {
    text: String,
    authority_at: usize,
}

impl PublicUrl {
    /// `https://api.example.com`.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Host and port (RFC 3986, section 3.2): `api.example.com`.
    pub fn authority(&self) -> &str {
        self.text.get(self.authority_at..).unwrap_or_default()
    }

    /// Whether browsers reach it with TLS.
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https://")
    }

    fn from_text(text: &str) -> Option<Self> {
        let text = text.strip_suffix('/').unwrap_or(text);
        let authority_at = ["https://", "http://"].iter().find(|scheme| text.starts_with(**scheme))?.len();
        let authority = text.get(authority_at..)?;
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]".contains(&byte);
        let is_authority = !authority.is_empty() && authority.len() <= 255 && authority.bytes().all(fits);
        is_authority.then(|| Self { text: text.to_ascii_lowercase(), authority_at })
    }
}

impl AccountsConfig {
    pub(super) fn from_variables(
        variables: &Variables,
        state: &Path,
        api_port: u16,
    ) -> Result<Self, ConfigError> {
        let default_url = format!("http://127.0.0.1:{api_port}");
        let public_url = text(variables, PUBLIC_URL).unwrap_or(&default_url);
        Ok(Self {
            public_url: PublicUrl::from_text(public_url).ok_or_else(|| ConfigError {
                variable: PUBLIC_URL,
                reason: format!("`{public_url}` is not of the form https://api.example.com"),
            })?,
            secrets_file: text(variables, "SUIFTLY_SECRETS")
                .map_or_else(|| state.join("secrets.toml"), PathBuf::from),
            cors_origins: list(variables, CORS_ORIGINS, |origin| {
                PublicUrl::from_text(origin).map(|url| url.text).ok_or_else(|| {
                    format!(
                        "`{origin}` is no origin such as https://dashboard.example.com; `*` is not accepted"
                    )
                })
            })?,
            trusted_proxies: list(variables, TRUSTED_PROXIES, |prefix| {
                prefix.parse().map_err(|_| {
                    format!("`{prefix}` is no address or network such as 192.0.2.1 or 2001:db8::/32")
                })
            })?,
            sign_in_per_minute: per_minute(variables, SIGN_IN_PER_MINUTE, 60)?,
            sign_in_failures_per_minute: per_minute(variables, SIGN_IN_FAILURES_PER_MINUTE, 10)?,
            requests_per_minute: per_minute(variables, REQUESTS_PER_MINUTE, 600)?,
        })
    }
}

/// The most that can be asked for: a million.
const PER_MINUTE_MAX: u64 = 1_000_000;

fn per_minute(variables: &Variables, name: &'static str, default: u64) -> Result<u32, ConfigError> {
    let value = number(variables, name, default, PER_MINUTE_MAX)?;
    u32::try_from(value).ok().filter(|value| *value > 0).ok_or_else(|| ConfigError {
        variable: name,
        reason: "0 would let nobody in; write at least 1".to_owned(),
    })
}

fn list<T>(
    variables: &Variables,
    name: &'static str,
    read: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, ConfigError> {
    // By spaces, too: HAProxy reads one of the lists, and wants it so.
    let entries = text(variables, name).unwrap_or_default().split([',', ' ']);
    let entries: Vec<&str> = entries.filter(|entry| !entry.is_empty()).collect();
    if entries.len() > LIST_MAX {
        return Err(ConfigError { variable: name, reason: format!("more than {LIST_MAX} entries") });
    }
    entries
        .into_iter()
        .map(read)
        .collect::<Result<_, _>>()
        .map_err(|reason| ConfigError { variable: name, reason })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Result<AccountsConfig, ConfigError> {
        let variables = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        AccountsConfig::from_variables(&variables, Path::new("var"), 8081)
    }

    #[test]
    fn the_public_url_is_a_scheme_and_an_authority() {
        let config_of = |url| config(&[(PUBLIC_URL, url)]);
        assert_eq!(config(&[]).unwrap().public_url.authority(), "127.0.0.1:8081");
        let url = config_of("https://API.example.com/").unwrap().public_url;
        assert_eq!(
            (url.as_str(), url.authority(), url.is_https()),
            ("https://api.example.com", "api.example.com", true)
        );
        assert_eq!(config_of("http://[::1]:8081").unwrap().public_url.authority(), "[::1]:8081");
        for wrong in [
            "api.example.com",
            "ftp://x",
            "https://",
            "https://a/b",
            "https://a b",
            "https://u@a",
            "https://a\nb",
        ] {
            assert_eq!(config_of(wrong).unwrap_err().variable, PUBLIC_URL, "{wrong}");
        }
    }

    #[test]
    fn lists_are_read_entry_by_entry() {
        let both = config(&[
            (CORS_ORIGINS, "https://a.example.com, http://localhost:3000"),
            (TRUSTED_PROXIES, "192.0.2.1,2001:db8::/32"),
        ])
        .unwrap();
        let as_for_haproxy = config(&[(TRUSTED_PROXIES, "192.0.2.1  2001:db8::/32")]).unwrap();
        assert_eq!(as_for_haproxy.trusted_proxies, both.trusted_proxies);
        assert_eq!(both.cors_origins, ["https://a.example.com", "http://localhost:3000"]);
        assert_eq!(both.trusted_proxies.len(), 2);
        for (name, wrong) in [
            (CORS_ORIGINS, "*"),
            (CORS_ORIGINS, "https://a.example.com/path"),
            (TRUSTED_PROXIES, "proxy.example.com"),
            (TRUSTED_PROXIES, "10.0.0.0/99"),
            (SIGN_IN_PER_MINUTE, "0"),
            (SIGN_IN_FAILURES_PER_MINUTE, "many"),
            (REQUESTS_PER_MINUTE, "-1"),
        ] {
            assert_eq!(config(&[(name, wrong)]).unwrap_err().variable, name, "{wrong}");
        }
    }
}
