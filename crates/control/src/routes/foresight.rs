//! What manifests would do once they were in force: who could reach what, and how recorded calls would be decided.

use std::collections::HashMap;
use std::sync::Arc;

use gateway_core::audit::{Event, EventKind};
use gateway_core::explain::{AccessChanges, Sight, access_changes};
use gateway_core::id::{EnvironmentName, ServerName};
use gateway_core::lifecycle::{Finding, declared, may_touch, suppose};
use gateway_core::manifest::{ContentHash, Kind, ObjectKey, Spec};
use gateway_core::operator::{Operator, Role, Scope};
use gateway_core::replay::{Replay, replay};
use gateway_core::snapshot::{Snapshot, SnapshotError};
use gateway_core::state::State as Objects;
use gateway_core::time::Timestamp;
use serde::Serialize;

use crate::auth::Caller;
use crate::context::ControlContext;
use crate::ports::AuditQuery;
use crate::problem::Problem;
use crate::write::policy_problem;

/// How many calls and how many refusals are looked at, the newest of each.
const MOST: u32 = 20_000;

/// The most records of one page.
const PAGE: u32 = 1_000;

/// The roles that may read who called what: those who sign, and those who read evidence anyway.
const READERS: [Role; 2] = [Role::Approver, Role::Auditor];

/// Which recorded calls are decided anew.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Window {
    /// Not before.
    pub(super) from: Option<Timestamp>,
    /// Before.
    pub(super) until: Option<Timestamp>,
}

/// What manifests would do in one environment.
#[derive(Serialize)]
pub(super) struct Foresight {
    environment: EnvironmentName,
    /// The policy version that decides.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<ContentHash>,
    /// The one that would.
    #[serde(skip_serializing_if = "Option::is_none")]
    candidate: Option<ContentHash>,
    /// Which declared callers gain or lose which tools.
    access: AccessChanges,
    /// The recorded calls, decided anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<Recorded>,
    /// Why there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    withheld: Option<&'static str>,
    /// What would keep bindings at what they pin now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<Finding>,
}

#[derive(Serialize)]
struct Recorded {
    /// The oldest call that was looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    /// Whether there are older ones that were not.
    more: bool,
    #[serde(flatten)]
    replay: Replay,
}

/// The newest calls and refusals that the query finds, and whether there are more.
pub(super) async fn traffic(
    context: &ControlContext,
    query: AuditQuery,
    most: u32,
) -> Result<(Vec<Event>, bool), Problem> {
    let (mut events, mut more) = (Vec::new(), false);
    for kind in [EventKind::Intent, EventKind::Refused] {
        let mut query = AuditQuery { kind: Some(kind), limit: Some(PAGE), ..query.clone() };
        for left in (0..most.div_ceil(PAGE)).rev() {
            let page = context.audit_reader.search(&query).await?;
            events.extend(page.records.into_iter().map(|entry| entry.event));
            let Some(next) = page.next.filter(|_| page.more) else {
                more |= page.more;
                break;
            };
            query.cursor = Some(next);
            more |= left == 0;
        }
    }
    Ok((events, more))
}

/// Looks ahead: the manifests in force, every signature given.
pub(super) async fn foresee(
    context: &Arc<ControlContext>,
    caller: &Caller,
    state: Arc<Objects>,
    specs: &[Spec],
    environment: &EnvironmentName,
    window: Window,
) -> Result<Foresight, Problem> {
    let supposed = suppose(&context.deciding(&state, &caller.0), specs)?;
    let reads = readable(&state, &caller.0, environment);
    let recorded = if reads {
        let query = AuditQuery {
            environment: Some(environment.to_string()),
            from: window.from,
            until: window.until,
            ..AuditQuery::default()
        };
        let (mut events, more) = traffic(context, query, MOST).await?;
        retain_readable(&state, &caller.0, &mut events);
        Some((events, more))
    } else {
        None
    };
    let (now, operator) = (context.now(), caller.0.clone());
    let places = context.presentation.beyond(&operator);
    let (context, environment) = (Arc::clone(context), environment.clone());
    let told = tokio::task::spawn_blocking(move || {
        let built =
            |state: &Objects| Snapshot::build(state, &*context.compiler, std::slice::from_ref(&environment));
        let (before, after) = (built(state.as_ref())?, built(&supposed.state)?);
        let sight = Sight { operator: &operator, places: &places };
        let version =
            |side: &Snapshot| side.environment(environment.as_str()).map(|view| view.engine.version());
        Ok::<_, SnapshotError>(Foresight {
            version: version(&before),
            candidate: version(&after),
            access: access_changes(&before, &after, &environment, sight, now),
            withheld: recorded.is_none().then_some("recorded calls are told to approvers and auditors"),
            replay: recorded.map(|(events, more)| Recorded {
                since: events.iter().map(|event| event.time).min(),
                more,
                replay: replay(&before, &after, &events, now),
            }),
            left: supposed.left,
            environment,
        })
    });
    let told = told.await.map_err(|_| Problem::busy())?;
    told.map_err(|error| policy_problem(&error.environment, &error.issues))
}

/// Whether the operator may read of the calls at any server of the environment.
fn readable(state: &Objects, operator: &Operator, environment: &EnvironmentName) -> bool {
    reads_all(operator, environment)
        || state.all_active(Kind::Server).any(|record| {
            record.key.environment.as_ref() == Some(environment) && reads(operator, &record.spec)
        })
}

fn reads(operator: &Operator, spec: &Spec) -> bool {
    READERS.into_iter().any(|role| may_touch(operator, role, spec))
}

/// Whether the operator may read of every call in the environment.
pub(super) fn reads_all(operator: &Operator, environment: &EnvironmentName) -> bool {
    let scope = Scope { team: None, environment: Some(environment) };
    READERS.into_iter().any(|role| operator.may(role, scope))
}

/// Leaves only the calls at servers that the operator's roles cover.
pub(super) fn retain_readable(state: &Objects, operator: &Operator, events: &mut Vec<Event>) {
    let mut known: HashMap<(EnvironmentName, ServerName), bool> = HashMap::new();
    events.retain(|event| {
        let (Some(environment), Some(server)) = (&event.environment, &event.server) else { return false };
        *known.entry((environment.clone(), server.clone())).or_insert_with(|| {
            let (place, name) = (Some(environment.clone()), server.to_string());
            let key = ObjectKey { kind: Kind::Server, environment: place, name };
            let declared = declared(state, &key);
            reads_all(operator, environment) || declared.is_some_and(|record| reads(operator, &record.spec))
        })
    });
}
