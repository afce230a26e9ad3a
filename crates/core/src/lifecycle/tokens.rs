//! Gateway-issued tokens: agents' tokens, the bootstrap login and operators' tokens.

use std::time::Duration;

use super::Context;
use super::apply::forbidden;
use super::draft::Draft;
use super::rule::{self, Finding};
use super::world::server_key;
use crate::audit::{Decision, Event, EventKind};
use crate::id::{AgentName, OperatorName};
use crate::identity::{Entry, TokenDigest};
use crate::manifest::{AgentProof, AgentSpec, Kind, ObjectKey, Spec};
use crate::operator::{Operator, Role, RoleGrant, Scope};
use crate::state::{AgentTokenRecord, Change, Operation, OperatorTokenRecord, State};
use crate::time::Timestamp;

/// The longest life of an agent token: 90 days.
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(90 * 86_400);

/// How long an operator's token holds: twelve hours, a working day.
pub const OPERATOR_TOKEN_LIFETIME: Duration = Duration::from_secs(12 * 3_600);

/// What the state keeps of a token that was just made; its text is shown to its owner, once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MintedToken {
    /// What is stored in its place.
    pub digest: TokenDigest,
    /// Its public id.
    pub id: String,
}

/// What an agent token is asked for.
#[derive(Clone, Copy, Debug)]
pub struct TokenWish<'a> {
    /// The agent.
    pub agent: &'a AgentName,
    /// The doors it should open; never empty.
    pub entries: &'a [Entry],
    /// How long it should hold.
    pub lifetime: Duration,
}

/// Decides the issue of an agent token.
///
/// # Errors
/// What stands in the way: role, agent, proof, environment, server or lifetime.
pub fn issue_agent_token(
    context: &Context<'_>,
    wish: &TokenWish<'_>,
    minted: &MintedToken,
) -> Result<(AgentTokenRecord, Change), Vec<Finding>> {
    let key = agent_key(wish.agent);
    let (revision, agent) = active_agent(context.state, &key)?;
    let findings = judge(context, wish, agent, &key);
    if !findings.is_empty() {
        return Err(findings);
    }
    let record = AgentTokenRecord {
        id: minted.id.clone(),
        digest: minted.digest,
        agent: wish.agent.clone(),
        entries: wish.entries.to_vec(),
        created_at: context.now,
        expires_at: context.now.plus(wish.lifetime),
        revoked_at: None,
        issued_by: context.operator.name.clone(),
    };
    let mut draft = Draft::new(context.state, Some(&context.operator.name), context.now);
    draft.step(Operation::InsertAgentToken(record.clone()))?;
    let mut event = Event::new(EventKind::AgentTokenIssued, context.now).about(key, revision);
    event.agent = Some(wish.agent.clone());
    event.operator = Some(context.operator.name.clone());
    event.decision = Some(Decision::Allow);
    event.environment = wish.entries.first().map(|entry| entry.environment.clone());
    draft.note(event);
    Ok((record, draft.finish()))
}

fn agent_key(agent: &AgentName) -> ObjectKey {
    ObjectKey { kind: Kind::Agent, environment: None, name: agent.to_string() }
}

fn active_agent<'a>(
    state: &'a State,
    key: &ObjectKey,
) -> Result<(crate::id::Revision, &'a AgentSpec), Vec<Finding>> {
    match state.active(key).map(|record| (record.revision, &record.spec)) {
        Some((revision, Spec::Agent(agent))) => Ok((revision, agent)),
        _ => Err(vec![Finding::of(&rule::OBJECT_UNKNOWN, key, "no such active agent")]),
    }
}

fn judge(context: &Context<'_>, wish: &TokenWish<'_>, agent: &AgentSpec, key: &ObjectKey) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !(Duration::from_secs(60)..=MAX_TOKEN_LIFETIME).contains(&wish.lifetime) {
        findings.push(Finding::of(&rule::TOKEN_LIFETIME, key, "the lifetime is out of bounds"));
    }
    if !agent.proofs.contains(&AgentProof::AgentToken) {
        findings.push(Finding::of(&rule::TOKEN_PROOF, key, "the agent is not proven by agent tokens"));
    }
    if wish.entries.is_empty() {
        findings.push(Finding::of(&rule::TOKEN_ENVIRONMENT, key, "the token would open nothing"));
    }
    for entry in wish.entries {
        let name = &entry.environment;
        let scope = Scope { team: Some(&agent.owner), environment: Some(name) };
        if !context.operator.may(Role::Editor, scope) {
            findings.push(forbidden(key));
        }
        let environment = ObjectKey { kind: Kind::Environment, environment: None, name: name.to_string() };
        let allowed = matches!(
            context.state.active(&environment).map(|record| &record.spec),
            Some(Spec::Environment(spec)) if spec.allows_agent_tokens()
        );
        if !allowed || !agent.environments.contains(name) {
            let message = format!("a token of this agent may not enter environment `{name}`");
            findings.push(Finding::of(&rule::TOKEN_ENVIRONMENT, key, message));
        }
        for server in entry.servers.iter().flatten() {
            if context.state.standing(&server_key(name, server)).is_none() {
                let message = format!("server `{server}` is not declared in `{name}`");
                findings.push(Finding::of(&rule::SERVER_UNKNOWN, key, message));
            }
        }
    }
    findings
}

