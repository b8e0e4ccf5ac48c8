//! Wakes the agent when another process has committed changes to PostgreSQL: `suiftly admin` on another machine,
//! or another copy of `suiftly serve`.
//!
//! The notice carries no data and may be lost: who is woken reads the change log, and looks every second
//! without being asked.

use crate::app::chain_of;
use crate::config::PostgresUrl;
use crate::db::{ChangeNotices, DbError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the connection is read: one system call without a reply from the server.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long the thread rests before it connects again.
const RECONNECT_PAUSE: Duration = Duration::from_secs(1);

/// Starts the thread; it ends soon after `stopping` is set.
///
/// # Errors
/// The operating system gave no thread.
pub fn start(
    url: PostgresUrl,
    stopping: Arc<AtomicBool>,
    wake: impl Fn() + Send + 'static,
) -> std::io::Result<JoinHandle<()>> {
    let listener = Listener { url, stopping, wake };
    std::thread::Builder::new().name("change-listener".to_owned()).spawn(move || listener.run())
}

struct Listener<W> {
    url: PostgresUrl,
    stopping: Arc<AtomicBool>,
    wake: W,
}

impl<W: Fn()> Listener<W> {
    fn run(&self) {
        // Logged once a change, so that a server that is down fills no log.
        let mut logged = false;
        while !self.is_stopping() {
            let ended = ChangeNotices::listen(&self.url).and_then(|notices| {
                if std::mem::take(&mut logged) {
                    tracing::info!(database = %self.url, "changes of other processes are heard again");
                }
                self.follow(notices)
            });
            if let (Err(error), false) = (ended, logged) {
                tracing::warn!(
                    error = chain_of(&error),
                    "changes of other processes are not heard; they are found once a second. Trying again"
                );
                logged = true;
            }
            self.rest(RECONNECT_PAUSE);
        }
    }

    fn follow(&self, mut notices: ChangeNotices) -> Result<(), DbError> {
        // For what was committed while nobody listened.
        (self.wake)();
        while !self.is_stopping() {
            if notices.take()? {
                (self.wake)();
            }
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn rest(&self, pause: Duration) {
        let mut rested = Duration::ZERO;
        while rested < pause && !self.is_stopping() {
            std::thread::sleep(LOOK_EVERY);
            rested += LOOK_EVERY;
        }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}
