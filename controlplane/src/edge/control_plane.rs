//! The control plane as an agent on another machine sees it: two paths of its API, with the edge's token.

use crate::app::chain_of;
use crate::changes::feed::{Feed, Snapshot};
use crate::changes::transfer::{self, About, TransferError};
use crate::db::stream::Position;
use crate::domain::edges::EdgeToken;
use crate::domain::requests::Batch;
use crate::edge::report::AgentReport;
use edgeformat::Revocation;
use edgeformat::ledger::LedgerReading;
use std::collections::BTreeMap;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};

/// How long a question for changes waits for some. Also how long a cut may stay unnoticed.
const POLL_WAIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// How much longer than it was asked to wait the control plane may take until it begins to answer.
const ANSWER_SLACK: Duration = Duration::from_secs(5);
/// How long a snapshot of millions may travel.
const BODY_LIMIT: Duration = Duration::from_secs(300);
/// How long a reading may take: the control plane answers when it is in its database.
const USAGE_LIMIT: Duration = Duration::from_secs(60);
/// The most of a refusal's text that is read, in bytes.
const REFUSAL_LEN_MAX: u64 = 4_096;
const CA_FILE_LEN_MAX: u64 = 1 << 20;

/// A setting of the connection that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConnectionError {
    /// The address.
    #[error("--control-plane {0}: {1}")]
    Url(String, &'static str),
    /// The file with the token.
    #[error("--token-file {}: {reason}", .file.display())]
    Token {
        /// The file.
        file: PathBuf,
        /// What is wrong with it; never its content.
        reason: String,
    },
    /// The file with the authority's certificate.
    #[error("--ca-file {}: {reason}", .file.display())]
    Ca {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// Why the control plane did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// It was not reached, or broke off.
    #[error("{0}")]
    Unreachable(String),
    /// The token is not, or no longer, good.
    #[error(
        "the control plane refuses this edge's token; `suiftly admin edge renew-token` there makes another one"
    )]
    Token,
    /// It answers, but not what it should.
    #[error("the control plane answers {status}: {text}")]
    Refused {
        /// The status.
        status: u16,
        /// Its words.
        text: String,
    },
    /// What it sent is of no use.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}

impl AskError {
    /// Whether the same will be refused whenever it is asked again: it is for another edge to tell.
    pub const fn is_for_ever(&self) -> bool {
        matches!(self, Self::Refused { status: 403, .. })
    }
}

/// A connection to the control plane, kept open between questions.
pub struct ControlPlane {
    agent: ureq::Agent,
    url: String,
    token: EdgeToken,
}

