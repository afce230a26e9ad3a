//! Deciding.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cedar_policy::{
    AuthorizationError, Authorizer, Decision, EvaluationError, Policy, PolicyId, PolicySet, Response,
};
use gateway_core::id::{PolicyName, Revision};
use gateway_core::manifest::ContentHash;
use gateway_core::policy::{PolicyEngine, PolicyIssue, PolicySource, Question, Verdict};

use super::compile::Compiled;
use super::facts::Facts;
use super::schema::Vocabulary;

/// One revision at hand.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) revision: Revision,
    pub(super) hash: ContentHash,
    pub(super) policy: Arc<Compiled>,
}

/// The compiled policies of one environment.
pub struct CedarEngine {
    pub(super) vocabulary: Arc<Vocabulary>,
    pub(super) held: HashMap<PolicyName, Vec<Held>>,
    pub(super) current: HashMap<PolicyName, Revision>,
    /// Every forbidding statement of every current policy.
    pub(super) forbids: PolicySet,
    pub(super) authorizer: Authorizer,
    version: ContentHash,
}

impl fmt::Debug for CedarEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CedarEngine").field("version", &self.version).finish_non_exhaustive()
    }
}

impl CedarEngine {
    pub(super) fn new(
        vocabulary: Arc<Vocabulary>,
        compiled: Vec<(&PolicySource, Arc<Compiled>)>,
        version: ContentHash,
    ) -> Result<Self, Vec<PolicyIssue>> {
        let mut engine = Self {
            vocabulary,
            held: HashMap::new(),
            current: HashMap::new(),
            forbids: PolicySet::new(),
            authorizer: Authorizer::new(),
            version,
        };
        for (source, policy) in compiled {
            if source.current && engine.current.insert(source.name.clone(), source.revision).is_some() {
                return Err(vec![two_current(source)]);
            }
            for forbid in policy.forbids.iter().filter(|_| source.current) {
                // Ids begin with the policy's name, and only one revision of it is current.
                engine.forbids.add(forbid.clone()).map_err(|_| vec![two_current(source)])?;
            }
            let held = Held { revision: source.revision, hash: source.hash, policy };
            engine.held.entry(source.name.clone()).or_default().push(held);
        }
        Ok(engine)
    }

    pub(super) fn held(&self, name: &PolicyName, revision: Revision) -> Option<&Held> {
        self.held.get(name)?.iter().find(|held| held.revision == revision)
    }

    /// The revisions of the named policy that must each permit: pinned, and current where different.
    pub(super) fn consulted(&self, question: &Question<'_>) -> Result<Vec<&Held>, String> {
        let name = &question.binding.spec.policy;
        let pins = &question.binding.pins;
        let missing = |what: &str| format!("policy `{name}`: {what}");
        let pinned = self
            .held(name, pins.policy)
            .filter(|held| held.hash == pins.policy_hash)
            .ok_or_else(|| missing("the revision that was approved is not at hand"))?;
        // Switching a policy off is tightening, and tightening acts at once.
        let current = self.current.get(name).ok_or_else(|| missing("it has no active revision"))?;
        if *current == pins.policy {
            return Ok(vec![pinned]);
        }
        let current = self.held(name, *current).ok_or_else(|| missing("it has no active revision"))?;
        Ok(vec![pinned, current])
    }

    pub(super) fn ask(&self, facts: &Facts, policies: &PolicySet) -> Response {
        self.authorizer.is_authorized(&facts.request, policies, &facts.entities)
    }
}

impl PolicyEngine for CedarEngine {
    fn decide(&self, question: &Question<'_>) -> Verdict {
        let named = &question.binding.spec.policy;
        let deny = |reasons| Verdict { allowed: false, policies: vec![named.clone()], reasons };
        let facts = match Facts::of(&self.vocabulary, question) {
            Ok(facts) => facts,
            Err(unaskable) => return deny(vec![format!("the question cannot be asked: {}", unaskable.0)]),
        };
        let consulted = match self.consulted(question) {
            Ok(consulted) => consulted,
            Err(reason) => return deny(vec![reason]),
        };
        let mut reasons = Vec::new();
        for held in consulted {
            let response = self.ask(&facts, &held.policy.all);
            let allowed = judge(&response, held, &mut reasons);
            if !allowed {
                return deny(reasons);
            }
        }
        if let Some((forbidding, reason)) = self.forbidden(&facts) {
            return Verdict { allowed: false, policies: forbidding, reasons: reason };
        }
        Verdict { allowed: true, policies: vec![named.clone()], reasons }
    }

