//! Reading: the whole state within one transaction, and the outbox.

use std::collections::HashMap;

use gateway_core::id::{
    AgentName, BindingName, EnvironmentName, Epoch, OperatorName, ProviderName, Revision,
};
use gateway_core::lease::VersionId;
use gateway_core::lock::{LockEnd, LockRecord};
use gateway_core::manifest::{ContentHash, Kind, ObjectKey, Spec};
use gateway_core::ports::StateError;
use gateway_core::reference::SecretReference;
use gateway_core::review::ReviewRecord;
use gateway_core::rotation::{Reminded, VersionRecord, VersionState};
use gateway_core::state::{
    AgentTokenRecord, Approval, GrantEnd, GrantEndReason, GrantRecord, Lifecycle, OperatorTokenRecord,
    OutboxEntry, Pins, RevisionRecord, State,
};
use gateway_core::time::Timestamp;
use serde::de::DeserializeOwned;

use super::session::{Row, Session, Value, corrupt};

const EPOCH: &str = "SELECT epoch FROM state_epoch WHERE one = 1";
const REVISIONS: &str = "SELECT r.object_id, o.kind, o.environment, o.name, r.revision, r.content, r.status, \
    r.author, r.created_at, r.changed_at, r.pins FROM revisions r JOIN objects o ON o.id = r.object_id";
const SPECS: &str = "SELECT object_id, revision, spec FROM revisions";
const SPEC: &str = "SELECT object_id, revision, spec FROM revisions WHERE object_id = $1 AND revision = $2";
/// Up to so many contents are asked for one by one.
const FEW: usize = 64;
const APPROVALS: &str =
    "SELECT object_id, revision, approver, capacities, signed_at FROM approvals ORDER BY ordinal";
const AGENT_TOKENS: &str = "SELECT id, digest, agent, entries, created_at, expires_at, revoked_at, issued_by \
    FROM agent_tokens WHERE expires_at > $1 ORDER BY created_at, id";
const OPERATOR_TOKENS: &str = "SELECT id, digest, operator, roles, expires_at, bootstrap, ended_at \
    FROM operator_tokens WHERE ended_at IS NULL AND expires_at > $1 ORDER BY id";
const GRANTS: &str = "SELECT id, environment, provider, user_id, account, scopes, reference, created_at, \
    ended_at, end_reason FROM grants WHERE ended_at IS NULL OR ended_at > $1 ORDER BY created_at, id";
const VERSIONS: &str = "SELECT environment, binding, place, version, state, created_at, changed_at, reason, reminded \
    FROM secret_versions ORDER BY ordinal";
/// How long an ended grant is listed: 30 days, in microseconds.
pub(super) const ENDED_GRANTS_KEPT: i64 = 30 * 86_400 * 1_000_000;
const LOCKS: &str = "SELECT id, selector, reason, author, created_at, until_at, ended_at, ended_by \
    FROM locks WHERE ended_at IS NULL OR ended_at > $1 ORDER BY created_at, id";
/// How long an ended lock is listed: 30 days, in microseconds.
pub(super) const ENDED_LOCKS_KEPT: i64 = 30 * 86_400 * 1_000_000;
const REVIEWS: &str = "SELECT environment, binding, content FROM binding_reviews";
const OUTBOX: &str = "SELECT id, event FROM outbox ORDER BY ordinal LIMIT $1";

const STATUSES: [Lifecycle; 8] = [
    Lifecycle::Draft,
    Lifecycle::Pending,
    Lifecycle::Active,
    Lifecycle::Disabled,
    Lifecycle::Expired,
    Lifecycle::Revoked,
    Lifecycle::Superseded,
    Lifecycle::Withdrawn,
];

/// The epoch.
pub(super) async fn epoch(session: &mut dyn Session) -> Result<Epoch, StateError> {
    let mut rows = session.rows(EPOCH, &[]).await?;
    let number = rows.pop().ok_or_else(|| corrupt("there is no epoch"))?.number()?;
    u64::try_from(number).map(Epoch).map_err(corrupt)
}

