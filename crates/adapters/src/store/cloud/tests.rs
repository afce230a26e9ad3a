//! What the tests of the clouds' stores share.

pub(in crate::store) mod world;
