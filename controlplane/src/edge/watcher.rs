//! Wakes the agent as soon as an operator's file has changed. Without it the agent finds out at its next tick.

use crate::edge::board::Board;
use crate::edge::{local_revocations, operator_maps};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Watches the folder for as long as it is held.
pub struct MapWatcher {
    _watcher: RecommendedWatcher,
}

/// Starts to watch. Where the operating system cannot (too many watches), that is logged and the tick remains.
pub fn watch(maps: &Path, board: Arc<Board>) -> Option<MapWatcher> {
    let wake = move |event: notify::Result<Event>| {
        // An error may hide an event; to look once too often costs nothing.
        if event.as_ref().map_or(true, is_about_an_operators_file) {
            board.wake();
        }
    };
    let watching = notify::recommended_watcher(wake).and_then(|mut watcher| {
        // The folder and not the files: editors put a new file in the place of the old one.
        watcher.watch(maps, RecursiveMode::NonRecursive)?;
        Ok(MapWatcher { _watcher: watcher })
    });
    match watching {
        Ok(watcher) => Some(watcher),
        Err(error) => {
            tracing::warn!(folder = %maps.display(), %error, "the map files cannot be watched; changes are found once a second");
            None
        }
    }
}

fn is_about_an_operators_file(event: &Event) -> bool {
    let is_operators = |name: &str| operator_maps::FILES.contains(&name) || name == local_revocations::FILE;
    let named = |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(is_operators);
    !matches!(event.kind, EventKind::Access(_)) && event.paths.iter().any(named)
}
