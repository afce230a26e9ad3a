//! People by the browser: sign-in at the enterprise's identity provider, browser sessions, and the
//! authorization server that lets their MCP clients log in (docs/login.md, docs/adr/0011).
//!
//! A sibling of `proxy` and `control`: it names no adapter. The identity provider, the signing keys, the
//! client documents and the shared records come in as ports of `gateway_core`.

mod allowance;
pub mod connect;
pub mod context;
pub mod cookie;
mod evidence;
pub mod fields;
pub mod form;
pub mod oauth;
pub mod page;
mod pages;
pub mod realm;
pub mod router;
pub mod seal;
pub mod session;
pub mod sign_in;

pub use connect::CALLBACK as CONNECT_CALLBACK;
pub use context::{Login, Wiring};
pub use oauth::{FacadeSettings, MetadataDomain};
pub use pages::{going, sign_out_form};
pub use realm::Realm;
pub use router::{PREFIXES, login_router};
pub use seal::SealKey;
pub use session::{SessionSettings, Signed};

#[cfg(test)]
mod tests;
