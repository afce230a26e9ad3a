//! The one document of a revocation: what was asked, what ended, what did not.
//!
//! A document is never changed. When something that was outstanding comes to its end, another one with the next
//! serial takes its place, which names the hash of the one before.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{Return, ReturnKind, ReturnState};
use crate::audit::{BindingRevision, Ended};
use crate::id::{AgentName, EnvironmentName, Epoch, OperatorName, Revision};
use crate::ports::Sequence;
use crate::time::Timestamp;

/// Whether everything in reach is over, outside too.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RevocationStatus {
    /// Everything.
    Complete,
    /// Everything here; something outside may still open doors.
    Outstanding,
}

impl RevocationStatus {
    /// The word in the API, the state and evidence.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Outstanding => "outstanding",
        }
    }

    /// What these ends make of it.
    pub fn of(outside: &[OutsideEnd]) -> Self {
        if outside.iter().any(|end| end.state.is_open()) { Self::Outstanding } else { Self::Complete }
    }
}

/// What was revoked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevocationSubject {
    /// The kind of object, or `Grant`.
    pub kind: String,
    /// Its environment, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// Its name, or the grant's public id.
    pub name: String,
    /// Its revision; grants have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<Revision>,
}

impl std::fmt::Display for RevocationSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.kind)?;
        if let Some(environment) = &self.environment {
            write!(f, "/{environment}")?;
        }
        write!(f, "/{}", self.name)
    }
}

/// One thing in the reach of the revocation, and what was ended of it on the replica that was asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ThingEnded {
    /// `binding`, `agent` or `grant`.
    pub kind: String,
    /// Its environment, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<EnvironmentName>,
    /// `name@revision`, or the grant's public id.
    pub name: String,
    /// What ended.
    pub ended: Ended,
    /// The place of a stored secret that the binding used: the value behind it is its owner's to withdraw.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stored_secret: Option<String>,
}

/// One thing at an outside party, and what became of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutsideEnd {
    /// A digest that says nothing of the token or lease.
    pub id: String,
    /// What it is.
    pub kind: ReturnKind,
    /// Who was asked.
    pub party: String,
    /// The binding that it was issued under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingRevision>,
    /// The agent whose alone it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentName>,
    /// The grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<String>,
    /// How many of them.
    pub count: u32,
    /// What became of it.
    pub state: ReturnState,
    /// What the party answered last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// How often it was asked.
    pub tries: u32,
    /// When it was asked last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tried_at: Option<Timestamp>,
    /// Whether it is being asked again.
    pub retried: bool,
    /// When it ends by itself; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

impl From<&Return> for OutsideEnd {
    fn from(one: &Return) -> Self {
        Self {
            id: one.id.clone(),
            kind: one.kind,
            party: one.party.clone(),
            binding: one.subject.binding.clone(),
            agent: one.subject.agent.clone(),
            grant: one.subject.grant.clone(),
            count: one.count,
            state: one.state,
            answer: one.answer.clone(),
            tries: one.tries,
            tried_at: one.tried_at,
            retried: one.asks(),
            expires_at: one.expires_at,
        }
    }
}

/// A use of a credential, as the audit chain of the replica that was asked has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Called {
    /// Its intent's place in the chain.
    pub sequence: Sequence,
    /// When.
    pub time: Timestamp,
}

/// Where the chain tells of the revocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct DocumentAudit {
    /// That it was decided.
    pub decided: Option<Sequence>,
    /// That the traffic had ended.
    pub completed: Option<Sequence>,
    /// Whether evidence still waited in the outbox because the chain could not be written.
    pub pending: bool,
}

/// The document: the claims that are signed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RevocationDocument {
    /// The gateway: its public URL.
    pub iss: String,
    /// The id of this document: `revocation.serial`.
    pub jti: String,
    /// When it was signed, in seconds.
    pub iat: i64,
    /// The id of the revocation.
    pub revocation: String,
    /// Which document of that revocation this is, from 1.
    pub serial: u32,
    /// SHA-256 of the signed document before this one, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// Whether everything is over.
    pub status: RevocationStatus,
    /// What was revoked.
    pub subject: RevocationSubject,
    /// By whom.
    pub requested_by: OperatorName,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When nothing ran here any more, on any replica.
    pub ended_at: Timestamp,
    /// The epoch of the state in which it is revoked.
    pub epoch: Epoch,
    /// What ended on the replica that was asked, in sum.
    pub ended: Ended,
    /// The same by thing.
    pub things: Vec<ThingEnded>,
    /// What went back to outside parties.
    pub outside: Vec<OutsideEnd>,
    /// The first call under it; absent where there was none, or it was not found in time.
    pub first_call: Option<Called>,
    /// The last call under it.
    pub last_call: Option<Called>,
    /// Where the audit chain tells of it.
    pub audit: DocumentAudit,
    /// The replicas that confirmed to have ended it too; empty where there is one gateway only.
    pub replicas: Vec<String>,
}

