//! `suiftly serve` and `suiftly agent` put together: what starts in which order, and how it ends.

use crate::access_tokens::AccessTokens;
use crate::changes::{feed, listener};
use crate::clock::Clock;
use crate::config::{Config, DatabaseConfig};
use crate::db::{Database, DbError, Pool};
use crate::domain::{DomainError, demo, edges, key_groups};
use crate::edge::agent::{Agent, LookError};
use crate::edge::board::Board;
use crate::edge::control_plane::{ConnectionError, ControlPlane};
use crate::edge::control_socket::{Answerer, ControlSocket, ControlSocketError, StateLock};
use crate::edge::mirror::Mirror;
use crate::edge::report::AgentReport;
use crate::edge::requests;
use crate::edge::source::{DatabaseSource, SourceError};
use crate::edge::{
    files_back, follower, metering, offer_back, reporter, roster, scanner, usage_sink, watcher,
};
use crate::http;
use crate::http::api::Api;
use crate::http::limits::Limits;
use crate::http::tls::CertificateError;
use crate::jobs;
use crate::keyring::{self, KeyringFileError};
use crate::secrets::{Secrets, SecretsError};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the agent may take to end its step. With the HTTP server's own limit, which runs before, below 5
/// s.
const AGENT_STOP_LIMIT: Duration = Duration::from_millis(2_500);
const AGENT_STOP_LOOK_EVERY: Duration = Duration::from_millis(10);

/// The least time between two reports of the edge on this machine: each is a write to the database.
const OWN_REPORT_GAP: Duration = Duration::from_millis(250);

/// Why `suiftly serve` or `suiftly agent` did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state folder cannot be made.
    #[error("the folder {} cannot be made; give another one with SUIFTLY_STATE", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// There is no usable keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringFileError),
    /// There are no usable secrets.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// There is no usable database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The keyring's groups could not be noted.
    #[error("the master key groups could not be noted in the database")]
    KeyGroups(#[source] DomainError),
    /// The agent could not begin.
    #[error(transparent)]
    Agent(#[from] LookError),
    /// The state folder is taken, or the socket cannot be made.
    #[error(transparent)]
    ControlSocket(#[from] ControlSocketError),
    /// What the files of an earlier run know could not be offered to the database.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The control plane cannot be asked with these settings.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The API's certificate cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The operating system gave no thread.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
    /// Other machines would be answered in clear text: tokens and cookies would travel so.
    #[error(
        "SUIFTLY_API_LISTEN: {0} is reached from other machines, and in clear text; set SUIFTLY_API_CERT, or SUIFTLY_TRUSTED_PROXIES to the proxy in front that speaks TLS"
    )]
    ClearText(std::net::IpAddr),
    /// The HTTP server.
    #[error(
        "the API cannot be served on {address}; give another one with SUIFTLY_API_LISTEN and SUIFTLY_API_PORT"
    )]
    Http {
        /// Where.
        address: std::net::SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// The agent is gone: nothing would reach the edge any more.
    #[error(
        "the edge agent has ended by itself, which is a fault of suiftly; start it again and report its log"
    )]
    AgentEnded,
}

/// What `suiftly serve` runs beside the API.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Serving {
    /// The agent of the HAProxy on this machine.
    WithEdge,
    /// Nothing: every edge is on another machine and has an agent alone.
    WithoutEdge,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// [`ServeError`].
