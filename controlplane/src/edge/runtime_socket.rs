//! One command, one reply, on HAProxy's master socket.
//!
//! One connection a command: in this mode HAProxy closes when the reply is complete, so the end of the stream
//! is the end of the reply. What breaks off or takes too long is an error and never an answer; whether a
//! command that was not confirmed took effect is found out by asking, not by sending it again blindly.

use crate::clock::Clock;
use edgeformat::command::COMMAND_LEN_MAX;
use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long one command may take. Nothing that the module does takes longer than 20 ms; a worker that is
/// starting or has been stopped does not answer at all.
const COMMAND_LIMIT: Duration = Duration::from_secs(2);
/// The longest reply that is read: `show map` of 1,023 plans, many times.
const REPLY_LEN_MAX: u64 = 4 * 1024 * 1024;

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nobody listens.
    #[error("HAProxy's master socket {} does not answer; is HAProxy running with `-W -S` on this path?", .0.display())]
    NotThere(PathBuf, #[source] std::io::Error),
    /// The reply did not come in time.
    #[error("HAProxy did not answer `{command}` in time")]
    Timeout {
        /// The beginning of the command.
        command: String,
    },
    /// The connection broke.
    #[error("the connection to HAProxy broke during `{command}`")]
    Broken {
        /// The beginning of the command.
        command: String,
        /// How.
        source: std::io::Error,
    },
    /// The reply cannot be what was asked for.
    #[error("HAProxy's reply to `{command}` cannot be used: {reason}")]
    Reply {
        /// The beginning of the command.
        command: String,
        /// Why not.
        reason: String,
    },
    /// We were about to send something that HAProxy would misread.
    #[error("a command for HAProxy was not sent: {0}")]
    Unsendable(String),
}

/// HAProxy's master.
#[derive(Clone, Debug)]
pub struct MasterSocket {
    path: PathBuf,
    clock: Clock,
}

impl MasterSocket {
    /// The socket at this path; nothing is opened yet.
    pub const fn new(path: PathBuf, clock: Clock) -> Self {
        Self { path, clock }
    }

    /// Asks the master itself.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn ask_master(&self, command: &str, deadline: Instant) -> Result<String, SocketError> {
        self.ask(command, deadline)
    }

    /// Asks one worker.
    ///
    /// # Errors
    /// [`SocketError`].
    pub fn ask_worker(&self, pid: u32, command: &str, deadline: Instant) -> Result<String, SocketError> {
        self.ask(&format!("@!{pid} {command}"), deadline)
    }

    fn ask(&self, command: &str, deadline: Instant) -> Result<String, SocketError> {
        refuse_unsendable(command)?;
        let deadline = deadline.min(self.clock.instant() + COMMAND_LIMIT);
        let mut socket = UnixStream::connect(&self.path)
            .map_err(|error| SocketError::NotThere(self.path.clone(), error))?;
        let failed = |error: std::io::Error| match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                SocketError::Timeout { command: beginning(command) }
            }
            _ => SocketError::Broken { command: beginning(command), source: error },
        };
        socket.set_write_timeout(Some(self.left(deadline, command)?)).map_err(failed)?;
        socket.write_all(format!("{command}\n").as_bytes()).map_err(failed)?;
        // The master waits for further commands until it knows that none will come.
        socket.shutdown(Shutdown::Write).map_err(failed)?;
        let mut reply = Vec::new();
        let mut chunk = [0; 16 * 1024];
        loop {
            socket.set_read_timeout(Some(self.left(deadline, command)?)).map_err(failed)?;
            match socket.read(&mut chunk) {
                Ok(0) => break,
                Ok(len) => reply.extend_from_slice(chunk.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(error)),
            }
            if reply.len() as u64 > REPLY_LEN_MAX {
                return Err(unusable(command, format!("it is longer than {REPLY_LEN_MAX} bytes")));
            }
        }
        String::from_utf8(reply).map_err(|_| unusable(command, "it is not UTF-8"))
    }

    fn left(&self, deadline: Instant, command: &str) -> Result<Duration, SocketError> {
        // A timeout of zero would mean none.
        let left = deadline.saturating_duration_since(self.clock.instant());
        if left.is_zero() { Err(SocketError::Timeout { command: beginning(command) }) } else { Ok(left) }
    }
}

/// An error about a reply.
pub fn unusable(command: &str, reason: impl Into<String>) -> SocketError {
    SocketError::Reply { command: beginning(command), reason: reason.into() }
}

/// A `;` or a line feed would begin a second command, and HAProxy drops what does not fit its buffer without
/// a word.
fn refuse_unsendable(command: &str) -> Result<(), SocketError> {
    // A backslash is there only to take the meaning of the character behind it.
    let bare = command.replace("\\ ", " ").replace("\\;", "");
    if bare.bytes().any(|byte| byte == b';' || byte == b'\\' || !(b' '..=b'~').contains(&byte)) {
        return Err(SocketError::Unsendable(
            "it holds a character that HAProxy would take for something else".to_owned(),
        ));
    }
    if command.len() > COMMAND_LEN_MAX {
        return Err(SocketError::Unsendable(format!(
            "it has {} bytes, {COMMAND_LEN_MAX} fit",
            command.len()
        )));
    }
    Ok(())
}

/// The first words of a command, for an error text: the rest can be thousands of changes.
fn beginning(command: &str) -> String {
    command.split(' ').take(4).collect::<Vec<_>>().join(" ").chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_haproxy_would_misread_is_not_sent() {
        for command in ["show proc;reload", "show\nproc", "a\\b", "a\\", "ü"] {
            assert!(matches!(refuse_unsendable(command), Err(SocketError::Unsendable(_))), "{command:?}");
        }
        assert!(refuse_unsendable(&"a".repeat(COMMAND_LEN_MAX + 1)).is_err());
        assert!(refuse_unsendable("@!12 del map #0 3").is_ok());
    }
}
