//! What goes back to an outside party when something ends, and what became of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::audit::BindingRevision;
use crate::id::{AgentName, EnvironmentName, StoreName};
use crate::manifest::ProviderSpec;
use crate::reference::SecretReference;
use crate::state::GrantRecord;
use crate::time::Timestamp;

/// How often a party may refuse before nobody asks it any more (DESIGN, section 5, "Numbers").
pub const MOST_REFUSALS: u32 = 6;

/// How long whoever ended a grant has for asking its provider, before somebody else does.
const IN_HAND: Duration = Duration::from_secs(120);

/// How long after its end something that stood is looked at: whoever holds it may have had it prolonged a moment ago.
const LATE: Duration = Duration::from_secs(60);

/// The longest pause between two tries at a party that does not answer.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// What goes back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnKind {
    /// An access token that a provider issued to the gateway.
    AccessToken,
    /// A token of an application's installation.
    InstallationToken,
    /// A secret that a store made on demand.
    Lease,
    /// The tokens of a user's grant.
    GrantTokens,
    /// A token that the gateway signed itself: servers verify it without asking anybody.
    MintedToken,
}

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReturnState {
    /// The party said that it opens nothing any more.
    Ended,
    /// The party refused; it is asked again, a few times.
    Refused,
    /// The party did not answer; it is asked again until it does, or until the thing has expired.
    Unanswered,
    /// Nobody can take it back, or nobody is asked any more: it opens doors until it expires.
    Irrevocable,
    /// It was not taken back, and has expired meanwhile.
    Expired,
}

impl ReturnState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Ended, Self::Refused, Self::Unanswered, Self::Irrevocable, Self::Expired];

    /// The word in the API, the state and evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Refused => "refused",
            Self::Unanswered => "unanswered",
            Self::Irrevocable => "irrevocable",
            Self::Expired => "expired",
        }
    }

    /// Whether it may still open something.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Refused | Self::Unanswered | Self::Irrevocable)
    }
}

/// How it is taken back. Holds no token: one that has to outlive the process is in a secret store.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Way {
    /// The store revokes its lease.
    Lease {
        /// The store.
        store: StoreName,
        /// The store's id of the lease: it takes a token of the store's to do anything with it.
        lease: String,
    },
    /// The provider revokes the token (RFC 7009).
    Token {
        /// The provider as it was approved.
        provider: Box<ProviderSpec>,
        /// Where the token waits.
        place: SecretReference,
    },
    /// The provider ends the installation's token.
    Installation {
        /// The provider as it was approved.
        provider: Box<ProviderSpec>,
        /// Where the token waits.
        place: SecretReference,
    },
    /// The provider revokes the tokens of a grant, which are where the grant says.
    Grant {
        /// The provider.
        provider: Box<ProviderSpec>,
        /// The grant.
        grant: Box<GrantRecord>,
    },
    /// The store deletes the tokens of a grant; its provider is not asked, because it ended the grant itself, or
    /// because at many providers that would end the grant that took its place.
    Delete {
        /// The grant.
        grant: Box<GrantRecord>,
    },
    /// Nobody is asked.
    Nobody,
}

/// For whom, and under what, it was issued.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ReturnSubject {
    /// The environment.
    pub environment: EnvironmentName,
    /// The binding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingRevision>,
    /// The agent whose alone it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The public id of the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
}

/// One thing that goes back, or several of one kind and one fate.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Return {
    /// A digest that says nothing of the token or lease.
    pub id: String,
    /// The revocation that it is evidence of, once that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revocation: Option<String>,
    /// For whom.
    pub subject: ReturnSubject,
    /// What.
    pub kind: ReturnKind,
    /// Who is asked: `provider NAME`, `store NAME`, or `gateway` for what only expires.
    pub party: String,
    /// How many.
    pub count: u32,
    /// What became of it.
    pub state: ReturnState,
    /// What the party answered last, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// How often the party was asked.
    pub tries: u32,
    /// When it was due to end.
    pub filed_at: Timestamp,
    /// When the party was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
    /// When something is to be done about it; absent where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// When it ends by itself; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// How it is taken back.
    pub way: Way,
}

