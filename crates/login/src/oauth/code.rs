//! Authorization codes: single use, for one minute, bound to what they were issued for. A used code is
//! remembered for a while, so that its second use ends what the first one led to (RFC 9700, section 4.5).

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::identity::TokenDigest;
use gateway_core::login::{Fault, Person};
use gateway_core::ports::{Ticket, TicketKind};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::request::{Asked, Granted};
use crate::context::Login;
use crate::seal::{digest, random_secret};
use crate::session::{KeptPerson, unavailable};

/// How long a code may wait for its client.
const LIFETIME: Duration = Duration::from_secs(60);
/// How long a used code is remembered.
const MEMORY: Duration = Duration::from_secs(3_600);
/// Lengths of a PKCE verifier (RFC 7636, section 4.1).
const VERIFIER: std::ops::RangeInclusive<usize> = 43..=128;

/// What a code stands for.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Content {
    pub(super) client: String,
    pub(super) redirect_uri: String,
    pub(super) challenge: String,
    pub(super) audience: String,
    pub(super) scope: String,
    pub(super) refreshes: bool,
    pub(super) person: KeptPerson,
    until: Timestamp,
    /// The family of refresh tokens that it led to, once used; an empty text where it led to none.
    used: Option<String>,
}

/// What the client sends with a code.
pub(super) struct Presented<'a> {
    pub(super) code: &'a Secret,
    pub(super) client: &'a str,
    pub(super) redirect_uri: Option<&'a str>,
    pub(super) verifier: Option<&'a Secret>,
    pub(super) resource: Option<&'a str>,
}

impl Login {
    pub(super) async fn issue_code(
        &self,
        asked: &Asked,
        granted: &Granted,
        person: &Person,
    ) -> Result<Secret, Fault> {
        let code = random_secret(&*self.random);
        let now = self.now();
        let content = Content {
            client: asked.client.id.clone(),
            redirect_uri: asked.redirect_uri.clone(),
            challenge: granted.challenge.clone(),
            audience: granted.audience.clone(),
            scope: granted.scope.clone(),
            refreshes: asked.client.refreshes,
            person: KeptPerson::of(person),
            until: now.plus(LIFETIME),
            used: None,
        };
        let ticket = ticket(&digest(&code), &content, content.until.plus(MEMORY))?;
        if self.tickets.insert(&ticket, now).await.map_err(unavailable)? {
            Ok(code)
        } else {
            Err(Fault::Unavailable)
        }
    }

    /// Uses the code up. `family` is the id that its refresh tokens will have.
    pub(super) async fn use_code(&self, presented: &Presented<'_>, family: &str) -> Result<Content, Fault> {
        let now = self.now();
        let key = digest(presented.code);
        let read = self.tickets.read(TicketKind::AuthorizationCode, &key, now).await.map_err(unavailable)?;
        let text = read.ok_or(Fault::CodeUnknown)?.content;
        let content: Content = serde_json::from_str(&text).map_err(|_| Fault::Unavailable)?;
        if let Some(family) = &content.used {
            return Err(self.replayed(family).await?);
        }
        if now >= content.until {
            return Err(Fault::CodeUnknown);
        }
        let holds = content.holds(presented);
        let family = if holds && content.refreshes { family } else { "" };
        let used = Content { used: Some(family.to_owned()), ..content.clone() };
        // A code that came with the wrong words is used up too: somebody has it who should not.
        let ticket = ticket(&key, &used, now.plus(MEMORY))?;
        if !self.tickets.replace(&text, &ticket, now).await.map_err(unavailable)? {
            // Somebody used it at the same moment.
            let read =
                self.tickets.read(TicketKind::AuthorizationCode, &key, now).await.map_err(unavailable)?;
            let other = read.and_then(|ticket| serde_json::from_str::<Content>(&ticket.content).ok());
            let family = other.and_then(|content| content.used).unwrap_or_default();
            return Err(self.replayed(&family).await?);
        }
        if holds { Ok(content) } else { Err(Fault::CodeMismatch) }
    }

    async fn replayed(&self, family: &str) -> Result<Fault, Fault> {
        self.bar_family(family, Fault::CodeReplayed).await?;
        Ok(Fault::CodeReplayed)
    }
}

impl Content {
    fn holds(&self, presented: &Presented<'_>) -> bool {
        let challenge = presented.verifier.filter(|verifier| VERIFIER.contains(&verifier.len()));
        let challenge = challenge.map(|verifier| URL_SAFE_NO_PAD.encode(TokenDigest::of(verifier).bytes()));
        let proven = challenge
            .is_some_and(|challenge| bool::from(challenge.as_bytes().ct_eq(self.challenge.as_bytes())));
        proven
            && presented.client == self.client
            && presented.redirect_uri == Some(self.redirect_uri.as_str())
            && presented.resource.is_none_or(|resource| resource == self.audience)
    }
}

fn ticket(key: &str, content: &Content, expires_at: Timestamp) -> Result<Ticket, Fault> {
    let content = serde_json::to_string(content).map_err(|_| Fault::Unavailable)?;
    Ok(Ticket { kind: TicketKind::AuthorizationCode, key: key.to_owned(), content, expires_at })
}
