//! The HTTP server of the control plane.

pub mod api;
pub mod api_counts;
pub mod bearer;
pub mod caller;
pub mod confirmation;
pub mod docs;
pub mod edge_api;
pub mod edge_requests;
pub mod edge_usage;
pub mod etag;
pub mod health;
pub mod idempotency;
pub mod limits;
mod metering_metrics;
pub mod metrics;
pub mod observe;
pub mod openapi;
pub mod operator;
pub mod page;
pub mod pending_cache;
mod places;
pub mod router;
pub mod routes;
pub mod sign_in_source;
pub mod source;
pub mod strict;
pub mod tls;

use crate::clock::Clock;
use crate::config::DatabaseConfig;
use crate::edge::board::Board;
use crate::edge::requests::RequestCounts;
use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::rt::System;
use actix_web::{App, HttpServer, web};
use api::Api;
use api_counts::ApiCounts;
use pending_cache::PendingCache;
use places::Places;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;

/// Worker threads: health checks and metrics need no more.
const THREADS: usize = 2;
/// How long open requests may take to end after a signal, in seconds.
const SHUTDOWN_LIMIT_S: u64 = 2;
/// How often it is looked whether the caller has ended.
const CALLER_LOOK_EVERY: Duration = Duration::from_millis(200);

/// How many edges are sent everything at once.
const SNAPSHOTS_MAX: usize = 2;

/// What every handler may use.
#[derive(Clone, Debug)]
pub struct State {
    /// What the agents have achieved.
    pub board: Arc<Board>,
    /// The time.
    pub clock: Clock,
    /// The database; none in an agent alone, which answers only how it stands.
    pub database: Option<DatabaseConfig>,
    /// How many more edges may be sent everything now.
    pub snapshots: Arc<Semaphore>,
    /// How many more may offer what they know.
    pub offers: Arc<Semaphore>,
    /// How many polls each edge has open.
    pub polls: Places,
    /// How many readings of its ledgers each edge tells at once.
    pub readings: Places,
    /// How many batches of its request log each edge hands over at once.
    pub batches: Places,
    /// What became of this machine's log lines.
    pub requests: Arc<RequestCounts>,
    /// What the customers' API stands on; none in an agent alone.
    pub api: Option<Arc<Api>>,
    /// What was told lately of usage that is not invoiced.
    pub pending: Arc<PendingCache>,
    /// How many answers there were; none only where Prometheus does not take our names.
    pub api_counts: Option<ApiCounts>,
    /// Whether the server speaks TLS.
    pub is_tls: bool,
}

impl State {
    /// A state of a server that has just begun.
    pub fn new(board: Arc<Board>, clock: Clock, database: Option<DatabaseConfig>) -> Self {
        let places = || Arc::new(Semaphore::new(SNAPSHOTS_MAX));
        let (polls, readings) = (Places::default(), Places::default());
        Self {
            board,
            clock,
            database,
            snapshots: places(),
            offers: places(),
            polls,
            readings,
            batches: Places::default(),
            requests: Arc::default(),
            api: None,
            pending: Arc::default(),
            api_counts: ApiCounts::new().ok(),
            is_tls: false,
        }
    }

    /// The same with the customers' API.
    #[must_use]
    pub fn with_api(self, api: Api) -> Self {
        Self { api: Some(Arc::new(api)), ..self }
    }
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
    board: Arc<Board>,
    runtime: actix_web::rt::SystemRunner,
    server: Server,
}

impl Bound {
    /// Takes the address, in clear text or with TLS. Nothing is answered before [`Self::run_until_stopped`].
    ///
    /// # Errors
    /// The address cannot be had.
    pub fn bind(
        address: SocketAddr,
        mut state: State,
        tls: Option<rustls::ServerConfig>,
    ) -> std::io::Result<Self> {
        state.is_tls = tls.is_some();
        let board = Arc::clone(&state.board);
        let runtime = System::new();
        let server = runtime.block_on(async move {
            let data = web::Data::new(state);
            let origins = data.api.as_ref().map(|api| api.settings.cors_origins.clone()).unwrap_or_default();
            let server = HttpServer::new(move || {
                App::new()
                    .app_data(data.clone())
                    .wrap(router::cors(&origins))
                    .wrap(from_fn(observe::observe))
                    .configure(router::routes)
            })
            .workers(THREADS)
            .disable_signals()
            .shutdown_timeout(SHUTDOWN_LIMIT_S);
            let server = match tls {
                None => server.bind(address)?,
                Some(tls) => server.bind_rustls_0_23(address, tls)?,
            };
            Ok::<_, std::io::Error>(server.run())
        })?;
        Ok(Self { board, runtime, server })
    }

    /// Answers until SIGINT, SIGTERM, or until `caller_has_ended`.
    ///
    /// # Errors
    /// Signals cannot be received, or the server broke.
    pub fn run_until_stopped(self, caller_has_ended: impl Fn() -> bool) -> std::io::Result<Ended> {
        let Self { board, runtime, server } = self;
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
            // The polls of edges end now, and do not hold up the end.
            board.end_polls();
            handle.stop(true).await;
            running.await.map_err(std::io::Error::other)??;
            Ok(ended)
        })
    }
}
