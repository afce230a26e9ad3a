//! The ports: the management API as an operator, and who is an operator.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;
use gateway_core::login::Person;
use gateway_core::operator::Operator;
use http::{Request, Response};

/// The management API inside this process.
#[async_trait]
pub trait ControlApi: Send + Sync + fmt::Debug {
    /// Answers as it would answer this operator, with the same judgment and the same evidence.
    async fn call(&self, operator: Operator, request: Request<Bytes>) -> Response<Bytes>;

    /// What the gateway waits for before it takes traffic; empty where it is ready.
    async fn waiting_for(&self) -> Vec<String>;
}

/// Who of the people that log in is an operator.
pub trait OperatorRoles: Send + Sync + fmt::Debug {
    /// The operator that this person is, with the roles that the configuration gives; absent where it gives none.
    fn of(&self, person: &Person) -> Option<Operator>;
}