/// The whole state. The session must be inside a transaction that sees one snapshot. The contents of `known` revisions
/// are neither sent nor parsed again: a written content stays, which the database sees to, and its hash tells.
pub(super) async fn state(
    session: &mut dyn Session,
    now: Timestamp,
    known: &State,
) -> Result<State, StateError> {
    let epoch = epoch(session).await?;
    let mut approvals: HashMap<(i64, i64), Vec<Approval>> = HashMap::new();
    for row in session.rows(APPROVALS, &[]).await? {
        let (place, approval) = approval(row)?;
        approvals.entry(place).or_default().push(approval);
    }
    let heads = session.rows(REVISIONS, &[]).await?;
    let heads: Vec<Head> = heads.into_iter().map(head).collect::<Result<_, _>>()?;
    let mut contents = contents(session, &heads, known).await?;
    let mut revisions = Vec::with_capacity(heads.len());
    for head in heads {
        let approvals = approvals.remove(&head.place()).unwrap_or_default();
        let spec = match spec_of(known, &head) {
            Some(spec) => spec.clone(),
            None => content(&head, contents.remove(&head.place()))?,
        };
        revisions.push(head.record(spec, approvals));
    }
    let agent_tokens = session.rows(AGENT_TOKENS, &[Value::Number(now.micros())]).await?;
    let operator_tokens = session.rows(OPERATOR_TOKENS, &[Value::Number(now.micros())]).await?;
    let kept_since = Value::Number(now.micros().saturating_sub(ENDED_GRANTS_KEPT));
    let grants = session.rows(GRANTS, &[kept_since]).await?;
    let versions = session.rows(VERSIONS, &[]).await?;
    let locks_since = Value::Number(now.micros().saturating_sub(ENDED_LOCKS_KEPT));
    let locks = session.rows(LOCKS, &[locks_since]).await?;
    let reviews = session.rows(REVIEWS, &[]).await?;
    let mut state = State {
        epoch,
        revisions,
        agent_tokens: agent_tokens.into_iter().map(agent_token).collect::<Result<_, _>>()?,
        operator_tokens: operator_tokens.into_iter().map(operator_token).collect::<Result<_, _>>()?,
        grants: grants.into_iter().map(grant).collect::<Result<_, _>>()?,
        versions: versions.into_iter().map(version).collect::<Result<_, _>>()?,
        locks: locks.into_iter().map(lock).collect::<Result<_, _>>()?,
        reviews: reviews.into_iter().map(review).collect::<Result<_, _>>()?,
    };
    // Here, because databases order text by locale.
    state.put_in_order();
    Ok(state)
}

/// The oldest rows of the outbox.
pub(super) async fn outbox(session: &mut dyn Session, limit: u32) -> Result<Vec<OutboxEntry>, StateError> {
    let rows = session.rows(OUTBOX, &[Value::Number(i64::from(limit))]).await?;
    let entry = |mut row: Row| Ok(OutboxEntry { id: row.text()?, event: document(&row.text()?)? });
    rows.into_iter().map(entry).collect()
}

/// The status of a stored word.
pub(super) fn status(word: &str) -> Result<Lifecycle, StateError> {
    STATUSES.into_iter().find(|status| status.word() == word).ok_or_else(|| corrupt("unknown status"))
}

/// A revision without its content.
struct Head {
    object: i64,
    key: ObjectKey,
    revision: Revision,
    content: ContentHash,
    status: Lifecycle,
    author: OperatorName,
    created_at: Timestamp,
    changed_at: Timestamp,
    pins: Option<Pins>,
}

impl Head {
    fn place(&self) -> (i64, i64) {
        (self.object, i64::from(self.revision.0))
    }

    fn record(self, spec: Spec, approvals: Vec<Approval>) -> RevisionRecord {
        RevisionRecord {
            key: self.key,
            revision: self.revision,
            spec,
            content: self.content,
            status: self.status,
            author: self.author,
            created_at: self.created_at,
            changed_at: self.changed_at,
            approvals,
            pins: self.pins,
        }
    }
}

fn head(mut row: Row) -> Result<Head, StateError> {
    Ok(Head {
        object: row.number()?,
        key: key(&mut row)?,
        revision: u32::try_from(row.number()?).map(Revision).map_err(corrupt)?,
        content: ContentHash::try_from(row.text()?).map_err(corrupt)?,
        status: status(&row.text()?)?,
        author: OperatorName::parse(&row.text()?).map_err(corrupt)?,
        created_at: Timestamp::from_micros(row.number()?),
        changed_at: Timestamp::from_micros(row.number()?),
        pins: row.maybe_text()?.as_deref().map(document).transpose()?,
    })
}

/// The content that was read before.
fn spec_of<'a>(known: &'a State, head: &Head) -> Option<&'a Spec> {
    let record = known.exact(&head.key, head.revision)?;
    (record.content == head.content).then_some(&record.spec)
}

/// The texts of the contents that are not known.
async fn contents(
    session: &mut dyn Session,
    heads: &[Head],
    known: &State,
) -> Result<HashMap<(i64, i64), String>, StateError> {
    let missing: Vec<(i64, i64)> =
        heads.iter().filter(|head| spec_of(known, head).is_none()).map(Head::place).collect();
    let mut rows = Vec::new();
    if missing.len() > FEW {
        rows = session.rows(SPECS, &[]).await?;
    } else {
        for (object, revision) in missing {
            rows.extend(session.rows(SPEC, &[Value::Number(object), Value::Number(revision)]).await?);
        }
    }
    rows.into_iter().map(|mut row| Ok(((row.number()?, row.number()?), row.text()?))).collect()
}

/// The content, where it is the one that was written.
fn content(head: &Head, text: Option<String>) -> Result<Spec, StateError> {
    let Head { key, revision, content, .. } = head;
    let text = text.ok_or_else(|| corrupt(format_args!("{key} revision {revision} has no content")))?;
    let spec: Spec = document(&text)?;
    if spec.key() != *key || spec.content_hash() != *content {
        return Err(corrupt(format_args!("{key} revision {revision} is not the content that was written")));
    }
    Ok(spec)
}

