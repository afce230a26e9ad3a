//! Development only: the contract batteries, fakes and the leak canary.

pub mod clock;
pub mod contract;
pub mod gate;
pub mod issuer;
pub mod memory_state;
pub mod moto;
pub mod oidc;
pub mod openbao;
pub mod postgres;
pub mod provider;
pub mod store;
pub mod stubs;
pub mod trust_domain;
