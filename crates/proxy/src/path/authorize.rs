//! Fourth stage: selection, then policy, one decision (DESIGN, section 10.2).

use std::sync::Arc;

use gateway_core::actor::Actor;
use gateway_core::id::{BindingName, ToolName};
use gateway_core::identity::VerifiedIdentity;
use gateway_core::manifest::Risk;
use gateway_core::policy::{self, Action, Permit, Question, SessionUse, Use};
use gateway_core::refusal::{Code, Refusal};
use gateway_core::snapshot::{ActiveBinding, EnvironmentView, ServerView, Wanted};
use gateway_core::time::Timestamp;

use super::admit::{Trip, Verb};
use super::identify::Call;
use super::lock;
use crate::gateway::Gateway;
use crate::mcp::listing::Listing;
use crate::mcp::method::MethodKind;
use crate::world::{DecisionKey, World};

/// What has to be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aim {
    /// A tool.
    Tool(Box<str>),
    /// Another method that acts.
    Method(Box<str>, Action),
    /// Handshakes, lists and the traffic of a session.
    Session(SessionUse),
    /// A message to the upstream session of one binding, where the one it is about runs.
    Within(BindingName),
}

impl Aim {
    /// What a call aims at.
    pub fn of(call: &Call) -> Self {
        let Some(invocation) = call.message.as_ref().and_then(|message| message.invocation()) else {
            let resumes = call.verb == Verb::Get && call.headers.contains_key("last-event-id");
            if let Some(binding) =
                call.session.as_ref().filter(|_| call.message.is_some()).and_then(|s| s.asker())
            {
                return Self::Within(binding);
            }
            return Self::Session(if resumes { SessionUse::Resume } else { SessionUse::Session });
        };
        let method = |action| Self::Method(invocation.method.clone(), action);
        let cancelled =
            invocation.params.cancels.as_ref().filter(|_| invocation.kind == MethodKind::Cancelled);
        if let Some(binding) = cancelled.and_then(|id| call.session.as_ref()?.runs_under(id)) {
            return Self::Within(binding);
        }
        match invocation.kind {
            MethodKind::CallTool => Self::Tool(invocation.params.name.clone().unwrap_or_default()),
            kind if Listing::of(kind).is_some() => Self::Session(SessionUse::List),
            // Whoever listens for a resource's changes must be allowed to read it.
            MethodKind::Listen if invocation.params.subscribes_resources => {
                Self::Method("resources/read".into(), Action::ReadResource)
            }
            MethodKind::Initialize
            | MethodKind::Initialized
            | MethodKind::Discover
            | MethodKind::Ping
            | MethodKind::Listen
            | MethodKind::SetLevel
            | MethodKind::Cancelled => Self::Session(SessionUse::Session),
            MethodKind::ReadResource | MethodKind::SubscribeResource | MethodKind::UnsubscribeResource => {
                method(Action::ReadResource)
            }
            MethodKind::GetPrompt => method(Action::GetPrompt),
            MethodKind::Complete | MethodKind::Task => method(Action::OtherMethod),
            // Notifications carry nothing that acts; they belong to the session.
            MethodKind::Other if !call.is_request() => Self::Session(SessionUse::Session),
            _ => method(Action::OtherMethod),
        }
    }

    fn key(&self) -> (&'static str, &str) {
        match self {
            Self::Tool(name) => ("tool", name),
            Self::Method(name, _) => ("method", name),
            Self::Session(SessionUse::List) => ("list", ""),
            Self::Session(SessionUse::Session) => ("session", ""),
            Self::Session(SessionUse::Resume) => ("resume", ""),
            Self::Within(binding) => ("within", binding.as_str()),
        }
    }
}

