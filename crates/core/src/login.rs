//! Logging people in by the browser: the ports between the pages and the outside, and the table of
//! everything that a page or the authorization server refuses.

use std::fmt;

use async_trait::async_trait;
use serde_json::{Map, Value};
use url::Url;

use crate::actor::{Groups, UserIdentity};
use crate::secret::Secret;
use crate::time::Timestamp;

/// A person, as the identity provider vouches for them just now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Person {
    /// The same pair that the provider's own tokens lead to on the data plane.
    pub user: UserIdentity,
    /// Their groups at this moment.
    pub groups: Groups,
}

/// What the browser takes to the identity provider.
#[derive(Clone, Copy, Debug)]
pub struct Departure<'a> {
    /// Where the provider sends the browser back to, compared exactly (RFC 6749, section 3.1.2.3).
    pub redirect_uri: &'a str,
    /// Single use.
    pub state: &'a Secret,
    /// Comes back in the ID token.
    pub nonce: &'a str,
    /// The PKCE verifier, of which the provider is told the S256 challenge alone (RFC 7636).
    pub verifier: &'a Secret,
    /// Whether the provider shall ask for the password again.
    pub again: bool,
}

/// What the browser brings back.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// As in the departure.
    pub redirect_uri: &'a str,
    /// The code; absent where the provider refuses.
    pub code: Option<&'a Secret>,
    /// The `iss` parameter (RFC 9207).
    pub issuer: Option<&'a str>,
    /// The `error` parameter.
    pub error: Option<&'a str>,
    /// As in the departure.
    pub nonce: &'a str,
    /// As in the departure.
    pub verifier: &'a Secret,
}

/// What an Identity Assertion JWT Authorization Grant says (draft-ietf-oauth-identity-assertion-authz-grant):
/// the provider lets this client of ours act for this person.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Assertion {
    /// The person.
    pub person: Person,
    /// The client, by its id here.
    pub client: String,
    /// The resource, where the provider names one (RFC 8707).
    pub resource: Option<String>,
    /// Its id, which is good once.
    pub id: String,
    /// When it ends, the leeway included.
    pub expires_at: Timestamp,
}

