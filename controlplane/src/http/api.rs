//! What the customers' API stands on, and the two ways in which a call reaches the database: to read, and to change.

use crate::access_tokens::AccessTokens;
use crate::app::chain_of;
use crate::clock::Clock;
use crate::config::{AccountsConfig, KeyringConfig};
use crate::db::{Database, Pool, ReadTx, WriteTx};
use crate::domain::{CustomerStatus, api_tokens};
use crate::http::State;
use crate::http::caller::{Account, Bearer, Call, Needs};
use crate::http::limits::Limits;
use crate::keyring;
use crate::problem::{Problem, ProblemDetails};
use actix_web::web;
use edgeformat::Keyring;
use std::sync::Arc;

/// What the customers' API stands on.
#[derive(Debug)]
pub struct Api {
    /// Connections to the database.
    pub pool: Pool,
    /// Makes and checks access tokens.
    pub access_tokens: AccessTokens,
    /// The settings.
    pub settings: AccountsConfig,
    /// How often somebody may ask.
    pub limits: Limits,
    /// Where the keyring is: it is read for each key that is made, since an operator may add a group to it at any time.
    pub keyring: KeyringConfig,
    /// The time.
    pub clock: Clock,
}

impl Api {
    /// The keyring as it is now.
    ///
    /// # Errors
    /// [`Problem::Internal`]; it is logged why.
    pub fn keyring(&self) -> Result<Keyring, ProblemDetails> {
        keyring::load(&self.keyring.file).map_err(|error| {
            tracing::error!(
                error = chain_of(&error),
                "the keyring cannot be read, so that no key can be made"
            );
            Problem::Internal.into()
        })
    }
}

impl State {
    /// What the customers' API stands on.
    ///
    /// # Errors
    /// [`Problem::NotFound`] in an agent alone, which has none.
    pub fn api(&self) -> Result<Arc<Api>, ProblemDetails> {
        self.api.clone().ok_or_else(|| Problem::NotFound.into())
    }
}

impl Api {
    /// Runs `read` on one unchanging state of the database, if the caller may.
    ///
    /// # Errors
    /// Why not, or what `read` answers.
    pub async fn read<T: Send + 'static>(
        self: Arc<Self>,
        call: Call,
        needs: Needs,
        read: impl FnOnce(&mut ReadTx<'_>, &Account) -> Result<T, ProblemDetails> + Send + 'static,
    ) -> Result<T, ProblemDetails> {
        let turn = self.limits.turn(&call.source.to_string()).await?;
        self.blocking(move |api, database| {
            let _turn = turn;
            let now_ms = api.clock.now_ms();
            let (value, bearer) = database.read(|tx| {
                let account = api.authenticate(tx, &call, needs, now_ms)?;
                api.count(&call, &account)?;
                let value = read(tx, &account)?;
                Ok::<_, ProblemDetails>((value, account.bearer))
            })?;
            note_use(database, &bearer, now_ms);
            Ok(value)
        })
        .await
    }

    /// Runs `write` in one transaction, in the caller's name, if the caller may and the account is active.
    ///
    /// # Errors
    /// Why not, or what `write` answers; then nothing has happened.
    pub async fn write<T: Send + 'static>(
        self: Arc<Self>,
        call: Call,
        needs: Needs,
        write: impl FnOnce(&mut WriteTx<'_>, &Account) -> Result<T, ProblemDetails> + Send + 'static,
    ) -> Result<T, ProblemDetails> {
        let active_only = move |tx: &mut WriteTx<'_>, account: &Account| {
            if account.customer.status != CustomerStatus::Active {
                return Err(Problem::CustomerSuspended.into());
            }
            write(tx, account)
        };
        self.write_even_suspended(call, needs, active_only).await
    }

    /// The same for what the owner of a suspended account may do, too: take access away.
    ///
    /// # Errors
    /// Why not, or what `write` answers; then nothing has happened.
    pub async fn write_even_suspended<T: Send + 'static>(
        self: Arc<Self>,
        call: Call,
        needs: Needs,
        write: impl FnOnce(&mut WriteTx<'_>, &Account) -> Result<T, ProblemDetails> + Send + 'static,
    ) -> Result<T, ProblemDetails> {
        let turn = self.limits.turn(&call.source.to_string()).await?;
        self.blocking(move |api, database| {
            let _turn = turn;
            let now_ms = api.clock.now_ms();
            // Before the writers' lock is taken: who may not must not make others wait.
            let account = database.read(|tx| api.authenticate(tx, &call, needs, now_ms))?;
            api.count(&call, &account)?;
            let (value, bearer) = database.write(|tx| {
                let account = call.authenticate(tx, needs, now_ms)?;
                tx.act_as(call.actor(&account));
                let value = write(tx, &account)?;
                Ok::<_, ProblemDetails>((value, account.bearer))
            })?;
            note_use(database, &bearer, now_ms);
            Ok(value)
        })
        .await
    }

    /// Runs `work` for somebody who has not shown who it is: not many at once.
    ///
    /// # Errors
    /// [`Problem::Busy`], no connection, or what `work` answers.
    pub async fn blocking_for_stranger<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self, &mut Database) -> Result<T, ProblemDetails> + Send + 'static,
    ) -> Result<T, ProblemDetails> {
        let turn = self.limits.stranger().await?;
        self.blocking(move |api, database| {
            let _turn = turn;
            work(api, database)
        })
        .await
    }

    /// Runs `work` with a connection, where it may block.
    ///
    /// # Errors
    /// No connection, or what `work` answers.
    pub async fn blocking<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&Self, &mut Database) -> Result<T, ProblemDetails> + Send + 'static,
    ) -> Result<T, ProblemDetails> {
        // What is logged there belongs to the request, too.
        let span = tracing::Span::current();
        let done = web::block(move || span.in_scope(|| work(&self, &mut *self.pool.get()?))).await;
        // A thread that has panicked, or a server that ends.
        done.unwrap_or_else(|_| Err(Problem::Internal.into()))
    }

    fn authenticate(
        &self,
        tx: &mut ReadTx<'_>,
        call: &Call,
        needs: Needs,
        now_ms: i64,
    ) -> Result<Account, ProblemDetails> {
        let account = call.authenticate(tx, needs, now_ms);
        if let Err(ProblemDetails { problem: Problem::Unauthorized | Problem::SessionEnded, .. }) = &account {
            self.limits.bad_token(&call.source.to_string())?;
        }
        account
    }

    fn count(&self, call: &Call, account: &Account) -> Result<(), ProblemDetails> {
        let counted = self.limits.caller(account.bearer.id());
        let rate = counted.as_ref().map_or_else(|_| self.limits.exhausted(), |rate| *rate);
        // The answer shows the first one; there is no second.
        let _ = call.seen.rate.set(rate);
        counted.map(drop)
    }
}

/// What was asked for is done by now: that it cannot be noted is logged, and no reason to say that it failed.
fn note_use(database: &mut Database, bearer: &Bearer, now_ms: i64) {
    let Bearer::Token(token) = bearer else { return };
    if let Err(error) = api_tokens::note_use(database, token, now_ms) {
        tracing::warn!(
            error = chain_of(&error),
            token.id = token.token_id,
            "when a token was used last could not be noted"
        );
    }
}