pub fn serve(config: &Config, serving: Serving, clock: Clock) -> Result<(), ServeError> {
    make_folder(&config.state.folder, 0o700)?;
    let lock = StateLock::take(&config.state.serve_lock())?;
    // Read now, so that a keyring that cannot be used is found now and not at the first key.
    let keyring = keyring::load_or_make(&config.keyring)?;
    let secrets = Secrets::load_or_make(&config.accounts.secrets_file)?;
    let access_tokens = AccessTokens::new(&secrets);
    let mut database = Database::open(&config.database)?;
    database
        .write(|tx| key_groups::adopt_first(tx, &keyring, clock.now_ms()))
        .map_err(ServeError::KeyGroups)?;
    if let Some(mark) = demo::status(&mut database)? {
        tracing::warn!(
            seed = mark.seed,
            "this database holds made-up data (`suiftly admin demo status`): it is for show only"
        );
    }
    let board = Arc::new(match serving {
        Serving::WithEdge => Board::new(clock.clone(), &config.edge.id),
        Serving::WithoutEdge => Board::without_edge(clock.clone()),
    });
    roster::read(&mut database, &board)?;
    let scans = scanner::start(config.database.clone(), Arc::clone(&board)).map_err(ServeError::Thread)?;
    let mut watcher = None;
    let mut meter = None;
    let agent = match serving {
        Serving::WithoutEdge => None,
        Serving::WithEdge => {
            make_folder(&config.state.maps(), 0o750)?;
            // Before the files are written: they may be all that still knows a revocation.
            let maps = config.state.maps();
            offer_back::offer_what_is_on_disk(&mut database, &config.edge.id, &maps, clock.now_ms())
                .map_err(SourceError::Offer)?;
            let mirror = Mirror::from_snapshot(database.read(feed::snapshot)?);
            // In place before the API answers, which whoever starts HAProxy waits for.
            meter = Some(metering::prepare(config, clock.clone(), mirror.policies().len()));
            let source = Box::new(DatabaseSource { database, clock: clock.clone() });
            let agent = Agent::start(source, mirror, config, Arc::clone(&board), scans, clock.clone())?;
            watcher = Some(watcher::watch(&config.state.maps(), Arc::clone(&board)));
            Some(agent)
        }
    };
    let answerer = Answerer { board: Arc::clone(&board), database: Some(config.database.clone()) };
    let control_socket = ControlSocket::serve(config.state.control_socket(), &lock, answerer)?;
    let api = Api {
        pool: Pool::new(&config.database),
        access_tokens,
        settings: config.accounts.clone(),
        limits: Limits::new(&config.accounts, &clock),
        keyring: config.keyring.clone(),
        clock: clock.clone(),
    };
    let state =
        http::State::new(Arc::clone(&board), clock.clone(), Some(config.database.clone())).with_api(api);
    let request_counts = Arc::clone(&state.requests);
    let (server, address) = bind(config, state)?;
    if serving == Serving::WithEdge {
        let sink = requests::into_database(config.database.clone(), config.edge.id.clone());
        requests::start(&config.request_log, clock.clone(), request_counts, board.stopping_flag(), sink)
            .map_err(ServeError::Thread)?;
    }
    if let DatabaseConfig::Postgres(url) = &config.database {
        let woken = Arc::clone(&board);
        listener::start(url.clone(), board.stopping_flag(), move || woken.wake())
            .map_err(ServeError::Thread)?;
    }
    roster::start(config.database.clone(), Arc::clone(&board)).map_err(ServeError::Thread)?;
    if agent.is_some() {
        let sink = own_reports_into(config.database.clone(), config.edge.id.clone(), clock.clone());
        let clock = clock.clone();
        reporter::start(Arc::clone(&board), clock, OWN_REPORT_GAP, sink).map_err(ServeError::Thread)?;
    }
    if let Some(meter) = meter {
        let (database, edge) = (config.database.clone(), config.edge.id.clone());
        let sink = usage_sink::into_database(database, edge, Arc::clone(&board), clock.clone());
        let master_socket = config.state.haproxy_master_socket();
        metering::start(meter, master_socket, Arc::clone(&board), clock.clone(), sink)
            .map_err(ServeError::Thread)?;
    }
    let every_job = jobs::all(&config.usage, config.request_log.keep);
    let jobs = jobs::start(config.database.clone(), clock, every_job, board.stopping_flag())
        .map_err(ServeError::Thread)?;
    let agent = agent.map(spawn).transpose()?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        api = %address,
        edge.port = config.edge.port,
        edge = board.local().unwrap_or("none"),
        state = %config.state.folder.display(),
        database = %config.database,
        key_groups = keyring.groups.len(),
        "suiftly serves"
    );
    drop(keyring);
    let ended = run_until_stopped(server, address, &board, agent.as_ref());
    drop(jobs);
    drop(control_socket);
    drop(watcher);
    ended
}

