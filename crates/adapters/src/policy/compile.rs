//! Compiling: parse, refuse what cannot be judged, validate strictly, keep what was compiled.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use cedar_policy::ffi::DetailedError;
use cedar_policy::{Effect, Policy, PolicyId, PolicySet, ValidationMode, ValidationWarning, Validator};
use gateway_core::id::PolicyName;
use gateway_core::manifest::ContentHash;
use gateway_core::policy::{PolicyCompiler, PolicyEngine, PolicyIssue, PolicySource};

use super::engine::CedarEngine;
use super::schema::{SCHEMA, Vocabulary};
use super::words::unknown_words;

/// The built-in schema does not parse: a fault of this build.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the built-in Cedar schema is not valid: {0}")]
pub struct SchemaFault(pub(super) String);

/// One policy text, compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) name: PolicyName,
    /// Every statement, by the id `name[place]`.
    pub(super) all: PolicySet,
    /// The forbidding statements alone, which hold for the whole environment.
    pub(super) forbids: Vec<Policy>,
}

/// Compiles the policies of one environment against [`SCHEMA`]. What it compiled once it keeps, so
/// that a new epoch costs only the texts that changed.
#[derive(Debug)]
pub struct CedarCompiler {
    vocabulary: Arc<Vocabulary>,
    validator: Validator,
    kept: Mutex<HashMap<ContentHash, Arc<Compiled>>>,
}

/// How many compiled texts are kept before all are forgotten.
const KEPT: usize = 4096;

impl CedarCompiler {
    /// Parses the schema.
    ///
    /// # Errors
    /// Only where the schema built into this program is not valid.
    pub fn new() -> Result<Self, SchemaFault> {
        let vocabulary = Arc::new(Vocabulary::new()?);
        let validator = Validator::new(vocabulary.schema.clone());
        Ok(Self { vocabulary, validator, kept: Mutex::new(HashMap::new()) })
    }

    /// Compiles the texts of one environment into the concrete engine, which can also explain.
    ///
    /// # Errors
    /// Every problem of every text, with its position.
    pub fn engine(&self, sources: &[PolicySource]) -> Result<CedarEngine, Vec<PolicyIssue>> {
        let mut issues = Vec::new();
        let mut compiled = Vec::new();
        for source in sources {
            match self.one(source) {
                Ok(policy) => compiled.push((source, policy)),
                Err(mut found) => issues.append(&mut found),
            }
        }
        if !issues.is_empty() {
            return Err(issues);
        }
        let version = version(sources);
        CedarEngine::new(Arc::clone(&self.vocabulary), compiled, version)
    }

    fn one(&self, source: &PolicySource) -> Result<Arc<Compiled>, Vec<PolicyIssue>> {
        let key = ContentHash::of(format!("{}\n{}", source.name, source.cedar).as_bytes());
        let kept = |kept: &Mutex<HashMap<_, Arc<Compiled>>>| {
            kept.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()
        };
        if let Some(policy) = kept(&self.kept) {
            return Ok(policy);
        }
        let policy = Arc::new(self.compile_text(source)?);
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= KEPT {
            all.clear();
        }
        all.insert(key, Arc::clone(&policy));
        Ok(policy)
    }

    fn compile_text(&self, source: &PolicySource) -> Result<Compiled, Vec<PolicyIssue>> {
        let issue = IssueMaker { source };
        let parsed = PolicySet::from_str(&source.cedar).map_err(|errors| issue.parse(&errors))?;
        if parsed.num_of_templates() > 0 {
            return Err(vec![issue.plain(
                "a template has no place here",
                "write out `principal` and `resource`: nothing fills in `?principal` and `?resource`",
            )]);
        }
        let statements = in_order(&parsed, &source.name);
        if statements.is_empty() {
            return Err(vec![issue.plain(
                "the text has no statement",
                "begin with `permit (principal, action == Action::\"call_tool\", resource) when { … };`",
            )]);
        }
        let mut all = PolicySet::new();
        for statement in &statements {
            all.add(statement.clone()).map_err(|error| vec![issue.of(&DetailedError::from(&error))])?;
        }
        let mut issues = self.invalid(&all, &issue);
        for statement in &statements {
            issues.extend(self.unjudgeable(statement, &issue));
        }
        if !issues.is_empty() {
            return Err(issues);
        }
        let forbids = statements.into_iter().filter(|statement| statement.effect() == Effect::Forbid);
        Ok(Compiled { name: source.name.clone(), all, forbids: forbids.collect() })
    }

