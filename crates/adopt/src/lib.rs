//! The way out of secret sprawl: finds loose keys in MCP client configurations, `.env` files, source
//! and logs, says where they are without ever saying what they are, and plans how each gets behind a
//! reference.
//!
//! It may import `gateway-core` alone. It reads files ([`walk`]) and nothing else: no network, no clock,
//! no randomness of its own. A found value is a [`gateway_core::secret::Secret`] from the moment it is
//! cut out; nothing here can print one.
//!
//! How a value is found, in the order in which the rules win where they overlap:
//!
//! 1. by the **place** that is known to hold keys: the environment, headers, arguments and URL of a
//!    server in a client's configuration, a line of an `.env` file, a name that tells (`API_KEY = …`);
//! 2. by its **format**: the prefixes that issuers publish so that scanners find their tokens;
//! 3. by **randomness**, last, in quoted strings only and with a list of what is random and no key.

mod baseline;
mod client;
mod document;
mod finding;
mod formats;
mod names;
mod plan;
mod rewrite;
mod samples;
mod sarif;
mod scan;
mod servers;
mod source;
mod text;
mod urls;
mod value;
pub mod walk;

pub use baseline::{Baseline, BaselineError, Split};
pub use client::{Client, ClientConfiguration, Door, Login, VARIABLE, client_configuration};
pub use finding::{Finding, Note, Place, Position, RULES, Rule, RuleText, Slot};
pub use plan::{Adoption, Draft, Edit, Move, Open, Plan, PlanOptions, plan};
pub use rewrite::{Change, Reverse, Stuck, redirect, reversed, rewritten};
pub use sarif::sarif;
pub use scan::{Scanned, scan};
pub use servers::{ServerEntry, Way};
