//! Development only: the contract batteries, fakes and the leak canary.

pub mod contract;
pub mod memory_state;
pub mod postgres;
pub mod clock;
pub mod store;
pub mod openbao;
pub mod issuer;
