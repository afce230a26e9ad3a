//! The one way in which something ends: decided, blocked on every replica, cut, given back, told.
//!
//! The order is DESIGN's rule 8 and section 12.11: the state first, then what runs here, then every replica, then
//! the outside parties, then the evidence. An outside party never holds up the block.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::response::Response;
use futures::future::join_all;
use gateway_core::audit::{BindingRevision, Decision, Ended, Event, EventKind};
use gateway_core::grant::GivenBack;
use gateway_core::id::{Epoch, OperatorName, Revision};
use gateway_core::lifecycle::{self, Reach, Switched, about_grant};
use gateway_core::manifest::{Kind, ObjectKey, ProviderSpec};
use gateway_core::ports::Sequence;
use gateway_core::refusal::Refusal;
use gateway_core::revocation::{RevocationRequest, RevocationSubject, ThingEnded};
use gateway_core::state::{GrantRecord, Lifecycle, Operation};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::binding::visible;
use super::evidence::{Facts, Told, tell};
use super::json;
use crate::auth::Caller;
use crate::context::ControlContext;
use crate::entity::IfMatch;
use crate::ports::{AuditOrder, AuditQuery};
use crate::problem::Problem;
use crate::underway::Underway;

/// How long what runs may take to end.
pub(super) const END_DEADLINE: Duration = Duration::from_secs(30);

/// How long the providers of grants may take to answer, all of them together.
const GIVING_BACK: Duration = Duration::from_secs(30);

/// How many of the newest records are looked through for the decision.
const LOOKED_THROUGH: u32 = 50;

pub(super) type Act = fn(&lifecycle::Context<'_>, &ObjectKey) -> Result<Switched, Vec<lifecycle::Finding>>;

/// Whether to do it, or to say what would be done.
#[derive(Deserialize, IntoParams, ToSchema, Default)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Mode {
    /// Only say what would end.
    pub(crate) dry_run: bool,
}

/// What is asked for.
pub(super) struct Order {
    pub(super) key: ObjectKey,
    pub(super) act: Act,
    /// What the object becomes.
    pub(super) status: Lifecycle,
    /// As it has to stand for that.
    pub(super) only_if: IfMatch,
}

#[derive(Serialize)]
struct Done {
    object: String,
    /// The object by its kind: `"binding": "triage@3"`, `"server": "github"`.
    #[serde(flatten)]
    named: BTreeMap<&'static str, Value>,
    revision: Revision,
    status: Lifecycle,
    decided_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<Timestamp>,
    completed_at: Timestamp,
    ended: Ended,
    audit: Marks,
    /// The signed document; absent for what was only switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    revocation: Option<Told>,
}

#[derive(Serialize)]
struct Marks {
    decided: Option<Sequence>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Sequence>,
    completed: Option<Sequence>,
    /// Whether evidence still waits in the outbox because the chain cannot be written.
    pending: bool,
}

/// Ends it, and answers when nothing of it runs any more.
pub(super) async fn end(
    context: &ControlContext,
    caller: &Caller,
    order: Order,
    mode: &Mode,
) -> Result<Response, Problem> {
    if mode.dry_run {
        return foresee(context, caller, &order).await;
    }
    let decided_at = context.now();
    let by = &caller.0.name;
    let revoked = order.status == Lifecycle::Revoked;
    let underway = context.begin_revocation();
    let (switched, epoch) = context
        .commit(|state| {
            let switched = decide(context, caller, &order, state)?;
            let mut change = switched.change.clone();
            if revoked {
                let asked = request(&underway, by, &order.key, &switched, decided_at, state.epoch);
                change.operations.push(Operation::AskRevocation(Box::new(asked)));
            }
            Ok((switched, Some(change)))
        })
        .await?;
    let (things, drained) = Box::pin(stop(context, &switched.reach, epoch)).await?;
    let mut ended = things.iter().fold(Ended::default(), |sum, thing| sum.plus(thing.ended));
    ended.tokens = ended.tokens.saturating_add(switched.tokens);
    let replicas = context.everywhere(epoch, END_DEADLINE).await?;
    // Before the providers are asked: a replica that still used a grant would refresh it meanwhile.
    Box::pin(give_back(context, by, &switched.reach)).await;
    let completed_at = context.now();
    let act = (order.status, completed_at);
    let event = completed(Some(by), &order.key, switched.revision, ended, act);
    let completed = context.evidence(event).await;
    let decided = decided_sequence(context, &order.key, order.status, switched.revision).await.or(drained);
    let pending = decided.is_none() || completed.is_none();
    let audit = Marks { decided, revoked: decided.filter(|_| revoked), completed, pending };
    let facts = Facts {
        id: underway.id().to_owned(),
        requested_by: by.clone(),
        subject: subject(&order.key, switched.revision),
        reach: switched.reach,
        things,
        ended,
        requested_at: decided_at,
        ended_at: completed_at,
        epoch: epoch.unwrap_or_default(),
        decided,
        completed,
        pending,
        replicas,
    };
    let revocation = if revoked { Box::pin(tell(context, facts)).await } else { None };
    Ok(json(&Done {
        object: order.key.to_string(),
        named: named(&order.key, switched.revision),
        revision: switched.revision,
        status: order.status,
        decided_at,
        revoked_at: revoked.then_some(decided_at),
        completed_at,
        ended,
        audit,
        revocation,
    }))
}

