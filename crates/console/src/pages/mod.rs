//! The pages, a file each.

pub(crate) mod access;
pub(crate) mod agent;
pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod bindings;
pub(crate) mod card;
pub(crate) mod environments;
pub(crate) mod grants;
pub(crate) mod locks;
pub(crate) mod object;
pub(crate) mod objects;
pub(crate) mod overview;
pub(crate) mod policy;
pub(crate) mod provider;
pub(crate) mod revocations;
pub(crate) mod server;
pub(crate) mod sessions;
pub(crate) mod stores;
pub(crate) mod workload;
