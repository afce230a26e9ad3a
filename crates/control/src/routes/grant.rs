//! Users' grants: listed, and ended at the gateway and at the provider.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use gateway_core::audit::{Decision, Ended, Event, EventKind};
use gateway_core::grant::GivenBack;
use gateway_core::id::{EnvironmentName, Epoch, OperatorName, ProviderName};
use gateway_core::lifecycle::{Reach, end_grant, may_touch, rule};
use gateway_core::manifest::{Kind, ObjectKey, ProviderSpec, Spec};
use gateway_core::operator::Role;
use gateway_core::ports::Sequence;
use gateway_core::revocation::{Return, RevocationRequest, RevocationSubject, ThingEnded};
use gateway_core::state::{GrantEnd, GrantEndReason, GrantRecord, Operation, State as Objects};
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::binding::visible;
use super::ending::{reach_of, returned};
use super::evidence::{Facts, Told, tell};
use super::{Shared, json};
use crate::auth::Caller;
use crate::body::Query;
use crate::context::ControlContext;
use crate::entity::{EntityTag, IfMatch};
use crate::page::{Cursor, Limit, Page, place_in_time};
use crate::problem::Problem;
use crate::underway::Underway;

/// How long what runs on the grant may take to end.
const END_DEADLINE: Duration = Duration::from_secs(5);

/// Which grants; all conditions that are set must hold.
#[derive(Deserialize, IntoParams, Default)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Selection {
    /// Only of this environment.
    environment: Option<String>,
    /// Only at this provider.
    provider: Option<String>,
    /// Only of this user, as `iss|sub`.
    user: Option<String>,
    /// Whether to list those too that ended within the last 30 days.
    ended: bool,
    /// `next` of the page before.
    #[param(value_type = Option<String>)]
    cursor: Option<Cursor>,
    /// How many at most, 1 to 500; all of them where absent.
    #[param(value_type = Option<u32>)]
    limit: Option<Limit<500>>,
}

impl Selection {
    fn holds(&self, grant: &GrantRecord) -> bool {
        let same =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        same(&self.environment, grant.environment.as_str())
            && same(&self.provider, grant.provider.as_str())
            && same(&self.user, &grant.user)
            && (self.ended || grant.ended.is_none())
    }
}

/// A grant as operators see it: no token, and not where its tokens are.
#[derive(Serialize)]
struct Shown {
    id: String,
    etag: EntityTag,
    environment: EnvironmentName,
    provider: ProviderName,
    user: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<String>,
    scopes: Vec<String>,
    created_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    end_reason: Option<GrantEndReason>,
}

impl From<&GrantRecord> for Shown {
    fn from(grant: &GrantRecord) -> Self {
        Self {
            id: grant.id.clone(),
            etag: EntityTag::of_grant(grant),
            environment: grant.environment.clone(),
            provider: grant.provider.clone(),
            user: grant.user.clone(),
            account: grant.account.clone(),
            scopes: grant.scopes.clone(),
            created_at: grant.created_at,
            ended_at: grant.ended.map(|end| end.at),
            end_reason: grant.ended.map(|end| end.reason),
        }
    }
}

#[derive(Serialize)]
struct Revoked {
    grant: Shown,
    /// What ran on it here and was cut.
    ended: Ended,
    /// Whether the provider said that every token is revoked: nothing else is called so.
    revoked_at_provider: bool,
    #[serde(flatten)]
    given_back: GivenBack,
    /// Where the provider's answer stands in the audit log; absent while the log cannot be written.
    audit: Option<Sequence>,
    /// The signed document.
    revocation: Option<Told>,
}

/// A grant is its provider's owner's affair.
fn provider_of(grant: &GrantRecord) -> ObjectKey {
    let (environment, name) = (Some(grant.environment.clone()), grant.provider.to_string());
    ObjectKey { kind: Kind::Provider, environment, name }
}

fn find<'a>(state: &'a Objects, id: &str, caller: &Caller) -> Result<&'a GrantRecord, Problem> {
    let grant = state.grants.iter().find(|grant| grant.id == id);
    let grant = grant.filter(|grant| visible(state, &provider_of(grant), caller).is_ok());
    grant.ok_or_else(|| Problem::new(&rule::OBJECT_UNKNOWN, "no such grant"))
}

/// The grants of users at providers that one may see, the oldest first.
#[utoipa::path(get, path = "/v1/grants", tag = "grants", params(Selection), security(("bearer" = [])),
    responses((status = 200, description = "`items`: grants, without their tokens", body = Value)))]
pub(crate) async fn list(
    State(context): Shared,
    caller: Caller,
    Query(selection): Query<Selection>,
) -> Result<Response, Problem> {
    let state = context.state.load().await?;
    let seen = state.grants.iter().filter(|grant| visible(&state, &provider_of(grant), &caller).is_ok());
    let mut wanted: Vec<(String, &GrantRecord)> = seen
        .filter(|grant| selection.holds(grant))
        .map(|grant| (place_in_time(grant.created_at, &grant.id), grant))
        .collect();
    wanted.sort_by(|one, other| one.0.cmp(&other.0));
    let page = Page::cut(wanted, selection.cursor.as_ref(), selection.limit.map(Limit::items))?;
    Ok(page.map(Shown::from).into_response())
}

