//! `control.sock`, served by `suiftly serve` and `suiftly agent`: other processes on this machine wake the agent and wait for the
//! edge here.
//!
//! Its file mode (0600, in a folder of mode 0700) is its protection.

use crate::app::chain_of;
use crate::config::DatabaseConfig;
use crate::db::Database;
use crate::domain::edges;
use crate::edge::board::{Board, Waited, WaitedEdge};
use crate::edge::control_protocol::{Answer, EdgeAnswer, LINE_LEN_MAX, Question, WAIT_LIMIT_MAX_MS};
use crate::edge::roster;
use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How many may be connected at once; each takes a thread while it waits.
const CONNECTIONS_MAX: usize = 64;
/// How long a connection may take to ask its question, and to take its answer.
const IO_LIMIT: Duration = Duration::from_secs(5);
/// How long the thread rests when a connection could not be accepted (too many open files).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the socket cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ControlSocketError {
    /// Another `suiftly serve` uses this state folder.
    #[error("another `suiftly serve` runs on {}; stop it first, or give this one another SUIFTLY_STATE", .0.display())]
    InUse(PathBuf),
    /// The socket or its lock cannot be made.
    #[error("{} cannot be made; a path of a socket has at most 107 bytes", .0.display())]
    Make(PathBuf, #[source] std::io::Error),
}

/// Proof that this process alone writes into the state folder: map files, database, socket.
///
/// Locked for as long as it is open; the kernel unlocks it however the process ends.
#[derive(Debug)]
pub struct StateLock {
    _file: File,
}

impl StateLock {
    /// Takes the folder for this process.
    ///
    /// # Errors
    /// [`ControlSocketError::InUse`] where another process has it.
    pub fn take(path: &Path) -> Result<Self, ControlSocketError> {
        let make = |error| ControlSocketError::Make(path.to_owned(), error);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(make)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(ControlSocketError::InUse(path.to_owned())),
            Err(error) => Err(make(error.into())),
        }
    }
}

/// The socket while it is served. Dropping it removes the file.
#[derive(Debug)]
pub struct ControlSocket<'l> {
    path: PathBuf,
    _lock: &'l StateLock,
}

impl<'l> ControlSocket<'l> {
    /// Serves the socket in the folder that `lock` has taken. A file that a killed process left behind is
    /// replaced.
    ///
    /// # Errors
    /// [`ControlSocketError`].
    pub fn serve(path: PathBuf, lock: &'l StateLock, answerer: Answerer) -> Result<Self, ControlSocketError> {
        // The lock says so already, unless the folder lies on a file system without locks.
        if UnixStream::connect(&path).is_ok() {
            return Err(ControlSocketError::InUse(path));
        }
        let make = |error| ControlSocketError::Make(path.clone(), error);
        let listener = bind_private(&path).map_err(make)?;
        let accept = move || accept_all(&listener, &answerer);
        std::thread::Builder::new().name("control-socket".to_owned()).spawn(accept).map_err(make)?;
        Ok(Self { path, _lock: lock })
    }
}

impl Drop for ControlSocket<'_> {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(file = %self.path.display(), %error, "the control socket's file could not be removed");
        }
    }
}

/// Bound under another name, made private, then renamed: the socket never stands there with a wider mode, and
/// a stale file of a process that was killed is replaced in the same step.
fn bind_private(path: &Path) -> std::io::Result<UnixListener> {
    let draft = path.with_extension("new");
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&draft)?;
    std::fs::set_permissions(&draft, Permissions::from_mode(0o600))?;
    std::fs::rename(&draft, path)?;
    Ok(listener)
}

/// Runs until the process ends: it holds nothing that needs an orderly end.
fn accept_all(listener: &UnixListener, answerer: &Answerer) {
    let connected = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming() {
        let Ok(connection) = connection else {
            std::thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        // Only this thread adds, so the bound cannot be overstepped between the two lines.
        if connected.load(Ordering::SeqCst) >= CONNECTIONS_MAX {
            // Closed without an answer: the asker takes that for "not confirmed".
            continue;
        }
        connected.fetch_add(1, Ordering::SeqCst);
        let (answerer, counter) = (answerer.clone(), Arc::clone(&connected));
        let answer = move || {
            if let Err(error) = answer_one(&connection, &answerer) {
                tracing::debug!(%error, "a connection to the control socket broke");
            }
            counter.fetch_sub(1, Ordering::SeqCst);
        };
        if std::thread::Builder::new().name("control-answer".to_owned()).spawn(answer).is_err() {
            connected.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn answer_one(connection: &UnixStream, answerer: &Answerer) -> std::io::Result<()> {
    connection.set_read_timeout(Some(IO_LIMIT))?;
    connection.set_write_timeout(Some(IO_LIMIT))?;
    let mut line = String::new();
    BufReader::new(connection.take(LINE_LEN_MAX)).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(question) => answerer.answer_to(question),
        Err(error) => Answer::Error { error: format!("the question cannot be read: {error}") },
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    (&*connection).write_all(text.as_bytes())
}

/// What the answers are made of.
#[derive(Clone, Debug)]
pub struct Answerer {
    /// How the edges stand.
    pub board: Arc<Board>,
    /// Where other edges are asked for something; none where there is no database.
    pub database: Option<DatabaseConfig>,
}

impl Answerer {
    fn answer_to(&self, question: Question) -> Answer {
        match question {
            Question::Ping { .. } => Answer::Pong { pong: true },
            Question::Edges { .. } => Answer::Edges { edges: self.board.edges() },
            Question::Resync { limit_ms, edge, .. } => match self.ask_for_resync(edge.as_deref()) {
                Ok(()) => waited(self.board.wait_for(None, 0, limit(limit_ms))),
                Err(error) => Answer::Error { error },
            },
            Question::Wait { wait_for_sequence, limit_ms, stream } => {
                let stream = match stream.map(|stream| stream.parse()).transpose() {
                    Ok(stream) => stream,
                    Err(error) => return Answer::Error { error: format!("`stream`: {error}") },
                };
                waited(self.board.wait_for(stream, wait_for_sequence, limit(limit_ms)))
            }
        }
    }

    /// The edge on this machine is asked here, the others through their table.
    fn ask_for_resync(&self, edge: Option<&str>) -> Result<(), String> {
        let is_local = edge.is_none_or(|edge| self.board.local() == Some(edge));
        if let Some(config) = &self.database {
            let asked = Database::open_again(config).and_then(|mut database| {
                let known = edges::ask_for_resync(&mut database, edge, self.board.local())?;
                roster::read(&mut database, &self.board).map(|()| known)
            });
            let is_known = asked.map_err(|error| chain_of(&error))?;
            if !is_known && !is_local {
                return Err("there is no such edge; `suiftly edge status` names them".to_owned());
            }
        } else if !is_local {
            return Err(
                "only the edge on this machine is known here; ask where `suiftly serve` runs".to_owned()
            );
        }
        if is_local {
            self.board.ask_for_resync();
        }
        Ok(())
    }
}

fn limit(limit_ms: u64) -> Duration {
    Duration::from_millis(limit_ms.min(WAIT_LIMIT_MAX_MS))
}

fn waited(waited: Waited) -> Answer {
    let sequence = waited.sequence();
    let edge = |edge: WaitedEdge| EdgeAnswer {
        edge: edge.edge,
        applied: edge.applied,
        sequence: edge.sequence,
        detail: edge.detail,
    };
    Answer::Waited { applied: waited.applied, sequence, edges: waited.edges.into_iter().map(edge).collect() }
}
