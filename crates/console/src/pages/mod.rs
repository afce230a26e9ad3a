//! The pages, a file each.

pub(crate) mod approvals;
pub(crate) mod audit;
pub(crate) mod bindings;
pub(crate) mod card;
pub(crate) mod grants;
pub(crate) mod locks;
pub(crate) mod objects;
pub(crate) mod overview;
pub(crate) mod sessions;
