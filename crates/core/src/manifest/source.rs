//! Credential sources: how a binding obtains its material where it is not a secret that a store simply
//! holds (`secret`). Each names the provider it asks, never an address.

use serde::{Deserialize, Serialize};

use super::CredentialMode;
use crate::id::{ProviderName, ToolName};
use crate::reference::SecretReference;

/// How the material is obtained. A binding has a `source` or a `secret`, never both.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum CredentialSource {
    /// The gateway's own token (RFC 6749, section 4.4).
    ClientCredentials(TokenRequest),
    /// The caller's token for another one (RFC 8693).
    TokenExchange(TokenExchange),
    /// An assertion that the gateway signs (RFC 7523, section 2.1).
    JwtBearer(JwtBearer),
    /// The caller's token for an identity assertion, and that for an access token of another
    /// authorization server (ID-JAG, draft-ietf-oauth-identity-assertion-authz-grant).
    IdentityAssertion(IdentityAssertion),
    /// What the user granted the gateway at the provider (RFC 6749, section 4.1).
    Grant(TokenRequest),
    /// A short-lived token that the gateway signs itself, for servers that trust its key set.
    Minted(MintedToken),
    /// A secret that the store makes for this use and takes back.
    Leased(LeasedSecret),
    /// An installation token of an application (GitHub Apps and their like).
    AppInstallation(AppInstallation),
}

/// What a token is asked for.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// The provider that issues it.
    pub provider: ProviderName,
    /// The scopes that every use asks for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Further scopes for single tools, so that a call asks for what it needs and no more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_scopes: Vec<ToolScopes>,
    /// The resource that the token is for (RFC 8707).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// The audience that the token is for, for providers that know no `resource`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
}

/// The scopes that some tools need.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolScopes {
    /// The tools.
    pub tools: Vec<ToolName>,
    /// What they need beyond the others.
    pub scopes: Vec<String>,
}

impl TokenRequest {
    /// The scopes for one use, sorted, each once. Uses that are no tool call ask for the common ones.
    pub fn scopes_for(&self, tool: Option<&ToolName>) -> Vec<&str> {
        let of_tool = self
            .tool_scopes
            .iter()
            .filter(|entry| tool.is_some_and(|tool| entry.tools.contains(tool)))
            .flat_map(|entry| &entry.scopes);
        let mut scopes: Vec<&str> = self.scopes.iter().chain(of_tool).map(String::as_str).collect();
        scopes.sort_unstable();
        scopes.dedup();
        scopes
    }
}

/// A token exchange.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenExchange {
    /// What is asked for.
    pub token: TokenRequest,
    /// Whether the gateway names the agent as the acting party, by an `actor_token` it signs itself
    /// (RFC 8693, section 2.1).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub actor_token: bool,
}

/// A JWT bearer grant.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtBearer {
    /// What is asked for.
    pub token: TokenRequest,
    /// Whom the assertion speaks of.
    pub subject: AssertedSubject,
    /// The issuer whose subjects the provider knows; there exactly where `subject` is `user`. The same
    /// subject of another issuer is another person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_issuer: Option<String>,
}

/// The subject of an assertion.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssertedSubject {
    /// The gateway's own client.
    Client,
    /// The calling user, by the subject within its issuer.
    User,
    /// The calling agent, by its name.
    Agent,
    /// The calling workload, by its name.
    Workload,
}

/// An identity assertion and what it is redeemed for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityAssertion {
    /// What is asked for at the server's own authorization server.
    pub token: TokenRequest,
    /// The enterprise's identity provider, which makes the assertion from the caller's token.
    pub identity_provider: ProviderName,
}

/// A token that the gateway signs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MintedToken {
    /// The audience; the origin and path of the server's route where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How long it holds, in seconds: 30 to 900. Default 120.
    #[serde(default = "minted_lifetime")]
    pub lifetime_seconds: u32,
}

const fn minted_lifetime() -> u32 {
    120
}

/// A secret made on demand.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeasedSecret {
    /// The place in the store that makes it, with the field that is injected; `{agent.id}` picks a role
    /// for each agent.
    pub role: SecretReference,
}

/// An installation of an application.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppInstallation {
    /// The provider: its `issuer` is the base URL of the API, its client id the application's, its
    /// private key the application's.
    pub provider: ProviderName,
    /// The installation.
    pub installation_id: u64,
    /// The repositories that the token may touch.
    pub repositories: Vec<String>,
    /// The permissions, such as `contents: read`.
    pub permissions: std::collections::BTreeMap<String, String>,
}

