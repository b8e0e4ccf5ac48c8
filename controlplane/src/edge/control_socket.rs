//! `control.sock`, served by `suiftly serve`: other processes on this machine wake the agent and wait for the
//! edge here.
//!
//! Its file mode (0600, in a folder of mode 0700) is its protection.

use crate::clock::Clock;
use crate::edge::LOCAL_EDGE;
use crate::edge::board::{Board, Waited};
use crate::edge::control_protocol::{Answer, EdgeAnswer, LINE_LEN_MAX, Question, WAIT_LIMIT_MAX_MS};
use crate::edge::report::EdgeReport;
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
    pub fn serve(
        path: PathBuf,
        lock: &'l StateLock,
        board: Arc<Board>,
        clock: Clock,
    ) -> Result<Self, ControlSocketError> {
        // The lock says so already, unless the folder lies on a file system without locks.
        if UnixStream::connect(&path).is_ok() {
            return Err(ControlSocketError::InUse(path));
        }
        let make = |error| ControlSocketError::Make(path.clone(), error);
        let listener = bind_private(&path).map_err(make)?;
        let accept = move || accept_all(&listener, &board, &clock);
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
fn accept_all(listener: &UnixListener, board: &Arc<Board>, clock: &Clock) {
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
        let (board, counter, clock) = (Arc::clone(board), Arc::clone(&connected), clock.clone());
        let answer = move || {
            if let Err(error) = answer_one(&connection, &board, &clock) {
                tracing::debug!(%error, "a connection to the control socket broke");
            }
            counter.fetch_sub(1, Ordering::SeqCst);
        };
        if std::thread::Builder::new().name("control-answer".to_owned()).spawn(answer).is_err() {
            connected.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn answer_one(connection: &UnixStream, board: &Board, clock: &Clock) -> std::io::Result<()> {
    connection.set_read_timeout(Some(IO_LIMIT))?;
    connection.set_write_timeout(Some(IO_LIMIT))?;
    let mut line = String::new();
    BufReader::new(connection.take(LINE_LEN_MAX)).read_line(&mut line)?;
    let answer = match serde_json::from_str(&line) {
        Ok(question) => answer_to(question, board, clock),
        Err(error) => Answer::Error { error: format!("the question cannot be read: {error}") },
    };
    let mut text = serde_json::to_string(&answer)?;
    text.push('\n');
    (&*connection).write_all(text.as_bytes())
}

fn answer_to(question: Question, board: &Board, clock: &Clock) -> Answer {
    match question {
        Question::Ping { .. } => Answer::Pong { pong: true },
        Question::Edges { .. } => {
            Answer::Edges { edges: vec![EdgeReport::of(LOCAL_EDGE, &board.state(), clock.now_ms())] }
        }
        Question::Resync { limit_ms, .. } => {
            board.ask_for_resync();
            waited(board.wait_for(None, 0, Duration::from_millis(limit_ms.min(WAIT_LIMIT_MAX_MS))))
        }
        Question::Wait { wait_for_sequence, limit_ms, stream } => {
            let stream = match stream.map(|stream| stream.parse()).transpose() {
                Ok(stream) => stream,
                Err(error) => return Answer::Error { error: format!("`stream`: {error}") },
            };
            let limit = Duration::from_millis(limit_ms.min(WAIT_LIMIT_MAX_MS));
            waited(board.wait_for(stream, wait_for_sequence, limit))
        }
    }
}

fn waited(Waited { applied, sequence, detail }: Waited) -> Answer {
    let edge = EdgeAnswer { edge: LOCAL_EDGE.to_owned(), applied, sequence, detail };
    Answer::Waited { applied, sequence, edges: vec![edge] }
}
