//! How many lines came, and what became of them.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the start of this process. They only grow; each is right by itself, and no two belong to one moment.
#[derive(Debug, Default)]
pub struct RequestCounts {
    lines: AtomicU64,
    admitted: AtomicU64,
    stored: AtomicU64,
    dropped: [AtomicU64; Why::ALL.len()],
}

/// Why a line is not kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It is no line of ours.
    Unreadable,
    /// More came in this second than are to be kept (`SUIFTLY_REQUEST_LOG_PER_S`); its statistics are.
    Sampled,
    /// The queue is full; its statistics are kept.
    QueueFull,
    /// Too many customers and keys at once: its statistics are lost.
    StatisticsFull,
    /// The control plane refuses the batch.
    Refused,
    /// The operating system's buffer was full.
    SocketFull,
}

impl Why {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Unreadable,
        Self::Sampled,
        Self::QueueFull,
        Self::StatisticsFull,
        Self::Refused,
        Self::SocketFull,
    ];

    /// The word in `/metrics`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Sampled => "sampled",
            Self::QueueFull => "queue_full",
            Self::StatisticsFull => "statistics_full",
            Self::Refused => "refused",
            Self::SocketFull => "socket_full",
        }
    }
}

impl RequestCounts {
    /// Lines that were received, whatever became of them.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    /// Those of requests that the module had admitted: as many as the usage ledger has counted, where no line was lost.
    pub fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Relaxed)
    }

    /// Lines that were handed over.
    pub fn stored(&self) -> u64 {
        self.stored.load(Ordering::Relaxed)
    }

    /// Lines that were not.
    pub fn dropped(&self, why: Why) -> u64 {
        self.place(why).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    pub(super) fn count_line(&self) {
        self.lines.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_admitted(&self) {
        self.admitted.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_stored(&self, lines: usize) {
        self.stored.fetch_add(lines as u64, Ordering::Relaxed);
    }

    pub(super) fn count_dropped(&self, why: Why, lines: u64) {
        if let Some(count) = self.place(why) {
            count.fetch_add(lines, Ordering::Relaxed);
        }
    }

    fn place(&self, why: Why) -> Option<&AtomicU64> {
        Why::ALL.iter().zip(&self.dropped).find(|(other, _)| **other == why).map(|(_, count)| count)
    }
}
