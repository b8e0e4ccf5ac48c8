//! Which database: a file of SQLite, or a PostgreSQL server.

use std::fmt;
use std::path::{Path, PathBuf};

/// The database.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DatabaseConfig {
    /// `DATABASE_URL=sqlite://<file>`, default `sqlite://$SUIFTLY_STATE/suiftly.db`.
    Sqlite(PathBuf),
    /// `DATABASE_URL=postgres://<user>@<host>/<database>`.
    Postgres(PostgresUrl),
}

/// As it may be printed.
impl fmt::Display for DatabaseConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(file) => write!(f, "sqlite://{}", file.display()),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// Whether a text for `DATABASE_URL` holds a password, or what could be one.
pub(super) fn may_hold_a_password(url: &str) -> bool {
    match PostgresUrl::parse(url) {
        Some(Ok(url)) => !url.passwords.is_empty(),
        Some(Err(_)) | None => url.contains('@') || url.to_ascii_lowercase().contains("password"),
    }
}

impl DatabaseConfig {
    /// The URL with `***` for a password.
    pub(super) fn masked(&self) -> String {
        match self {
            Self::Sqlite(_) => self.to_string(),
            Self::Postgres(url) => url.masked.clone(),
        }
    }

    /// The scheme decides, never a guess: a mistyped URL must not become an empty database in a file of that
    /// name. The error says what would be right, and nothing of `url`.
    pub(super) fn from_url(url: Option<&str>, state: &Path) -> Result<Self, String> {
        let Some(url) = url else { return Ok(Self::Sqlite(state.join("suiftly.db"))) };
        if let Some(parsed) = PostgresUrl::parse(url) {
            return parsed.map(Self::Postgres).map_err(str::to_owned);
        }
        let file = url.strip_prefix("sqlite://").ok_or(
            "the text does not begin with a known scheme; write sqlite://<file> or \
             postgres://<user>@<host>/<database>, or leave it unset",
        )?;
        if file.is_empty() || file.starts_with(':') || file.contains(['?', '#', '%']) {
            return Err(
                "sqlite:// must be followed by the path of a file, without parameters or escapes".to_owned()
            );
        }
        Ok(Self::Sqlite(PathBuf::from(file)))
    }
}

/// Where a PostgreSQL server is and who we are there; the text may hold a password, so it is neither printed
/// nor logged: `Display` and `Debug` leave out what could be one.
#[derive(Clone, PartialEq, Eq)]
pub struct PostgresUrl {
    text: String,
    shown: String,
    /// The same with `***` where a password stands.
    masked: String,
    /// As they stand in the text, and decoded: what no message may repeat.
    passwords: Vec<String>,
}

/// Parameters that are no secret; of the others only libpq knows what they mean.
const SHOWN_PARAMETERS: [&str; 6] = ["host", "hostaddr", "port", "user", "dbname", "sslmode"];

/// What libpq is told unless the URL says otherwise: a server that cannot be reached, or that has vanished, is
/// noticed within seconds and not after the two hours of the operating system.
const DEFAULT_PARAMETERS: [(&str, &str); 6] = [
    ("fallback_application_name", "suiftly"),
    ("connect_timeout", "5"),
    ("keepalives_idle", "10"),
    ("keepalives_interval", "5"),
    ("keepalives_count", "3"),
    ("tcp_user_timeout", "15000"),
];

impl PostgresUrl {
    /// `None` where the scheme is another. Stricter than libpq, whose own message about a text that it cannot
    /// read repeats a part of it: maybe the password.
    fn parse(text: &str) -> Option<Result<Self, &'static str>> {
        let rest = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"))?;
        Some(Self::parse_rest(text, rest))
    }

    fn parse_rest(text: &str, rest: &str) -> Result<Self, &'static str> {
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) || decoded(text).is_none() {
            return Err("write % as %25, a space as %20, and nothing but two hex digits after a %");
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        if tail.contains('@') || authority.matches('@').count() > 1 {
            return Err("in user, password and parameters write @ as %40, / as %2F and ? as %3F");
        }
        let (login, hosts) = authority.split_once('@').unwrap_or(("", authority));
        if !hosts.split(',').all(has_good_port) {
            return Err("the port is no number, or the @ between password and host is missing");
        }
        let parameters = parameters(query)?;
        if path.len() < 2 && !parameters.iter().any(|(name, _)| *name == "dbname") {
            return Err("name the database: postgres://<user>@<host>/<database>");
        }
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let is_password = |(name, _): &&(&str, &str)| name.contains("password");
        let passwords = parameters.iter().filter(is_password).map(|(_, value)| *value).chain([password]);
        let mut passwords: Vec<String> =
            passwords.filter(|password| !password.is_empty()).map(str::to_owned).collect();
        passwords.extend(passwords.clone().iter().filter_map(|password| decoded(password)));
        let shown_query: Vec<String> = parameters
            .iter()
            .filter(|(name, _)| SHOWN_PARAMETERS.contains(name))
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let url = |login: &str, query: &[String]| {
            let at = if login.is_empty() { "" } else { "@" };
            let mark = if query.is_empty() { "" } else { "?" };
            format!("postgres://{login}{at}{hosts}{path}{mark}{}", query.join("&"))
        };
        let shown = url(user, &shown_query);
        let masked_login = if password.is_empty() { user.to_owned() } else { format!("{user}:***") };
        let hidden = parameters.iter().filter(is_password).map(|(name, _)| format!("{name}=***"));
        let masked_query: Vec<String> = shown_query.into_iter().chain(hidden).collect();
        let masked = url(&masked_login, &masked_query);
        Ok(Self { text: text.to_owned(), shown, masked, passwords })
    }

    /// The text for libpq, password and all, with our defaults.
    pub(crate) fn with_password(&self) -> String {
        let (before, query) = self.text.split_once('?').unwrap_or((&self.text, ""));
        let given: Vec<&str> = query.split('&').filter(|pair| !pair.is_empty()).collect();
        let is_given = |name: &str| given.iter().any(|pair| pair.split('=').next() == Some(name));
        let defaults = DEFAULT_PARAMETERS.iter().filter(|(name, _)| !is_given(name));
        let mut pairs: Vec<String> = defaults.map(|(name, value)| format!("{name}={value}")).collect();
        pairs.extend(given.iter().map(|pair| (*pair).to_owned()));
        format!("{before}?{}", pairs.join("&"))
    }

    /// A message of libpq or of the server, without a password, should one stand in it.
    pub(crate) fn without_password(&self, message: &str) -> String {
        self.passwords.iter().fold(message.to_owned(), |text, password| text.replace(password, "***"))
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PostgresUrl({})", self.shown)
    }
}

