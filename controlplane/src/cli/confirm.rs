//! Waiting until the edges have what a command has saved.

use crate::cli::{Exit, Reply};
use crate::config::Config;
use crate::db::stream::Position;
use crate::edge::control_client::{self, Confirmation};
use clap::Args;
use serde::Serialize;
use std::time::Duration;

/// Whether and how long to wait.
#[derive(Args, Clone, Copy, Debug)]
pub struct WaitArguments {
    /// Do not wait until the edge has confirmed
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the edge, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(0..=600))]
    wait_limit: u64,
}

/// The end of the answer of every command that changes what the edges enforce.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Confirmed {
    /// The change that the edges must have.
    pub sequence: u64,
    /// Whether every edge has confirmed it.
    pub applied: bool,
    /// The edges that have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_for: Option<Vec<String>>,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether anybody has waited at all.
    #[serde(skip)]
    waited: bool,
}

/// Wakes the agent and waits, unless the arguments say not to.
pub fn confirm(config: &Config, position: Position, wait: WaitArguments) -> Confirmed {
    let socket = config.state.control_socket();
    let mut confirmed = Confirmed {
        sequence: position.sequence,
        applied: false,
        waiting_for: None,
        detail: None,
        waited: true,
    };
    if wait.no_wait {
        control_client::wake(&socket, position);
        confirmed.waited = false;
        return confirmed;
    }
    match control_client::wait_for(&socket, position, Duration::from_secs(wait.wait_limit)) {
        Confirmation::Applied => confirmed.applied = true,
        Confirmation::Pending { waiting_for, detail } => {
            (confirmed.waiting_for, confirmed.detail) = (Some(waiting_for), Some(detail));
        }
    }
    confirmed
}

impl Confirmed {
    /// One line for people.
    pub fn text(&self) -> String {
        match (self.applied, self.waited) {
            (true, _) => format!("in force at the edge (change {})", self.sequence),
            (false, false) => format!("saved as change {}; not waited for the edge", self.sequence),
            (false, true) => format!("saved as change {}; NOT yet confirmed by the edge", self.sequence),
        }
    }

    /// The reply with the exit code and the remark that belong to this.
    pub fn conclude(&self, mut reply: Reply) -> Reply {
        if self.applied || !self.waited {
            return reply;
        }
        reply.exit = Exit::NotConfirmed;
        let detail = self.detail.as_deref().unwrap_or("the edge has not confirmed it in time");
        let note = format!("saved as change {}, but not yet confirmed: {detail}", self.sequence);
        reply.with_note(note)
    }
}
