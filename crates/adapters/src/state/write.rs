//! Writing: one batch within one transaction that began with the compare-and-swap of the epoch.

use gateway_core::audit::Event;
use gateway_core::id::{Epoch, Revision};
use gateway_core::lock::LockRecord;
use gateway_core::manifest::{Kind, ObjectKey, Spec};
use gateway_core::ports::{Random, StateError};
use gateway_core::review::ReviewRecord;
use gateway_core::revocation::RevocationRequest;
use gateway_core::rotation::VersionRecord;
use gateway_core::state::{
    AgentTokenRecord, Approval, Change, GrantRecord, Lifecycle, Operation, OperatorTokenRecord, Pins,
    RevisionRecord,
};
use gateway_core::time::Timestamp;
use serde::Serialize;

use super::read::status;
use super::revocations;
use super::session::{Session, Value};

const SWAP_EPOCH: &str = "UPDATE state_epoch SET epoch = epoch + 1 WHERE one = 1 AND epoch = $1";
const FIND_OBJECT: &str =
    "SELECT id FROM objects WHERE kind = $1 AND COALESCE(environment, '') = $2 AND name = $3";
const INSERT_OBJECT: &str = "INSERT INTO objects (kind, environment, name) VALUES ($1, $2, $3) RETURNING id";
const LAST_REVISION: &str = "SELECT MAX(revision), MAX(CASE WHEN status = 'revoked' THEN CAST(1 AS BIGINT) END) \
    FROM revisions WHERE object_id = $1";
const INSERT_REVISION: &str = "INSERT INTO revisions (object_id, kind, environment, revision, spec, content, \
    status, author, created_at, changed_at, pins, server_id, server_kind, server_environment) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)";
const FIND_STATUS: &str = "SELECT status FROM revisions WHERE object_id = $1 AND revision = $2";
const SET_STATUS: &str = "UPDATE revisions SET status = $1, changed_at = $2 \
    WHERE object_id = $3 AND revision = $4 AND status = $5";
const SET_PINS: &str = "UPDATE revisions SET pins = $1 WHERE object_id = $2 AND revision = $3";
const INSERT_APPROVAL: &str = "INSERT INTO approvals (object_id, revision, author, approver, capacities, \
    signed_at) SELECT object_id, revision, author, $3, $4, $5 FROM revisions \
    WHERE object_id = $1 AND revision = $2";
const INSERT_AGENT_TOKEN: &str = "INSERT INTO agent_tokens (id, digest, agent, entries, created_at, \
    expires_at, revoked_at, issued_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const REVOKE_AGENT_TOKEN: &str =
    "UPDATE agent_tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL";
const INSERT_OPERATOR_TOKEN: &str = "INSERT INTO operator_tokens (id, digest, operator, roles, expires_at, \
    bootstrap, ended_at) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const END_OPERATOR_TOKEN: &str =
    "UPDATE operator_tokens SET ended_at = $1 WHERE id = $2 AND ended_at IS NULL";
const INSERT_GRANT: &str = "INSERT INTO grants (id, environment, provider, user_id, account, scopes, \
    reference, created_at, ended_at, end_reason) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
const END_GRANT: &str = "UPDATE grants SET ended_at = $1, end_reason = $2 WHERE id = $3 AND ended_at IS NULL";
const PUT_VERSION: &str = "INSERT INTO secret_versions (environment, binding, place, version, state, created_at, \
    changed_at, reason, reminded, ordinal) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, \
    (SELECT COALESCE(MAX(ordinal), 0) + 1 FROM secret_versions WHERE environment = $1 AND binding = $2)) \
    ON CONFLICT (environment, binding, place, version) DO UPDATE SET state = excluded.state, \
    created_at = excluded.created_at, changed_at = excluded.changed_at, reason = excluded.reason, \
    reminded = excluded.reminded";
