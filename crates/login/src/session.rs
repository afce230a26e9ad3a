//! Browser sessions: who has logged in with this browser, for how long, and what they agreed to.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::actor::{Groups, UserIdentity};
use gateway_core::id::GroupName;
use gateway_core::login::{Fault, Person};
use gateway_core::ports::{StateError, Ticket, TicketKind};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use http::HeaderMap;
use serde::{Deserialize, Serialize};

use crate::context::Login;
use crate::cookie::Kind;
use crate::seal::{public_id, random_secret};

/// A session's rest is written down this often at most.
const TOUCH: Duration = Duration::from_secs(60);
/// Consents that one session remembers; the oldest make place.
const CONSENTS: usize = 50;

/// How long sessions last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SessionSettings {
    /// How long one may rest.
    pub idle: Duration,
    /// How long one may last.
    pub lifetime: Duration,
}

/// A person as records hold them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct KeptPerson {
    issuer: String,
    subject: String,
    groups: Option<BTreeSet<GroupName>>,
}

impl KeptPerson {
    pub(crate) fn of(person: &Person) -> Self {
        Self {
            issuer: person.user.issuer.to_string(),
            subject: person.user.subject.to_string(),
            groups: match &person.groups {
                Groups::Known(groups) => Some(groups.clone()),
                Groups::Unknown => None,
            },
        }
    }

    pub(crate) fn person(&self) -> Person {
        let user = UserIdentity {
            issuer: Arc::from(self.issuer.as_str()),
            subject: Arc::from(self.subject.as_str()),
        };
        Person { user, groups: self.groups.clone().map_or(Groups::Unknown, Groups::Known) }
    }
}

#[derive(Clone, Serialize, Deserialize)]
struct Content {
    person: KeptPerson,
    began: Timestamp,
    seen: Timestamp,
    /// Digests of what the person agreed to.
    consents: Vec<String>,
}

/// A person who is logged in with the browser that asks.
#[derive(Debug)]
pub struct Signed {
    /// Who.
    pub person: Person,
    /// When they logged in.
    pub since: Timestamp,
    /// The public id of the session, for evidence.
    pub id: String,
    /// The session's cookie: forms are bound to it.
    pub cookie: Secret,
    key: String,
}

impl Login {
    /// Who is logged in with the browser that sent these headers.
    ///
    /// # Errors
    /// [`Fault::Unavailable`] where the records do not answer.
    pub async fn signed(&self, headers: &HeaderMap) -> Result<Option<Signed>, Fault> {
        self.looked_up(headers, true).await
    }

    /// The same for what a page asks by itself: it keeps no session open that nobody uses.
    ///
    /// # Errors
    /// As [`signed`](Self::signed).
    pub async fn signed_unattended(&self, headers: &HeaderMap) -> Result<Option<Signed>, Fault> {
        self.looked_up(headers, false).await
    }

    async fn looked_up(&self, headers: &HeaderMap, attended: bool) -> Result<Option<Signed>, Fault> {
        let Some(cookie) = self.jar().read(headers, Kind::Session) else { return Ok(None) };
        let key = self.realm.record(&cookie);
        let Some((content, text)) = self.session(&key).await? else { return Ok(None) };
        let now = self.now();
        if attended && now.since(content.seen) >= TOUCH {
            let seen = Content { seen: now, ..content.clone() };
            // Somebody else may have touched it meanwhile, which is as good.
            self.tickets.replace(&text, &self.ticket(&key, &seen)?, now).await.map_err(unavailable)?;
        }
        Ok(Some(Signed {
            person: content.person.person(),
            since: content.began,
            id: public_id(&key),
            cookie,
            key,
        }))
    }

    /// Opens a session for the person, under a new secret: whoever held the browser's former cookie
    /// gains nothing by the login.
    pub(crate) async fn open_session(
        &self,
        person: &Person,
        consent: Option<String>,
    ) -> Result<(Secret, String), Fault> {
        let cookie = random_secret(&*self.random);
        let key = self.realm.record(&cookie);
        let now = self.now();
        let content = Content {
            person: KeptPerson::of(person),
            began: now,
            seen: now,
            consents: consent.into_iter().collect(),
        };
        let written = self.tickets.insert(&self.ticket(&key, &content)?, now).await.map_err(unavailable)?;
        if written { Ok((cookie, public_id(&key))) } else { Err(Fault::Unavailable) }
    }

    /// Ends the session.
    ///
    /// # Errors
    /// [`Fault::Unavailable`]: it may still be there.
    pub async fn end_session(&self, cookie: &Secret) -> Result<(), Fault> {
        let taken =
            self.tickets.take(TicketKind::BrowserSession, &self.realm.record(cookie), self.now()).await;
        taken.map(drop).map_err(unavailable)
    }

    /// Whether the person agreed to this within the session.
    pub(crate) async fn has_consent(&self, signed: &Signed, consent: &str) -> Result<bool, Fault> {
        let session = self.session(&signed.key).await?;
        Ok(session.is_some_and(|(content, _)| content.consents.iter().any(|known| known == consent)))
    }

    /// Remembers for the rest of the session that the person agreed.
    pub(crate) async fn add_consent(&self, signed: &Signed, consent: &str) -> Result<(), Fault> {
        // Two tabs may agree at the same time.
        for _ in 0..4 {
            let (mut content, text) = self.session(&signed.key).await?.ok_or(Fault::SessionMissing)?;
            content.consents.retain(|known| known != consent);
            content.consents.push(consent.to_owned());
            let over = content.consents.len().saturating_sub(CONSENTS);
            content.consents.drain(..over);
            let ticket = self.ticket(&signed.key, &content)?;
            if self.tickets.replace(&text, &ticket, self.now()).await.map_err(unavailable)? {
                return Ok(());
            }
        }
        Err(Fault::Unavailable)
    }

    async fn session(&self, key: &str) -> Result<Option<(Content, String)>, Fault> {
        let read = self.tickets.read(TicketKind::BrowserSession, key, self.now()).await;
        let Some(ticket) = read.map_err(unavailable)? else { return Ok(None) };
        let content = serde_json::from_str(&ticket.content).map_err(|_| Fault::Unavailable)?;
        Ok(Some((content, ticket.content)))
    }

    fn ticket(&self, key: &str, content: &Content) -> Result<Ticket, Fault> {
        let rests = content.seen.plus(self.sessions.idle);
        Ok(Ticket {
            kind: TicketKind::BrowserSession,
            key: key.to_owned(),
            content: serde_json::to_string(content).map_err(|_| Fault::Unavailable)?,
            expires_at: rests.min(content.began.plus(self.sessions.lifetime)),
        })
    }
}

/// The records do not answer; the inside story goes to the log.
pub(crate) fn unavailable(error: StateError) -> Fault {
    tracing::warn!(%error, "the records of logins do not answer");
    Fault::Unavailable
}