/// What a party did about one thing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// What became of it.
    pub state: ReturnState,
    /// The answer in a word: ours, or the party's error code.
    pub answer: String,
}

impl Attempt {
    /// What became of it, with the answer cut to 64 visible characters.
    pub fn new(state: ReturnState, answer: &str) -> Self {
        let answer = answer.chars().filter(char::is_ascii_graphic).take(64).collect();
        Self { state, answer }
    }
}

impl Return {
    /// Something that nobody was asked about yet.
    pub fn new(subject: ReturnSubject, kind: ReturnKind, party: String, way: Way, now: Timestamp) -> Self {
        Self {
            id: String::new(),
            revocation: None,
            subject,
            kind,
            party,
            count: 1,
            state: ReturnState::Unanswered,
            answer: None,
            tries: 0,
            filed_at: now,
            tried_at: None,
            due_at: Some(now),
            expires_at: None,
            way,
        }
    }

    /// The tokens of a grant that ends now: they go back to their provider. Where it is not asked, or not known, the
    /// store alone deletes them. Written with the end itself, in one step, so that it is done whoever dies.
    pub fn of_grant(grant: &GrantRecord, provider: Option<&ProviderSpec>, now: Timestamp) -> Self {
        let subject = ReturnSubject {
            environment: grant.environment.clone(),
            binding: None,
            agent: None,
            grant: Some(grant.id.clone()),
        };
        let kept = Box::new(grant.clone());
        let (way, party) = match provider {
            Some(provider) => {
                let way = Way::Grant { provider: Box::new(provider.clone()), grant: kept };
                (way, format!("provider {}", grant.provider))
            }
            None => (Way::Delete { grant: kept }, format!("store {}", grant.reference.store())),
        };
        let one = Self::new(subject, ReturnKind::GrantTokens, party, way, now);
        Self { due_at: Some(now.plus(IN_HAND)), id: Self::id_of_grant(&grant.id), ..one }
    }

    /// The id of what is filed of a grant's tokens.
    pub fn id_of_grant(grant: &str) -> String {
        Self::id_of("grant", grant)
    }

    /// Something that stands until then and that nobody has ended: it is filed all the same, so that whoever ends it
    /// finds it although the process that holds it is gone.
    #[must_use]
    pub fn standing(self, ends: Timestamp) -> Self {
        Self { due_at: Some(ends.plus(LATE)), expires_at: Some(ends), ..self }
    }

    /// Whether it was filed because it stands, and nobody was asked to take it back yet.
    pub const fn stands(&self) -> bool {
        self.tries == 0 && matches!(self.way, Way::Lease { .. }) && self.asks()
    }

    /// Under an id made of what identifies it.
    #[must_use]
    pub fn identified(self, kind: &str, what: &str) -> Self {
        Self { id: Self::id_of(kind, what), ..self }
    }

    /// The id of something, made of what identifies it.
    pub fn id_of(kind: &str, what: &str) -> String {
        let digest = Sha256::digest(format!("{kind}\0{what}"));
        hex::encode(digest.get(..16).unwrap_or_default())
    }

    /// After a try. `jitter` spreads what many replicas and many tokens would do at the same moment.
    #[must_use]
    pub fn tried(mut self, attempt: Attempt, now: Timestamp, jitter: u8) -> Self {
        self.tries = self.tries.saturating_add(1);
        self.tried_at = Some(now);
        self.answer = Some(attempt.answer);
        self.state = match attempt.state {
            ReturnState::Refused if self.tries >= MOST_REFUSALS => ReturnState::Irrevocable,
            state if state.is_open() && self.has_expired(now) => ReturnState::Expired,
            state => state,
        };
        self.due_at = match self.state {
            ReturnState::Ended | ReturnState::Expired => None,
            ReturnState::Irrevocable => self.expires_at,
            ReturnState::Refused | ReturnState::Unanswered => {
                let next = now.plus(pause(self.tries, jitter));
                Some(self.expires_at.map_or(next, |end| next.min(end)))
            }
        };
        self
    }

