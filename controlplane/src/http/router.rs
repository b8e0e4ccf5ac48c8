//! Every path that there is.

use crate::http::{edge_api, edge_requests, edge_usage, health, metrics, operator};
use crate::problem::Problem;
use actix_web::{HttpResponse, web};

/// Adds the paths to an application.
pub fn routes(config: &mut web::ServiceConfig) {
    config
        .service(only_read("/healthz").get(health::healthz))
        .service(only_read("/readyz").get(health::readyz))
        .service(only_read("/metrics").get(metrics::metrics))
        .service(
            web::resource("/api/v1/operator/keys/{fingerprint}/revoke")
                .route(web::post().to(operator::revoke_key))
                .default_service(web::to(method_not_allowed)),
        )
        .service(only_read("/api/v1/edge/changes").get(edge_api::changes))
        .service(
            web::resource("/api/v1/edge/report")
                .route(web::post().to(edge_api::report))
                .default_service(web::to(method_not_allowed)),
        )
        .service(
            web::resource("/api/v1/edge/offered")
                .route(web::post().to(edge_api::offered))
                .default_service(web::to(method_not_allowed)),
        )
        .service(
            web::resource("/api/v1/edge/usage")
                .route(web::post().to(edge_usage::usage))
                .default_service(web::to(method_not_allowed)),
        )
        .service(
            web::resource("/api/v1/edge/requests")
                .route(web::post().to(edge_requests::requests))
                .default_service(web::to(method_not_allowed)),
        )
        .default_service(web::to(not_found));
}

struct OnlyRead(&'static str);

const fn only_read(path: &'static str) -> OnlyRead {
    OnlyRead(path)
}

impl OnlyRead {
    fn get<F, Args>(self, handler: F) -> actix_web::Resource
    where
        F: actix_web::Handler<Args>,
        Args: actix_web::FromRequest + 'static,
        F::Output: actix_web::Responder + 'static,
    {
        web::resource(self.0)
            .route(web::get().to(handler.clone()))
            .route(web::head().to(handler))
            .default_service(web::to(method_not_allowed))
    }
}

async fn not_found() -> HttpResponse {
    Problem::NotFound.response()
}

async fn method_not_allowed() -> HttpResponse {
    Problem::MethodNotAllowed.response()
}