const DROP_VERSION: &str = "DELETE FROM secret_versions WHERE environment = $1 AND binding = $2 AND place = $3 \
    AND version = $4";
const PUT_REVIEW: &str = "INSERT INTO binding_reviews (environment, binding, content) VALUES ($1, $2, $3) \
    ON CONFLICT (environment, binding) DO UPDATE SET content = excluded.content";
const ASK_REVOCATION: &str =
    "INSERT INTO revocation_requests (id, requested_at, content) VALUES ($1, $2, $3)";
const INSERT_LOCK: &str = "INSERT INTO locks (id, selector, reason, author, created_at, until_at, ended_at, \
    ended_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const END_LOCK: &str = "UPDATE locks SET ended_at = $1, ended_by = $2 WHERE id = $3 AND ended_at IS NULL";
const INSERT_OUTBOX: &str = "INSERT INTO outbox (id, event) VALUES ($1, $2)";
const DELETE_OUTBOX: &str = "DELETE FROM outbox WHERE id = $1";

/// Swaps the epoch, runs the operations in order and files the events. The caller commits, or drops
/// the transaction on any error.
pub(super) async fn change(
    session: &mut dyn Session,
    change: Change,
    random: &dyn Random,
) -> Result<Epoch, StateError> {
    let expected = i64::try_from(change.expected.0).map_err(|_| StateError::Conflict)?;
    if session.execute(SWAP_EPOCH, &[Value::Number(expected)]).await? != 1 {
        return Err(StateError::Conflict);
    }
    for operation in &change.operations {
        apply(session, operation).await?;
    }
    for event in change.events {
        file(session, event, random).await?;
    }
    Ok(Epoch(change.expected.0.saturating_add(1)))
}

/// Strikes out outbox rows; those that are gone already are no mistake.
pub(super) async fn drained(session: &mut dyn Session, ids: &[String]) -> Result<(), StateError> {
    for id in ids {
        session.execute(DELETE_OUTBOX, &[Value::Text(id)]).await?;
    }
    Ok(())
}

async fn apply(session: &mut dyn Session, operation: &Operation) -> Result<(), StateError> {
    match operation {
        Operation::InsertRevision(record) => insert_revision(session, record).await,
        Operation::SetStatus { key, revision, status, at } => {
            set_status(session, key, *revision, *status, *at).await
        }
        Operation::AddApproval { key, revision, approval } => {
            let object = existing_object(session, key).await?;
            add_approval(session, object, *revision, approval).await
        }
        Operation::SetPins { key, revision, pins } => set_pins(session, key, *revision, pins).await,
        Operation::InsertAgentToken(record) => insert_agent_token(session, record).await,
        Operation::RevokeAgentToken { id, at } => {
            let values = [Value::Number(at.micros()), Value::Text(id)];
            one(session.execute(REVOKE_AGENT_TOKEN, &values).await?, "no agent token of this id stands")
        }
        Operation::InsertGrant(grant) => insert_grant(session, grant).await,
        Operation::EndGrant { id, end } => {
            let at = Value::Number(end.at.micros());
            let values = [at, Value::Text(end.reason.word()), Value::Text(id)];
            one(session.execute(END_GRANT, &values).await?, "no grant of this id stands")
        }
        Operation::PutVersion(record) => put_version(session, record).await,
        Operation::DropVersion { environment, binding, place, version } => {
            let place = place.to_string();
            let values = [
                Value::Text(environment.as_str()),
                Value::Text(binding.as_str()),
                Value::Text(&place),
                Value::Text(version.as_str()),
            ];
            session.execute(DROP_VERSION, &values).await.map(|_| ())
        }
        Operation::PutReview(review) => put_review(session, review).await,
        Operation::InsertLock(lock) => insert_lock(session, lock).await,
        Operation::EndLock { id, end } => {
            let by = end.by.as_ref().map(|name| name.as_str());
            let values = [Value::Number(end.at.micros()), Value::MaybeText(by), Value::Text(id)];
            one(session.execute(END_LOCK, &values).await?, "no lock of this id stands")
        }
        Operation::AskRevocation(request) => ask_revocation(session, request).await,
        Operation::FileReturn(one) => revocations::file(session, one).await,
        Operation::DropReturn { id } => revocations::drop_return(session, id).await,
        Operation::InsertOperatorToken(record) => insert_operator_token(session, record).await,
        Operation::EndOperatorToken { id, at } => {
            let values = [Value::Number(at.micros()), Value::Text(id)];
            one(session.execute(END_OPERATOR_TOKEN, &values).await?, "no operator token of this id stands")
        }
    }
}

