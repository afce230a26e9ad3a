//! The gateway's own token: got by login, renewed before it ends, replaced when it dies.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use gateway_core::ports::{StoreError, StoreErrorKind};
use http::{HeaderValue, Method};
use tokio::time::Instant;

use super::door::{Door, Entered, header_of};
use super::wire::{Answer, Wire};
use crate::store::json_text::{Fields, secret_field};

/// The current token, and whoever keeps it alive.
pub(super) struct Tokens {
    wire: Arc<Wire>,
    door: Door,
    current: Mutex<Option<Token>>,
    /// One login at a time.
    turn: tokio::sync::Mutex<()>,
    keeper: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

#[derive(Clone)]
struct Token {
    header: HeaderValue,
    /// The time to live when it was issued; absent where it lives for ever or is not known.
    granted: Option<Duration>,
    ends: Option<Instant>,
    renewable: bool,
}

impl Token {
    fn new(header: HeaderValue, seconds: u64, renewable: bool) -> Self {
        let granted = Some(Duration::from_secs(seconds)).filter(|span| !span.is_zero());
        // Far-off ends overflow the clock and mean never.
        let ends = granted.and_then(|span| Instant::now().checked_add(span));
        Self { header, granted, ends, renewable }
    }

    fn is_over(&self) -> bool {
        self.ends.is_some_and(|end| end <= Instant::now())
    }

    /// Whether a renewal still grants at least half of what the login did.
    fn lasts_like(&self, issued: &Self) -> bool {
        let granted = |token: &Self| token.granted.unwrap_or(Duration::MAX);
        granted(self).saturating_mul(2) >= granted(issued)
    }

    /// A third of the remaining time before its end.
    fn due(&self) -> Option<Instant> {
        let now = Instant::now();
        self.ends.map(|end| now + end.saturating_duration_since(now).mul_f32(2.0 / 3.0))
    }
}

impl Tokens {
    pub(super) fn new(wire: Arc<Wire>, door: Door) -> Self {
        Self {
            wire,
            door,
            current: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            keeper: Mutex::default(),
        }
    }

    /// The token to use now; logs in where there is none.
    pub(super) async fn current(self: &Arc<Self>) -> Result<HeaderValue, StoreError> {
        match self.held() {
            Some(token) if !token.is_over() => Ok(token.header),
            held => self.replace_held(held.map(|token| token.header)).await,
        }
    }

    /// Another token than this one, which is dead.
    pub(super) async fn replace(self: &Arc<Self>, dead: &HeaderValue) -> Result<HeaderValue, StoreError> {
        self.replace_held(Some(dead.clone())).await
    }

    /// Whether the store still knows the token.
    pub(super) async fn is_alive(&self, token: &HeaderValue) -> Result<bool, StoreError> {
        let answer = self.look_up(token).await?;
        match answer.status {
            200 => Ok(true),
            403 => Ok(false),
            _ => Err(answer.failure()),
        }
    }

    async fn look_up(&self, token: &HeaderValue) -> Result<Answer, StoreError> {
        self.wire.call(Method::GET, &["auth", "token", "lookup-self"], None, Some(token), None).await
    }

    async fn replace_held(self: &Arc<Self>, dead: Option<HeaderValue>) -> Result<HeaderValue, StoreError> {
        let _turn = self.turn.lock().await;
        // Somebody who was in front of us may have replaced it already.
        if let Some(token) =
            self.held().filter(|token| !token.is_over() && Some(&token.header) != dead.as_ref())
        {
            return Ok(token.header);
        }
        let token = self.obtain().await?;
        let header = token.header.clone();
        self.hold(Some(token));
        if self.door.is_lasting() {
            self.keep_alive();
        }
        Ok(header)
    }

