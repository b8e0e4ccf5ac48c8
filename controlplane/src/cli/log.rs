//! The log on stderr: text for people, one JSON object a line for machines.
//!
//! A JSON line has `timestamp` (RFC 3339, UTC, milliseconds), `level`, `target`, `message`, and the fields of the event beside
//! them. No event of ours carries a key, a token or a signature. Libraries do not promise that, and below `info` some print whole
//! headers: so they are heard from `info` on only, whatever the setting says.

use crate::clock::{Clock, rfc3339_ms};
use crate::config::{LogConfig, LogFormat};
use std::io::IsTerminal;
use tracing::Level;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt};

/// The crates whose every event is ours.
const OURS: [&str; 5] = ["controlplane", "suiftly", "edgeformat", "ledger", "apikey"];

/// Logs from now on.
pub fn start(config: &LogConfig) {
    let is_terminal = std::io::stderr().is_terminal();
    let is_text = match config.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Text => true,
        LogFormat::Json => false,
    };
    let lines = fmt::layer().with_writer(std::io::stderr).with_timer(SystemTimeMs(Clock::system()));
    let lines: Box<dyn Layer<Registry> + Send + Sync> = if is_text {
        // Where it is a terminal the default is left alone: it looks at NO_COLOR.
        let lines = if is_terminal { lines } else { lines.with_ansi(false) };
        lines.with_target(false).with_filter(config.env_filter()).boxed()
    } else {
        lines.json().flatten_event(true).with_filter(config.env_filter()).boxed()
    };
    let careful = FilterFn::new(|metadata| may_be_logged(metadata.target(), *metadata.level()));
    // An error means that the caller logs already; then it goes there.
    let _ = tracing_subscriber::registry().with(lines.with_filter(careful)).try_init();
}

fn may_be_logged(target: &str, level: Level) -> bool {
    let of = target.split("::").next().unwrap_or_default();
    level <= Level::INFO || OURS.contains(&of)
}

struct SystemTimeMs(Clock);

impl FormatTime for SystemTimeMs {
    fn format_time(&self, writer: &mut Writer<'_>) -> std::fmt::Result {
        writer.write_str(&rfc3339_ms(self.0.now_ms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_heard_from_info_on_only() {
        assert!(may_be_logged("controlplane::edge::agent", Level::TRACE));
        assert!(may_be_logged("actix_server::builder", Level::INFO));
        assert!(!may_be_logged("h2::codec::framed_read", Level::DEBUG));
        assert!(!may_be_logged("controlplaneish", Level::DEBUG));
    }
}
