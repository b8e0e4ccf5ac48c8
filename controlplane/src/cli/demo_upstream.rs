//! `suiftly demo-upstream`: answers any request with a description of it, for trying an edge without a real
//! service.
//!
//! It never shows what it got as `Authorization`: an edge that forgets to remove it must not leak keys
//! through a demo.

use crate::cli::{Exit, Failure, Reply, log};
use crate::config::Config;
use crate::problem::Problem;
use actix_web::http::StatusCode;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use clap::Args;
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;
use std::time::Duration;

const THREADS: usize = 2;
const SHUTDOWN_LIMIT_S: u64 = 2;
/// The longest body that is read (and counted, not kept).
const BODY_LEN_MAX: u64 = 64 * 1024 * 1024;
/// The longest `delay_ms`.
const DELAY_MAX_MS: u64 = 60_000;
/// The largest `bytes`.
const PADDING_LEN_MAX: usize = 16 * 1024 * 1024;

/// Where it listens.
#[derive(Args, Debug)]
pub struct DemoUpstreamArguments {
    /// The port on 127.0.0.1
    #[arg(long, value_name = "PORT", default_value_t = 9000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// How a tester wants the answer.
#[derive(Deserialize)]
struct Shape {
    /// Wait so long before the answer.
    #[serde(default)]
    delay_ms: u64,
    /// Answer with this status, 200 to 599.
    #[serde(default = "ok_status")]
    status: u16,
    /// Add so many characters to the answer.
    #[serde(default)]
    bytes: usize,
}

const fn ok_status() -> u16 {
    200
}

#[derive(Serialize)]
struct Description<'a> {
    upstream: &'static str,
    method: &'a str,
    path: &'a str,
    customer: Option<&'a str>,
    service: Option<&'a str>,
    key: Option<&'a str>,
    request_id: Option<&'a str>,
    received_bytes: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    padding: String,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// The port cannot be had.
pub fn run(arguments: &DemoUpstreamArguments, config: &Config) -> Result<Reply, Failure> {
    log::start(&config.log);
    let address = (Ipv4Addr::LOCALHOST, arguments.port);
    let served = actix_web::rt::System::new().block_on(async move {
        let server = HttpServer::new(|| App::new().default_service(web::to(describe)))
            .workers(THREADS)
            .shutdown_timeout(SHUTDOWN_LIMIT_S)
            .bind_auto_h2c(address)?;
        tracing::info!(port = address.1, "the demo upstream answers on 127.0.0.1");
        server.run().await
    });
    served.map_err(|error| {
        let text = format!(
            "port {} of 127.0.0.1 cannot be served: {error}; give another one with --port",
            address.1
        );
        Failure::new(Exit::Other, text)
    })?;
    Ok(Reply::nothing())
}

async fn describe(request: HttpRequest, mut body: web::Payload) -> HttpResponse {
    let Ok(shape) = web::Query::<Shape>::from_query(request.query_string()) else {
        return Problem::BadQuery.response();
    };
    let status =
        StatusCode::from_u16(shape.status).ok().filter(|status| (200..=599).contains(&status.as_u16()));
    let Some(status) = status else { return Problem::BadQuery.response() };
    if shape.delay_ms > DELAY_MAX_MS || shape.bytes > PADDING_LEN_MAX {
        return Problem::BadQuery.response();
    }
    let mut received_bytes = 0;
    while let Some(chunk) = body.next().await {
        let Ok(chunk) = chunk else { return Problem::BodyBroken.response() };
        received_bytes += chunk.len() as u64;
        if received_bytes > BODY_LEN_MAX {
            return Problem::TooLarge.response();
        }
    }
    actix_web::rt::time::sleep(Duration::from_millis(shape.delay_ms)).await;
    let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
    let description = Description {
        upstream: "demo",
        method: request.method().as_str(),
        path: request.path(),
        customer: header("x-suiftly-customer"),
        service: header("x-suiftly-service"),
        key: header("x-suiftly-key"),
        request_id: header("x-request-id"),
        received_bytes,
        padding: "x".repeat(shape.bytes),
    };
    HttpResponse::build(status).json(description)
}
