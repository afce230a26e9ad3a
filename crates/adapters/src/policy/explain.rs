//! Explaining: every statement that was asked, and what it said.

use std::fmt;

use cedar_policy::{Decision, Effect, Policy, PolicySet};
use gateway_core::id::{PolicyName, Revision};
use gateway_core::manifest::ContentHash;
use gateway_core::policy::{PolicyEngine, Question, Verdict};
use serde::Serialize;

use super::engine::{CedarEngine, annotation, cause};
use super::facts::Facts;

/// Why a statement was asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepRole {
    /// In the revision that the binding's approval pinned.
    Pinned,
    /// In the named policy's current revision, which is another one.
    Current,
    /// A prohibition of the environment.
    Environment,
}

/// What a statement said.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It permits.
    Permits,
    /// It forbids.
    Forbids,
    /// Its conditions do not hold.
    DoesNotApply,
    /// It could not be evaluated, which is a denial.
    Fails(String),
}

/// One statement.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Step {
    /// Why it was asked.
    pub role: StepRole,
    /// Its policy.
    pub policy: PolicyName,
    /// The revision of that policy.
    pub revision: Revision,
    /// Its place: `policy[0]` is the first statement of the text.
    pub statement: String,
    /// Its `@id` annotation.
    pub id: Option<String>,
    /// What it said.
    pub outcome: Outcome,
}

/// The readable trace of one decision.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Explanation {
    /// Whether the call is allowed.
    pub allowed: bool,
    /// The policies that decided.
    pub policies: Vec<PolicyName>,
    /// The decision's own reasons.
    pub reasons: Vec<String>,
    /// Every statement that was asked.
    pub steps: Vec<Step>,
    /// The policy version.
    pub version: ContentHash,
}

impl CedarEngine {
    /// Decides and says what each statement contributed. Slower than [`PolicyEngine::decide`]: each
    /// statement is asked alone.
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        let Verdict { allowed, policies, reasons } = self.decide(question);
        let steps = Facts::of(&self.vocabulary, question)
            .map(|facts| self.steps(&facts, question))
            .unwrap_or_default();
        Explanation { allowed, policies, reasons, steps, version: self.version() }
    }

    fn steps(&self, facts: &Facts, question: &Question<'_>) -> Vec<Step> {
        let pinned = question.binding.pins.policy;
        let mut steps = Vec::new();
        for held in self.consulted(question).unwrap_or_default() {
            let role = if held.revision == pinned { StepRole::Pinned } else { StepRole::Current };
            let mut statements: Vec<&Policy> = held.policy.all.policies().collect();
            statements.sort_by_key(|statement| place(statement));
            for statement in statements {
                steps.push(self.step(facts, role, &held.policy.name, held.revision, statement));
            }
        }
        let mut names: Vec<_> = self.current.iter().collect();
        names.sort();
        for (name, revision) in names {
            // The named policy's current statements are in the trace already.
            let Some(held) = self.held(name, *revision).filter(|_| *name != question.binding.spec.policy)
            else {
                continue;
            };
            for forbid in &held.policy.forbids {
                steps.push(self.step(facts, StepRole::Environment, name, *revision, forbid));
            }
        }
        steps
    }

    fn step(
        &self,
        facts: &Facts,
        role: StepRole,
        policy: &PolicyName,
        revision: Revision,
        statement: &Policy,
    ) -> Step {
        let alone = PolicySet::from_policies([statement.clone()]).unwrap_or_default();
        let response = self.ask(facts, &alone);
        let diagnostics = response.diagnostics();
        let failed = diagnostics.errors().next().map(|error| {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(failed) = error;
            Outcome::Fails(cause(failed.inner()))
        });
        let spoke = diagnostics.reason().next().is_some();
        let outcome = failed.unwrap_or(match (response.decision(), statement.effect()) {
            (Decision::Allow, _) => Outcome::Permits,
            (Decision::Deny, Effect::Forbid) if spoke => Outcome::Forbids,
            (Decision::Deny, _) => Outcome::DoesNotApply,
        });
        Step {
            role,
            policy: policy.clone(),
            revision,
            statement: statement.id().to_string(),
            id: annotation(statement).map(str::to_owned),
            outcome,
        }
    }
}

/// The number in `policy[12]`.
fn place(statement: &Policy) -> usize {
    let id: &str = statement.id().as_ref();
    let digits = id.split_once('[').map(|(_, rest)| rest.trim_end_matches(']'));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(usize::MAX)
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", if self.allowed { "allowed" } else { "denied" })?;
        for reason in &self.reasons {
            writeln!(f, "  because {reason}")?;
        }
        for step in &self.steps {
            let role = match step.role {
                StepRole::Pinned => "as approved",
                StepRole::Current => "current",
                StepRole::Environment => "environment",
            };
            let outcome = match &step.outcome {
                Outcome::Permits => "permits",
                Outcome::Forbids => "forbids",
                Outcome::DoesNotApply => "does not apply",
                Outcome::Fails(cause) => cause,
            };
            let id = step.id.as_deref().map(|id| format!(" ({id})")).unwrap_or_default();
            writeln!(f, "  {role:<11} {}{id} r{}: {outcome}", step.statement, step.revision)?;
        }
        writeln!(f, "  policy version {}", self.version)
    }
}