async fn insert_revision(session: &mut dyn Session, record: &RevisionRecord) -> Result<(), StateError> {
    if record.spec.key() != record.key || record.spec.content_hash() != record.content {
        return Err(refused("key, content and hash of the revision do not belong together"));
    }
    if !matches!(record.status, Lifecycle::Draft | Lifecycle::Pending | Lifecycle::Active) {
        return Err(refused(format_args!("a revision does not begin as `{}`", record.status)));
    }
    let object = match find_object(session, &record.key).await? {
        Some(object) => object,
        None => insert_object(session, &record.key).await?,
    };
    check_next(session, object, record.revision).await?;
    let server = match &record.spec {
        Spec::Binding(binding) => {
            let key = ObjectKey {
                kind: Kind::Server,
                environment: Some(binding.environment.clone()),
                name: binding.server.to_string(),
            };
            let id = find_object(session, &key).await?;
            Some(id.ok_or_else(|| refused(format_args!("{key} does not exist")))?)
        }
        _ => None,
    };
    let environment = record.key.environment.as_ref().map(|name| name.as_str());
    let (spec, content) = (json(&record.spec)?, record.content.to_string());
    let pins = record.pins.as_ref().map(json).transpose()?;
    let values = [
        Value::Number(object),
        Value::Text(record.key.kind.word()),
        Value::MaybeText(environment),
        Value::Number(i64::from(record.revision.0)),
        Value::Text(&spec),
        Value::Text(&content),
        Value::Text(record.status.word()),
        Value::Text(record.author.as_str()),
        Value::Number(record.created_at.micros()),
        Value::Number(record.changed_at.micros()),
        Value::MaybeText(pins.as_deref()),
        Value::MaybeNumber(server),
        Value::MaybeText(server.map(|_| Kind::Server.word())),
        Value::MaybeText(server.and(environment)),
    ];
    session.execute(INSERT_REVISION, &values).await?;
    for approval in &record.approvals {
        add_approval(session, object, record.revision, approval).await?;
    }
    Ok(())
}

/// The revision follows the object's last one, and the name has not been revoked.
async fn check_next(session: &mut dyn Session, object: i64, revision: Revision) -> Result<(), StateError> {
    let mut last = session.rows(LAST_REVISION, &[Value::Number(object)]).await?;
    let Some(mut row) = last.pop() else { return Ok(()) };
    let last = row.maybe_number()?.unwrap_or(0);
    if row.maybe_number()? == Some(1) {
        return Err(refused("a revoked name never gets a new revision"));
    }
    if i64::from(revision.0) != last.saturating_add(1) {
        return Err(refused(format_args!("revision {revision} does not follow revision {last}")));
    }
    Ok(())
}

async fn set_status(
    session: &mut dyn Session,
    key: &ObjectKey,
    revision: Revision,
    next: Lifecycle,
    at: Timestamp,
) -> Result<(), StateError> {
    let object = existing_object(session, key).await?;
    let (object, revision_number) = (Value::Number(object), Value::Number(i64::from(revision.0)));
    let mut rows = session.rows(FIND_STATUS, &[object, revision_number]).await?;
    let current =
        rows.pop().ok_or_else(|| refused(format_args!("{key} has no revision {revision}")))?.text()?;
    if !status(&current)?.may_become(next) {
        return Err(refused(format_args!(
            "{key} revision {revision} cannot go from `{current}` to `{next}`"
        )));
    }
    let values = [
        Value::Text(next.word()),
        Value::Number(at.micros()),
        object,
        revision_number,
        Value::Text(&current),
    ];
    one(session.execute(SET_STATUS, &values).await?, "the revision's status has changed")
}

