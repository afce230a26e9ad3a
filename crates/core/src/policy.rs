//! The decision: a question with every fact in it, a verdict, and the permit that only
//! [`authorize`] can make.

mod decided;
#[cfg(test)]
pub(crate) mod no_judge;

use std::fmt;
use std::sync::Arc;

pub use decided::Decided;

use crate::actor::Actor;
use crate::id::{Epoch, PolicyName, Revision, ToolName};
use crate::identity::{Presented, VerifiedIdentity};
use crate::manifest::{AgentSpec, ContentHash, CredentialSource, Risk};
use crate::refusal::{Code, Refusal};
use crate::snapshot::{ActiveBinding, EnvironmentView, ServerView};

/// The action asked for, in Cedar's words (DESIGN, section 12.7).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Action {
    /// `tools/call`.
    CallTool,
    /// `resources/*`.
    ReadResource,
    /// `prompts/*`.
    GetPrompt,
    /// Handshakes, lists and whatever else the binding lets through.
    OtherMethod,
}

impl Action {
    /// The id of the Cedar action.
    pub const fn word(self) -> &'static str {
        match self {
            Self::CallTool => "call_tool",
            Self::ReadResource => "read_resource",
            Self::GetPrompt => "get_prompt",
            Self::OtherMethod => "other_method",
        }
    }
}

/// Everything a policy may look at. No clock and no lookup: the same question has the same answer.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub actor: &'a Actor,
    /// The registered agent behind it.
    pub agent: Option<&'a AgentSpec>,
    /// What for.
    pub action: Action,
    /// The environment.
    pub environment: &'a EnvironmentView,
    /// The server.
    pub server: &'a ServerView,
    /// The tool, for `call_tool`.
    pub tool: Option<&'a ToolName>,
    /// The JSON-RPC method.
    pub method: &'a str,
    /// The risk, already raised to the higher of pinned and current.
    pub risk: Risk,
    /// The binding selected.
    pub binding: &'a ActiveBinding,
}

impl Question<'_> {
    /// What no policy can permit, in words: a risk above a ceiling, or a tool that the agent does not own.
    pub fn beyond(&self) -> Option<String> {
        let (risk, ceiling) = (self.risk, self.binding.spec.risk);
        if risk > ceiling {
            return Some(format!("risk `{risk}` is above the binding's ceiling `{ceiling}`"));
        }
        let agent = self.agent?;
        if risk > agent.risk_ceiling {
            return Some(format!("risk `{risk}` is above the agent's ceiling `{}`", agent.risk_ceiling));
        }
        let foreign = self.tool.is_some_and(|tool| !agent.owns(&self.server.spec.name, tool));
        foreign.then(|| "the tool is not among those that the agent owns".to_owned())
    }
}

/// A policy text and where it comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PolicySource {
    /// The policy.
    pub name: PolicyName,
    /// The revision.
    pub revision: Revision,
    /// The Cedar text.
    pub cedar: String,
    /// The hash of the spec it came from.
    pub hash: ContentHash,
    /// Whether it is the current revision (its forbids hold for the whole environment) or only
    /// pinned by an approval.
    pub current: bool,
}

/// What an engine answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Whether the policy named by the binding permits, pinned and current, and none forbids.
    pub allowed: bool,
    /// The policies that decided.
    pub policies: Vec<PolicyName>,
    /// What an operator may be told: statement ids, evaluation errors; no attribute values.
    pub reasons: Vec<String>,
}

