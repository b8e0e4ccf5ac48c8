//! The commands on HAProxy's runtime socket: words → one line of JSON. HAProxy checks no permission level on them; the
//! mode of the socket's file is the protection.

pub mod apply;
pub mod show;
pub mod status;

fn to_json(value: &impl serde::Serialize) -> String {
    // The answers have string keys and plain values only; serde_json cannot fail on them.
    serde_json::to_string(value).unwrap_or_else(|error| format!("{{\"error\":\"{error}\"}}")) + "\n"
}