    async fn obtain(&self) -> Result<Token, StoreError> {
        let answer = match self.door.enter(&self.wire).await? {
            Entered::Token(header) => return self.found(header).await,
            Entered::Answer(answer) => answer,
        };
        let malformed = || answer.error(StoreErrorKind::Malformed, "the answer to the login makes no sense");
        let auth = answer.auth().ok_or_else(malformed)?;
        let fields: Fields<'_> = std::iter::once(("client_token".to_owned(), auth.client_token)).collect();
        let token = secret_field(&fields, "client_token").map_err(|_| malformed())?;
        Ok(Token::new(header_of(&token)?, auth.lease_duration, auth.renewable))
    }

    /// A token that somebody else keeps, with what the store says of it.
    async fn found(&self, header: HeaderValue) -> Result<Token, StoreError> {
        let answer = self.look_up(&header).await?;
        match (answer.status, answer.lookup()) {
            (200, Some(lookup)) => Ok(Token::new(header, lookup.ttl, lookup.renewable)),
            (200, None) => Err(answer.error(StoreErrorKind::Malformed, "the lookup makes no sense")),
            // Its policy may forbid to look; whether it is good will show at its use.
            (403, _) => Ok(Token::new(header, 0, false)),
            _ => Err(answer.failure()),
        }
    }

    /// Gives the token up, if there is one: the store forgets it, and everything that hangs on it.
    pub(super) async fn log_out(&self) -> Result<(), StoreError> {
        let Some(token) = self.current.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return Ok(());
        };
        let segments = ["auth", "token", "revoke-self"];
        let answer = self.wire.call(Method::POST, &segments, None, Some(&token.header), Some(b"{}")).await?;
        match answer.status {
            // A token that is gone already opens nothing either.
            200..=299 | 403 => Ok(()),
            _ => Err(answer.failure()),
        }
    }

    fn held(&self) -> Option<Token> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn hold(&self, token: Option<Token>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Starts the keeper where none is at work. It ends with the store.
    fn keep_alive(self: &Arc<Self>) {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.as_ref().is_none_or(tokio::task::JoinHandle::is_finished) {
            *keeper = Some(tokio::spawn(keep(Arc::downgrade(self))));
        }
    }

    /// Renews the token, or logs in anew where renewing does not help any more.
    async fn refresh(self: &Arc<Self>, token: &Token) -> Result<(), StoreError> {
        if token.renewable {
            let segments = ["auth", "token", "renew-self"];
            let answer =
                self.wire.call(Method::POST, &segments, None, Some(&token.header), Some(b"{}")).await?;
            let lease = answer.auth().filter(|_| answer.status == 200).map(|auth| auth.lease_duration);
            let renewed = lease.map(|seconds| Token::new(token.header.clone(), seconds, true));
            match (renewed, answer.status) {
                // Close to its maximal time to live a token is granted less and less.
                (Some(renewed), _) if renewed.lasts_like(token) => {
                    self.hold_if_same(Token { granted: token.granted, ..renewed });
                    return Ok(());
                }
                (Some(_), _) | (None, 400..=499) => {}
                (None, _) => return Err(answer.failure()),
            }
        }
        self.replace(&token.header).await.map(|_| ())
    }

    /// Takes the renewed token, unless a login put another one in its place meanwhile.
    fn hold_if_same(&self, renewed: Token) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|token| token.header == renewed.header) {
            *current = Some(renewed);
        }
    }
}

impl Drop for Tokens {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            keeper.abort();
        }
    }
}

/// Refreshes the token whenever it is due, until it lives for ever, is over, or the store is gone.
async fn keep(tokens: Weak<Tokens>) {
    loop {
        let Some(due) = tokens.upgrade().and_then(|tokens| tokens.held()).and_then(|token| token.due())
        else {
            return;
        };
        // Never a busy loop, however short-lived the token.
        tokio::time::sleep_until(due.max(Instant::now() + Duration::from_millis(200))).await;
        let Some(tokens) = tokens.upgrade() else { return };
        let Some(token) = tokens.held().filter(|token| !token.is_over()) else { return };
        if let Err(error) = tokens.refresh(&token).await {
            tracing::warn!(kind = ?error.kind, inside = %error.inside, "the store's token was not renewed");
        }
    }
}