fn decide(
    context: &ControlContext,
    caller: &Caller,
    order: &Order,
    state: &gateway_core::state::State,
) -> Result<Switched, Problem> {
    visible(state, &order.key, caller)?;
    order.only_if.check_object(state, &order.key)?;
    Ok((order.act)(&context.deciding(state, &caller.0), &order.key)?)
}

/// Blocks, cuts, and publishes. The block does not wait for the chain: with the audit log down it holds at once.
pub(super) async fn stop(
    context: &ControlContext,
    reach: &Reach,
    epoch: Option<Epoch>,
) -> Result<(Vec<ThingEnded>, Option<Sequence>), Problem> {
    // The end comes first: the new snapshot lets streams end by themselves, and then nobody counts them.
    let (ended, published) = futures::join!(stop_running(context, reach), publish(context, epoch));
    let drained = match published {
        Ok(sequence) => sequence,
        Err(refusal) if epoch.is_some_and(|epoch| context.snapshots.current().epoch < epoch) => {
            // What has no gate of its own would go on.
            return Err(Problem::not_published(&refusal));
        }
        Err(refusal) => {
            tracing::error!(%refusal, inside = refusal.inside().unwrap_or(""), "the evidence of an end is pending");
            None
        }
    };
    let incomplete = |refusal: Refusal| {
        tracing::error!(%refusal, inside = refusal.inside().unwrap_or(""), "what was ended still has traffic");
        Problem::incomplete()
    };
    let mut things = ended.map_err(incomplete)?;
    // The state says by now that the grants have ended: new uses look there.
    for (grant, _) in &reach.grants {
        context.grants.forget(grant);
    }
    let grants = reach.grants.iter().map(|(grant, _)| async move {
        let ended = context.live.end_grant(grant, END_DEADLINE).await?;
        Ok(ThingEnded {
            kind: "grant".to_owned(),
            environment: Some(grant.environment.clone()),
            name: grant.id.clone(),
            ended,
            stored_secret: None,
        })
    });
    let grants: Result<Vec<ThingEnded>, Refusal> = join_all(grants).await.into_iter().collect();
    things.extend(grants.map_err(incomplete)?);
    Ok((things, drained))
}

/// Every gate closes at once; what one does not end in time is told after the others have.
async fn stop_running(context: &ControlContext, reach: &Reach) -> Result<Vec<ThingEnded>, Refusal> {
    let bindings = reach.bindings.iter().map(|one| async move {
        let ended = context.live.end(&one.environment, &one.binding.name, END_DEADLINE).await?;
        Ok(ThingEnded {
            kind: "binding".to_owned(),
            environment: Some(one.environment.clone()),
            name: one.binding.to_string(),
            ended,
            stored_secret: one.stored_secret.clone(),
        })
    });
    let agent = async {
        let Some(agent) = &reach.agent else { return Ok::<_, Refusal>(None) };
        let ended = context.live.end_agent(agent, END_DEADLINE).await?;
        let name = agent.to_string();
        Ok(Some(ThingEnded { kind: "agent".to_owned(), environment: None, name, ended, stored_secret: None }))
    };
    let (bindings, agent) = futures::join!(join_all(bindings), agent);
    let mut things = bindings.into_iter().collect::<Result<Vec<_>, Refusal>>()?;
    things.extend(agent?);
    Ok(things)
}