    /// What strict validation finds. Its warnings count: a statement that can never apply, or that
    /// reads differently than it looks, decides otherwise than its reviewer thinks.
    fn invalid(&self, all: &PolicySet, issue: &IssueMaker<'_>) -> Vec<PolicyIssue> {
        let result = self.validator.validate(all, ValidationMode::Strict);
        let errors = result.validation_errors().map(|error| issue.of(&DetailedError::from(error)));
        let warnings = result
            .validation_warnings()
            .filter(|warning| !matches!(warning, ValidationWarning::MixedScriptString(_)))
            .map(|warning| issue.of(&DetailedError::from(warning)));
        errors.chain(warnings).collect()
    }

    /// What is valid Cedar and would still never do what it says.
    fn unjudgeable(&self, statement: &Policy, issue: &IssueMaker<'_>) -> Vec<PolicyIssue> {
        let mut issues = Vec::new();
        if statement.entity_literals().iter().any(|uid| *uid.type_name() == self.vocabulary.actor) {
            issues.push(issue.at(
                "Actor::",
                format!("`{}` names an actor by id, which never matches", statement.id()),
                "compare `principal.user.id` or `principal.agent.name`".to_owned(),
            ));
        }
        for unknown in statement.to_json().map(|json| unknown_words(&json)).unwrap_or_default() {
            issues.push(issue.at(
                &format!("\"{}\"", unknown.word),
                format!("`{}` is never \"{}\"", unknown.attribute, unknown.word),
                format!("it is one of: {}", unknown.known.join(", ")),
            ));
        }
        issues
    }
}

impl PolicyCompiler for CedarCompiler {
    fn compile(&self, sources: &[PolicySource]) -> Result<Arc<dyn PolicyEngine>, Vec<PolicyIssue>> {
        Ok(Arc::new(self.engine(sources)?))
    }
}

/// The statements in the order of the text, named `policy[place]`.
fn in_order(parsed: &PolicySet, name: &PolicyName) -> Vec<Policy> {
    let mut statements: Vec<(usize, &Policy)> = parsed
        .policies()
        .map(|policy| {
            // Cedar numbers what it parses: `policy0`, `policy1`, …
            let digits: &str = policy.id().as_ref();
            (digits.trim_start_matches("policy").parse().unwrap_or(usize::MAX), policy)
        })
        .collect();
    statements.sort_by_key(|(place, _)| *place);
    let named = statements.into_iter().enumerate();
    named.map(|(place, (_, policy))| policy.new_id(PolicyId::new(format!("{name}[{place}]")))).collect()
}

/// The hash over the schema and the current policies, by name.
fn version(sources: &[PolicySource]) -> ContentHash {
    let current: BTreeMap<&PolicyName, ContentHash> =
        sources.iter().filter(|source| source.current).map(|source| (&source.name, source.hash)).collect();
    let lines: String = current.iter().map(|(name, hash)| format!("{name} {hash}\n")).collect();
    ContentHash::of(format!("{}\n{lines}", ContentHash::of(SCHEMA.as_bytes())).as_bytes())
}

/// Turns Cedar's diagnostics into issues with a place in the text.
struct IssueMaker<'a> {
    source: &'a PolicySource,
}

impl IssueMaker<'_> {
    fn parse(&self, errors: &cedar_policy::ParseErrors) -> Vec<PolicyIssue> {
        let found: Vec<_> = errors.iter().map(|error| self.of(&DetailedError::from(error))).collect();
        if found.is_empty() { vec![self.of(&DetailedError::from(errors))] } else { found }
    }

    fn of(&self, error: &DetailedError) -> PolicyIssue {
        let offset = error.source_locations.first().map(|label| label.loc.start);
        let expected = error.source_locations.iter().find_map(|label| label.label.clone());
        self.issue(offset, error.message.clone(), error.help.clone().or(expected))
    }

    fn plain(&self, message: &str, hint: &str) -> PolicyIssue {
        self.issue(None, message.to_owned(), Some(hint.to_owned()))
    }

    /// At the first place where the text says `needle`.
    fn at(&self, needle: &str, message: String, hint: String) -> PolicyIssue {
        self.issue(self.source.cedar.find(needle), message, Some(hint))
    }

    fn issue(&self, offset: Option<usize>, message: String, hint: Option<String>) -> PolicyIssue {
        let (line, column) = offset.map_or((0, 0), |offset| position(&self.source.cedar, offset));
        PolicyIssue { policy: self.source.name.clone(), line, column, message, hint }
    }
}

/// Line and column, both from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (u32, u32) {
    let (mut line, mut column) = (1, 1);
    for (place, character) in text.char_indices() {
        if place >= offset {
            break;
        }
        (line, column) = if character == '\n' { (line + 1, 1) } else { (line, column + 1) };
    }
    (line, column)
}
