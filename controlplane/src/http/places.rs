//! How many questions of one kind each edge may have open: it has a token, and is not trusted with all of our memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The open questions of each edge. Cheap to clone.
#[derive(Clone, Default, Debug)]
pub struct Places(Arc<Mutex<HashMap<String, u32>>>);

impl Places {
    /// A place, if the edge has less than `most` taken.
    pub(super) fn take(&self, edge: &str, most: u32) -> Option<Place> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of_edge = taken.entry(edge.to_owned()).or_default();
        if *of_edge >= most {
            return None;
        }
        *of_edge += 1;
        Some(Place { places: self.clone(), edge: edge.to_owned() })
    }
}

/// One place; given back when the question ends, however it ends.
pub(super) struct Place {
    places: Places,
    edge: String,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_edge) = taken.get_mut(&self.edge) {
            *of_edge = of_edge.saturating_sub(1);
        }
    }
}