/// The policies of one environment, compiled. Synchronous and pure. An evaluation error is a denial.
pub trait PolicyEngine: Send + Sync + fmt::Debug {
    /// Answers the question.
    fn decide(&self, question: &Question<'_>) -> Verdict;
    /// The content hash of the active policy set and the schema.
    fn version(&self) -> ContentHash;
}

/// Compiles policy texts, validating them strictly against the schema.
pub trait PolicyCompiler: Send + Sync + fmt::Debug {
    /// Compiles the texts of one environment.
    ///
    /// # Errors
    /// Every problem of every text, with its position.
    fn compile(&self, sources: &[PolicySource]) -> Result<Arc<dyn PolicyEngine>, Vec<PolicyIssue>>;
}

/// One problem in a policy text.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize)]
pub struct PolicyIssue {
    /// The policy.
    pub policy: PolicyName,
    /// Line within the Cedar text, from 1; 0 where unknown.
    pub line: u32,
    /// Column, from 1; 0 where unknown.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// What a credential is used for (DESIGN, section 12.1). Every use goes through a [`Permit`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Use {
    /// A call.
    Call,
    /// A list.
    List,
    /// A handshake that opens a session.
    Session,
    /// A stream that is taken up again.
    Resume,
    /// A probe by the system, before a rotation.
    Probe,
    /// Cleaning up by the system (ending upstream sessions).
    Cleanup,
}

/// The proof of one decision: who, what, by which binding, under which policy and epoch.
#[derive(Clone, Debug)]
pub struct Permit {
    use_: Use,
    subject: Subject,
    binding: Arc<ActiveBinding>,
    tool: Option<ToolName>,
    presented: Option<Arc<Presented>>,
    risk: Risk,
    epoch: Epoch,
    policy_version: Option<ContentHash>,
    policies: Vec<PolicyName>,
}

/// On whose account a permit was made.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A verified caller.
    Caller {
        /// The proof.
        identity: Arc<VerifiedIdentity>,
        /// The actor it was resolved to.
        actor: Arc<Actor>,
    },
    /// The gateway itself, for probes and clean-up.
    System,
}

impl Permit {
    /// What the credential is used for.
    pub const fn purpose(&self) -> Use {
        self.use_
    }

    /// On whose account.
    pub const fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The actor, where a caller is behind it.
    pub fn actor(&self) -> Option<&Actor> {
        match &self.subject {
            Subject::Caller { actor, .. } => Some(actor),
            Subject::System => None,
        }
    }

    /// The binding that may be used.
    pub const fn binding(&self) -> &Arc<ActiveBinding> {
        &self.binding
    }

    /// The tool that is called, where one is.
    pub const fn tool(&self) -> Option<&ToolName> {
        self.tool.as_ref()
    }

    /// The caller's own token, where the binding's source exchanges it.
    pub fn presented(&self) -> Option<&Presented> {
        self.presented.as_deref()
    }

    /// Adds the caller's own token, if the binding's source exchanges it and not otherwise: it goes to
    /// the configured token service and nowhere else (DESIGN, section 11.8).
    #[must_use]
    pub fn presenting(self, presented: Option<Arc<Presented>>) -> Self {
        let wanted = self.binding.spec.source.as_ref().is_some_and(CredentialSource::presents_caller);
        Self { presented: presented.filter(|_| wanted), ..self }
    }

    /// The risk that was judged.
    pub const fn risk(&self) -> Risk {
        self.risk
    }

    /// The epoch it was made under.
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The policy version that decided; absent for the system's own uses.
    pub const fn policy_version(&self) -> Option<ContentHash> {
        self.policy_version
    }

    /// The policies that decided.
    pub fn policies(&self) -> &[PolicyName] {
        &self.policies
    }

    /// The same decision for another message of the same actor, tool and snapshot. The decision
    /// cache is the caller: it holds permits only as long as their snapshot.
    #[must_use]
    pub fn again(&self, identity: Arc<VerifiedIdentity>) -> Self {
        let subject = match &self.subject {
            Subject::Caller { actor, .. } => Subject::Caller { identity, actor: Arc::clone(actor) },
            Subject::System => Subject::System,
        };
        Self { subject, ..self.clone() }
    }

