//! Where an agent learns what its edge should know.

use crate::changes::feed::{self, Feed, Snapshot};
use crate::db::stream::Position;
use crate::db::{Database, DbError};
use crate::edge::mirror::Mirror;

/// Why there is nothing to be learnt now. The edge goes on with what it has.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The database could not be read.
    #[error(transparent)]
    Db(#[from] DbError),
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

    /// Told what the edge should know by all that was learnt, so that a difference can be found.
    fn compare(&mut self, _mirror: &Mirror) {}
}

/// The database itself.
pub struct DatabaseSource(pub Database);

impl Source for DatabaseSource {
    fn after(&mut self, known: Position) -> Result<Feed, SourceError> {
        Ok(self.0.read(|tx| feed::after(tx, known))?)
    }

    fn anew(&mut self) -> Result<Option<Snapshot>, SourceError> {
        Ok(Some(self.0.read(feed::snapshot)?))
    }
}
