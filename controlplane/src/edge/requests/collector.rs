//! The two threads: one receives, one hands over.

use crate::app::chain_of;
use crate::clock::Clock;
use crate::config::RequestLogConfig;
use crate::domain::requests::{Batch, LINES_MAX, can_have_begun, pause_after};
use crate::edge::requests::haproxy_line::{LEN_MAX, parse};
use crate::edge::requests::{LineSocket, Pending, RequestCounts, Sink, SinkError, Why};
use crate::random;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long lines wait at most before they are handed over, and sums: statistics are to show a request within ten seconds.
const LINES_EVERY: Duration = Duration::from_secs(1);
const STATISTICS_EVERY: Duration = Duration::from_secs(4);
/// How long it rests after a batch that was not taken, and where the socket cannot be had.
const REST: Duration = Duration::from_secs(1);
/// How long the last batches may take when the process ends.
const END_LIMIT: Duration = Duration::from_millis(500);

struct Shared {
    pending: Mutex<Pending>,
    /// Said when a whole batch of lines waits.
    is_due: Condvar,
    counts: Arc<RequestCounts>,
    stopping: Arc<AtomicBool>,
    clock: Clock,
}

/// Starts both threads where the request log is on; they end soon after `stopping` is set. The socket is bound when this
/// returns, or, where it cannot be had, as soon as it can: a request log that is missing is no reason not to serve.
///
/// # Errors
/// The operating system gave no thread.
pub fn start(
    config: &RequestLogConfig,
    clock: Clock,
    counts: Arc<RequestCounts>,
    stopping: Arc<AtomicBool>,
    sink: Sink,
) -> io::Result<()> {
    let bound = match LineSocket::bind(&config.target) {
        Ok(None) => return Ok(()),
        Ok(bound) => bound,
        Err(error) => {
            let target = format!("{:?}", config.target);
            tracing::warn!(
                target,
                error = chain_of(&error),
                "the request log cannot be received; trying again"
            );
            None
        }
    };
    let (pending, is_due) = (Mutex::default(), Condvar::new());
    let shared = Arc::new(Shared { pending, is_due, counts, stopping, clock });
    let (receiving, config) = (Arc::clone(&shared), config.clone());
    std::thread::Builder::new()
        .name("request-lines".to_owned())
        .spawn(move || receiving.receive(&config, bound))?;
    std::thread::Builder::new().name("request-log".to_owned()).spawn(move || shared.hand_over(sink)).map(drop)
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn receive(&self, config: &RequestLogConfig, mut bound: Option<LineSocket>) {
        // One byte more than a line may have, so that a longer one is seen to be.
        let mut buffer = vec![0; LEN_MAX + 1];
        let (mut kernel_dropped, mut looked) = (0, self.clock.instant());
        while !self.is_stopping() {
            let Some(socket) = &bound else {
                std::thread::sleep(REST);
                bound = LineSocket::bind(&config.target).ok().flatten();
                continue;
            };
            match socket.receive(&mut buffer) {
                Ok(Some(line)) => self.take(line, config.lines_per_s),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(error = chain_of(&error), "the request log could not be read");
                    std::thread::sleep(REST);
                }
            }
            if looked.elapsed() >= LINES_EVERY {
                looked = self.clock.instant();
                let dropped = socket.dropped().unwrap_or(kernel_dropped);
                self.counts.count_dropped(Why::SocketFull, dropped.saturating_sub(kernel_dropped));
                kernel_dropped = dropped;
            }
        }
    }

    fn take(&self, line: &[u8], lines_per_s: u32) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        // HAProxy's own words, e.g. that a server is down, come the same way and are no requests.
        if !line.starts_with(b"{") {
            return;
        }
        self.counts.count_line();
        let now_ms = self.clock.now_ms();
        let Some(line) = parse(line).filter(|line| can_have_begun(line.time_ms, now_ms)) else {
            self.counts.count_dropped(Why::Unreadable, 1);
            return;
        };
        if line.was_admitted() {
            self.counts.count_admitted();
        }
        let mut pending = self.pending();
        if let Some(why) = pending.take(line, lines_per_s) {
            self.counts.count_dropped(why, 1);
        }
        if pending.lines() == LINES_MAX {
            self.is_due.notify_one();
        }
    }

    fn hand_over(&self, mut sink: Sink) {
        let instance = format!("{:016x}", random::nonzero_u64().unwrap_or(1));
        let (mut number, mut said, mut logged) = (0, self.clock.instant(), None);
        loop {
            let guard = self.pending();
            let waited = self.is_due.wait_timeout_while(guard, LINES_EVERY, |pending| {
                pending.lines() < LINES_MAX && !self.is_stopping()
            });
            let (mut pending, _) = waited.unwrap_or_else(PoisonError::into_inner);
            let is_last = self.is_stopping();
            if is_last || said.elapsed() >= STATISTICS_EVERY {
                said = self.clock.instant();
                pending.begin_statistics();
            }
            drop(pending);
            let end = self.clock.instant() + END_LIMIT;
            loop {
                let (lines, statistics) = self.pending().next_part();
                if lines.is_empty() && statistics.is_empty() {
                    break;
                }
                number += 1;
                let batch = Batch { instance: instance.clone(), number, lines, statistics };
                self.hand_over_one(&batch, &mut sink, &mut logged);
                let late = Instant::now() > end;
                // A part of a batch can wait for more.
                let is_short = batch.lines.len() < LINES_MAX && batch.statistics.is_empty();
                if is_last && late || !is_last && is_short {
                    break;
                }
            }
            if is_last {
                return;
            }
        }
    }

    /// Until it is taken, or never will be, or the end has come.
    fn hand_over_one(&self, batch: &Batch, sink: &mut Sink, logged: &mut Option<String>) {
        loop {
            let begun = self.clock.instant();
            let error = match sink(batch) {
                Ok(()) => {
                    self.counts.count_stored(batch.lines.len());
                    *logged = None;
                    pause_after(begun.elapsed());
                    return;
                }
                Err(error) => error,
            };
            let text = error.to_string();
            if logged.as_ref() != Some(&text) {
                tracing::warn!(error = text, "a part of the request log was not taken");
                *logged = Some(text);
            }
            if matches!(error, SinkError::Never(_)) || self.is_stopping() {
                self.counts.count_dropped(Why::Refused, batch.lines.len() as u64);
                return;
            }
            std::thread::sleep(REST);
        }
    }
}
