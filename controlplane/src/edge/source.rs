//! Where an agent learns what its edge should know.

use crate::changes::feed::{self, Feed, Snapshot};
use crate::clock::Clock;
use crate::db::stream::Position;
use crate::db::{Database, DbError};
use crate::domain::DomainError;
use crate::edge::mirror::Mirror;
use crate::edge::{LOCAL_EDGE, offer_back};
use apikey::{CheckValue, Group};
use edgeformat::Revocation;
use std::collections::BTreeMap;

/// Why there is nothing to be learnt now. The edge goes on with what it has.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The database could not be read.
    #[error(transparent)]
    Db(#[from] DbError),
    /// What this edge knows could not be offered to the database; nothing of its new history is adopted.
    #[error("the revocations that this edge knows could not be offered to the database")]
    Offer(#[from] DomainError),
    /// The control plane cannot be asked.
    #[error("cut off from the control plane: {0}")]
    CutOff(String),
}

/// The database, or a control plane in between.
pub trait Source: Send {
    /// What comes after `known`, as far as it is there already; waits for nothing.
    ///
    /// # Errors
    /// [`SourceError`]; the next call tries again.
    fn after(&mut self, known: Position) -> Result<Feed, SourceError>;

    /// Everything, whatever is known; none where it comes later, from [`Self::after`].
    ///
    /// # Errors
    /// [`SourceError`].
    fn anew(&mut self) -> Result<Option<Snapshot>, SourceError>;

    /// Offers the revocations that the edge knows, since `snapshot` is of a database that may have forgotten them. Answers
    /// what the edge is to adopt; none where that comes later, from [`Self::after`].
    ///
    /// # Errors
    /// [`SourceError`]; nothing may be adopted then.
    fn offer(&mut self, mirror: &Mirror, snapshot: Snapshot) -> Result<Option<Snapshot>, SourceError>;

    /// The master key groups that the edge must hold, where they were told apart from the changes; an agent that begins with
    /// its files, which hold none, learns them by it.
    fn key_groups(&mut self) -> Option<BTreeMap<Group, CheckValue>> {
        None
    }

    /// Told what the edge should know by all that was learnt, so that a difference can be found.
    fn compare(&mut self, _mirror: &Mirror) {}
}

/// The database itself.
pub struct DatabaseSource {
    /// The connection.
    pub database: Database,
    /// The time.
    pub clock: Clock,
}

impl Source for DatabaseSource {
    fn after(&mut self, known: Position) -> Result<Feed, SourceError> {
        Ok(self.database.read(|tx| feed::after(tx, known))?)
    }

    fn anew(&mut self) -> Result<Option<Snapshot>, SourceError> {
        Ok(Some(self.database.read(feed::snapshot)?))
    }

    fn offer(&mut self, mirror: &Mirror, _snapshot: Snapshot) -> Result<Option<Snapshot>, SourceError> {
        let known: Vec<Revocation> = mirror.revocations().values().copied().collect();
        let now_ms = self.clock.now_ms();
        offer_back::offer(&mut self.database, LOCAL_EDGE, mirror.position(), &known, now_ms)?;
        self.anew()
    }
}
