//! The end of grants: by the provider's word, or by an operator's or the user's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gateway_core::audit::EventKind;
use gateway_core::grant::{GivenBack, GrantTokenKeeper};
use gateway_core::lease::SecretVersion;
use gateway_core::lifecycle::end_grant;
use gateway_core::manifest::ProviderSpec;
use gateway_core::ports::StateError;
use gateway_core::refusal::{Code, Refusal};
use gateway_core::revocation::{Attempt, Return, ReturnState};
use gateway_core::secret::Secret;
use gateway_core::state::{Change, GrantEnd, GrantEndReason, GrantRecord, State};

use super::{Errand, Grants, Inner};
use crate::source::ledger::attempt;
use crate::source::provider::{Revocation, TokenHint};

/// How often a silent provider is asked to take a token back, and how long is waited between.
const ASKED: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(300);

/// Longer than asking takes: a try that is under way is nobody else's.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// How often the end is written where others change the state at the same time.
const TRIES: usize = 8;

impl Inner {
    /// Ends the grant in the state, deletes its tokens, and refuses.
    pub(super) async fn end(
        &self,
        errand: &Errand,
        reason: GrantEndReason,
        answer: Option<&str>,
    ) -> Result<Arc<SecretVersion>, Refusal> {
        self.note(&errand.grant.id, |held| {
            held.ended = true;
            held.access = None;
        });
        let mut event = self.event(errand, EventKind::GrantEnded);
        event.answer = answer.map(|answer| answer.chars().take(64).collect());
        let end = GrantEnd { at: self.parts.clock.now(), reason };
        let ended = self.change(|state| end_grant(state, &errand.grant.id, end, &event)).await?;
        self.unmark(&errand.grant.id).await;
        // Somebody else's end has its own way with the tokens.
        if ended {
            self.delete_filed(&errand.grant).await;
        }
        Err(Code::GrantMissing.into())
    }

    /// Deletes the tokens of a grant whose end the state knows. That was filed with the end: where it cannot be done
    /// now, or this gateway dies, the collector does it.
    pub(super) async fn delete_filed(&self, grant: &GrantRecord) {
        match self.delete(grant).await {
            Ok(()) => self.parts.ledger.settle(Vec::new(), vec![Return::id_of_grant(&grant.id)]).await,
            Err(refusal) => {
                tracing::warn!(grant = %grant.id, inside = refusal.inside().unwrap_or(""),
                    "the tokens of an ended grant are still in the store; they are deleted later");
            }
        }
    }
}

impl Inner {
    /// Changes the state on top of whatever it is; `false` where there was nothing to change.
    pub(super) async fn change(&self, decide: impl Fn(&State) -> Option<Change>) -> Result<bool, Refusal> {
        for _ in 0..TRIES {
            let state = self.parts.state.load().await.map_err(unavailable)?;
            let Some(change) = decide(&state) else { return Ok(false) };
            match self.parts.state.commit(change).await {
                Err(StateError::Conflict) => {}
                outcome => return outcome.map(|_| true).map_err(unavailable),
            }
        }
        Err(unavailable(StateError::Conflict))
    }
}

fn unavailable(error: StateError) -> Refusal {
    Refusal::new(Code::StateStale).because(error)
}

#[async_trait]
impl GrantTokenKeeper for Grants {
    fn forget(&self, grant: &GrantRecord) -> u32 {
        self.0.note(&grant.id, |held| {
            held.ended = true;
            held.unstored = None;
            u32::from(held.access.take().is_some())
        })
    }

    async fn give_back(&self, grant: &GrantRecord, provider: Option<&ProviderSpec>) -> GivenBack {
        let ledger = &self.0.parts.ledger;
        let one = Return::of_grant(grant, provider, self.0.parts.clock.now());
        let known = ledger.records.filed(&one.id).await.ok().flatten();
        // What the provider took back once needs no other try.
        let filed = known.is_none_or(|known| known.state.is_open()).then_some(one);
        if let Some(one) = &filed {
            // First, so that it is asked for again also where this gateway dies now.
            ledger.file(vec![Return { due_at: Some(one.filed_at.plus(UNDER_WAY)), ..one.clone() }]).await;
        }
        let (given, attempt) = self.ask_back(grant, provider).await;
        if let Some(one) = filed {
            ledger.file(vec![ledger.tried(one, attempt)]).await;
        }
        given
    }
}

impl Grants {
    /// Asks the provider to take the tokens back, and deletes them where asking again would not help.
    pub(in crate::source) async fn ask_back(
        &self,
        grant: &GrantRecord,
        provider: Option<&ProviderSpec>,
    ) -> (GivenBack, Attempt) {
        let mut given = GivenBack::default();
        let mut attempt = Attempt::new(ReturnState::Irrevocable, "not_asked");
        // Where the tokens cannot be read nobody can give them back; they are deleted all the same.
        match (self.0.read_fresh(grant).await, provider) {
            (Ok(stored), Some(provider)) => {
                let mut answers = Vec::new();
                if let Some(token) = &stored.tokens.refresh_token {
                    let answer = self.take_back(provider, token, TokenHint::RefreshToken).await;
                    given.refresh_token = Some(answer.answer().to_owned());
                    answers.push(answer);
                }
                let token = &stored.tokens.access_token;
                let answer = self.take_back(provider, token, TokenHint::AccessToken).await;
                given.access_token = Some(answer.answer().to_owned());
                answers.push(answer);
                if answers.iter().any(|answer| matches!(answer, Revocation::Unavailable(_))) {
                    // Without the tokens nobody could ask again.
                    given.trouble = Some(Code::ProviderUnavailable.to_string());
                    return (given, Attempt::new(ReturnState::Unanswered, "unavailable"));
                }
                let over = answers.iter().all(Revocation::is_revoked);
                let state = if over { ReturnState::Ended } else { ReturnState::Irrevocable };
                attempt = Attempt::new(state, &given.answer());
            }
            (Ok(_), None) => given.trouble = Some(Code::ProviderMalformed.to_string()),
            (Err(refusal), _) if refusal.code() == Code::StoreUnavailable => {
                given.trouble = Some(refusal.code().to_string());
                return (given, Attempt::new(ReturnState::Unanswered, refusal.code().as_str()));
            }
            (Err(refusal), _) => {
                given.trouble = Some(refusal.code().to_string());
                attempt = Attempt::new(ReturnState::Irrevocable, refusal.code().as_str());
            }
        }
        match self.0.delete(grant).await {
            Ok(()) => {
                given.deleted = true;
                self.0.unmark(&grant.id).await;
            }
            Err(refusal) => given.trouble = Some(refusal.code().to_string()),
        }
        (given, attempt)
    }
}

impl Grants {
    /// Deletes the tokens of a grant that ended long ago, for whoever ended it did not get to it.
    pub(in crate::source) async fn delete_ended(&self, grant: &GrantRecord) -> Attempt {
        match self.0.delete(grant).await {
            Ok(()) => Attempt::new(ReturnState::Ended, "deleted"),
            Err(refusal) => attempt(&refusal),
        }
    }

    /// Asks a few times where the provider does not answer.
    async fn take_back(&self, provider: &ProviderSpec, token: &Secret, hint: TokenHint) -> Revocation {
        let mut tries = 1;
        loop {
            let answer = self.0.parts.providers.revoke(provider, token, hint).await;
            if !matches!(answer, Revocation::Unavailable(_)) || tries >= ASKED {
                return answer;
            }
            tokio::time::sleep(BETWEEN * tries).await;
            tries += 1;
        }
    }
}
