//! Who calls: JWTs of configured issuers, SVIDs of SPIFFE trust domains, gateway-issued tokens, and
//! operators.
//!
//! A token is read into `UnverifiedClaims`, which tell nothing but the issuer they name; only a verified
//! signature turns them into claims, and only the issuer's rules turn those into an identity.

mod agent_token;
mod algorithm;
mod attest;
mod bundle;
mod cache;
mod certificate;
mod claims;
mod clients;
mod config;
mod facade;
mod jwks;
mod keys;
mod operators;
mod own_document;
mod receipt;
mod revocation;
mod rules;
mod sign_in;
mod strict_json;
mod svid;
mod token;
mod trust_domain;
mod verifier;

pub use agent_token::{Minted, TokenKind};
pub use algorithm::JwtAlgorithm;
pub use clients::SvidClients;
pub use config::{AudienceConfig, IdentityIssue, IssuerConfig, Preset, validate_issuers};
pub use facade::{FacadeVerifier, GuardedDocuments};
pub use operators::{OidcOperators, OperatorIssuerConfig, RoleMapping, validate_doors};
pub use receipt::{ReceiptError, ReceiptRules, verify_receipt};
pub use revocation::{RevocationError, verify_revocation};
pub use sign_in::{OidcSignIn, SignInConfig};
pub use trust_domain::{TrustDomainConfig, validate_trust_domains};
pub use verifier::{IssuerHealth, OidcVerifier};

#[cfg(test)]
mod tests;