/// What the agent alone is told.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// Where the control plane is: `https://host:port`.
    pub control_plane: String,
    /// The file with the edge's token, mode 0600.
    pub token_file: PathBuf,
    /// The certificate of the authority to believe; none for the public ones.
    pub ca_file: Option<PathBuf>,
}

/// `suiftly agent`: keeps the HAProxy on this machine in step with a control plane on another one, until SIGINT or SIGTERM.
///
/// It begins with what its own files say, and so needs the control plane only for what is new.
///
/// # Errors
/// [`ServeError`].
pub fn run_agent(config: &Config, settings: &AgentSettings, clock: Clock) -> Result<(), ServeError> {
    let control_plane =
        ControlPlane::new(&settings.control_plane, &settings.token_file, settings.ca_file.as_deref())?;
    let control_plane = Arc::new(control_plane);
    make_folder(&config.state.folder, 0o700)?;
    let lock = StateLock::take(&config.state.serve_lock())?;
    let maps = config.state.maps();
    make_folder(&maps, 0o750)?;
    let known = files_back::read(&maps).unwrap_or_else(|error| {
        tracing::warn!(error = chain_of(&error), "the map files are of no use; everything is asked for");
        None
    });
    let board = Arc::new(Board::new(clock.clone(), &config.edge.id));
    let policies = known.as_ref().map_or(0, |known| known.policies().len());
    let meter = metering::prepare(config, clock.clone(), policies);
    let position = known.as_ref().map(Mirror::position);
    let source = follower::start(Arc::clone(&control_plane), position, Arc::clone(&board))
        .map_err(ServeError::Thread)?;
    let answerer = Answerer { board: Arc::clone(&board), database: None };
    let control_socket = ControlSocket::serve(config.state.control_socket(), &lock, answerer)?;
    let state = http::State::new(Arc::clone(&board), clock.clone(), None);
    let request_counts = Arc::clone(&state.requests);
    let (server, address) = bind(config, state)?;
    let sink = requests::into_control_plane(Arc::clone(&control_plane));
    requests::start(&config.request_log, clock.clone(), request_counts, board.stopping_flag(), sink)
        .map_err(ServeError::Thread)?;
    let scans = scanner::start_on_files(maps.clone(), Arc::clone(&board)).map_err(ServeError::Thread)?;
    let sink = usage_sink::to_control_plane(Arc::clone(&control_plane));
    let master_socket = config.state.haproxy_master_socket();
    metering::start(meter, master_socket, Arc::clone(&board), clock.clone(), sink)
        .map_err(ServeError::Thread)?;
    let sink =
        Box::new(move |report: &AgentReport| control_plane.report(report).map_err(|error| chain_of(&error)));
    reporter::start(Arc::clone(&board), clock.clone(), Duration::ZERO, sink).map_err(ServeError::Thread)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        control_plane = settings.control_plane,
        state = %config.state.folder.display(),
        known = known.is_some(),
        "the agent runs"
    );
    let (config, agent_board) = (config.clone(), Arc::clone(&board));
    let agent = std::thread::Builder::new().name("edge-agent".to_owned()).spawn(move || {
        // The API answers meanwhile, and can be stopped.
        let mut source = source;
        let first = known
            .or_else(|| source.first_snapshot(&config.state.maps(), &agent_board).map(Mirror::from_snapshot));
        let Some(mirror) = first else { return };
        let _watcher = watcher::watch(&config.state.maps(), Arc::clone(&agent_board));
        let stopping = agent_board.stopping_flag();
        match Agent::start(Box::new(source), mirror, &config, agent_board, scans, clock) {
            Ok(agent) => agent.run(),
            Err(error) if !stopping.load(Ordering::Relaxed) => {
                tracing::error!(error = chain_of(&error), "the agent could not begin");
            }
            Err(_) => {}
        }
    });
    let agent = agent.map_err(ServeError::Thread)?;
    let ended = run_until_stopped(server, address, &board, Some(&agent));
    drop(control_socket);
    ended
}

