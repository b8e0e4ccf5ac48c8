//! The API's description, made from its handlers: OpenAPI 3.1 at `/api/v1/openapi.json`.

use crate::http::routes::{account, activity, auth, billing, catalogue, keys, services, stats, tokens};
use crate::problem::{FieldError, ProblemBody};
use actix_web::HttpResponse;
use std::sync::LazyLock;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder, Schema};
use utoipa::{Modify, OpenApi};

/// The description.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Suiftly",
        description = "Sign in with a Sui wallet, and manage what your account has. Errors are `application/problem+json` (RFC 9457) \
            with a stable `code`. Times are RFC 3339 in UTC.",
    ),
    paths(
        auth::challenge::challenge, auth::verify::verify, auth::refresh::refresh, auth::logout::logout,
        auth::sessions::list, auth::sessions::end_all, auth::sessions::end_one,
        account::read, account::close, activity::list,
        catalogue::read, services::read::list, services::subscribe::subscribe, services::read::one, services::change::change,
        services::cancel::cancel,
        keys::read::list, keys::create::create, keys::revoke::all, keys::read::one, keys::change::change, keys::delete::delete,
        keys::revoke::one, keys::re_enable::re_enable, keys::rotate::rotate,
        tokens::list::list, tokens::create::create, tokens::one::read, tokens::one::rename, tokens::one::revoke,
        stats::summary::summary, stats::usage::usage, stats::latency::latency, billing::pending::pending,
    ),
    components(schemas(ProblemBody, FieldError)),
    modifiers(&SecuritySchemes, &CommonAnswers, &UniqueScopes),
)]
pub struct Description;

/// The description as JSON: it is the same for every request.
static TEXT: LazyLock<String> = LazyLock::new(|| Description::openapi().to_json().unwrap_or_default());

/// `GET /api/v1/openapi.json`.
pub async fn document() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(TEXT.as_str())
}

struct SecuritySchemes;

impl Modify for SecuritySchemes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let scheme = |format: &str, text: &str| {
            let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format(format);
            SecurityScheme::Http(http.description(Some(text)).build())
        };
        let components = openapi.components.get_or_insert_default();
        let session = scheme("JWT", "The access token of a session that was signed in with the wallet");
        components.add_security_scheme("wallet_session", session);
        let token = scheme("suiftly_api_…", "An API token, as `POST /api/v1/tokens` makes it");
        components.add_security_scheme("api_token", token);
    }
}

/// That each scope stands once, which the derive has no word for.
struct UniqueScopes;

impl Modify for UniqueScopes {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let schemas = openapi.components.as_mut().map(|components| &mut components.schemas);
        let request = schemas.and_then(|schemas| schemas.get_mut("TokenRequest"));
        if let Some(RefOr::T(Schema::Object(request))) = request
            && let Some(RefOr::T(Schema::Array(scopes))) = request.properties.get_mut("scopes")
        {
            scopes.unique_items = true;
        }
    }
}

/// What every path of its kind answers, so that no handler must repeat it.
struct CommonAnswers;

/// Answers of every path.
const ALWAYS: [(&str, &str); 3] = [
    ("429", "`too_many_requests`, `too_many_failed_sign_ins`: `Retry-After` says when to go on"),
    ("500", "`internal`"),
    ("503", "`unavailable`"),
];
/// Answers of paths that take a token.
const WITH_TOKEN: [(&str, &str); 2] = [
    ("401", "`unauthorized`, `access_token_expired`, `session_ended`"),
    ("403", "`insufficient_scope`, `wallet_session_needed`, `customer_suspended`, `customer_closed`"),
];
/// Answers of paths that take a body.
const WITH_BODY: [(&str, &str); 2] = [("413", "`too_large`"), ("415", "`unsupported_media_type`")];

impl Modify for CommonAnswers {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        for item in openapi.paths.paths.values_mut() {
            let operations = [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete];
            for operation in operations.into_iter().flatten() {
                add_answers(operation, &ALWAYS);
                if operation.security.is_some() {
                    add_answers(operation, &WITH_TOKEN);
                }
                if operation.request_body.is_some() {
                    add_answers(operation, &WITH_BODY);
                }
            }
        }
    }
}

