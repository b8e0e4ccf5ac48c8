//! Where an agent's readings of its ledgers go: into the database beside it, or to a control plane on another machine.

use crate::app::chain_of;
use crate::clock::Clock;
use crate::config::DatabaseConfig;
use crate::db::Database;
use crate::domain::usage::{self, UsageError};
use crate::edge::board::Board;
use crate::edge::control_plane::ControlPlane;
use crate::edge::metering::{Sink, TellError};
use std::sync::Arc;

/// Into the database, as the edge with this name.
pub fn into_database(config: DatabaseConfig, edge: String, board: Arc<Board>, clock: Clock) -> Sink {
    // Kept open between readings; a connection that failed is not used again.
    let mut open: Option<Database> = None;
    Box::new(move |reading| {
        let mut database = match open.take() {
            Some(database) => database,
            None => Database::open_again(&config).map_err(|error| TellError::Later(chain_of(&error)))?,
        };
        let now_ms = clock.now_ms();
        let taken = usage::take(&mut database, &edge, reading, now_ms);
        board.usage().note(&edge, &taken, now_ms);
        match taken {
            Ok(_) => {
                open = Some(database);
                Ok(())
            }
            Err(error @ UsageError::OtherEdge { .. }) => Err(TellError::Never(chain_of(&error))),
            Err(error) => Err(TellError::Later(chain_of(&error))),
        }
    })
}

/// To the control plane.
pub fn to_control_plane(control_plane: Arc<ControlPlane>) -> Sink {
    Box::new(move |reading| {
        control_plane.usage(reading).map_err(|error| {
            let why = chain_of(&error);
            if error.is_for_ever() { TellError::Never(why) } else { TellError::Later(why) }
        })
    })
}
