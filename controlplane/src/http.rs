//! The HTTP server of the control plane.

pub mod health;
pub mod metrics;
pub mod operator;
pub mod router;

use crate::clock::Clock;
use crate::config::DatabaseConfig;
use crate::edge::board::Board;
use actix_web::dev::Server;
use actix_web::rt::System;
use actix_web::{App, HttpServer, web};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Worker threads: health checks and metrics need no more.
const THREADS: usize = 2;
/// How long open requests may take to end after a signal, in seconds.
const SHUTDOWN_LIMIT_S: u64 = 2;
/// How often it is looked whether the caller has ended.
const CALLER_LOOK_EVERY: Duration = Duration::from_millis(200);

/// What every handler may use.
#[derive(Clone, Debug)]
pub struct State {
    /// What the agent has achieved.
    pub board: Arc<Board>,
    /// The time.
    pub clock: Clock,
    /// The database, for the question whether it answers.
    pub database: DatabaseConfig,
}

/// Why the server ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// SIGINT or SIGTERM.
    BySignal,
    /// What it serves for has ended.
    ByCaller,
}

/// A server whose address is taken.
pub struct Bound {
    runtime: actix_web::rt::SystemRunner,
    server: Server,
}

impl Bound {
    /// Takes the address. Nothing is answered before [`Self::run_until_stopped`].
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(address: SocketAddr, state: State) -> std::io::Result<Self> {
        let runtime = System::new();
        let server = runtime.block_on(async move {
            let data = web::Data::new(state);
            let server = HttpServer::new(move || App::new().app_data(data.clone()).configure(router::routes))
                .workers(THREADS)
                .disable_signals()
                .shutdown_timeout(SHUTDOWN_LIMIT_S)
                .bind(address)?;
            Ok::<_, std::io::Error>(server.run())
        })?;
        Ok(Self { runtime, server })
    }

    /// Answers until SIGINT, SIGTERM, or until `caller_has_ended`.
    ///
    /// # Errors
    /// Signals cannot be received, or the server broke.
    pub fn run_until_stopped(self, caller_has_ended: impl Fn() -> bool) -> std::io::Result<Ended> {
        let Self { runtime, server } = self;
        runtime.block_on(async move {
            let (mut interrupt, mut terminate) =
                (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
            let handle = server.handle();
            let running = actix_web::rt::spawn(server);
            let mut look = tokio::time::interval(CALLER_LOOK_EVERY);
            let ended = loop {
                tokio::select! {
                    _ = interrupt.recv() => break Ended::BySignal,
                    _ = terminate.recv() => break Ended::BySignal,
                    _ = look.tick() => if caller_has_ended() { break Ended::ByCaller },
                }
            };
            handle.stop(true).await;
            running.await.map_err(std::io::Error::other)??;
            Ok(ended)
        })
    }
}