fn bind(config: &Config, state: http::State) -> Result<(http::Bound, SocketAddr), ServeError> {
    let address = SocketAddr::new(config.api.listen, config.api.port);
    let tls = config.api.certificate.as_deref().map(http::tls::server_config).transpose()?;
    if !address.ip().is_loopback() && tls.is_none() && config.accounts.trusted_proxies.is_empty() {
        return Err(ServeError::ClearText(address.ip()));
    }
    let bound =
        http::Bound::bind(address, state, tls).map_err(|source| ServeError::Http { address, source })?;
    Ok((bound, address))
}

fn spawn(agent: Agent) -> Result<JoinHandle<()>, ServeError> {
    std::thread::Builder::new()
        .name("edge-agent".to_owned())
        .spawn(move || agent.run())
        .map_err(ServeError::Thread)
}

/// Leaves word of the edge on this machine where other copies of `suiftly serve` read it.
fn own_reports_into(config: DatabaseConfig, edge: String, clock: Clock) -> reporter::Sink {
    let started_ms = clock.now_ms();
    Box::new(move |said| {
        let text = serde_json::to_string(said).map_err(|error| error.to_string())?;
        let tell = || -> Result<bool, DbError> {
            let mut database = Database::open_again(&config)?;
            // Whoever wrote under this name since we began, and was not we, lives.
            let other = edges::find(&mut database, &edge)?.filter(|row| {
                let instance = row.report.as_deref().and_then(reporter::instance_of);
                row.has_token
                    || row.seen_at_ms.is_some_and(|seen_ms| seen_ms > started_ms)
                        && instance.is_some_and(|instance| instance != said.instance)
            });
            edges::take_own_report(&mut database, &edge, &text, clock.now_ms()).map(|()| other.is_none())
        };
        match tell() {
            Ok(true) => Ok(()),
            Ok(false) => Err(format!(
                "the edge id `{edge}` is used by another edge, too; give this `suiftly serve` its own with SUIFTLY_EDGE_ID"
            )),
            Err(error) => Err(chain_of(&error)),
        }
    })
}

fn run_until_stopped(
    server: http::Bound,
    address: SocketAddr,
    board: &Board,
    agent: Option<&JoinHandle<()>>,
) -> Result<(), ServeError> {
    let ended = server.run_until_stopped(|| agent.is_some_and(JoinHandle::is_finished));
    board.stop();
    let agent_ended_by_itself = matches!(ended, Ok(http::Ended::ByCaller));
    agent.inspect(|agent| wait_for_agent(agent));
    ended.map_err(|source| ServeError::Http { address, source })?;
    if agent_ended_by_itself { Err(ServeError::AgentEnded) } else { Ok(()) }
}

/// Makes a folder that only we can enter, with its parents; one that is there already is left as it is.
///
/// # Errors
/// The operating system's.
pub fn make_private_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

fn make_folder(folder: &Path, mode: u32) -> Result<(), ServeError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(mode).create(folder);
    made.map_err(|error| ServeError::Folder(folder.to_owned(), error))
}

/// A step that is cut off is repaired at the next start; but one that is nearly done may end.
fn wait_for_agent(agent: &JoinHandle<()>) {
    let mut waited = Duration::ZERO;
    while !agent.is_finished() && waited < AGENT_STOP_LIMIT {
        std::thread::sleep(AGENT_STOP_LOOK_EVERY);
        waited += AGENT_STOP_LOOK_EVERY;
    }
    tracing::info!(in_time = agent.is_finished(), "suiftly has stopped");
}

/// An error with everything that caused it, on one line.
pub fn chain_of(error: &(impl std::error::Error + ?Sized)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