pub(super) async fn publish(
    context: &ControlContext,
    epoch: Option<Epoch>,
) -> Result<Option<Sequence>, Refusal> {
    match epoch {
        Some(epoch) => context.publisher.publish(epoch).await,
        None => Ok(None),
    }
}

/// Asks the providers for the tokens of all grants at once. Each was filed before its provider is asked: what takes
/// too long is asked for again by itself.
pub(super) async fn give_back(context: &ControlContext, by: &OperatorName, reach: &Reach) {
    let all = reach.grants.iter().map(|(grant, provider)| async move {
        let given = context.grants.give_back(grant, provider.as_ref()).await;
        context.evidence(returned(context, by, grant, &given)).await;
    });
    if tokio::time::timeout(GIVING_BACK, join_all(all)).await.is_err() {
        tracing::warn!("providers of grants did not answer in time; they are asked again");
    }
}

/// The evidence of what a provider answered about a grant.
pub(super) fn returned(
    context: &ControlContext,
    by: &OperatorName,
    grant: &GrantRecord,
    given: &GivenBack,
) -> Event {
    let mut event = Event::new(EventKind::CredentialReturned, context.now());
    event.operator = Some(by.clone());
    event.decision = Some(Decision::Allow);
    let mut event = about_grant(&event, EventKind::CredentialReturned, grant);
    event.answer = Some(given.answer());
    event.reason.clone_from(&given.trouble);
    event
}

/// Of a single grant.
pub(super) fn reach_of(grant: &GrantRecord, provider: Option<&ProviderSpec>) -> Reach {
    Reach { grants: vec![(grant.clone(), provider.cloned())], ..Reach::default() }
}

/// What goes on after a crash, written with the decision.
fn request(
    underway: &Underway,
    by: &OperatorName,
    key: &ObjectKey,
    switched: &Switched,
    requested_at: Timestamp,
    before: Epoch,
) -> RevocationRequest {
    RevocationRequest {
        id: underway.id().to_owned(),
        subject: subject(key, switched.revision),
        requested_by: by.clone(),
        requested_at,
        epoch: Epoch(before.0.saturating_add(1)),
        reach: switched.reach.clone(),
        tokens: switched.tokens,
    }
}

fn subject(key: &ObjectKey, revision: Revision) -> RevocationSubject {
    RevocationSubject {
        kind: key.kind.word().to_owned(),
        environment: key.environment.clone(),
        name: key.name.clone(),
        revision: Some(revision),
    }
}

fn named(key: &ObjectKey, revision: Revision) -> BTreeMap<&'static str, Value> {
    let mut named = BTreeMap::new();
    named.extend(key.environment.as_ref().map(|environment| ("environment", json!(environment))));
    let (word, name) = match key.kind {
        Kind::Binding => ("binding", format!("{}@{revision}", key.name)),
        Kind::Agent => ("agent", key.name.clone()),
        Kind::Workload => ("workload", key.name.clone()),
        Kind::Server => ("server", key.name.clone()),
        Kind::Provider => ("provider", key.name.clone()),
        Kind::Policy => ("policy", key.name.clone()),
        Kind::Environment => ("environment", key.name.clone()),
    };
    named.insert(word, json!(name));
    named
}