    /// Whether it has ended by itself.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Whether somebody is to be asked, where it is due.
    pub const fn asks(&self) -> bool {
        matches!(self.state, ReturnState::Refused | ReturnState::Unanswered)
    }
}

/// Twice as long after each try, from a second on; between a half and the whole of it by chance.
fn pause(tries: u32, jitter: u8) -> Duration {
    let whole = Duration::from_secs(1_u64 << tries.min(16)).min(LONGEST_PAUSE);
    whole / 2 + (whole / 2).mul_f64(f64::from(jitter) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn lease() -> Return {
        let subject =
            ReturnSubject { environment: "dev".parse().unwrap(), binding: None, agent: None, grant: None };
        let way = Way::Lease { store: "bao".parse().unwrap(), lease: "creds/a/1".to_owned() };
        let one = Return::new(subject, ReturnKind::Lease, "store bao".to_owned(), way, NOW);
        Return { expires_at: Some(NOW.plus(Duration::from_secs(60))), ..one.identified("lease", "creds/a/1") }
    }

    fn after(one: Return, state: ReturnState, seconds: u64) -> Return {
        one.tried(Attempt::new(state, "store.unavailable"), NOW.plus(Duration::from_secs(seconds)), 255)
    }

    #[test]
    fn a_silent_party_is_asked_ever_more_rarely_until_the_thing_has_expired() {
        let mut one = lease();
        let mut gaps = Vec::new();
        for second in [0, 2, 6, 14] {
            one = after(one, ReturnState::Unanswered, second);
            gaps.push(one.due_at.unwrap().since(one.tried_at.unwrap()).as_secs());
        }
        assert_eq!(gaps, [2, 4, 8, 16]);
        let one = after(one, ReturnState::Unanswered, 58);
        assert_eq!(one.due_at, one.expires_at, "never later than its end");
        let one = after(one, ReturnState::Unanswered, 60);
        assert_eq!((one.state, one.due_at), (ReturnState::Expired, None));
    }

    #[test]
    fn what_stands_is_nobodys_business_before_its_end_and_asks_until_it_was_tried() {
        let ends = NOW.plus(Duration::from_secs(60));
        let one = lease().standing(ends);
        assert!(one.stands() && one.expires_at == Some(ends) && one.due_at > Some(ends), "{one:?}");
        assert!(!after(one, ReturnState::Unanswered, 1).stands());
    }

    #[test]
    fn six_refusals_make_it_irrevocable_until_it_expires() {
        let mut one = lease();
        for _ in 1..MOST_REFUSALS {
            one = after(one, ReturnState::Refused, 1);
            assert!(one.asks() && one.due_at.is_some());
        }
        let one = after(one, ReturnState::Refused, 1);
        assert_eq!((one.state, one.due_at), (ReturnState::Irrevocable, one.expires_at));
        assert!(!one.asks());
    }

    #[test]
    fn what_was_taken_back_is_done_with_even_after_its_end() {
        let one = after(lease(), ReturnState::Ended, 61);
        assert_eq!((one.state, one.due_at, one.tries), (ReturnState::Ended, None, 1));
    }

    #[test]
    fn chance_takes_at_most_half_of_the_pause() {
        assert_eq!(pause(3, 0), Duration::from_secs(4));
        assert_eq!(pause(3, 255), Duration::from_secs(8));
        assert_eq!(pause(60, 255), LONGEST_PAUSE);
    }

    #[test]
    fn an_id_says_nothing_of_the_lease_and_is_the_same_everywhere() {
        assert_eq!(lease().id, lease().id);
        assert_eq!(lease().id.len(), 32);
        assert!(!lease().id.contains("creds"));
        let long = Attempt::new(ReturnState::Refused, &format!("a b\n{}", "x".repeat(200)));
        assert_eq!((long.answer.len(), long.answer.starts_with("abx")), (64, true));
    }
}
