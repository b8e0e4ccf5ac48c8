//! What every request gets: an id, a line in the log, a place in the metrics, and the fields that every answer has.
//!
//! The log names the route, never the path itself or a query: a path may hold what does not belong into a log.

use crate::http::State;
use crate::http::limits::Rate;
use crate::problem::ProblemDetails;
use crate::random;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{HttpMessage, web};
use std::sync::{Arc, OnceLock};
use tracing::Instrument;

/// The field with the request's id.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What holds for every answer. Pages with scripts of their own loosen the policy for themselves.
const SECURITY_FIELDS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];
const HSTS: (&str, &str) = ("strict-transport-security", "max-age=31536000");

/// The id of a request: 16 hex digits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestId(pub Arc<str>);

/// Where a handler leaves what the request's answer says of the limit, and who asked.
#[derive(Clone, Default, Debug)]
pub struct Seen {
    /// How the caller stands.
    pub rate: Arc<OnceLock<Rate>>,
    /// Who it is, for the log.
    pub customer: Arc<OnceLock<u32>>,
}

/// Around every handler.
///
/// # Errors
/// The handler's.
pub async fn observe(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let state = request.app_data::<web::Data<State>>().cloned();
    let began = state.as_ref().map(|state| state.clock.instant());
    // Without randomness nothing else works either; the answer says so itself.
    let id: Arc<str> = random::nonzero_u64().map_or_else(|_| "none".into(), |id| format!("{id:016x}").into());
    let seen = Seen::default();
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    request.extensions_mut().insert(seen.clone());
    let method = request.method().clone();
    let span = tracing::info_span!("request", request.id = &*id);
    let mut response = next.call(request).instrument(span).await?.map_into_boxed_body();
    let route = response.request().match_pattern().unwrap_or_else(|| "none".to_owned());
    let details = response.response_mut().extensions_mut().remove::<ProblemDetails>();
    if let Some(details) = &details {
        response = with_id(response, details, &id);
    }
    let is_tls = state.as_ref().is_some_and(|state| state.is_tls);
    write_fields(response.headers_mut(), &id, is_tls);
    if let Some(rate) = seen.rate.get() {
        rate.write(response.headers_mut());
    }
    let (Some(state), Some(began)) = (state, began) else { return Ok(response) };
    let (took, status) = (state.clock.instant().duration_since(began), response.status().as_u16());
    if let Some(counts) = &state.api_counts {
        counts.count(&route, method.as_str(), status, took);
    }
    // Edges ask all the time, and monitors do.
    if route == "none" || route.starts_with("/api/") && !route.starts_with("/api/v1/edge/") {
        tracing::info!(
            request.id = &*id,
            http.route = route,
            http.method = method.as_str(),
            http.status = status,
            duration_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            customer.id = seen.customer.get(),
            code = details.map(|details| details.problem.code()),
            "request"
        );
    }
    Ok(response)
}

/// The same answer with the request's id in its body.
fn with_id(
    response: ServiceResponse<BoxBody>,
    details: &ProblemDetails,
    id: &str,
) -> ServiceResponse<BoxBody> {
    let mut answer = details.response(Some(id));
    for (name, value) in response.headers() {
        // Cookies, and what CORS has added.
        if !answer.headers().contains_key(name) {
            answer.headers_mut().append(name.clone(), value.clone());
        }
    }
    let (request, _) = response.into_parts();
    answer.extensions_mut().clear();
    ServiceResponse::new(request, answer)
}

fn write_fields(headers: &mut HeaderMap, id: &str, is_tls: bool) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    for (name, value) in SECURITY_FIELDS.into_iter().chain(is_tls.then_some(HSTS)) {
        let name = HeaderName::from_static(name);
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}