/// The evidence that what was ended has ended: by whom, absent for the gateway itself, what it became and when.
pub(super) fn completed(
    operator: Option<&OperatorName>,
    key: &ObjectKey,
    revision: Revision,
    ended: Ended,
    (status, now): (Lifecycle, Timestamp),
) -> Event {
    let mut event = Event::new(EventKind::RevocationCompleted, now).about(key.clone(), revision);
    event.operator = operator.cloned();
    event.decision = Some(Decision::Allow);
    event.status = Some(status.word().to_owned());
    event.ended = Some(ended);
    match key.kind {
        Kind::Binding => event.binding = BindingRevision::try_from(format!("{}@{revision}", key.name)).ok(),
        Kind::Agent => event.agent = key.name.parse().ok(),
        Kind::Workload => event.workload = key.name.parse().ok(),
        Kind::Server => event.server = key.name.parse().ok(),
        Kind::Environment => event.environment = key.name.parse().ok(),
        Kind::Provider | Kind::Policy => {}
    }
    event
}

/// Where the chain says that it was decided: other changes may have been drained with it, or by others.
pub(super) async fn decided_sequence(
    context: &ControlContext,
    key: &ObjectKey,
    status: Lifecycle,
    revision: Revision,
) -> Option<Sequence> {
    let kind = match (key.kind, status) {
        (Kind::Binding, Lifecycle::Revoked) => EventKind::BindingRevoked,
        _ => EventKind::ObjectStatus,
    };
    told_sequence(context, kind, key, status, revision).await
}

/// Where the chain says it of this revision, if it does so of late.
pub(super) async fn told_sequence(
    context: &ControlContext,
    kind: EventKind,
    key: &ObjectKey,
    status: Lifecycle,
    revision: Revision,
) -> Option<Sequence> {
    let query = AuditQuery {
        kind: Some(kind),
        environment: key.environment.as_ref().map(ToString::to_string),
        order: AuditOrder::NewestFirst,
        limit: Some(LOOKED_THROUGH),
        ..AuditQuery::default()
    };
    let found = context.audit_reader.search(&query).await.ok()?;
    let same = |event: &Event| event.object.as_ref() == Some(key) && event.revision == Some(revision);
    let word = status.word();
    let told = |event: &Event| same(event) && event.status.as_deref() == Some(word);
    found.records.iter().find(|entry| told(&entry.event)).map(|entry| entry.sequence)
}

#[derive(Serialize)]
struct Foreseen {
    object: String,
    dry_run: bool,
    /// What would end; nothing has.
    would_end: WouldEnd,
}

#[derive(Serialize)]
struct WouldEnd {
    bindings: Vec<String>,
    grants: Vec<String>,
    tokens: u32,
    /// What runs on this replica now.
    open: Ended,
}

async fn foresee(context: &ControlContext, caller: &Caller, order: &Order) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let switched = decide(context, caller, order, &state)?;
    let reach = &switched.reach;
    let open = |sum: Ended, one: &lifecycle::ReachedBinding| {
        sum.plus(context.live.open(&one.environment, &one.binding.name))
    };
    Ok(json(&Foreseen {
        object: order.key.to_string(),
        dry_run: true,
        would_end: WouldEnd {
            bindings: reach
                .bindings
                .iter()
                .map(|one| format!("{}/{}", one.environment, one.binding))
                .collect(),
            grants: reach.grants.iter().map(|(grant, _)| grant.id.clone()).collect(),
            tokens: switched.tokens,
            open: reach.bindings.iter().fold(Ended::default(), open),
        },
    }))
}

/// Switches something on again: an approver's act where approvals are asked for.
pub(super) async fn enable(
    context: &ControlContext,
    caller: &Caller,
    key: ObjectKey,
    only_if: IfMatch,
) -> Result<Response, Problem> {
    #[derive(Serialize)]
    struct Standing {
        object: String,
        #[serde(flatten)]
        named: BTreeMap<&'static str, Value>,
        revision: Revision,
        status: Lifecycle,
    }
    let order = Order { key, act: lifecycle::enable, status: Lifecycle::Active, only_if };
    let switched = context
        .write(|state| {
            let switched = decide(context, caller, &order, state)?;
            let change = switched.change.clone();
            Ok((switched, Some(change)))
        })
        .await?;
    for one in &switched.reach.bindings {
        context.live.admit(&one.environment, &one.binding.name);
    }
    if let Some(agent) = &switched.reach.agent {
        context.live.admit_agent(agent);
    }
    let (object, revision) = (order.key.to_string(), switched.revision);
    Ok(json(&Standing { object, named: named(&order.key, revision), revision, status: order.status }))
}
