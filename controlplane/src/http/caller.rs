//! Who calls the customers' API: a session that was signed in with a wallet, or a script with an API token.
//!
//! A [`Call`] has shown a token that may be good. What proves that it is, is an [`Account`]: only [`crate::http::api::Api`] makes
//! one, in the same transaction in which it is used, so that suspending a customer or ending a session works at once.

use crate::access_tokens::{AccessClaims, AccessFault};
use crate::db::api_tokens::{self, ApiTokenRow};
use crate::db::customers::{self, CustomerProfile};
use crate::db::sessions::{self, SessionRow};
use crate::db::{DbError, ReadTx};
use crate::domain::CustomerStatus;
use crate::domain::activity::{Actor, ActorKind};
use crate::domain::api_tokens::{ApiToken, Scope};
use crate::http::State;
use crate::http::bearer::token_of;
use crate::http::observe::{RequestId, Seen};
use crate::http::source::Source;
use crate::problem::{Problem, ProblemDetails};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use std::future::{Ready, ready};
use std::sync::Arc;
use zeroize::Zeroizing;

/// A request with a token that may be good.
#[derive(Debug)]
pub struct Call {
    pub(super) credential: Credential,
    /// Where it comes from.
    pub source: Source,
    /// Its id.
    pub request_id: Arc<str>,
    pub(super) seen: Seen,
}

#[derive(Debug)]
pub(super) enum Credential {
    Session(AccessClaims),
    Token(ApiToken),
}

/// What a path asks of who calls it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// A session or any token.
    AnyToken,
    /// A session, or a token with this scope.
    Scope(Scope),
    /// A session: a token could make itself stronger, or lock its owner out.
    WalletSession,
}

/// Proof of who calls: the session or token is good now, and may do what it asks for.
#[derive(Clone, Debug)]
pub struct Account {
    /// The customer.
    pub customer: CustomerProfile,
    /// With what.
    pub bearer: Bearer,
}

/// With what somebody calls.
#[derive(Clone, Debug)]
pub enum Bearer {
    /// A session.
    Session(SessionRow),
    /// An API token.
    Token(ApiTokenRow),
}

impl Bearer {
    /// Its id.
    pub fn id(&self) -> &str {
        match self {
            Self::Session(session) => &session.session_id,
            Self::Token(token) => &token.token_id,
        }
    }
}

impl Call {
    /// Finds who calls.
    ///
    /// # Errors
    /// Why the call is refused.
    pub(super) fn authenticate(
        &self,
        tx: &mut ReadTx<'_>,
        needs: Needs,
        now_ms: i64,
    ) -> Result<Account, ProblemDetails> {
        let bearer = match &self.credential {
            Credential::Session(claims) => Bearer::Session(open_session(tx, claims, now_ms)?),
            Credential::Token(token) => Bearer::Token(good_token(tx, token, now_ms)?),
        };
        let customer = match &bearer {
            Bearer::Session(session) => session.customer,
            Bearer::Token(token) => token.customer,
        };
        let customer = customers::find_profile(tx, customer)?.ok_or(Problem::Unauthorized)?;
        if customer.status == CustomerStatus::Closed {
            return Err(Problem::CustomerClosed.into());
        }
        match (needs, &bearer) {
            (_, Bearer::Session(_)) | (Needs::AnyToken, _) => {}
            (Needs::Scope(scope), Bearer::Token(token)) if token.scopes.contains(scope) => {}
            (Needs::Scope(_), Bearer::Token(_)) => return Err(Problem::InsufficientScope.into()),
            (Needs::WalletSession, Bearer::Token(_)) => return Err(Problem::WalletSessionNeeded.into()),
        }
        // Only the log reads it; it was set before where this is the second look.
        let _ = self.seen.customer.set(customer.customer.get());
        Ok(Account { customer, bearer })
    }

    /// In whose name the call changes something.
    pub(super) fn actor(&self, account: &Account) -> Actor {
        let kind = match account.bearer {
            Bearer::Session(_) => ActorKind::Wallet,
            Bearer::Token(_) => ActorKind::Token,
        };
        Actor {
            kind,
            name: account.bearer.id().to_owned(),
            source: Some(self.source.address()),
            request_id: Some(self.request_id.to_string()),
        }
    }
}

fn open_session(
    tx: &mut ReadTx<'_>,
    claims: &AccessClaims,
    now_ms: i64,
) -> Result<SessionRow, ProblemDetails> {
    let session = sessions::find(tx, &claims.session_id)?;
    let is_good = |session: &SessionRow| session.customer == claims.customer && session.is_open(now_ms);
    session.filter(is_good).ok_or_else(|| Problem::SessionEnded.into())
}

fn good_token(tx: &mut ReadTx<'_>, token: &ApiToken, now_ms: i64) -> Result<ApiTokenRow, ProblemDetails> {
    let found: Result<Option<ApiTokenRow>, DbError> = api_tokens::find_by_digest(tx, &token.sha256_hex());
    let is_good = |token: &ApiTokenRow| token.revoked_at_ms.is_none() && now_ms < token.expires_at_ms;
    found?.filter(is_good).ok_or_else(|| Problem::Unauthorized.into())
}

impl FromRequest for Call {
    type Error = ProblemDetails;
    type Future = Ready<Result<Self, ProblemDetails>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(call_of(request))
    }
}

fn call_of(request: &HttpRequest) -> Result<Call, ProblemDetails> {
    let state = request.app_data::<web::Data<State>>().ok_or(Problem::Internal)?;
    let api = state.api.as_ref().ok_or(Problem::NotFound)?;
    let source = Source::of(request, &api.settings.trusted_proxies);
    let text = token_of(request.headers(), |text| Some(Zeroizing::new(text.to_owned())));
    let text = text.ok_or(Problem::Unauthorized)?;
    let credential = match ApiToken::from_text(&text) {
        Some(token) => Ok(Credential::Token(token)),
        None => match api.access_tokens.check(&text, state.clock.now_ms()) {
            Ok(claims) => Ok(Credential::Session(claims)),
            Err(AccessFault::Expired) => Err(Problem::AccessTokenExpired),
            Err(AccessFault::Bad) => Err(Problem::Unauthorized),
        },
    };
    if matches!(credential, Err(Problem::Unauthorized)) {
        api.limits.bad_token(&source.to_string())?;
    }
    let request_id = request.extensions().get::<RequestId>().map(|id| Arc::clone(&id.0));
    let seen = request.extensions().get::<Seen>().cloned().unwrap_or_default();
    Ok(Call {
        credential: credential?,
        source,
        request_id: request_id.unwrap_or_else(|| "none".into()),
        seen,
    })
}