/// Decides, at most once for each actor, aim and snapshot.
///
/// # Errors
/// A refusal that does not tell whether the thing exists.
pub fn authorize(
    gateway: &Gateway,
    world: &World,
    trip: &Trip,
    identity: &Arc<VerifiedIdentity>,
    aim: &Aim,
) -> Result<Permit, Refusal> {
    let environment = world.snapshot.environment(trip.environment.as_str()).ok_or(Code::ServerUnknown)?;
    check_freshness(gateway, environment, trip.started)?;
    let actor = trip.actor.as_ref().ok_or(Code::TokenMissing)?;
    let (kind, name) = aim.key();
    let key = DecisionKey {
        digest: identity.digest(),
        environment: trip.environment.clone(),
        server: trip.server.clone(),
        kind,
        name: name.into(),
    };
    let decide = || decide(world, environment, trip, identity, actor, aim);
    let mut permit = world.decision(key, identity, decide)?;
    if !permit.binding().holds_at(trip.started) {
        // The binding ran out after the decision was cached: selection is made anew.
        permit = self::decide(world, environment, trip, identity, actor, aim)?;
    }
    // Outside the cache, for a lock stands until its own time.
    lock::heed(world, trip, aim, &permit)?;
    Ok(permit.presenting(trip.presented.clone()))
}

/// Whether this replica can prove that its state is current enough for the environment.
pub(super) fn check_freshness(
    gateway: &Gateway,
    environment: &EnvironmentView,
    now: Timestamp,
) -> Result<(), Refusal> {
    let bound = match environment.spec.tier {
        gateway_core::manifest::Tier::Production => gateway.settings.staleness_production,
        gateway_core::manifest::Tier::Dev | gateway_core::manifest::Tier::Staging => {
            gateway.settings.staleness_other
        }
    };
    if gateway.world.is_fresh(now, bound) { Ok(()) } else { Err(Code::StateStale.into()) }
}

fn decide(
    world: &World,
    environment: &EnvironmentView,
    trip: &Trip,
    identity: &Arc<VerifiedIdentity>,
    actor: &Arc<Actor>,
    aim: &Aim,
) -> Result<Permit, Refusal> {
    let server = environment.server(trip.server.as_str()).ok_or(Code::ServerUnknown)?;
    let epoch = world.snapshot.epoch;
    match aim {
        Aim::Session(use_) => {
            let wanted = if *use_ == SessionUse::List { Wanted::List } else { Wanted::Session };
            let binding = server.select(actor, wanted, trip.started)?;
            policy::authorize_session(*use_, &*environment.engine, identity, actor, binding, epoch)
        }
        Aim::Within(name) => {
            let named = |binding: &&Arc<ActiveBinding>| {
                binding.spec.name == *name
                    && binding.holds_at(trip.started)
                    && binding.spec.actor.matches(actor)
            };
            let binding = server.bindings.iter().find(named).ok_or(Code::ServerUnknown)?;
            let use_ = SessionUse::Session;
            policy::authorize_session(use_, &*environment.engine, identity, actor, binding, epoch)
        }
        Aim::Tool(name) => {
            let tool = ToolName::parse(name).map_err(|_| Code::ToolUnknown)?;
            let facts = Facts { action: Action::CallTool, tool: Some(&tool), method: "tools/call" };
            ask(world, environment, server, (identity, actor), Wanted::Tool(name), facts, trip.started)
        }
        Aim::Method(name, action) => {
            let facts = Facts { action: *action, tool: None, method: name };
            ask(world, environment, server, (identity, actor), Wanted::Method(name), facts, trip.started)
        }
    }
}

struct Facts<'a> {
    action: Action,
    tool: Option<&'a ToolName>,
    method: &'a str,
}

fn ask(
    world: &World,
    environment: &EnvironmentView,
    server: &ServerView,
    who: (&Arc<VerifiedIdentity>, &Arc<Actor>),
    wanted: Wanted<'_>,
    facts: Facts<'_>,
    now: Timestamp,
) -> Result<Permit, Refusal> {
    let (identity, actor) = who;
    let binding = server.select(actor, wanted, now)?;
    let risk = match facts.tool {
        Some(tool) => binding.risk_of(server, tool.as_str()),
        None if facts.action == Action::OtherMethod => server.spec.tools.default_risk(),
        None => Risk::Read,
    };
    let agent = actor.agent.as_ref().and_then(|name| world.snapshot.agent(name));
    let question = Question {
        actor,
        agent: agent.map(Arc::as_ref),
        action: facts.action,
        environment,
        server,
        tool: facts.tool,
        method: facts.method,
        risk,
        binding,
    };
    policy::authorize(
        &*environment.engine,
        &question,
        Use::Call,
        identity,
        actor,
        binding,
        world.snapshot.epoch,
    )
    .map_err(|denial| denial.refusal)
}
