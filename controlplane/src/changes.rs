//! What the edges must know, as a numbered stream of changes (DESIGN section 5).

pub mod compaction;
pub mod feed;
pub mod listener;
pub mod record;
pub mod transfer;