async fn add_approval(
    session: &mut dyn Session,
    object: i64,
    revision: Revision,
    approval: &Approval,
) -> Result<(), StateError> {
    let capacities = json(&approval.capacities)?;
    let values = [
        Value::Number(object),
        Value::Number(i64::from(revision.0)),
        Value::Text(approval.approver.as_str()),
        Value::Text(&capacities),
        Value::Number(approval.at.micros()),
    ];
    one(session.execute(INSERT_APPROVAL, &values).await?, "there is no such revision to approve")
}

async fn set_pins(
    session: &mut dyn Session,
    key: &ObjectKey,
    revision: Revision,
    pins: &Pins,
) -> Result<(), StateError> {
    let object = existing_object(session, key).await?;
    let pins = json(pins)?;
    let values = [Value::Text(&pins), Value::Number(object), Value::Number(i64::from(revision.0))];
    one(session.execute(SET_PINS, &values).await?, "there is no such revision to pin")
}

async fn insert_agent_token(session: &mut dyn Session, record: &AgentTokenRecord) -> Result<(), StateError> {
    let (digest, entries) = (String::from(record.digest), json(&record.entries)?);
    let values = [
        Value::Text(&record.id),
        Value::Text(&digest),
        Value::Text(record.agent.as_str()),
        Value::Text(&entries),
        Value::Number(record.created_at.micros()),
        Value::Number(record.expires_at.micros()),
        Value::MaybeNumber(record.revoked_at.map(Timestamp::micros)),
        Value::Text(record.issued_by.as_str()),
    ];
    session.execute(INSERT_AGENT_TOKEN, &values).await.map(|_| ())
}

async fn insert_operator_token(
    session: &mut dyn Session,
    record: &OperatorTokenRecord,
) -> Result<(), StateError> {
    let (digest, roles) = (String::from(record.digest), json(&record.roles)?);
    let values = [
        Value::Text(&record.id),
        Value::Text(&digest),
        Value::Text(record.operator.as_str()),
        Value::Text(&roles),
        Value::Number(record.expires_at.micros()),
        Value::Number(i64::from(record.bootstrap)),
        Value::MaybeNumber(record.ended_at.map(Timestamp::micros)),
    ];
    session.execute(INSERT_OPERATOR_TOKEN, &values).await.map(|_| ())
}

async fn insert_grant(session: &mut dyn Session, grant: &GrantRecord) -> Result<(), StateError> {
    let (scopes, reference) = (json(&grant.scopes)?, grant.reference.to_string());
    let values = [
        Value::Text(&grant.id),
        Value::Text(grant.environment.as_str()),
        Value::Text(grant.provider.as_str()),
        Value::Text(&grant.user),
        Value::MaybeText(grant.account.as_deref()),
        Value::Text(&scopes),
        Value::Text(&reference),
        Value::Number(grant.created_at.micros()),
        Value::MaybeNumber(grant.ended.map(|end| end.at.micros())),
        Value::MaybeText(grant.ended.map(|end| end.reason.word())),
    ];
    session.execute(INSERT_GRANT, &values).await.map(|_| ())
}

