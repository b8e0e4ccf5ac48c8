//! Where batches go.

use crate::app::chain_of;
use crate::config::DatabaseConfig;
use crate::db::{Database, DbError};
use crate::domain::requests::{self, Batch};
use crate::edge::control_plane::{AskError, ControlPlane};
use std::sync::Arc;

/// Takes a batch. One that is handed over again after [`SinkError::Later`] is taken once.
pub type Sink = Box<dyn FnMut(&Batch) -> Result<(), SinkError> + Send>;

/// Why a batch was not taken. The text is for the log and holds nothing of the batch.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SinkError {
    /// It may be taken later.
    #[error("{0}")]
    Later(String),
    /// It never will be.
    #[error("{0}")]
    Never(String),
}

/// Into the database of the `suiftly serve` that we run in, as lines of this edge.
pub fn into_database(config: DatabaseConfig, edge: String) -> Sink {
    let mut open = None;
    Box::new(move |batch| {
        let stored = with_database(&mut open, &config, |database| requests::store(database, &edge, batch));
        if stored.is_err() {
            open = None;
        }
        stored.map(drop).map_err(|error| SinkError::Later(chain_of(&error)))
    })
}

/// To the control plane on another machine, which knows by the token whose lines they are.
pub fn into_control_plane(control_plane: Arc<ControlPlane>) -> Sink {
    Box::new(move |batch| {
        control_plane.requests(batch).map_err(|error| match error {
            // Something is wrong with the batch; anything else may pass.
            AskError::Refused { status: 400 | 413 | 422, .. } => SinkError::Never(chain_of(&error)),
            _ => SinkError::Later(chain_of(&error)),
        })
    })
}

fn with_database<T>(
    open: &mut Option<Database>,
    config: &DatabaseConfig,
    act: impl FnOnce(&mut Database) -> Result<T, DbError>,
) -> Result<T, DbError> {
    match open {
        Some(database) => act(database),
        None => act(open.insert(Database::open_again(config)?)),
    }
}