impl ControlPlane {
    /// Prepares the connection; nothing is asked yet. With `ca_file` only certificates of that authority are believed (or,
    /// if the file holds the server's own certificate, only that one); else those of the well-known public ones.
    ///
    /// # Errors
    /// [`ConnectionError`].
    pub fn new(url: &str, token_file: &Path, ca_file: Option<&Path>) -> Result<Self, ConnectionError> {
        let url = checked_url(url)?;
        let token = read_token(token_file)?;
        let roots = match ca_file {
            None => RootCerts::WebPki,
            Some(file) => RootCerts::from(read_certificates(file)?),
        };
        let config = ureq::Agent::config_builder()
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .http_status_as_error(false)
            // A token goes nowhere but to where it was sent.
            .max_redirects(0)
            // Nor through a proxy that happens to stand in the environment.
            .proxy(None)
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_send_body(Some(ANSWER_SLACK))
            .timeout_recv_response(Some(POLL_WAIT + ANSWER_SLACK))
            .timeout_recv_body(Some(BODY_LIMIT))
            .user_agent(concat!("suiftly-agent/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { agent: config.new_agent(), url, token })
    }

    /// Where it is, for logs.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What comes after `known`, waiting a while for something to come; everything if nothing is known. `resyncs` is how
    /// many requests to load everything anew were heard of: another one ends the wait, too.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn changes(&self, known: Option<Position>, resyncs: Option<u64>) -> Result<(About, Feed), AskError> {
        let mut url = format!("{}/api/v1/edge/changes", self.url);
        if let Some(Position { stream, sequence }) = known {
            url.push_str(&format!("?stream={stream}&after={sequence}&wait_ms={}", POLL_WAIT.as_millis()));
            if let Some(resyncs) = resyncs {
                url.push_str(&format!("&resyncs={resyncs}"));
            }
        }
        let request = self.agent.get(url).header("authorization", format!("Bearer {}", self.token.expose()));
        let mut answer = checked(request.call())?;
        Ok(transfer::read(BufReader::new(answer.body_mut().as_reader()), known)?)
    }

    /// Tells how the edge stands.
    ///
    /// # Errors
    /// [`AskError`].
    pub fn report(&self, report: &AgentReport) -> Result<(), AskError> {
        let text = serde_json::to_string(report).map_err(|error| AskError::Unreachable(error.to_string()))?;
        let request = self
            .agent
            .post(format!("{}/api/v1/edge/report", self.url))
            .config()
            .timeout_recv_response(Some(ANSWER_SLACK))
            .build()
            .header("authorization", format!("Bearer {}", self.token.expose()))
            .content_type("application/json");
        checked(request.send(text)).map(drop)
    }
}

impl ControlPlane {
    /// Tells what was counted. Whatever the error, it can be told again: what was taken is not taken twice.
    ///
    /// # Errors
    /// [`AskError`]; where [`AskError::is_for_ever`], the ledger belongs to another edge.
    pub fn usage(&self, reading: &LedgerReading) -> Result<(), AskError> {
        let text =
            serde_json::to_string(reading).map_err(|error| AskError::Unreachable(error.to_string()))?;
        let request = self
            .agent
            .post(format!("{}/api/v1/edge/usage", self.url))
            .config()
            .timeout_send_body(Some(USAGE_LIMIT))
            .timeout_recv_response(Some(USAGE_LIMIT))
            .build()
            .header("authorization", format!("Bearer {}", self.token.expose()))
            .content_type("application/json");
        checked(request.send(text)).map(drop)
    }

    /// Hands over a part of the request log.
    ///
    /// # Errors
    /// [`AskError`]; then it may have been taken, and may be handed over again.
    pub fn requests(&self, batch: &Batch) -> Result<(), AskError> {
        let text = serde_json::to_string(batch).map_err(|error| AskError::Unreachable(error.to_string()))?;
        let request = self
            .agent
            .post(format!("{}/api/v1/edge/requests", self.url))
            .config()
            .timeout_recv_response(Some(ANSWER_SLACK))
            .build()
            .header("authorization", format!("Bearer {}", self.token.expose()))
            .content_type("application/json");
        checked(request.send(text)).map(drop)
    }

