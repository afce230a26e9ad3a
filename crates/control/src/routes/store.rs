//! The configured stores: whether each answers, and what is refused there. Never a value, and no path.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use gateway_core::id::{EnvironmentName, StoreName};
use gateway_core::lifecycle::{may_touch, rule};
use gateway_core::manifest::Spec;
use gateway_core::operator::{Operator, Role, RoleGrant};
use gateway_core::ports::{StoreErrorKind, StoreFigures};
use gateway_core::reference::SecretReference;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::state::{Lifecycle, State as Objects};
use gateway_core::stores::{StoreClass, StoreEntry};
use gateway_core::time::Timestamp;
use serde::Serialize;

use super::{Shared, json};
use crate::auth::Caller;
use crate::body::Query;
use crate::context::ControlContext;
use crate::page::{Limit, Page, PageQuery};
use crate::problem::Problem;

#[derive(Serialize)]
pub(super) struct Shown<'a> {
    name: &'a StoreName,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    class: &'static str,
    /// Those in which one has a role.
    environments: Vec<&'a EnvironmentName>,
    /// Whether values of ours may go in.
    takes_values: bool,
    /// Whether each caller opens it as itself; then it is counted by caller, and not here.
    per_caller: bool,
    /// How many references of active objects that one may see name it.
    references: usize,
    #[serde(flatten)]
    health: Health,
}

/// How a store has been of late, from this replica.
#[derive(Serialize)]
pub(super) struct Health {
    /// Whether the last attempt reached it; absent where there was none yet.
    reachable: Option<bool>,
    /// Whether it is left alone now, because it did not answer or asked for it.
    resting: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_refusal: Option<Refused>,
    fetches: u64,
    failures: u64,
    served_from_memory: u64,
}

#[derive(Serialize)]
struct Refused {
    code: Code,
    at: Timestamp,
}

impl From<StoreFigures> for Health {
    fn from(figures: StoreFigures) -> Self {
        let failed = figures.failed.map(|(kind, at)| (kind, is_outage(kind), at));
        let reachable = match (figures.answered, failed) {
            (Some(answered), Some((_, true, at))) => Some(answered > at),
            (None, Some((_, outage, _))) => Some(!outage),
            (Some(_), _) => Some(true),
            (None, None) => None,
        };
        Self {
            reachable,
            resting: figures.resting,
            answered_at: figures.answered,
            last_refusal: failed.map(|(kind, _, at)| Refused { code: code(kind), at }),
            fetches: figures.fetches,
            failures: figures.failures,
            served_from_memory: figures.hits,
        }
    }
}

const fn is_outage(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Unavailable | StoreErrorKind::Timeout | StoreErrorKind::Throttled)
}

fn code(kind: StoreErrorKind) -> Code {
    Refusal::from(gateway_core::ports::StoreError::new(kind, "")).code()
}

/// How the binding's store is.
pub(super) fn health(entry: &StoreEntry) -> Health {
    entry.store.figures().into()
}

/// A store is the affair of everybody who has the role in one of its environments, whatever their team.
fn concerns(operator: &Operator, roles: &[Role], entry: &StoreEntry) -> bool {
    entry.environments.iter().any(|environment| has_role(operator, roles, environment))
}

/// Whether the operator has one of the roles, or any at all where none is named, in the environment.
fn has_role(operator: &Operator, roles: &[Role], environment: &EnvironmentName) -> bool {
    let here = |grant: &RoleGrant| grant.environments.as_ref().is_none_or(|own| own.contains(environment));
    operator.grants.iter().any(|grant| (roles.is_empty() || roles.contains(&grant.role)) && here(grant))
}

