//! A login, done: the configured way, with the credential as it is now.

use std::sync::Arc;

use gateway_core::ports::{StoreError, StoreErrorKind};
use gateway_core::secret::Secret;
use http::{HeaderValue, Method};
use serde::Serialize;
use zeroize::Zeroizing;

use super::login::VaultLogin;
use super::wire::{Answer, Wire, token_header};
use super::wrapped::Unwrapped;
use crate::store::assertion::{Asserted, StoreAssertions};
use crate::store::login_file;
use crate::store::private_file::Readers;

/// How one token is got.
pub(super) struct Door {
    login: VaultLogin,
    /// The secret id that came out of its wrapping; nowhere but here.
    unwrapped: Unwrapped,
    assertions: Option<Arc<StoreAssertions>>,
    /// Who calls, where the login is the caller's.
    about: Asserted,
}

/// What came of a login.
pub(super) enum Entered {
    /// A token that somebody else keeps.
    Token(HeaderValue),
    /// The store's answer to a login.
    Answer(Answer),
}

/// What a login request carries. Serialised straight into a zeroed buffer.
#[derive(Serialize, Default)]
struct Credentials<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    role_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    secret_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    jwt: Option<&'a str>,
    /// The role of a certificate login.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl Door {
    pub(super) fn new(login: VaultLogin, assertions: Option<Arc<StoreAssertions>>, about: Asserted) -> Self {
        Self { login, unwrapped: Unwrapped::default(), assertions, about }
    }

    /// Whether tokens got here are kept alive: a caller's end with their time.
    pub(super) const fn is_lasting(&self) -> bool {
        !matches!(self.login, VaultLogin::Caller(_))
    }

    /// Logs in.
    pub(super) async fn enter(&self, wire: &Wire) -> Result<Entered, StoreError> {
        match &self.login {
            VaultLogin::TokenFile(file) => {
                let token = login_file::token(file, Readers::Group).await?;
                Ok(Entered::Token(header_of(&token)?))
            }
            VaultLogin::Approle(login) => {
                let secret_id = login_file::token(&login.secret_id_file, Readers::Group).await?;
                self.log_in(wire, &login.mount, &secret_id).await
            }
            VaultLogin::WrappedApprole(login) => {
                let secret_id = self.unwrapped.secret_id(wire, login).await?;
                match self.log_in(wire, &login.mount, &secret_id).await {
                    Err(error) if error.kind == StoreErrorKind::Denied => {
                        let next = self.unwrapped.next(wire, login, &error).await?;
                        self.log_in(wire, &login.mount, &next).await
                    }
                    outcome => outcome,
                }
            }
            // Platforms mount short-lived identity tokens readable; what lives longer must be guarded.
            VaultLogin::Jwt(login) => {
                let token = login_file::token(&login.jwt_file, Readers::Anybody).await?;
                self.log_in(wire, &login.mount, &token).await
            }
            VaultLogin::Kubernetes(login) => {
                let token = login_file::token(&login.token_file, Readers::Anybody).await?;
                self.log_in(wire, &login.mount, &token).await
            }
            VaultLogin::SignedJwt(login) | VaultLogin::Caller(login) => {
                let token = self.signed(&login.audience)?;
                self.log_in(wire, &login.mount, &token).await
            }
            VaultLogin::Cert(login) => {
                wire.present(login.certificate()).await?;
                // It is the connection that proves who we are.
                self.log_in(wire, &login.mount, &Secret::copy_from(b"")).await
            }
        }
    }

    fn signed(&self, audience: &str) -> Result<Secret, StoreError> {
        let missing = || login_file::refused("the gateway's signing keys are not there");
        self.assertions.as_ref().ok_or_else(missing)?.sign(audience, &self.about)
    }

    async fn log_in(&self, wire: &Wire, mount: &str, credential: &Secret) -> Result<Entered, StoreError> {
        let body = self.body(credential)?;
        let segments: Vec<&str> =
            std::iter::once("auth").chain(mount.split('/')).chain(std::iter::once("login")).collect();
        let answer = wire.call(Method::POST, &segments, None, None, Some(&body)).await?;
        match answer.status {
            200 => Ok(Entered::Answer(answer)),
            // A role or a secret id that the store does not know is a 400 there.
            400 | 404 => Err(answer.error(StoreErrorKind::Denied, "the store refuses our login")),
            _ => Err(answer.failure()),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the credential goes into the login's body")]
    fn body(&self, credential: &Secret) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let malformed = || StoreError::new(StoreErrorKind::Malformed, "the login's credential is no text");
        let text = Some(std::str::from_utf8(credential.expose()).map_err(|_| malformed())?);
        let nothing = Credentials::default();
        let credentials = match &self.login {
            VaultLogin::TokenFile(_) => nothing,
            VaultLogin::Approle(login) => {
                Credentials { role_id: Some(&login.role_id), secret_id: text, ..nothing }
            }
            VaultLogin::WrappedApprole(login) => {
                Credentials { role_id: Some(&login.role_id), secret_id: text, ..nothing }
            }
            VaultLogin::Jwt(login) => Credentials { role: Some(&login.role), jwt: text, ..nothing },
            VaultLogin::SignedJwt(login) | VaultLogin::Caller(login) => {
                Credentials { role: Some(&login.role), jwt: text, ..nothing }
            }
            VaultLogin::Kubernetes(login) => Credentials { role: Some(&login.role), jwt: text, ..nothing },
            VaultLogin::Cert(login) => Credentials { name: login.role.as_deref(), ..nothing },
        };
        // Large enough that it never moves: role names are short and escapes are at most sixfold.
        let mut body = Zeroizing::new(Vec::with_capacity(credential.len().saturating_mul(6) + 4096));
        serde_json::to_writer(&mut *body, &credentials).map_err(|_| malformed())?;
        Ok(body)
    }
}

/// A token as a header.
#[expect(clippy::disallowed_methods, reason = "the token goes into the request's header")]
pub(super) fn header_of(token: &Secret) -> Result<HeaderValue, StoreError> {
    token_header(token.expose())
}