    /// Offers the revocations that an edge knows which stands at `theirs`; the control plane keeps those that it has
    /// forgotten.
    ///
    /// # Errors
    /// [`AskError`]; then some of them may have been kept.
    pub fn offer(&self, theirs: Position, known: Vec<Revocation>) -> Result<(), AskError> {
        let mut snapshot = Snapshot::empty(theirs);
        snapshot.revocations = known;
        let about = About { edge: String::new(), resyncs: 0, check: None, key_groups: BTreeMap::new() };
        let mut text = Vec::new();
        transfer::write(&mut text, &about, theirs, Feed::Snapshot(snapshot)).map_err(TransferError::Io)?;
        let request = self
            .agent
            .post(format!("{}/api/v1/edge/offered", self.url))
            .config()
            .timeout_send_body(Some(BODY_LIMIT))
            .timeout_recv_response(Some(BODY_LIMIT))
            .build()
            .header("authorization", format!("Bearer {}", self.token.expose()))
            .content_type("text/plain; charset=utf-8");
        checked(request.send(text)).map(drop)
    }
}

type Answer = ureq::http::Response<ureq::Body>;

fn checked(answer: Result<Answer, ureq::Error>) -> Result<Answer, AskError> {
    let mut answer = answer.map_err(|error| AskError::Unreachable(chain_of(&error)))?;
    match answer.status().as_u16() {
        200 | 204 => Ok(answer),
        401 => Err(AskError::Token),
        status => {
            let text =
                answer.body_mut().with_config().limit(REFUSAL_LEN_MAX).lossy_utf8(true).read_to_string();
            Err(AskError::Refused { status, text: text.unwrap_or_default().trim().to_owned() })
        }
    }
}

/// Over clear text the token would be anybody's, unless it does not leave the machine.
fn checked_url(url: &str) -> Result<String, ConnectionError> {
    let refused = |why| ConnectionError::Url(url.to_owned(), why);
    let uri: ureq::http::Uri = url
        .parse()
        .map_err(|_| refused("it is no URL; write one such as https://control.example.com:8081"))?;
    let host = uri.host().ok_or_else(|| refused("it names no host"))?;
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err(refused("it ends with the port; the paths are known"));
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(refused("it holds a user; the token file says who asks"));
    }
    let is_here = host == "localhost"
        || host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if is_here => {}
        Some("http") => return Err(refused("the token would travel in clear text; write https://")),
        _ => return Err(refused("it begins with https://")),
    }
    Ok(url.trim_end_matches('/').to_owned())
}

fn read_token(file: &Path) -> Result<EdgeToken, ConnectionError> {
    use std::os::unix::fs::PermissionsExt;
    let refused = |reason: String| ConnectionError::Token { file: file.to_owned(), reason };
    let found = std::fs::metadata(file).map_err(|error| refused(error.to_string()))?;
    if found.permissions().mode() & 0o077 != 0 {
        return Err(refused("others can read it; chmod 600 it".to_owned()));
    }
    if found.len() > REFUSAL_LEN_MAX {
        return Err(refused("it is too long for a token".to_owned()));
    }
    let text =
        zeroize::Zeroizing::new(std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?);
    EdgeToken::from_text(text.trim())
        .ok_or_else(|| refused("it holds no edge's token; `suiftly admin edge add` prints one".to_owned()))
}

fn read_certificates(file: &Path) -> Result<Vec<Certificate<'static>>, ConnectionError> {
    let refused = |reason: String| ConnectionError::Ca { file: file.to_owned(), reason };
    let len = std::fs::metadata(file).map_err(|error| refused(error.to_string()))?.len();
    if len > CA_FILE_LEN_MAX {
        return Err(refused(format!("it is larger than {CA_FILE_LEN_MAX} bytes")));
    }
    let pem = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
    let mut found = Vec::new();
    for item in ureq::tls::parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| refused(error.to_string()))? {
            found.push(certificate);
        }
    }
    if found.is_empty() { Err(refused("it holds no certificate in PEM".to_owned())) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_token_travels_in_clear_text_only_within_the_machine() {
        for url in [
            "https://c.example.com:8081",
            "https://c.example.com/",
            "http://127.0.0.1:8081",
            "http://[::1]:1",
        ] {
            assert!(checked_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://c.example.com",
            "ftp://c.example.com",
            "c.example.com",
            "https://",
            "https://a@c.example.com",
            "https://c.example.com/api",
            "https://c.example.com?x",
        ] {
            assert!(checked_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_token_file_is_private_and_holds_a_token_and_no_error_shows_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        let token = EdgeToken::random().unwrap();
        std::fs::write(&file, format!("{}\n", token.expose())).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = read_token(&file).unwrap_err().to_string();
        assert!(error.contains("chmod 600"), "{error}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(read_token(&file).unwrap().expose(), token.expose());
        std::fs::write(&file, &token.expose()[1..]).unwrap();
        let error = read_token(&file).unwrap_err().to_string();
        assert!(error.contains("no edge's token") && !error.contains(&token.expose()[20..]), "{error}");
    }
}