async fn put_version(session: &mut dyn Session, record: &VersionRecord) -> Result<(), StateError> {
    let place = record.place.to_string();
    let values = [
        Value::Text(record.environment.as_str()),
        Value::Text(record.binding.as_str()),
        Value::Text(&place),
        Value::Text(record.version.as_str()),
        Value::Text(record.state.word()),
        Value::MaybeNumber(record.created_at.map(Timestamp::micros)),
        Value::Number(record.changed_at.micros()),
        Value::MaybeText(record.reason.as_deref()),
        Value::Text(record.reminded.word()),
    ];
    session.execute(PUT_VERSION, &values).await.map(|_| ())
}

async fn put_review(session: &mut dyn Session, review: &ReviewRecord) -> Result<(), StateError> {
    let content = json(review)?;
    let values = [
        Value::Text(review.environment.as_str()),
        Value::Text(review.binding.as_str()),
        Value::Text(&content),
    ];
    session.execute(PUT_REVIEW, &values).await.map(|_| ())
}

async fn ask_revocation(session: &mut dyn Session, request: &RevocationRequest) -> Result<(), StateError> {
    let content = json(request)?;
    let values =
        [Value::Text(&request.id), Value::Number(request.requested_at.micros()), Value::Text(&content)];
    session.execute(ASK_REVOCATION, &values).await.map(|_| ())
}

async fn insert_lock(session: &mut dyn Session, lock: &LockRecord) -> Result<(), StateError> {
    if lock.selector.is_empty() {
        return Err(refused("a lock that stops nothing"));
    }
    let selector = json(&lock.selector)?;
    let ended = lock.ended.as_ref();
    let values = [
        Value::Text(&lock.id),
        Value::Text(&selector),
        Value::Text(&lock.reason),
        Value::Text(lock.author.as_str()),
        Value::Number(lock.created_at.micros()),
        Value::Number(lock.until.micros()),
        Value::MaybeNumber(ended.map(|end| end.at.micros())),
        Value::MaybeText(ended.and_then(|end| end.by.as_ref()).map(|name| name.as_str())),
    ];
    session.execute(INSERT_LOCK, &values).await.map(|_| ())
}

/// Files the event under a random id that it also carries, so that draining twice is seen.
pub(super) async fn file(
    session: &mut dyn Session,
    mut event: Event,
    random: &dyn Random,
) -> Result<(), StateError> {
    let mut bytes = [0_u8; 16];
    random.fill(&mut bytes);
    let id = hex::encode(bytes);
    event.outbox_id = Some(id.clone());
    let event = json(&event)?;
    session.execute(INSERT_OUTBOX, &[Value::Text(&id), Value::Text(&event)]).await.map(|_| ())
}

async fn find_object(session: &mut dyn Session, key: &ObjectKey) -> Result<Option<i64>, StateError> {
    let environment = key.environment.as_ref().map_or("", |name| name.as_str());
    let values = [Value::Text(key.kind.word()), Value::Text(environment), Value::Text(&key.name)];
    session.rows(FIND_OBJECT, &values).await?.pop().map(|mut row| row.number()).transpose()
}

async fn existing_object(session: &mut dyn Session, key: &ObjectKey) -> Result<i64, StateError> {
    find_object(session, key).await?.ok_or_else(|| refused(format_args!("{key} does not exist")))
}

async fn insert_object(session: &mut dyn Session, key: &ObjectKey) -> Result<i64, StateError> {
    let environment = key.environment.as_ref().map(|name| name.as_str());
    let values = [Value::Text(key.kind.word()), Value::MaybeText(environment), Value::Text(&key.name)];
    let mut rows = session.rows(INSERT_OBJECT, &values).await?;
    rows.pop().ok_or_else(|| refused("the object was not written"))?.number()
}

fn one(touched: u64, otherwise: &str) -> Result<(), StateError> {
    if touched == 1 { Ok(()) } else { Err(refused(otherwise)) }
}

fn refused(why: impl std::fmt::Display) -> StateError {
    StateError::Constraint(why.to_string())
}

fn json(value: &impl Serialize) -> Result<String, StateError> {
    serde_json::to_string(value).map_err(|error| refused(error.to_string()))
}
