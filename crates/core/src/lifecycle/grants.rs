//! Grants: one living grant per user and provider, replaced and ended in one change.

use super::provider_of;
use crate::audit::{Event, EventKind};
use crate::revocation::Return;
use crate::state::{Change, GrantEnd, GrantEndReason, GrantRecord, Operation, State};

/// Writes the grant; an older one of the same user at the same provider ends as replaced in the same change.
/// The event tells on whose request; it becomes the evidence of both. That the older one's tokens have to be deleted is
/// filed with it, and that the new one's have to go back is struck out.
pub fn create_grant(state: &State, grant: GrantRecord, event: &Event) -> Change {
    let mut operations = Vec::new();
    let mut events = Vec::new();
    let same = |old: &&GrantRecord| {
        old.ended.is_none()
            && old.environment == grant.environment
            && old.provider == grant.provider
            && old.user == grant.user
    };
    for old in state.grants.iter().filter(same) {
        let end = GrantEnd { at: grant.created_at, reason: GrantEndReason::Replaced };
        operations.push(Operation::EndGrant { id: old.id.clone(), end });
        operations.push(Operation::FileReturn(Box::new(Return::of_grant(old, None, end.at))));
        let mut ended = about(event, EventKind::GrantEnded, old);
        ended.time = grant.created_at;
        ended.reason = Some(GrantEndReason::Replaced.word().to_owned());
        events.push(ended);
    }
    let mut created = about(event, EventKind::GrantCreated, &grant);
    created.time = grant.created_at;
    events.push(created);
    operations.push(Operation::DropReturn { id: Return::id_of_grant(&grant.id) });
    operations.push(Operation::InsertGrant(Box::new(grant)));
    Change { expected: state.epoch, operations, events }
}

/// Ends the living grant of this id; `None` where there is none (any more). What becomes of its tokens is filed with it:
/// they go back where a person ended it, and are deleted where the provider did.
pub fn end_grant(state: &State, id: &str, end: GrantEnd, event: &Event) -> Option<Change> {
    let grant = state.grants.iter().find(|grant| grant.id == id && grant.ended.is_none())?;
    let mut ended = about(event, EventKind::GrantEnded, grant);
    ended.time = end.at;
    ended.reason = Some(end.reason.word().to_owned());
    let provider = provider_of(state, grant).filter(|_| end.reason == GrantEndReason::Revoked);
    let filed = Return::of_grant(grant, provider.as_ref(), end.at);
    Some(Change {
        expected: state.epoch,
        operations: vec![
            Operation::EndGrant { id: id.to_owned(), end },
            Operation::FileReturn(Box::new(filed)),
        ],
        events: vec![ended],
    })
}

/// The event, about this grant.
pub fn about(event: &Event, kind: EventKind, grant: &GrantRecord) -> Event {
    let mut event = event.clone();
    event.kind = kind;
    event.environment = Some(grant.environment.clone());
    event.provider = Some(grant.provider.clone());
    event.grant = Some(grant.id.clone());
    event.user = Some(grant.user.clone());
    event.scopes.clone_from(&grant.scopes);
    event.source = Some("grant".to_owned());
    event
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{EnvironmentName, ProviderName};
    use crate::lifecycle::commit;
    use crate::reference::SecretReference;
    use crate::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn grant(id: &str, user: &str, provider: &str) -> GrantRecord {
        GrantRecord {
            id: id.to_owned(),
            environment: EnvironmentName::parse("dev").unwrap(),
            provider: ProviderName::parse(provider).unwrap(),
            user: user.to_owned(),
            account: None,
            scopes: vec!["notes.read".to_owned()],
            reference: SecretReference::parse("vault://kv/grants/a#grant").unwrap(),
            created_at: NOW,
            ended: None,
        }
    }

    fn event() -> Event {
        Event::new(EventKind::GrantCreated, NOW)
    }

    #[test]
    fn a_second_grant_replaces_the_first_in_one_change() {
        let mut state = State::default();
        for (id, user, provider) in
            [("g-1", "i|alice", "notes"), ("g-2", "i|bob", "notes"), ("g-3", "i|alice", "mail")]
        {
            let change = create_grant(&state, grant(id, user, provider), &event());
            commit(&mut state, &change).unwrap();
        }
        let change = create_grant(&state, grant("g-4", "i|alice", "notes"), &event());
        let kinds: Vec<_> = change.events.iter().map(|event| (event.kind, event.grant.clone())).collect();
        let expected = [
            (EventKind::GrantEnded, Some("g-1".to_owned())),
            (EventKind::GrantCreated, Some("g-4".to_owned())),
        ];
        assert_eq!(kinds, expected);
        commit(&mut state, &change).unwrap();
        let living: Vec<_> = state
            .grants
            .iter()
            .filter(|grant| grant.ended.is_none())
            .map(|grant| grant.id.as_str())
            .collect();
        assert_eq!(living, ["g-2", "g-3", "g-4"]);
    }

    #[test]
    fn a_grant_ends_once() {
        let mut state = State::default();
        let change = create_grant(&state, grant("g-1", "i|alice", "notes"), &event());
        commit(&mut state, &change).unwrap();
        let end = GrantEnd { at: NOW, reason: GrantEndReason::Revoked };
        let change = end_grant(&state, "g-1", end, &event()).unwrap();
        assert_eq!(change.events.first().and_then(|event| event.reason.as_deref()), Some("revoked"));
        commit(&mut state, &change).unwrap();
        assert!(end_grant(&state, "g-1", end, &event()).is_none());
        assert!(end_grant(&state, "g-2", end, &event()).is_none());
    }
}
