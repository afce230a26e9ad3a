//! A policy engine for tests in which nothing is decided.

use std::sync::Arc;

use super::{PolicyCompiler, PolicyEngine, PolicyIssue, PolicySource, Question, Verdict};
use crate::manifest::ContentHash;

/// Takes every policy, and fails the test that asks it to judge.
#[derive(Debug)]
pub(crate) struct NoJudge;

impl PolicyEngine for NoJudge {
    fn decide(&self, _: &Question<'_>) -> Verdict {
        panic!("nothing is decided here")
    }

    fn version(&self) -> ContentHash {
        ContentHash::of(b"none")
    }
}

impl PolicyCompiler for NoJudge {
    fn compile(&self, _: &[PolicySource]) -> Result<Arc<dyn PolicyEngine>, Vec<PolicyIssue>> {
        Ok(Arc::new(Self))
    }
}
