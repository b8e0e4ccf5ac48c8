//! The page on which a person reads and tries the API: Swagger UI, all of it from this server.

use crate::problem::Problem;
use actix_web::http::header::{CONTENT_SECURITY_POLICY, LOCATION};
use actix_web::{HttpResponse, web};
use std::sync::{Arc, LazyLock};
use utoipa_swagger_ui::Config;

/// Scripts and styles of this server only; Swagger UI styles its elements in place, and draws its icons from `data:`.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::from("/api/v1/openapi.json").validator_url("none").persist_authorization(false);
    Arc::new(config)
});

/// `GET /api/docs`: the page's own links start from a folder.
pub async fn redirect() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((LOCATION, "/api/docs/")).finish()
}

/// `GET /api/docs/…`.
pub async fn file(path: web::Path<String>) -> HttpResponse {
    match utoipa_swagger_ui::serve(&path, Arc::clone(&CONFIG)) {
        Ok(Some(file)) => HttpResponse::Ok()
            .content_type(file.content_type)
            .insert_header((CONTENT_SECURITY_POLICY, POLICY))
            .body(file.bytes.into_owned()),
        Ok(None) => Problem::NotFound.response(),
        Err(error) => {
            tracing::error!(%error, "a file of the API's page could not be made");
            Problem::Internal.response()
        }
    }
}