/// The identity provider that people log in at.
#[async_trait]
pub trait PersonProvider: Send + Sync + fmt::Debug {
    /// The address at the provider that a login begins at.
    ///
    /// # Errors
    /// [`Fault::ProviderUnavailable`] or [`Fault::ProviderMalformed`].
    async fn depart(&self, departure: &Departure<'_>, now: Timestamp) -> Result<Url, Fault>;

    /// Judges what came back, redeems the code and verifies the ID token.
    ///
    /// # Errors
    /// What is wrong with it.
    async fn arrive(&self, arrival: &Arrival<'_>, now: Timestamp) -> Result<Person, Fault>;

    /// Verifies an ID-JAG that is meant for the authorization server of this issuer.
    ///
    /// # Errors
    /// [`Fault::AssertionRefused`] or [`Fault::ProviderUnavailable`].
    async fn assertion(&self, assertion: &Secret, audience: &str, now: Timestamp)
    -> Result<Assertion, Fault>;
}

/// Signs the authorization server's own access tokens.
pub trait AccessTokenSigner: Send + Sync + fmt::Debug {
    /// The token (RFC 9068: `typ` is `at+jwt`) over the claims.
    ///
    /// # Errors
    /// [`Fault::Unavailable`]: no key is there to sign with.
    fn sign(&self, claims: &Map<String, Value>) -> Result<Secret, Fault>;
}

/// Fetches client ID metadata documents. Checks every address it connects to, follows no redirect, and
/// keeps to limits of time and size.
#[async_trait]
pub trait ClientDocuments: Send + Sync + fmt::Debug {
    /// The document's bytes.
    ///
    /// # Errors
    /// [`Fault::ClientDocumentUnavailable`].
    async fn fetch(&self, url: &Url) -> Result<Vec<u8>, Fault>;
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct FaultRow {
    /// The stable code, `area.reason`.
    pub code: &'static str,
    /// The HTTP status of the page.
    pub status: u16,
    /// The OAuth error (RFC 6749, section 4.1.2.1 and 5.2; RFC 7591, section 3.2.2).
    pub oauth: &'static str,
    /// What happened.
    pub text: &'static str,
    /// What to do.
    pub hint: &'static str,
}

macro_rules! faults {
    ($($(#[$doc:meta])+ $name:ident: $code:literal, $status:literal, $oauth:literal, $text:literal, $hint:literal;)+) => {
        /// Why a login, a page or a request to the authorization server is refused.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum Fault {
            $($(#[$doc])+ $name,)+
        }

        impl Fault {
            /// Every fault, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Its row.
            pub const fn row(self) -> FaultRow {
                match self {
                    $(Self::$name => FaultRow { code: $code, status: $status, oauth: $oauth, text: $text, hint: $hint },)+
                }
            }
        }
    };
}

faults! {
    /// The login's `state` is unknown, used or too old.
    StateUnknown: "login.state_unknown", 400, "invalid_request", "this login was already used, is too old, or never began here", "begin again where you came from";
    /// Too many logins were begun.
    LoginLimit: "login.limit", 429, "temporarily_unavailable", "too many logins were begun from here lately", "try again in a minute";
    /// Another browser began this login.
    BrowserMismatch: "login.other_browser", 400, "invalid_request", "this login began in another browser", "begin again in this browser, with cookies allowed";
    /// RFC 9207: the issuer promises `iss` and did not send it.
    IssuerMissing: "login.issuer_missing", 400, "invalid_request", "the identity provider did not say who it is", "begin again; tell your operator if it stays";
    /// RFC 9207: the answer comes from somebody else.
    IssuerMixedUp: "login.issuer_mixed_up", 400, "invalid_request", "the answer comes from another identity provider than the one that was asked", "begin again, and tell your operator";
    /// The provider says no.
    ProviderRefused: "login.provider_refused", 403, "access_denied", "the identity provider refused the login", "log in there with an account that may use this gateway";
    /// The provider does not answer.
    ProviderUnavailable: "login.provider_unavailable", 503, "temporarily_unavailable", "the identity provider does not answer", "try again; the operator checks the identity provider";
    /// The provider's metadata or answer is not acceptable.
    ProviderMalformed: "login.provider_malformed", 502, "server_error", "the identity provider's answer is not acceptable", "the operator checks `login.issuer`, `login.origins` and the log";
    /// The code is refused, or our client is.
    CodeRefused: "login.code_refused", 502, "server_error", "the identity provider did not accept the login's code or this gateway's client", "begin again; the operator checks `login.client_id` and `login.client_secret`";
    /// The ID token does not hold.
    IdTokenRefused: "login.id_token_refused", 403, "access_denied", "the identity provider's statement about you does not hold", "begin again; the operator looks into the log";
    /// The ID token belongs to another login.
    NonceMismatch: "login.nonce_mismatch", 403, "access_denied", "the identity provider's statement belongs to another login", "begin again, and tell your operator";
    /// The form does not come from our page.
    FormForged: "page.form_forged", 403, "invalid_request", "this form does not come from this gateway's own page", "go back, load the page again, and do not use links from elsewhere";
    /// The page's session is gone.
    SessionMissing: "page.session_missing", 401, "invalid_request", "you are not logged in, or no longer", "log in again";
    /// A parameter is missing, malformed or there twice.
    RequestMalformed: "oauth.request_malformed", 400, "invalid_request", "a parameter is missing, malformed or there twice", "the client follows RFC 6749 and OAuth 2.1";
    /// Nobody knows the client.
    ClientUnknown: "client.unknown", 400, "invalid_client", "the client is not known here, or no longer", "the client registers anew, or uses the URL of its metadata document as its id";
    /// The document's host is not allowed.
    ClientDomain: "client.domain_refused", 403, "invalid_client", "clients described at that host are not allowed here", "the operator adds the host to `login.clients.metadata_domains`";
    /// The document cannot be had.
    ClientDocumentUnavailable: "client.document_unavailable", 400, "invalid_client", "the client's metadata document cannot be fetched", "its publisher checks that it answers 200 over https at a public address, without redirects";
    /// The document does not hold.
    ClientDocumentRefused: "client.document_refused", 400, "invalid_client", "the client's metadata document is not acceptable", "its `client_id` must be its own URL, its `redirect_uris` https or loopback http, its client public";
    /// The redirect URI is not registered.
    RedirectRefused: "client.redirect_refused", 400, "invalid_request", "the client did not register this redirect URI", "the client sends exactly a redirect URI that it registered";
    /// Registration is switched off.
    RegistrationOff: "client.registration_off", 403, "access_denied", "clients cannot register themselves here", "use a client with a metadata document, or the operator sets `login.clients.registration`";
    /// The registration does not hold.
    RegistrationRefused: "client.registration_refused", 400, "invalid_client_metadata", "the client's metadata is not acceptable", "1 to 10 redirect URIs, each https or loopback http; see docs/login.md";
    /// A redirect URI in the registration does not hold.
    RegistrationRedirect: "client.registration_redirect", 400, "invalid_redirect_uri", "a redirect URI is not acceptable", "https, or http with a loopback address; no user, no fragment";
    /// Too many registrations.
    RegistrationLimit: "client.registration_limit", 429, "temporarily_unavailable", "too many clients registered lately", "try again in an hour";
    /// Not `code`.
    ResponseType: "oauth.response_type", 400, "unsupported_response_type", "only the response type `code` is there", "the client uses the authorization code flow";
    /// PKCE is missing or is not S256.
    PkceMissing: "oauth.pkce", 400, "invalid_request", "the client must use PKCE with S256", "the client sends `code_challenge` with `code_challenge_method=S256`";
    /// The resource is missing or is none of ours.
    ResourceRefused: "oauth.resource", 400, "invalid_target", "the resource is missing, or is no server of this gateway", "the client sends as `resource` the URL it calls (RFC 8707)";
    /// The person says no.
    ConsentDenied: "oauth.consent_denied", 403, "access_denied", "the person did not agree", "nothing: that is their decision";
    /// `prompt=none` cannot be answered.
    InteractionRequired: "oauth.interaction_required", 400, "interaction_required", "the person must be asked first", "the client leaves out `prompt=none`";
    /// No such grant type.
    GrantType: "oauth.grant_type", 400, "unsupported_grant_type", "this grant type is not there", "the client uses `authorization_code` or `refresh_token`";
    /// The assertion does not hold.
    AssertionRefused: "oauth.assertion_refused", 400, "invalid_grant", "the assertion is not of the configured identity provider for this client and gateway, or does not hold", "the client asks its identity provider for a new one, with this gateway as its audience";
    /// The assertion was used before.
    AssertionReplayed: "oauth.assertion_replayed", 400, "invalid_grant", "the assertion was used before", "the client asks its identity provider for a new one";
    /// The client authenticates, but clients are public here.
    ClientAuthentication: "oauth.client_authentication", 401, "invalid_client", "clients are public here and have no secret", "the client sends its `client_id` alone";
    /// The code is unknown or too old.
    CodeUnknown: "oauth.code_unknown", 400, "invalid_grant", "the code is unknown or too old", "the client begins again";
    /// The code was used before.
    CodeReplayed: "oauth.code_replayed", 400, "invalid_grant", "the code was used before; what it led to has ended", "the client begins again";
    /// The code belongs to another client, redirect URI, resource or PKCE verifier.
    CodeMismatch: "oauth.code_mismatch", 400, "invalid_grant", "the code was not issued for this client, redirect URI, resource and verifier", "the client begins again";
    /// The refresh token is unknown or has ended.
    RefreshUnknown: "oauth.refresh_unknown", 400, "invalid_grant", "the refresh token is unknown or has ended", "the client begins again";
    /// The refresh token was used before.
    RefreshReused: "oauth.refresh_reused", 400, "invalid_grant", "the refresh token was used before; its family has ended", "the client begins again";
    /// The refresh token is another client's or resource's.
    RefreshMismatch: "oauth.refresh_mismatch", 400, "invalid_grant", "the refresh token was not issued for this client and resource", "the client begins again";
    /// Not a kind of token that can be revoked.
    TokenKind: "oauth.token_kind", 400, "unsupported_token_type", "access tokens end by themselves within minutes and cannot be revoked", "the client revokes its refresh token";
    /// Nothing of that name can be connected by this person.
    ConnectUnknown: "connect.unknown", 404, "invalid_request", "there is nothing at this address that you can connect", "check the address; your operator says which servers you may use";
    /// The sealed link was changed, or is over.
    ConnectLinkRefused: "connect.link_refused", 400, "invalid_request", "this link was changed or is too old", "use the tool again: you get a new link";
    /// The link was made for somebody else.
    ConnectOtherUser: "connect.other_user", 403, "access_denied", "this link was made for somebody else than the person who is logged in here", "if it was sent to you, close it; if it is yours, log in as yourself";
    /// The `state` is unknown, used or too old.
    ConnectStateUnknown: "connect.state_unknown", 400, "invalid_request", "this way to the provider was already used, is too old, or never began here", "begin again on the page of your accounts";
    /// Another session began this.
    ConnectOtherSession: "connect.other_session", 403, "invalid_request", "another login began this way to the provider", "begin again in this browser";
    /// RFC 9207: the provider promises `iss` and did not send it.
    ConnectIssuerMissing: "connect.issuer_missing", 400, "invalid_request", "the provider did not say who it is", "begin again; tell your operator if it stays";
    /// RFC 9207: the answer comes from somebody else.
    ConnectIssuerMixedUp: "connect.issuer_mixed_up", 400, "invalid_request", "the answer comes from another provider than the one you were sent to", "begin again, and tell your operator";
    /// The person or the provider says no.
    ConnectDenied: "connect.denied", 403, "access_denied", "access was not granted at the provider", "begin again if that was a mistake";
    /// The provider does not answer.
    ConnectProviderUnavailable: "connect.provider_unavailable", 503, "temporarily_unavailable", "the provider, or the store that keeps what you grant, does not answer", "try again; the operator looks into the log";
    /// The provider refuses, or its answer is not acceptable.
    ConnectProviderRefused: "connect.provider_refused", 502, "server_error", "the provider did not accept this gateway or the code, or its answer is not acceptable", "begin again; the operator checks the provider's manifest and the log";
    /// The person has no such grant.
    ConnectGrantUnknown: "connect.grant_unknown", 404, "invalid_request", "you have no such account connected, or no longer", "load the page of your accounts again";
    /// A lock stops the person, the client or the place.
    Locked: "login.locked", 403, "access_denied", "access is stopped for now", "do not try again at once; your operators know why";
    /// State, evidence or keys are not available.
    Unavailable: "login.unavailable", 503, "temporarily_unavailable", "the gateway cannot do this now", "try again; the operator looks into the log";
}

impl Fault {
    /// The stable text.
    pub const fn as_str(self) -> &'static str {
        self.row().code
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.as_str(), self.row().text)
    }
}

impl std::error::Error for Fault {}
