//! The traits at the seams. Every adapter of one passes its contract battery in the testkit.

mod evidence;
mod keys;
mod source;
mod state;
mod store;
mod ticket;
mod traffic;

pub use evidence::{AuditError, AuditSink, Sequence};
pub use keys::{IdentityVerifier, OwnKeys, Random};
pub use source::{Candidate, CredentialIssuer, CredentialProbe, CredentialWish};
pub use state::{Publisher, StateError, StateReader, StateWriter};
pub use store::{
    CallerStore, LeasingStore, SecretCache, SecretStore, SecretWriter, StoreError, StoreErrorKind, StoreLease,
};
pub use ticket::{Ticket, TicketKind, Tickets};
pub use traffic::{LiveSessions, LiveTraffic};
