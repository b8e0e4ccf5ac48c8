//! Waiting until every edge enforces what a call has changed, as the operators' path and the command line do.

use crate::db::stream::Position;
use crate::http::State;
use crate::problem::{Problem, ProblemDetails};
use actix_web::http::StatusCode;
use actix_web::http::header::HeaderName;
use actix_web::{HttpResponse, web};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// How long an answer waits for the edges, as the command line does.
pub const CONFIRM_LIMIT: Duration = Duration::from_secs(10);
/// The field of every answer that has changed what edges enforce: the change that they must have.
const SEQUENCE: &str = "X-Suiftly-Sequence";

/// For what an answer waits.
#[derive(Deserialize, IntoParams, Debug)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WaitQuery {
    /// `applied`: until every edge has confirmed, at most ten seconds. `saved`: for nothing
    #[serde(default)]
    #[param(required = false, inline)]
    wait: WaitFor,
}

#[derive(Deserialize, ToSchema, Clone, Copy, Default, Debug)]
#[serde(rename_all = "snake_case")]
enum WaitFor {
    #[default]
    Applied,
    Saved,
}

impl WaitQuery {
    /// How long to wait.
    pub const fn limit(&self) -> Duration {
        match self.wait {
            WaitFor::Applied => CONFIRM_LIMIT,
            WaitFor::Saved => Duration::ZERO,
        }
    }
}

/// Whether every edge has a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Confirmation {
    /// The change that they must have.
    pub sequence: u64,
    /// Every edge has it.
    pub applied: bool,
}

impl Confirmation {
    /// Waits until every edge has what the stream held at a position.
    ///
    /// # Errors
    /// The server ends.
    pub async fn wait(
        state: &web::Data<State>,
        position: Position,
        limit: Duration,
    ) -> Result<Self, ProblemDetails> {
        let (board, Position { stream, sequence }) = (std::sync::Arc::clone(&state.board), position);
        let waited = web::block(move || board.wait_for(Some(stream), sequence, limit)).await;
        Ok(Self { sequence, applied: waited.map_err(|_| Problem::Internal)?.applied })
    }

    /// Of what is no change for the edges: nothing is waited for, so that an edge that is away delays nobody.
    pub const fn without_change(position: Position) -> Self {
        Self { sequence: position.sequence, applied: true }
    }

    /// The status where every edge has it, else 202; the body says which (`applied`), too.
    pub fn answer_with(
        &self,
        status: StatusCode,
        headers: &[(HeaderName, String)],
        mut body: Value,
    ) -> HttpResponse {
        let mut reply = HttpResponse::build(if self.applied { status } else { StatusCode::ACCEPTED });
        for (name, value) in headers {
            reply.insert_header((name.clone(), value.as_str()));
        }
        if let Some(fields) = body.as_object_mut() {
            fields.insert("applied".to_owned(), self.applied.into());
        }
        reply.insert_header((SEQUENCE, self.sequence.to_string())).json(body)
    }

    /// 200 where every edge has it, else 202.
    pub fn answer(&self, body: &impl Serialize) -> HttpResponse {
        let mut reply = if self.applied { HttpResponse::Ok() } else { HttpResponse::Accepted() };
        reply.insert_header((SEQUENCE, self.sequence.to_string())).json(body)
    }
}
