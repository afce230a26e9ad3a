//! The evidence: a hash-chained log in segment files, its signed checkpoints, its reader, its verifier
//! and the sink that carries it off the host.

mod checkpointer;
mod commit;
mod config;
mod cursor;
mod directory;
mod disk;
mod filter;
mod log;
mod open;
mod reader;
mod remembered;
mod reverse;
mod signer;
mod sink;
mod verify;
mod writer;

pub use checkpointer::Checkpointer;
pub use config::{AuditConfig, Durability, SinkConfig};
pub use filter::{Filter, Order};
pub use log::{AuditLog, AuditStatus, Durable};
pub use open::{OpenIntent, Opened, Torn};
pub use reader::{Found, Reader, Stored};
pub use signer::{PublicKey, Signer, SignerError};
pub use sink::{Sink, SinkStatus};
pub use verify::{VerifyReport, read_checkpoints, verify_directory};

#[cfg(test)]
mod tests;