/// `host`, `host:port`, `[v6]:port`. What stands behind the colon is repeated by libpq when it is no number.
fn has_good_port(host: &str) -> bool {
    let after_address = host.rsplit_once(']').map_or(host, |(_, after)| after);
    match after_address.split_once(':') {
        None => true,
        Some((_, port)) => port.bytes().all(|digit| digit.is_ascii_digit()),
    }
}

fn parameters(query: &str) -> Result<Vec<(&str, &str)>, &'static str> {
    let pairs: Option<Vec<_>> = query.split('&').filter(|text| !text.is_empty()).map(parameter).collect();
    pairs.ok_or("after the ? each parameter is <name>=<value>, with & between them")
}

fn parameter(text: &str) -> Option<(&str, &str)> {
    text.split_once('=').filter(|(name, value)| !name.is_empty() && !value.contains('='))
}

/// The text behind percent escapes; `None` where an escape is broken or hides a zero byte.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next()?, rest.next()?].map(|digit| char::from(digit).to_digit(16));
        let [Some(high), Some(low)] = digits else { return None };
        bytes.push(u8::try_from(high * 16 + low).ok().filter(|byte| *byte != 0)?);
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
    use super::*;

    fn parse(text: &str) -> Result<PostgresUrl, &'static str> {
        PostgresUrl::parse(text).unwrap()
    }

    #[test]
    fn what_is_printed_has_everything_but_the_password() {
        for (text, shown) in [
            ("postgres://u:geheim@h:5433/d", "postgres://u@h:5433/d"),
            (
                "postgresql://u:ge%40heim:x@[::1]:5432/d?sslmode=require",
                "postgres://u@[::1]:5432/d?sslmode=require",
            ),
            ("postgres://u@/d?host=/run/postgresql&password=geheim", "postgres://u@/d?host=/run/postgresql"),
            (
                "postgres://:geheim@h1:1,h2:2/d?sslpassword=geheim&options=-cgeheim%3D1",
                "postgres://h1:1,h2:2/d",
            ),
            ("postgres:///?dbname=d&passfile=/geheim", "postgres:///?dbname=d"),
        ] {
            let url = parse(text).unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(
                format!("{:?}", DatabaseConfig::Postgres(url)),
                format!("Postgres(PostgresUrl({shown}))")
            );
        }
    }

    #[test]
    fn an_explanation_shows_that_there_is_a_password_and_not_which() {
        for (text, masked) in [
            ("postgres://u:geheim@h/d", "postgres://u:***@h/d"),
            ("postgres://u@h/d?password=geheim&port=1", "postgres://u@h/d?port=1&password=***"),
            ("postgres://u@h/d", "postgres://u@h/d"),
        ] {
            assert_eq!(DatabaseConfig::Postgres(parse(text).unwrap()).masked(), masked);
            assert_eq!(may_hold_a_password(text), masked.contains("***"), "{text}");
        }
        assert!(may_hold_a_password("Postgres://u:geheim@h/d"));
        assert!(!may_hold_a_password("sqlite:///x/y.db"));
    }

    #[test]
    fn a_url_that_could_be_read_in_two_ways_is_refused_without_being_repeated() {
        for text in [
            "postgres://u:ge@heim@h/d",
            "postgres://u:ge/heim@h/d",
            "postgres://u:ge?heim@h/d",
            "postgres://u:geheim/d",
            "postgres://u:geheim%@h/d",
            "postgres://u:geheim%zz@h/d",
            "postgres://u:geheim%00@h/d",
            "postgres://u:ge heim@h/d",
            "postgres://u:geheim@h",
            "postgres://u:geheim@h/",
            "postgres://u:geheim@h:port/d",
            "postgres://u:x@h/d?geheim",
            "postgres://u:x@h/d?password=ge=heim",
            "postgres://",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!error.contains("heim") && !error.contains("zz"), "{text}: {error}");
        }
    }

    #[test]
    fn libpq_is_given_the_text_itself_and_our_defaults_come_last_in_rank() {
        let text = parse("postgres://u:ge%2Dheim@h/d?connect_timeout=9").unwrap().with_password();
        assert!(
            text.starts_with("postgres://u:ge%2Dheim@h/d?") && text.ends_with("&connect_timeout=9"),
            "{text}"
        );
        assert_eq!(text.matches("connect_timeout").count(), 1);
        assert!(text.contains("tcp_user_timeout=15000"));
    }

    #[test]
    fn a_message_that_repeats_the_password_is_cleaned() {
        let url = parse("postgres://u:ge%2Dheim@h/d").unwrap();
        assert_eq!(url.without_password("no ge-heim, no ge%2Dheim"), "no ***, no ***");
    }
}
