//! A login through the browser, as a native application does it (RFC 8252): nothing of it is a secret of
//! the program, and the answer comes back to this machine alone.

mod browser;
mod discovery;
mod form;
mod grant;
mod loopback;
mod registration;

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_adapters::https::OutboundClient;
use gateway_core::ports::Random;
use gateway_core::secret::Secret;
use gateway_core::time::Clock;
use sha2::{Digest as _, Sha256};
use url::Url;

use self::discovery::Authority;
use self::grant::Grant;
use self::loopback::{Expected, Loopback};
use super::door::Door;
use super::keep::tokens::Tokens;
use super::notes::Notes;
use super::trouble::{Code, Trouble};

/// What a login needs.
#[derive(Debug)]
pub struct Login {
    pub(super) http: OutboundClient,
    pub(super) door: Door,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Arc<dyn Random>,
    pub(super) notes: Notes,
    pub(super) within: Duration,
    pub(super) opens_browser: bool,
    pub(super) plain_http: bool,
    pub(super) client_id: Option<String>,
}

/// What became of a renewal.
#[derive(Debug)]
pub enum Renewal {
    /// New tokens.
    Tokens(Box<Tokens>),
    /// The authorization server takes the refresh token no more: the person logs in again.
    Refused(String),
}

/// What became of giving the tokens back (RFC 7009).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Revocation {
    /// They are good no more.
    Done,
    /// There was nothing to give back, or nowhere to.
    NotOffered,
}

impl Login {
    /// Logs the person in. `metadata` is where the door says that its metadata is, if it was asked already.
    ///
    /// # Errors
    /// Whatever keeps the login from its end; the person may have been told to go somewhere.
    pub async fn log_in(&self, metadata: Option<String>) -> Result<Tokens, Trouble> {
        let authority = discovery::find(self, metadata).await?;
        let verifier = self.random_text();
        let state = self.random_text();
        let expected = Expected {
            state: state.clone(),
            issuer: authority.issuer.clone(),
            names_issuer: authority.names_issuer,
        };
        let mut loopback = Loopback::listen(expected, self.notes.clone()).await?;
        let client_id = registration::client_id(self, &authority, &loopback.redirect_uri).await?;
        let url = self.address(&authority, &client_id, &loopback.redirect_uri, &state, &verifier);
        self.lead(&url);
        let arrived = tokio::time::timeout(self.within, loopback.answer()).await;
        let code = match arrived.map_err(|_| Trouble::new(Code::LoginLate)).flatten() {
            Ok(code) => code,
            Err(trouble) => {
                // The person sees why, too.
                loopback.close().await;
                return Err(trouble);
            }
        };
        let verifier = Secret::new(verifier.into_bytes());
        let redirect_uri = loopback.redirect_uri.clone();
        let grant = Grant::Code { code: &code, verifier: &verifier, redirect_uri: &redirect_uri };
        let place = grant::Place {
            issuer: &authority.issuer,
            client_id: &client_id,
            token_endpoint: &authority.token_endpoint,
            revocation_endpoint: authority.revocation_endpoint.as_ref(),
        };
        let tokens = grant::ask(self, &place, grant).await;
        loopback.close().await;
        let tokens = tokens.map_err(|refused| match refused {
            grant::Refused::No(why) => Trouble::new(Code::Token).because(why),
            grant::Refused::Trouble(trouble) => trouble,
        })?;
        self.notes.say(format_args!("logged in at {}", authority.issuer));
        Ok(tokens)
    }

    /// Renews the tokens with the refresh token, which is good once.
    ///
    /// # Errors
    /// The authorization server does not answer.
    pub async fn renew(&self, tokens: &Tokens) -> Result<Renewal, Trouble> {
        let Some(refresh) = &tokens.refresh else {
            return Ok(Renewal::Refused("there is no refresh token".to_owned()));
        };
        let place = grant::Place {
            issuer: &tokens.issuer,
            client_id: &tokens.client_id,
            token_endpoint: &tokens.token_endpoint,
            revocation_endpoint: tokens.revocation_endpoint.as_ref(),
        };
        match grant::ask(self, &place, Grant::Refresh(refresh)).await {
            Ok(renewed) => Ok(Renewal::Tokens(Box::new(renewed))),
            Err(grant::Refused::No(why)) => Ok(Renewal::Refused(why)),
            Err(grant::Refused::Trouble(trouble)) => Err(trouble),
        }
    }

    /// Gives the refresh token back.
    ///
    /// # Errors
    /// The authorization server does not answer, or refuses.
    pub async fn revoke(&self, tokens: &Tokens) -> Result<Revocation, Trouble> {
        grant::revoke(self, tokens).await
    }

    /// 32 random bytes in base64url: a state, or a verifier (RFC 7636, section 4.1).
    fn random_text(&self) -> String {
        let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
        self.random.fill(bytes.as_mut_slice());
        URL_SAFE_NO_PAD.encode(bytes.as_slice())
    }

    fn address(
        &self,
        authority: &Authority,
        client_id: &str,
        redirect_uri: &str,
        state: &str,
        verifier: &str,
    ) -> Url {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
        let mut url = authority.authorization_endpoint.clone();
        url.query_pairs_mut().extend_pairs([
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", redirect_uri),
            ("state", state),
            ("code_challenge", challenge.as_str()),
            ("code_challenge_method", "S256"),
            ("resource", self.door.as_str()),
        ]);
        if !authority.scope.is_empty() {
            url.query_pairs_mut().append_pair("scope", &authority.scope);
        }
        url
    }

    fn lead(&self, url: &Url) {
        let seconds = self.within.as_secs();
        let opened = self.opens_browser && browser::open(url).is_ok();
        let how = if opened { "the browser was opened; if it shows nothing, go to" } else { "go to" };
        self.notes.say(format_args!("log in within {seconds} s: {how} {url}"));
    }
}
