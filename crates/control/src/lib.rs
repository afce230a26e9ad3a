//! The management API: operators, manifests, approvals, rotation and revocation.
//!
//! Every write reads the state, decides with `gateway_core::lifecycle`, commits by compare-and-swap
//! and publishes before it answers. No handler returns a secret value, except a token that was just
//! made, once. This crate may import `gateway_core` and nothing else of the workspace.

mod auth;
mod body;
mod carried;
mod context;
mod documents;
mod entity;
mod idempotency;
mod masking;
mod openapi;
mod page;
mod ports;
mod problem;
mod review;
mod rotation;
mod router;
mod routes;
mod trial;
mod underway;
mod unfinished;
mod write;
mod wrote;

pub use context::ControlContext;
pub use documents::Documents;
pub use masking::Presentation;
pub use ports::{
    AuditEntry, AuditOrder, AuditPage, AuditProblem, AuditQuery, AuditReadError, AuditReader, AuditVerdict,
    OperatorVerifier, Readiness, SinkReadiness, SnapshotSource, StatusPages, StoredOperators, TokenKind,
    TokenMinter,
};
pub use problem::Problem;
pub use review::ReviewKeeper;
pub use rotation::{RotationKeeper, RotationParts};
pub use router::{OperatorRoutes, control_router, openapi_document};
pub use underway::Revoking;
pub use unfinished::RevocationFinisher;

#[cfg(test)]
mod tests;