    /// A permit for the gateway's own use of a binding; recorded with the actor `system`.
    pub fn for_system(use_: SystemUse, binding: Arc<ActiveBinding>, epoch: Epoch) -> Self {
        let use_ = match use_ {
            SystemUse::Probe => Use::Probe,
            SystemUse::Cleanup => Use::Cleanup,
        };
        let risk = Risk::Read;
        Self {
            use_,
            subject: Subject::System,
            binding,
            tool: None,
            presented: None,
            risk,
            epoch,
            policy_version: None,
            policies: Vec::new(),
        }
    }
}

/// Decides about handshakes and lists: whoever a binding serves may open the server. What can be
/// called is decided per tool by [`authorize`]; lists show only that.
///
/// # Errors
/// [`Code::ServerUnknown`] where the binding does not serve the actor.
pub fn authorize_session(
    use_: SessionUse,
    engine: &dyn PolicyEngine,
    identity: &Arc<VerifiedIdentity>,
    actor: &Arc<Actor>,
    binding: &Arc<ActiveBinding>,
    epoch: Epoch,
) -> Result<Permit, Refusal> {
    // Selection is checked here again, so that no caller can ask with a binding picked otherwise.
    if !binding.spec.actor.matches(actor) {
        return Err(Code::ServerUnknown.into());
    }
    Ok(Permit {
        use_: match use_ {
            SessionUse::List => Use::List,
            SessionUse::Session => Use::Session,
            SessionUse::Resume => Use::Resume,
        },
        subject: Subject::Caller { identity: Arc::clone(identity), actor: Arc::clone(actor) },
        binding: Arc::clone(binding),
        tool: None,
        presented: None,
        risk: Risk::Read,
        epoch,
        policy_version: Some(engine.version()),
        policies: Vec::new(),
    })
}

/// The uses that need no policy beyond the binding itself.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SessionUse {
    /// A list.
    List,
    /// A handshake, or traffic of the session itself.
    Session,
    /// A stream that is taken up again.
    Resume,
}

/// The uses that the gateway may make of a binding on its own account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SystemUse {
    /// A handshake with a candidate credential.
    Probe,
    /// Ending an upstream session.
    Cleanup,
}

/// Decides. The only maker of permits for callers.
///
/// # Errors
/// [`Code::ToolUnknown`] or [`Code::MethodUnknown`]: a refusal never tells whether the thing exists.
pub fn authorize(
    engine: &dyn PolicyEngine,
    question: &Question<'_>,
    use_: Use,
    identity: &Arc<VerifiedIdentity>,
    actor: &Arc<Actor>,
    binding: &Arc<ActiveBinding>,
    epoch: Epoch,
) -> Result<Permit, Denial> {
    let refuse = |inside: String, verdict: Option<Verdict>| {
        let code = if question.tool.is_some() { Code::ToolUnknown } else { Code::MethodUnknown };
        let decided = Decided {
            binding: binding.name_at_revision(),
            mode: binding.spec.mode,
            risk: question.risk,
            policy_version: verdict.is_some().then(|| engine.version()),
            policies: verdict.as_ref().map(|verdict| verdict.policies.clone()).unwrap_or_default(),
        };
        Err(Denial { refusal: Refusal::new(code).because(inside).decided_by(decided), verdict })
    };
    if let Some(why) = question.beyond() {
        return refuse(why, None);
    }
    let verdict = engine.decide(question);
    if !verdict.allowed {
        return refuse("policy denies".to_owned(), Some(verdict));
    }
    Ok(Permit {
        use_,
        subject: Subject::Caller { identity: Arc::clone(identity), actor: Arc::clone(actor) },
        binding: Arc::clone(binding),
        tool: question.tool.cloned(),
        presented: None,
        risk: question.risk,
        epoch,
        policy_version: Some(engine.version()),
        policies: verdict.policies,
    })
}

/// A refusal with what the policies said, for evidence and `explain`.
#[derive(Clone, Debug)]
pub struct Denial {
    /// The refusal.
    pub refusal: Refusal,
    /// The verdict, where the policies were asked.
    pub verdict: Option<Verdict>,
}