fn add_answers(operation: &mut Operation, answers: &[(&str, &str)]) {
    for (status, description) in answers {
        let known = &mut operation.responses.responses;
        known.entry((*status).to_owned()).or_insert_with(|| RefOr::T(problem_answer(description)));
    }
}

fn problem_answer(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "a test fails by panicking"
    )]
    use super::*;
    use crate::http::router::CUSTOMER_PATHS;
    use crate::problem::Problem;
    use serde_json::Value;
    use std::collections::BTreeSet;

    fn description() -> Value {
        serde_json::from_str(&TEXT).unwrap()
    }

    fn operations(description: &Value) -> BTreeSet<(String, String)> {
        let paths = description["paths"].as_object().unwrap();
        let of_path = |(path, item): (&String, &Value)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(|method| (path.clone(), method.clone())).collect::<Vec<_>>()
        };
        paths.iter().flat_map(of_path).collect()
    }

    #[test]
    fn every_path_is_described_and_nothing_else() {
        let served: BTreeSet<(String, String)> = CUSTOMER_PATHS
            .iter()
            .flat_map(|(path, methods)| {
                methods.iter().map(|method| ((*path).to_owned(), (*method).to_owned()))
            })
            .collect();
        let description = description();
        assert_eq!(operations(&description), served);
        assert!(description["openapi"].as_str().unwrap().starts_with("3.1"));
    }

    #[test]
    fn every_operation_has_an_id_of_its_own() {
        let description = description();
        let all = operations(&description);
        let ids: BTreeSet<String> = all
            .iter()
            .map(|(path, method)| description["paths"][path][method]["operationId"].to_string())
            .collect();
        assert_eq!(ids.len(), all.len(), "{ids:?}");
        assert_eq!(
            description["components"]["schemas"]["TokenRequest"]["properties"]["scopes"]["uniqueItems"],
            true
        );
    }

    #[test]
    fn every_operation_has_a_summary_a_schema_for_what_it_answers_and_its_errors() {
        let description = description();
        for (path, method) in operations(&description) {
            let operation = &description["paths"][&path][&method];
            let name = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{name}");
            let answers = operation["responses"].as_object().unwrap();
            let good: Vec<&String> = answers.keys().filter(|status| status.starts_with('2')).collect();
            assert!(!good.is_empty(), "{name}");
            for status in good.into_iter().filter(|status| *status != "204") {
                let schema = &answers[status]["content"]["application/json"]["schema"];
                assert!(schema.is_object(), "{name} {status} has no schema");
            }
            for (status, answer) in answers.iter().filter(|(status, _)| !status.starts_with('2')) {
                let schema = &answer["content"]["application/problem+json"]["schema"]["$ref"];
                assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
            }
            let needs = |status: &str| assert!(answers.contains_key(status), "{name} lacks {status}");
            ["429", "500", "503"].into_iter().for_each(needs);
            if operation["security"].is_array() {
                ["401", "403"].into_iter().for_each(needs);
            }
            if operation["requestBody"].is_object() {
                ["400", "413", "415"].into_iter().for_each(needs);
            }
            if path.contains('{') {
                needs("404");
            }
        }
    }

    #[test]
    fn every_code_that_is_described_exists_with_that_status() {
        let description = description();
        for (path, method) in operations(&description) {
            let answers = description["paths"][&path][&method]["responses"].as_object().unwrap();
            for (status, answer) in answers.iter().filter(|(status, _)| !status.starts_with('2')) {
                let text = answer["description"].as_str().unwrap();
                let codes = text.split('`').skip(1).step_by(2).filter(|word| *word != "Retry-After");
                for code in codes {
                    let problem = Problem::ALL.iter().find(|problem| problem.code() == code);
                    let problem =
                        problem.unwrap_or_else(|| panic!("{method} {path}: there is no code {code}"));
                    assert_eq!(problem.status().as_str(), status, "{method} {path}: {code}");
                }
            }
        }
    }
}