/// Ends a grant. When this answers, no call of this gateway can use it any more, what ran on it was cut, and the
/// provider was asked to take its tokens back (RFC 7009): its answer is told as it was. Asking again for a grant
/// that has ended asks the provider again, while its tokens are still there.
#[utoipa::path(post, path = "/v1/grants/{id}/revoke", tag = "grants", params(("id" = String, Path)),
    security(("bearer" = [])), responses((status = 200, description = "What was ended, and what the provider said",
    body = Value), (status = 404, description = "No such grant", body = Value)))]
pub(crate) async fn revoke(
    State(context): Shared,
    caller: Caller,
    only_if: IfMatch,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let end = GrantEnd { at: context.now(), reason: GrantEndReason::Revoked };
    let mut event = Event::new(EventKind::GrantEnded, end.at);
    event.operator = Some(caller.0.name.clone());
    event.decision = Some(Decision::Allow);
    let by = &caller.0.name;
    let underway = context.begin_revocation();
    let ((grant, provider), epoch) = context
        .commit(|state| {
            let grant = find(state, &id, &caller)?;
            let record = visible(state, &provider_of(grant), &caller)?;
            if !may_touch(&caller.0, Role::Editor, &record.spec) {
                let why = "your roles do not cover this provider";
                return Err(Problem::about(&rule::OPERATOR_FORBIDDEN, &provider_of(grant), why));
            }
            only_if.check(&EntityTag::of_grant(grant))?;
            let provider = provider_spec(&record.spec);
            let mut change = end_grant(state, &id, end, &event);
            if let Some(change) = &mut change {
                let asked = request(&underway, by, grant, provider.as_ref(), end.at, state.epoch);
                change.operations.push(Operation::AskRevocation(Box::new(asked)));
            }
            Ok(((grant.clone(), provider), change))
        })
        .await?;
    if let Some(epoch) = epoch {
        context.publish(epoch).await?;
    }
    context.grants.forget(&grant);
    let ended = context.live.end_grant(&grant, END_DEADLINE).await?;
    // Before the provider is asked: a replica that still used the grant would refresh it meanwhile.
    let replicas = context.everywhere(epoch, super::ending::END_DEADLINE).await?;
    let given_back = context.grants.give_back(&grant, provider.as_ref()).await;
    let mut event = returned(&context, by, &grant, &given_back);
    event.ended = Some(ended);
    let audit = context.evidence(event).await;
    let reach = reach_of(&grant, provider.as_ref());
    let asked = (underway.id(), by);
    let facts = facts(asked, &grant, reach, ended, end.at, epoch, audit, context.now(), replicas);
    let revocation = documented(&context, &grant, facts).await;
    let grant = GrantRecord { ended: grant.ended.or(Some(end)), ..grant };
    let revoked_at_provider = given_back.is_revoked();
    Ok(json(&Revoked {
        grant: Shown::from(&grant),
        ended,
        revoked_at_provider,
        given_back,
        audit,
        revocation,
    }))
}

#[expect(clippy::too_many_arguments, reason = "each is one fact of the document")]
fn facts(
    (id, by): (&str, &OperatorName),
    grant: &GrantRecord,
    reach: Reach,
    ended: Ended,
    requested_at: Timestamp,
    epoch: Option<Epoch>,
    audit: Option<Sequence>,
    ended_at: Timestamp,
    replicas: Vec<String>,
) -> Facts {
    let thing = ThingEnded {
        kind: "grant".to_owned(),
        environment: Some(grant.environment.clone()),
        name: grant.id.clone(),
        ended,
        stored_secret: None,
    };
    Facts {
        id: id.to_owned(),
        requested_by: by.clone(),
        subject: subject(grant),
        reach,
        things: vec![thing],
        ended,
        requested_at,
        ended_at,
        epoch: epoch.unwrap_or_default(),
        decided: None,
        completed: audit,
        pending: audit.is_none(),
        replicas,
    }
}

/// What goes on after a crash, written with the decision.
fn request(
    underway: &Underway,
    by: &OperatorName,
    grant: &GrantRecord,
    provider: Option<&ProviderSpec>,
    requested_at: Timestamp,
    before: Epoch,
) -> RevocationRequest {
    RevocationRequest {
        id: underway.id().to_owned(),
        subject: subject(grant),
        requested_by: by.clone(),
        requested_at,
        epoch: Epoch(before.0.saturating_add(1)),
        reach: reach_of(grant, provider),
        tokens: 0,
    }
}

fn subject(grant: &GrantRecord) -> RevocationSubject {
    let (environment, name) = (Some(grant.environment.clone()), grant.id.clone());
    RevocationSubject { kind: "Grant".to_owned(), environment, name, revision: None }
}

/// A grant that ended before has its document: what the provider said now brings it forward.
async fn documented(context: &ControlContext, grant: &GrantRecord, facts: Facts) -> Option<Told> {
    let id = Return::id_of("grant", &grant.id);
    let filed = context.documents.records.filed(&id).await.ok().flatten();
    match filed.and_then(|one| one.revocation) {
        None => Box::pin(tell(context, facts)).await,
        Some(revocation) => {
            if let Err(error) = context.documents.records.answered(&facts.id).await {
                tracing::warn!(%error, "a revocation is still marked as one without a document");
            }
            let newest = context.documents.advance(&revocation).await;
            let newest = newest.inspect_err(|refusal| {
                tracing::error!(
                    inside = refusal.inside().unwrap_or(""),
                    "a document was not brought forward"
                );
            });
            newest.ok().flatten().map(Told::of)
        }
    }
}

fn provider_spec(spec: &Spec) -> Option<ProviderSpec> {
    match spec {
        Spec::Provider(provider) => Some(provider.clone()),
        _ => None,
    }
}