fn key(row: &mut Row) -> Result<ObjectKey, StateError> {
    let kind = Kind::from_word(&row.text()?).ok_or_else(|| corrupt("unknown kind"))?;
    let environment = row.maybe_text()?;
    let environment = environment.as_deref().map(EnvironmentName::parse).transpose().map_err(corrupt)?;
    Ok(ObjectKey { kind, environment, name: row.text()? })
}

fn approval(mut row: Row) -> Result<((i64, i64), Approval), StateError> {
    let place = (row.number()?, row.number()?);
    Ok((
        place,
        Approval {
            approver: OperatorName::parse(&row.text()?).map_err(corrupt)?,
            capacities: document(&row.text()?)?,
            at: Timestamp::from_micros(row.number()?),
        },
    ))
}

fn version(mut row: Row) -> Result<VersionRecord, StateError> {
    Ok(VersionRecord {
        environment: EnvironmentName::parse(&row.text()?).map_err(corrupt)?,
        binding: BindingName::parse(&row.text()?).map_err(corrupt)?,
        place: SecretReference::parse(&row.text()?).map_err(corrupt)?,
        version: VersionId::new(&row.text()?),
        state: VersionState::from_word(&row.text()?).ok_or_else(|| corrupt("unknown state of a version"))?,
        created_at: row.maybe_number()?.map(Timestamp::from_micros),
        changed_at: Timestamp::from_micros(row.number()?),
        reason: row.maybe_text()?,
        reminded: Reminded::from_word(&row.text()?).ok_or_else(|| corrupt("unknown reminder"))?,
    })
}

fn agent_token(mut row: Row) -> Result<AgentTokenRecord, StateError> {
    Ok(AgentTokenRecord {
        id: row.text()?,
        digest: row.text()?.try_into().map_err(corrupt)?,
        agent: AgentName::parse(&row.text()?).map_err(corrupt)?,
        entries: document(&row.text()?)?,
        created_at: Timestamp::from_micros(row.number()?),
        expires_at: Timestamp::from_micros(row.number()?),
        revoked_at: row.maybe_number()?.map(Timestamp::from_micros),
        issued_by: OperatorName::parse(&row.text()?).map_err(corrupt)?,
    })
}

fn operator_token(mut row: Row) -> Result<OperatorTokenRecord, StateError> {
    Ok(OperatorTokenRecord {
        id: row.text()?,
        digest: row.text()?.try_into().map_err(corrupt)?,
        operator: OperatorName::parse(&row.text()?).map_err(corrupt)?,
        roles: document(&row.text()?)?,
        expires_at: Timestamp::from_micros(row.number()?),
        bootstrap: row.number()? != 0,
        ended_at: row.maybe_number()?.map(Timestamp::from_micros),
    })
}

fn grant(mut row: Row) -> Result<GrantRecord, StateError> {
    let mut grant = GrantRecord {
        id: row.text()?,
        environment: EnvironmentName::parse(&row.text()?).map_err(corrupt)?,
        provider: ProviderName::parse(&row.text()?).map_err(corrupt)?,
        user: row.text()?,
        account: row.maybe_text()?,
        scopes: document(&row.text()?)?,
        reference: SecretReference::parse(&row.text()?).map_err(corrupt)?,
        created_at: Timestamp::from_micros(row.number()?),
        ended: None,
    };
    if let Some(at) = row.maybe_number()? {
        let reason =
            GrantEndReason::from_word(&row.text()?).ok_or_else(|| corrupt("unknown end of a grant"))?;
        grant.ended = Some(GrantEnd { at: Timestamp::from_micros(at), reason });
    }
    Ok(grant)
}

fn lock(mut row: Row) -> Result<LockRecord, StateError> {
    let mut lock = LockRecord {
        id: row.text()?,
        selector: document(&row.text()?)?,
        reason: row.text()?,
        author: OperatorName::parse(&row.text()?).map_err(corrupt)?,
        created_at: Timestamp::from_micros(row.number()?),
        until: Timestamp::from_micros(row.number()?),
        ended: None,
    };
    if let Some(at) = row.maybe_number()? {
        let by = row.maybe_text()?.as_deref().map(OperatorName::parse).transpose().map_err(corrupt)?;
        lock.ended = Some(LockEnd { at: Timestamp::from_micros(at), by });
    }
    Ok(lock)
}

fn review(mut row: Row) -> Result<ReviewRecord, StateError> {
    let (environment, binding) = (row.text()?, row.text()?);
    let review: ReviewRecord = document(&row.text()?)?;
    if review.environment.as_str() != environment || review.binding.as_str() != binding {
        return Err(corrupt("a review belongs to another binding"));
    }
    Ok(review)
}

fn document<T: DeserializeOwned>(text: &str) -> Result<T, StateError> {
    serde_json::from_str(text).map_err(corrupt)
}