    fn version(&self) -> ContentHash {
        self.version
    }
}

impl CedarEngine {
    /// The current policies that forbid, or whose prohibitions cannot be evaluated.
    fn forbidden(&self, facts: &Facts) -> Option<(Vec<PolicyName>, Vec<String>)> {
        if self.forbids.is_empty() {
            return None;
        }
        let response = self.ask(facts, &self.forbids);
        let diagnostics = response.diagnostics();
        let mut reasons = Vec::new();
        let mut policies = Vec::new();
        for id in diagnostics.reason() {
            reasons.push(format!("{} forbids", label(&self.forbids, id)));
            policies.extend(policy_of(id));
        }
        for error in diagnostics.errors() {
            reasons.push(failure(&self.forbids, error));
            policies.extend(policy_of(error_id(error)));
        }
        policies.sort();
        policies.dedup();
        (!reasons.is_empty()).then_some((policies, reasons))
    }
}

/// Whether one revision permits on its own, with what it says.
fn judge(response: &Response, held: &Held, reasons: &mut Vec<String>) -> bool {
    let diagnostics = response.diagnostics();
    let allowed = response.decision() == Decision::Allow;
    let verb = if allowed { "permits" } else { "forbids" };
    let set = &held.policy.all;
    let before = reasons.len();
    reasons.extend(
        diagnostics.reason().map(|id| format!("{} {verb} (revision {})", label(set, id), held.revision)),
    );
    if reasons.len() == before {
        reasons.push(format!("`{}` (revision {}) does not permit", held.policy.name, held.revision));
    }
    let mut errors = diagnostics.errors().map(|error| failure(set, error)).peekable();
    let clean = errors.peek().is_none();
    reasons.extend(errors);
    allowed && clean
}

/// `name[place]`, with the `@id` annotation where there is one.
pub(super) fn label(set: &PolicySet, id: &PolicyId) -> String {
    match set.policy(id).and_then(|policy| annotation(policy)) {
        Some(own) => format!("`{id}` (@id {own:?})"),
        None => format!("`{id}`"),
    }
}

pub(super) fn annotation(policy: &Policy) -> Option<&str> {
    policy.annotation("id")
}

fn failure(set: &PolicySet, error: &AuthorizationError) -> String {
    let AuthorizationError::PolicyEvaluationError(failed) = error;
    format!("{} cannot be evaluated: {}", label(set, failed.policy_id()), cause(failed.inner()))
}

fn error_id(error: &AuthorizationError) -> &PolicyId {
    let AuthorizationError::PolicyEvaluationError(failed) = error;
    failed.policy_id()
}

/// What went wrong, without any attribute's value.
pub(super) fn cause(error: &EvaluationError) -> String {
    match error {
        // Names the attribute; the entity is the constant `Actor::"caller"` or a registered thing.
        EvaluationError::EntityAttrDoesNotExist(_) => {
            format!("{error}; ask first whether it is there, as in `principal has agent && …`")
        }
        EvaluationError::EntityDoesNotExist(_) => "an entity that it names does not exist".to_owned(),
        EvaluationError::IntegerOverflow(_) => "integer overflow".to_owned(),
        EvaluationError::FailedExtensionFunctionExecution(_) => {
            "an extension function refused its argument".to_owned()
        }
        EvaluationError::RecursionLimit(_) => "too deep".to_owned(),
        _ => "a value has the wrong type".to_owned(),
    }
}

/// The policy whose statement it is: the id without its `[place]`.
fn policy_of(id: &PolicyId) -> Option<PolicyName> {
    let id: &str = id.as_ref();
    PolicyName::parse(id.split('[').next()?).ok()
}

fn two_current(source: &PolicySource) -> PolicyIssue {
    PolicyIssue {
        policy: source.name.clone(),
        line: 0,
        column: 0,
        message: "two revisions of one policy are current".to_owned(),
        hint: None,
    }
}
