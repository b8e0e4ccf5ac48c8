//! The real HTTP server in the test's own process, so that the test owns its clock, and a client of it.

use crate::harness::{Backend, TestDatabase};
use controlplane::access_tokens::AccessTokens;
use controlplane::clock::Clock;
use controlplane::config::{AccountsConfig, Config, KeyringConfig, Variables};
use controlplane::db::{Database, Pool};
use controlplane::edge::board::Board;
use controlplane::http::api::Api;
use controlplane::http::limits::Limits;
use controlplane::http::{Bound, State};
use controlplane::secrets::Secrets;
use edgeformat::Keyring;
use serde_json::Value;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tempfile::TempDir;
use ureq::http;

/// When the clock stands at first: 2026-11-21T09:05:00.123Z.
pub(crate) const NOW_MS: i64 = 1_795_251_900_123;

/// A server that ends with the value.
pub(crate) struct Server {
    pub(crate) place: Arc<TestDatabase>,
    pub(crate) clock: Clock,
    pub(crate) port: u16,
    secrets: Secrets,
    keyring: Arc<TempDir>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn keyring_in(folder: &TempDir) -> KeyringConfig {
    KeyringConfig { file: folder.path().join("keyring.toml"), accept_v0: false }
}

impl Server {
    pub(crate) fn on(backend: Backend) -> Self {
        Self::with(backend, |_| {})
    }

    /// With other settings.
    pub(crate) fn with(backend: Backend, change: impl FnOnce(&mut AccountsConfig)) -> Self {
        let place = Arc::new(TestDatabase::new(backend));
        place.open();
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::load_or_make(&folder.path().join("secrets.toml")).unwrap();
        let keyring = tempfile::tempdir().unwrap();
        controlplane::keyring::load_or_make(&keyring_in(&keyring)).unwrap();
        Self::start(place, Clock::standing_at(NOW_MS), secrets, Arc::new(keyring), change)
    }

    /// Another copy on the same database, with the same secrets and clock.
    pub(crate) fn copy(&self, change: impl FnOnce(&mut AccountsConfig)) -> Self {
        let keyring = Arc::clone(&self.keyring);
        Self::start(Arc::clone(&self.place), self.clock.clone(), self.secrets.clone(), keyring, change)
    }

    fn start(
        place: Arc<TestDatabase>,
        clock: Clock,
        secrets: Secrets,
        keyring: Arc<TempDir>,
        change: impl FnOnce(&mut AccountsConfig),
    ) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let variables =
            Variables::from([("SUIFTLY_PUBLIC_URL".to_owned(), "https://api.example.com".to_owned())]);
        let mut settings = Config::from_variables(&variables).unwrap().accounts;
        change(&mut settings);
        let api = Api {
            pool: Pool::new(&place.config),
            access_tokens: AccessTokens::new(&secrets),
            limits: Limits::new(&settings, &clock),
            settings,
            keyring: keyring_in(&keyring),
            clock: clock.clone(),
        };
        let board = Arc::new(Board::without_edge(clock.clone()));
        let state = State::new(board, clock.clone(), Some(place.config.clone())).with_api(api);
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let (ready, is_ready) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new().spawn(move || {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let bound = Bound::bind(address, state, None).unwrap();
            ready.send(()).unwrap();
            bound.run_until_stopped(move || stopped.load(Ordering::SeqCst)).unwrap();
        });
        let thread = thread.unwrap();
        is_ready.recv().unwrap();
        Self { place, clock, port, secrets, keyring, stop, thread: Some(thread) }
    }

    pub(crate) fn keyring(&self) -> Keyring {
        controlplane::keyring::load(&keyring_in(&self.keyring).file).unwrap()
    }

    pub(crate) fn database(&self) -> Database {
        Database::open_again(&self.place.config).unwrap()
    }

    pub(crate) fn advance_s(&self, seconds: u64) {
        self.clock.advance(std::time::Duration::from_secs(seconds));
    }

    /// A request to send.
    pub(crate) fn to(&self, method: &str, path: &str) -> Sending {
        Sending {
            builder: http::Request::builder()
                .method(method)
                .uri(format!("http://127.0.0.1:{}{path}", self.port)),
            body: None,
        }
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.to("POST", path).json(body).send()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A request that was not sent yet.
pub(crate) struct Sending {
    builder: http::request::Builder,
    body: Option<String>,
}

impl Sending {
    pub(crate) fn header(self, name: &str, value: &str) -> Self {
        Self { builder: self.builder.header(name, value), ..self }
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").text(&body.to_string())
    }

    pub(crate) fn text(self, body: &str) -> Self {
        Self { body: Some(body.to_owned()), ..self }
    }

    pub(crate) fn send(self) -> Answer {
        let agent: ureq::Agent =
            ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        let mut response = match self.body {
            Some(body) => agent.run(self.builder.body(body).unwrap()).unwrap(),
            None => agent.run(self.builder.body(()).unwrap()).unwrap(),
        };
        let text = response.body_mut().read_to_string().unwrap();
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: serde_json::from_str(&text).unwrap_or(Value::Null),
            text,
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Value,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The body, where the status is this.
    pub(crate) fn with(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.body
    }

    /// A problem with this status and code, in the form that every problem has.
    pub(crate) fn is_problem(&self, status: u16, code: &str) {
        assert_eq!((self.status, self.body["code"].as_str()), (status, Some(code)), "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert!(self.body["title"].as_str().is_some_and(|title| !title.is_empty()));
        assert_eq!(self.body["request_id"], self.header("x-request-id"), "{}", self.text);
    }
}
