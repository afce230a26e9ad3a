//! Giving tokens back: at the provider where it takes them (RFC 7009), with evidence of what it answered.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use gateway_core::audit::{BindingRevision, Event, EventKind};

use super::Shared;
use super::cache::{Held, Key};
use crate::source::provider::TokenHint;

/// How long all of it may take: whoever revokes waits for it.
const DEADLINE: Duration = Duration::from_secs(5);

/// How many requests run at a time.
const AT_A_TIME: usize = 16;

impl Shared {
    /// Gives back what was taken out of the cache; says how many values there were.
    pub(super) async fn end(&self, ended: Vec<(Key, Held)>) -> u32 {
        let count = u32::try_from(ended.len()).unwrap_or(u32::MAX);
        let mut by_binding: BTreeMap<_, (Key, Vec<Held>)> = BTreeMap::new();
        for (key, held) in ended {
            let place = (key.environment.clone(), key.binding.clone(), key.revision);
            by_binding.entry(place).or_insert_with(|| (key, Vec::new())).1.push(held);
        }
        let all = by_binding.into_values().map(|(key, held)| async move { self.give_back(&key, held).await });
        stream::iter(all).buffer_unordered(AT_A_TIME).collect::<Vec<()>>().await;
        count
    }

    /// Gives back tokens of one binding.
    pub(super) async fn give_back(&self, key: &Key, held: Vec<Held>) {
        let total = held.len();
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let mut answers: BTreeMap<(&'static str, String), u64> = BTreeMap::new();
        let source = held.first().map_or("", |held| held.source);
        let mut requests = stream::iter(held)
            .map(|held| async move {
                let token = &held.version.secret;
                let revocation = self.client.revoke(&held.provider, token, TokenHint::AccessToken).await;
                revocation.answer().to_owned()
            })
            .buffer_unordered(AT_A_TIME);
        let mut done = 0_usize;
        while let Ok(Some(answer)) = tokio::time::timeout_at(deadline, requests.next()).await {
            done = done.saturating_add(1);
            let count = answers.entry((source, answer)).or_default();
            *count = count.saturating_add(1);
        }
        let left = u64::try_from(total.saturating_sub(done)).unwrap_or(u64::MAX);
        if left > 0 {
            answers.insert((source, "unavailable".to_owned()), left);
        }
        for ((source, answer), count) in answers {
            self.returned(key, source, answer, count);
        }
    }

    fn returned(&self, key: &Key, source: &str, answer: String, count: u64) {
        let mut event = Event::new(EventKind::CredentialReturned, self.clock.now());
        event.environment = Some(key.environment.clone());
        event.binding = Some(BindingRevision { name: key.binding.clone(), revision: key.revision });
        event.source = Some(source.to_owned());
        event.provider = Some(key.provider.clone());
        event.answer = Some(answer);
        event.count = Some(count);
        // The tokens are given back either way; a log that cannot be written stops calls by itself.
        if let Err(error) = self.audit.note(event) {
            tracing::error!(%error, "the return of tokens is not in the audit log");
        }
    }
}
