//! The adapters against the real parts. A part that is missing is a failure, never a skip.

mod aws;
#[expect(dead_code, reason = "the tests of sources use more of it")]
#[expect(clippy::unwrap_used, reason = "helpers of tests")]
#[path = "../../src/source/tests/fixture.rs"]
mod fixture;
mod leases;
mod openbao;
mod openbao_callers;
mod openbao_kv;
mod openbao_logins;
mod own_client;
mod postgres;
mod sources;

/// Where the fixture looks for it.
mod policy {
    pub(crate) use gateway_adapters::policy::CedarCompiler;
}