fn references(state: &Objects, caller: &Caller, store: &StoreName) -> usize {
    let names = |reference: &SecretReference| reference.store() == store;
    let active = state.revisions.iter().filter(|record| record.status == Lifecycle::Active);
    let counted = active.map(|record| match &record.spec {
        spec @ Spec::Binding(binding) if binding.place().is_some_and(names) => {
            usize::from(may_touch(&caller.0, Role::Viewer, spec))
        }
        spec @ Spec::Provider(provider) if may_touch(&caller.0, Role::Viewer, spec) => {
            provider.references().filter(|reference| names(reference)).count()
        }
        _ => 0,
    });
    counted.sum()
}

/// The stores that serve an environment in which one has a role, and how each has been of late.
#[utoipa::path(get, path = "/v1/stores", tag = "stores", params(PageQuery), security(("bearer" = [])),
    responses((status = 200, description = "`items`: stores with what the last attempts there came to", body = Value)))]
pub(crate) async fn list(
    State(context): Shared,
    caller: Caller,
    Query(query): Query<PageQuery>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let mut seen: Vec<(String, (&StoreName, &StoreEntry))> = context
        .stores
        .entries()
        .filter(|(_, entry)| concerns(&caller.0, &[], entry))
        .map(|(name, entry)| (name.to_string(), (name, entry)))
        .collect();
    seen.sort_by(|one, other| one.0.cmp(&other.0));
    let page = Page::cut(seen, query.cursor.as_ref(), query.limit.map(Limit::items))?;
    Ok(page.map(|(name, entry)| shown(&context, &state, &caller, name, entry)).into_response())
}

fn shown<'a>(
    context: &'a ControlContext,
    state: &Objects,
    caller: &Caller,
    name: &'a StoreName,
    entry: &'a StoreEntry,
) -> Shown<'a> {
    Shown {
        name,
        kind: context.presentation.store_kinds.get(name).map(String::as_str),
        class: match entry.class {
            StoreClass::External => "external",
            StoreClass::Local => "local",
        },
        environments: entry.environments.iter().filter(|one| has_role(&caller.0, &[], one)).collect(),
        takes_values: entry.writer.is_some(),
        per_caller: entry.store.for_callers().is_some(),
        references: references(state, caller, name),
        health: health(entry),
    }
}

#[derive(Serialize)]
struct Probed<'a> {
    store: &'a StoreName,
    reachable: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<Code>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
    milliseconds: u64,
}

/// Asks a store whether it answers and takes the gateway's login. No secret is read.
#[utoipa::path(post, path = "/v1/stores/{name}/probe", tag = "stores", params(("name" = String, Path)),
    security(("bearer" = [])), responses((status = 200, description = "Whether it answers", body = Value),
    (status = 403, description = "No role for it", body = Value), (status = 404, description = "No such store", body = Value)))]
pub(crate) async fn probe(
    State(context): Shared,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Response, Problem> {
    let unknown = || Problem::new(&rule::OBJECT_UNKNOWN, "no such store");
    let name = StoreName::parse(&name).map_err(|_| unknown())?;
    let entry = context.stores.entry(&name).filter(|entry| concerns(&caller.0, &[], entry));
    let entry = entry.ok_or_else(unknown)?;
    if !concerns(&caller.0, &[Role::Editor, Role::Approver, Role::Admin], entry) {
        return Err(Problem::new(&rule::OPERATOR_FORBIDDEN, "this takes the role `editor` or `approver`"));
    }
    Ok(json(&asked(&context, &name, entry).await))
}

async fn asked<'a>(context: &Arc<ControlContext>, name: &'a StoreName, entry: &StoreEntry) -> Probed<'a> {
    let began = context.now();
    let outcome = entry.uncached.probe().await;
    let took = context.now().since(began).as_millis();
    let code = outcome.as_ref().err().map(|error| code(error.kind));
    if let Err(error) = &outcome {
        tracing::warn!(store = %name, %error, "an operator asked a store whether it answers, and it does not");
    }
    Probed {
        store: name,
        reachable: outcome.is_ok(),
        hint: code.map(|code| code.row().hint),
        code,
        milliseconds: u64::try_from(took).unwrap_or(u64::MAX),
    }
}