impl RevocationDocument {
    /// The claims, to be signed.
    pub fn claims(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(claims)) => claims,
            _ => Map::new(),
        }
    }

    /// The document that follows this one, whose signed form is `signed`; `None` where nothing changed its
    /// state.
    pub fn next(&self, outside: Vec<OutsideEnd>, signed: &str, now: Timestamp) -> Option<Self> {
        let standing = |ends: &[OutsideEnd]| -> Vec<(String, ReturnState)> {
            ends.iter().map(|end| (end.id.clone(), end.state)).collect()
        };
        let (mut before, mut after) = (standing(&self.outside), standing(&outside));
        before.sort_by(|one, other| one.0.cmp(&other.0));
        after.sort_by(|one, other| one.0.cmp(&other.0));
        if before == after {
            return None;
        }
        let serial = self.serial.saturating_add(1);
        Some(Self {
            jti: format!("{}.{serial}", self.revocation),
            iat: now.seconds(),
            serial,
            previous: Some(SignedRevocation::hash_of(signed)),
            status: RevocationStatus::of(&outside),
            outside,
            ..self.clone()
        })
    }
}

/// A signed document, as it is kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SignedRevocation {
    /// The revocation.
    pub id: String,
    /// Which document of it.
    pub serial: u32,
    /// Its status.
    pub status: RevocationStatus,
    /// When the revocation was asked for.
    pub requested_at: Timestamp,
    /// The compact JWS (RFC 7515, section 3.1).
    pub jws: String,
}

impl SignedRevocation {
    /// Signed, to be kept.
    pub fn of(document: &RevocationDocument, jws: String) -> Self {
        Self {
            id: document.revocation.clone(),
            serial: document.serial,
            status: document.status,
            requested_at: document.requested_at,
            jws,
        }
    }

    /// SHA-256 of a signed document, in hex: what the next one and the audit log name it by.
    pub fn hash_of(jws: &str) -> String {
        hex::encode(Sha256::digest(jws.as_bytes()))
    }

    /// What it says. The signature is not looked at: the gateway keeps only what it signed.
    pub fn document(&self) -> Option<RevocationDocument> {
        let payload = self.jws.split('.').nth(1)?;
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::{Attempt, ReturnSubject, Way};

    const NOW: Timestamp = Timestamp::from_seconds(1_000);

    fn token() -> Return {
        let subject =
            ReturnSubject { environment: "dev".parse().unwrap(), binding: None, agent: None, grant: None };
        let one =
            Return::new(subject, ReturnKind::AccessToken, "provider notes".to_owned(), Way::Nobody, NOW);
        one.identified("token", "1")
    }

    fn document(outside: Vec<OutsideEnd>) -> RevocationDocument {
        RevocationDocument {
            iss: "https://mcp.example".to_owned(),
            jti: "r.1".to_owned(),
            iat: 1_000,
            revocation: "r".to_owned(),
            serial: 1,
            previous: None,
            status: RevocationStatus::of(&outside),
            subject: RevocationSubject {
                kind: "Server".to_owned(),
                environment: Some("dev".parse().unwrap()),
                name: "notes".to_owned(),
                revision: Some(Revision(1)),
            },
            requested_by: "ada".parse().unwrap(),
            requested_at: NOW,
            ended_at: NOW,
            epoch: Epoch(7),
            ended: Ended::default(),
            things: Vec::new(),
            outside,
            first_call: None,
            last_call: None,
            audit: DocumentAudit::default(),
            replicas: Vec::new(),
        }
    }

    fn tried(state: ReturnState) -> OutsideEnd {
        (&token().tried(Attempt::new(state, "x"), NOW, 0)).into()
    }

    #[test]
    fn nothing_is_complete_while_something_outside_may_open_doors() {
        for state in ReturnState::ALL {
            let status = RevocationStatus::of(&[tried(state)]);
            assert_eq!(status == RevocationStatus::Outstanding, state.is_open(), "{state:?}");
        }
        assert_eq!(RevocationStatus::of(&[]), RevocationStatus::Complete);
    }

    #[test]
    fn the_next_document_is_chained_and_written_only_where_a_state_changed() {
        let first = document(vec![tried(ReturnState::Unanswered)]);
        assert_eq!(first.status, RevocationStatus::Outstanding);
        let mut again = tried(ReturnState::Unanswered);
        again.tries = 9;
        assert!(first.next(vec![again], "a.b.c", NOW).is_none(), "another try is no other state");
        let next = first.next(vec![tried(ReturnState::Ended)], "a.b.c", NOW).unwrap();
        assert_eq!((next.serial, next.status, next.jti.as_str()), (2, RevocationStatus::Complete, "r.2"));
        assert_eq!(next.previous, Some(SignedRevocation::hash_of("a.b.c")));
        assert_eq!(next.subject, first.subject);
    }

    #[test]
    fn what_was_signed_is_read_back() {
        let document = document(vec![tried(ReturnState::Refused)]);
        let payload = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&document.claims()).unwrap());
        let signed = SignedRevocation::of(&document, format!("head.{payload}.signature"));
        assert_eq!(signed.document(), Some(document));
        assert_eq!(SignedRevocation { jws: "nonsense".to_owned(), ..signed }.document(), None);
    }
}
