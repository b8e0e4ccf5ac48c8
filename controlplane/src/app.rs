//! `suiftly serve` put together: what starts in which order, and how it ends.

use crate::changes::listener;
use crate::clock::Clock;
use crate::config::{Config, DatabaseConfig};
use crate::db::{Database, DbError};
use crate::domain::{DomainError, key_groups};
use crate::edge::agent::{Agent, LookError};
use crate::edge::board::Board;
use crate::edge::control_socket::{ControlSocket, ControlSocketError, StateLock};
use crate::edge::{scanner, watcher};
use crate::http;
use crate::keyring::{self, KeyringFileError};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the agent may take to end its step. With the HTTP server's own limit, which runs before, below 5
/// s.
const AGENT_STOP_LIMIT: Duration = Duration::from_millis(2_500);
const AGENT_STOP_LOOK_EVERY: Duration = Duration::from_millis(10);

/// Why `suiftly serve` did not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The state folder cannot be made.
    #[error("the folder {} cannot be made; give another one with SUIFTLY_STATE", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// There is no usable keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringFileError),
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
    /// The operating system gave no thread.
    #[error("a thread could not be started")]
    Thread(#[source] std::io::Error),
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

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// [`ServeError`].
pub fn serve(config: &Config, clock: Clock) -> Result<(), ServeError> {
    make_folder(&config.state.folder, 0o700)?;
    let lock = StateLock::take(&config.state.serve_lock())?;
    // Read now, so that a keyring that cannot be used is found now and not at the first key.
    let keyring = keyring::load_or_make(&config.keyring)?;
    let mut database = Database::open(&config.database)?;
    database
        .write(|tx| key_groups::adopt_first(tx, &keyring, clock.now_ms()))
        .map_err(ServeError::KeyGroups)?;
    make_folder(&config.state.maps(), 0o750)?;

    let board = Arc::new(Board::new(clock.clone()));
    let scanner = scanner::start(config.database.clone(), Arc::clone(&board)).map_err(ServeError::Thread)?;
    let agent = Agent::start(database, config, Arc::clone(&board), scanner.scans, clock.clone())?;
    let _watcher = watcher::watch(&config.state.maps(), Arc::clone(&board));
    let control_socket =
        ControlSocket::serve(config.state.control_socket(), &lock, Arc::clone(&board), clock.clone())?;
    let address = std::net::SocketAddr::new(config.api.listen, config.api.port);
    if !address.ip().is_loopback() {
        tracing::warn!(%address, "the API answers other machines in clear text; put a proxy with TLS in front of it");
    }
    let state = http::State { board: Arc::clone(&board), clock, database: config.database.clone() };
    let server = http::Bound::bind(address, state).map_err(|source| ServeError::Http { address, source })?;
    if let DatabaseConfig::Postgres(url) = &config.database {
        let woken = Arc::clone(&board);
        listener::start(url.clone(), board.stopping_flag(), move || woken.wake())
            .map_err(ServeError::Thread)?;
    }
    let agent = std::thread::Builder::new()
        .name("edge-agent".to_owned())
        .spawn(move || agent.run())
        .map_err(ServeError::Thread)?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        api = %address,
        edge.port = config.edge.port,
        state = %config.state.folder.display(),
        database = %config.database,
        key_groups = keyring.groups.len(),
        "suiftly serves"
    );
    drop(keyring);

    let ended = server.run_until_stopped(|| agent.is_finished());
    board.stop();
    drop(control_socket);
    let agent_ended_by_itself = matches!(ended, Ok(http::Ended::ByCaller));
    wait_for_agent(&agent);
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
