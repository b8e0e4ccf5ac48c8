//! Every path that there is.

use crate::http::routes::{account, activity, auth, billing, catalogue, keys, services, stats, tokens};
use crate::http::{docs, edge_api, edge_requests, edge_usage, health, metrics, openapi, operator};
use crate::problem::{Problem, ProblemDetails};
use actix_cors::Cors;
use actix_web::http::header;
use actix_web::web::{delete, patch, post};
use actix_web::{HttpResponse, Route, guard, web};

/// How long a browser remembers what a preflight said, in seconds.
const PREFLIGHT_LIFE_S: usize = 3_600;

/// Adds resources, and the list of their paths and methods, from one table.
macro_rules! paths {
    ($list:ident, $register:ident, $($path:literal { $($method:ident => $handler:path),+ $(,)? })+) => {
        /// Paths and their methods, for the test that each is documented.
        pub const $list: &[(&str, &[&str])] = &[$(($path, &[$(stringify!($method)),+])),+];

        fn $register(config: &mut web::ServiceConfig) {
            $({
                let allowed = allow(&[$(stringify!($method)),+]);
                let refuse = move || {
                    let allow = Some(allowed.clone());
                    async move { ProblemDetails { allow, ..Problem::MethodNotAllowed.into() }.response(None) }
                };
                config.service(
                    web::resource($path)$(.route($method().to($handler)))+.default_service(web::to(refuse)),
                );
            })+
        }
    };
}

paths! { CUSTOMER_PATHS, customer_paths,
    "/api/v1/auth/challenge" { post => auth::challenge::challenge }
    "/api/v1/auth/verify" { post => auth::verify::verify }
    "/api/v1/auth/refresh" { post => auth::refresh::refresh }
    "/api/v1/auth/logout" { post => auth::logout::logout }
    "/api/v1/auth/sessions" { get => auth::sessions::list, delete => auth::sessions::end_all }
    "/api/v1/auth/sessions/{session_id}" { delete => auth::sessions::end_one }
    "/api/v1/account" { get => account::read, delete => account::close }
    "/api/v1/activity" { get => activity::list }
    "/api/v1/catalogue" { get => catalogue::read }
    "/api/v1/services" { get => services::read::list, post => services::subscribe::subscribe }
    "/api/v1/services/{service}" { get => services::read::one, patch => services::change::change, delete => services::cancel::cancel }
    "/api/v1/services/{service}/keys" { get => keys::read::list, post => keys::create::create }
    "/api/v1/services/{service}/keys/revoke-all" { post => keys::revoke::all }
    "/api/v1/services/{service}/keys/{id}" { get => keys::read::one, patch => keys::change::change, delete => keys::delete::delete }
    "/api/v1/services/{service}/keys/{id}/revoke" { post => keys::revoke::one }
    "/api/v1/services/{service}/keys/{id}/re-enable" { post => keys::re_enable::re_enable }
    "/api/v1/services/{service}/keys/{id}/rotate" { post => keys::rotate::rotate }
    "/api/v1/tokens" { get => tokens::list::list, post => tokens::create::create }
    "/api/v1/tokens/{id}" { get => tokens::one::read, patch => tokens::one::rename, delete => tokens::one::revoke }
    "/api/v1/stats/summary" { get => stats::summary::summary }
    "/api/v1/stats/usage" { get => stats::usage::usage }
    "/api/v1/stats/latency" { get => stats::latency::latency }
    "/api/v1/billing/pending" { get => billing::pending::pending }
}

paths! { OTHER_PATHS, other_paths,
    "/healthz" { get => health::healthz }
    "/readyz" { get => health::readyz }
    "/metrics" { get => metrics::metrics }
    "/api/v1/openapi.json" { get => openapi::document }
    "/api/docs" { get => docs::redirect }
    "/api/docs/{file:.*}" { get => docs::file }
    "/api/v1/operator/keys/{fingerprint}/revoke" { post => operator::revoke_key }
    "/api/v1/edge/changes" { get => edge_api::changes }
    "/api/v1/edge/report" { post => edge_api::report }
    "/api/v1/edge/offered" { post => edge_api::offered }
    "/api/v1/edge/usage" { post => edge_usage::usage }
    "/api/v1/edge/requests" { post => edge_requests::requests }
}

/// Adds the paths to an application.
pub fn routes(config: &mut web::ServiceConfig) {
    customer_paths(config);
    other_paths(config);
    config.default_service(web::to(not_found));
}

/// What pages of other origins may do: those that are listed, everything that needs no cookie; all others nothing.
pub fn cors(origins: &[String]) -> Cors {
    let start = Cors::default()
        .allowed_methods(["GET", "POST", "PATCH", "DELETE"])
        .allowed_headers([header::AUTHORIZATION, header::CONTENT_TYPE, header::IF_MATCH])
        .allowed_header("Idempotency-Key")
        .expose_headers([
            "ETag",
            "Location",
            "RateLimit",
            "RateLimit-Policy",
            "Retry-After",
            "X-Request-Id",
            "X-Suiftly-Sequence",
        ])
        .supports_credentials()
        .max_age(PREFLIGHT_LIFE_S)
        // A browser refuses the answer by itself; other programs send an origin without asking for leave.
        .block_on_origin_mismatch(false);
    origins.iter().fold(start, |cors, origin| cors.allowed_origin(origin))
}

fn allow(methods: &[&str]) -> String {
    let names = methods.iter().map(|method| match *method {
        "get" => "GET, HEAD".to_owned(),
        other => other.to_ascii_uppercase(),
    });
    names.collect::<Vec<_>>().join(", ")
}

/// What is read with GET answers HEAD, too (RFC 9110, section 9.1); the server leaves the body out.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

async fn not_found() -> HttpResponse {
    Problem::NotFound.response()
}