/// Decides the revocation of an agent token.
///
/// # Errors
/// `agent_token.unknown`, also where the operator has no role for the agent's team.
pub fn revoke_agent_token(context: &Context<'_>, id: &str) -> Result<Change, Vec<Finding>> {
    let unknown = || vec![Finding::general(&rule::TOKEN_UNKNOWN, "no such token")];
    let token = context
        .state
        .agent_tokens
        .iter()
        .find(|token| token.id == id && token.revoked_at.is_none())
        .ok_or_else(unknown)?;
    let key = agent_key(&token.agent);
    let record = context.state.history(&key).last().ok_or_else(unknown)?;
    let may = token.entries.iter().all(|entry| {
        let scope = Scope { team: record.spec.owner(), environment: Some(&entry.environment) };
        context.operator.may(Role::Editor, scope)
    });
    if !may {
        return Err(vec![forbidden(&key)]);
    }
    let mut draft = Draft::new(context.state, Some(&context.operator.name), context.now);
    draft.step(Operation::RevokeAgentToken { id: id.to_owned(), at: context.now })?;
    let mut event = Event::new(EventKind::AgentTokenRevoked, context.now).about(key, record.revision);
    event.agent = Some(token.agent.clone());
    event.operator = Some(context.operator.name.clone());
    event.environment = token.entries.first().map(|entry| entry.environment.clone());
    draft.note(event);
    Ok(draft.finish())
}

/// Writes a bootstrap token: an administrator's, for one login. The binary calls this at first start
/// and on an explicit command only.
///
/// # Errors
/// Never in a well-formed state.
pub fn issue_bootstrap(
    state: &State,
    minted: &MintedToken,
    lifetime: Duration,
    now: Timestamp,
) -> Result<Change, Vec<Finding>> {
    let mut draft = Draft::new(state, None, now);
    let operator =
        OperatorName::parse("bootstrap").map_err(|error| vec![Finding::general(&rule::STATE_STEP, error)])?;
    draft.step(Operation::InsertOperatorToken(OperatorTokenRecord {
        id: minted.id.clone(),
        digest: minted.digest,
        operator,
        roles: vec![RoleGrant::everywhere(Role::Admin)],
        expires_at: now.plus(lifetime),
        bootstrap: true,
        ended_at: None,
    }))?;
    Ok(draft.finish())
}

/// Uses up a bootstrap token for a named operator's token with the same roles.
///
/// # Errors
/// `login.refused` for a token that is unknown, used up, expired or no bootstrap token, and
/// `login.name` for a name that could be taken for somebody of an identity provider.
pub fn login(
    state: &State,
    presented: TokenDigest,
    name: &str,
    minted: &MintedToken,
    now: Timestamp,
) -> Result<(OperatorTokenRecord, Change), Vec<Finding>> {
    let refuse = |rule, message: &str| Err(vec![Finding::general(rule, message)]);
    let name = match OperatorName::parse(name) {
        Ok(name) if !name.as_str().contains('|') && name.as_str() != "bootstrap" => name,
        _ => return refuse(&rule::LOGIN_NAME, "this name cannot be taken"),
    };
    let found = state.operator_tokens.iter().find(|token| token.digest == presented);
    let usable = found.filter(|token| token.bootstrap && token.ended_at.is_none() && now < token.expires_at);
    let Some(used) = usable else {
        return refuse(&rule::LOGIN_REFUSED, "this token opens nothing");
    };
    let record = OperatorTokenRecord {
        id: minted.id.clone(),
        digest: minted.digest,
        operator: name.clone(),
        roles: used.roles.clone(),
        expires_at: now.plus(OPERATOR_TOKEN_LIFETIME),
        bootstrap: false,
        ended_at: None,
    };
    let mut draft = Draft::new(state, Some(&name), now);
    draft.step(Operation::EndOperatorToken { id: used.id.clone(), at: now })?;
    draft.step(Operation::InsertOperatorToken(record.clone()))?;
    let mut event = Event::new(EventKind::OperatorLogin, now);
    event.operator = Some(name);
    event.decision = Some(Decision::Allow);
    draft.note(event);
    Ok((record, draft.finish()))
}

/// The operator whose stored token this is. A bootstrap token is nobody: it only logs in.
pub fn operator_by_token(state: &State, presented: TokenDigest, now: Timestamp) -> Option<Operator> {
    let token = state.operator_tokens.iter().find(|token| token.digest == presented)?;
    let holds = !token.bootstrap && token.ended_at.is_none() && now < token.expires_at;
    holds.then(|| Operator { name: token.operator.clone(), grants: token.roles.clone() })
}