impl CredentialSource {
    /// The word used on cards and in evidence.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::ClientCredentials(_) => "client_credentials",
            Self::TokenExchange(_) => "token_exchange",
            Self::JwtBearer(_) => "jwt_bearer",
            Self::IdentityAssertion(_) => "identity_assertion",
            Self::Grant(_) => "grant",
            Self::Minted(_) => "minted",
            Self::Leased(_) => "leased",
            Self::AppInstallation(_) => "app_installation",
        }
    }

    /// The provider whose tokens reach the server; absent where no provider is asked.
    pub const fn provider(&self) -> Option<&ProviderName> {
        match self {
            Self::ClientCredentials(request) | Self::Grant(request) => Some(&request.provider),
            Self::TokenExchange(exchange) => Some(&exchange.token.provider),
            Self::JwtBearer(bearer) => Some(&bearer.token.provider),
            Self::IdentityAssertion(assertion) => Some(&assertion.token.provider),
            Self::AppInstallation(app) => Some(&app.provider),
            Self::Minted(_) | Self::Leased(_) => None,
        }
    }

    /// Every provider that is asked on the way.
    pub fn providers(&self) -> impl Iterator<Item = &ProviderName> {
        let first = match self {
            Self::IdentityAssertion(assertion) => Some(&assertion.identity_provider),
            _ => None,
        };
        first.into_iter().chain(self.provider())
    }

    /// The same, to name others.
    pub(crate) fn providers_mut(&mut self) -> impl Iterator<Item = &mut ProviderName> {
        let (first, second) = match self {
            Self::ClientCredentials(request) | Self::Grant(request) => (None, Some(&mut request.provider)),
            Self::TokenExchange(exchange) => (None, Some(&mut exchange.token.provider)),
            Self::JwtBearer(bearer) => (None, Some(&mut bearer.token.provider)),
            Self::IdentityAssertion(assertion) => {
                (Some(&mut assertion.identity_provider), Some(&mut assertion.token.provider))
            }
            Self::AppInstallation(app) => (None, Some(&mut app.provider)),
            Self::Minted(_) | Self::Leased(_) => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// What is asked for, where scopes are a thing of this source.
    pub const fn request(&self) -> Option<&TokenRequest> {
        match self {
            Self::ClientCredentials(request) | Self::Grant(request) => Some(request),
            Self::TokenExchange(exchange) => Some(&exchange.token),
            Self::JwtBearer(bearer) => Some(&bearer.token),
            Self::IdentityAssertion(assertion) => Some(&assertion.token),
            Self::Minted(_) | Self::Leased(_) | Self::AppInstallation(_) => None,
        }
    }

    /// Whether the caller's own token is needed, as the `subject_token` of an exchange (DESIGN, 11.8).
    pub const fn presents_caller(&self) -> bool {
        matches!(self, Self::TokenExchange(_) | Self::IdentityAssertion(_))
    }

    /// Whether the material differs from caller to caller.
    pub fn is_per_caller(&self) -> bool {
        match self {
            Self::ClientCredentials(_) | Self::AppInstallation(_) => false,
            Self::JwtBearer(bearer) => bearer.subject != AssertedSubject::Client,
            Self::Leased(leased) => leased.role.has_templates(),
            Self::TokenExchange(_) | Self::IdentityAssertion(_) | Self::Grant(_) | Self::Minted(_) => true,
        }
    }

    /// Whether the source serves the mode. A mode says on whose authority the call runs, so a source that
    /// cannot speak for that party is refused.
    pub const fn serves(&self, mode: CredentialMode) -> bool {
        use CredentialMode::{AgentScoped, ServiceAccount, UserDelegated, WorkloadIdentity};
        match self {
            Self::ClientCredentials(_) => matches!(mode, ServiceAccount | AgentScoped | WorkloadIdentity),
            Self::TokenExchange(_) => matches!(mode, UserDelegated | AgentScoped | WorkloadIdentity),
            Self::JwtBearer(bearer) => match bearer.subject {
                AssertedSubject::Client => matches!(mode, ServiceAccount),
                AssertedSubject::User => matches!(mode, UserDelegated),
                AssertedSubject::Agent => matches!(mode, AgentScoped),
                AssertedSubject::Workload => matches!(mode, WorkloadIdentity),
            },
            Self::IdentityAssertion(_) | Self::Grant(_) => matches!(mode, UserDelegated),
            Self::Minted(_) => matches!(mode, AgentScoped | WorkloadIdentity),
            Self::Leased(_) | Self::AppInstallation(_) => {
                matches!(mode, ServiceAccount | AgentScoped | WorkloadIdentity)
            }
        }
    }
}
