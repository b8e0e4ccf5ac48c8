//! Everything that the module keeps in one HAProxy process, shared by all of its threads.

use crate::clock::Clock;
use crate::counts::Counts;
use crate::journal::Journal;
use crate::keyring::PreparedKeyring;
use crate::load::Load;
use crate::local_revocations::LocalRevocations;
use crate::revocations::Revocations;
use crate::tables::{SharedTables, Tables};
use crate::usage::Usage;
use std::sync::{Mutex, RwLockReadGuard};

/// The state of one HAProxy process.
pub struct Edge {
    /// The prepared MACs. Fixed for the life of the process.
    pub keyring: PreparedKeyring,
    /// Policies, revocations and allowlists.
    pub tables: SharedTables,
    /// What the operator of this edge refuses beside the database.
    pub local_revocations: LocalRevocations,
    /// What came after the files of the tables were written.
    pub journal: Journal,
    /// Counters per customer and service.
    pub usage: Usage,
    /// Counters of the module.
    pub counts: Counts,
    /// Where the time comes from.
    pub clock: Clock,
    /// A load that has begun and is not in force yet. Requests never touch this lock.
    pub load: Mutex<Option<Load>>,
    /// Random: tells one loaded module from the next.
    pub instance: u64,
    /// When the module was loaded, unix seconds.
    pub loaded_at_s: u64,
}

impl Edge {
    /// An edge with these parts, no counts and no journal.
    ///
    /// # Errors
    /// The operating system gives no random number.
    pub fn new(
        keyring: PreparedKeyring,
        tables: SharedTables,
        usage: Usage,
        clock: Clock,
    ) -> Result<Self, getrandom::Error> {
        let instance = getrandom::u64()?;
        let loaded_at_s = clock.now_s();
        let (journal, counts, load) = (Journal::none(), Counts::default(), Mutex::new(None));
        let local_revocations = LocalRevocations::new(Revocations::with_room_for(0));
        Ok(Self {
            keyring,
            tables,
            local_revocations,
            journal,
            usage,
            counts,
            clock,
            load,
            instance,
            loaded_at_s,
        })
    }

    /// The tables, if requests may be judged by them.
    #[inline]
    pub fn current_tables(&self) -> Option<RwLockReadGuard<'_, Tables>> {
        if self.journal.is_caught_up(self) { self.tables.read() } else { None }
    }
}
