//! The source of a request to a path of sign-in, counted against its limit before anything else of it is looked at.

use crate::domain::sessions::Whence;
use crate::http::State;
use crate::http::limits::SignInPath;
use crate::http::observe::RequestId;
use crate::http::source::Source;
use crate::problem::{Problem, ProblemDetails};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use std::future::{Ready, ready};

/// Where a request comes from that the limit lets through. Stands first among what a handler takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SignInSource(pub Source);

impl SignInSource {
    /// What the activity log keeps of it.
    pub fn whence(&self, request: &HttpRequest) -> Whence {
        let request_id = request.extensions().get::<RequestId>().map(|id| id.0.to_string());
        Whence { address: self.0.address(), request_id: request_id.unwrap_or_else(|| "none".to_owned()) }
    }
}

impl FromRequest for SignInSource {
    type Error = ProblemDetails;
    type Future = Ready<Result<Self, ProblemDetails>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(counted(request))
    }
}

fn counted(request: &HttpRequest) -> Result<SignInSource, ProblemDetails> {
    let api = request.app_data::<web::Data<State>>().ok_or(Problem::Internal)?.api()?;
    let path = match request.path().rsplit('/').next() {
        Some("challenge") => SignInPath::Challenge,
        Some("verify") => SignInPath::Verify,
        Some("refresh") => SignInPath::Refresh,
        _ => SignInPath::Logout,
    };
    let source = Source::of(request, &api.settings.trusted_proxies);
    api.limits.sign_in(path, &source.to_string())?;
    Ok(SignInSource(source))
}
