//! The evidence: a hash-chained log in segment files, its signed checkpoints, its reader, its verifier
//! and the sinks that carry it off the host.

mod archive;
mod checkpointer;
mod commit;
mod config;
mod cursor;
mod directory;
mod disk;
mod filter;
mod index;
mod key_chain;
mod log;
mod open;
mod reader;
mod remembered;
mod retention;
mod reverse;
mod signer;
mod sink;
mod terms;
mod verify;
mod writer;

pub use checkpointer::Checkpointer;
pub use config::{AuditConfig, Durability, RetentionConfig};
pub use filter::{Filter, Order};
pub use index::Index;
pub use log::{AuditLog, AuditStatus, Durable};
pub use open::{OpenIntent, Opened, Torn};
pub use reader::{Found, Reader, Stored, chain_of};
pub use retention::{Delivered, Removed, Retention};
pub use signer::{PublicKey, Signer, SignerError, prepare_next_key};
pub(crate) use sink::transport::bearer;
pub use sink::{
    AuditSinks, HttpSinkConfig, MOST_SINKS, Sink, SinkBuildError, SinkConfig, SinkKind, SinkStatus,
    SyslogConfig,
};
pub use verify::{VerifyReport, read_checkpoints, verify_directory};

#[cfg(test)]
mod tests;
