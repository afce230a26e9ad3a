//! Refresh tokens: each is used once and brings the next one; all of one login are a family. Whoever
//! brings a used one has taken it from somebody, or lost it to somebody: the family ends (RFC 9700,
//! section 4.14.2).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::audit::EventKind;
use gateway_core::login::Fault;
use gateway_core::ports::{Ticket, TicketKind};
use gateway_core::secret::Secret;
use gateway_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::code;
use crate::context::Login;
use crate::evidence::About;
use crate::seal::{Purpose, digest, public_id};
use crate::session::{KeptPerson, unavailable};

/// How every refresh token of the gateway begins, so that scanners can find one.
pub(super) const PREFIX: &str = "mcpgwr_";
/// Bytes of a token: the family, the secret, and the check that tells an invented token from a used one.
const FAMILY: usize = 16;
const RANDOM: usize = 32;
const CHECK: usize = 8;

/// In the place of a family that may not begin any more.
const BARRED: &str = "barred";

/// What a family stands for.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Family {
    pub(super) client: String,
    pub(super) audience: String,
    pub(super) scope: String,
    pub(super) person: KeptPerson,
    began: Timestamp,
    /// The digest of the one token that is good.
    current: String,
}

/// A family whose good token was presented.
pub(super) struct Held {
    pub(super) id: String,
    pub(super) family: Family,
    /// The record as it was read.
    text: String,
}

impl Family {
    pub(super) fn of(content: &code::Content, began: Timestamp) -> Self {
        Self {
            client: content.client.clone(),
            audience: content.audience.clone(),
            scope: content.scope.clone(),
            person: content.person.clone(),
            began,
            current: String::new(),
        }
    }
}

impl Login {
    /// An id for a family that is not there yet.
    pub(super) fn family_id(&self) -> String {
        let mut bytes = [0_u8; FAMILY];
        self.random.fill(&mut bytes);
        hex::encode(bytes)
    }

    /// Begins the family with its first token.
    pub(super) async fn begin_family(&self, id: &str, family: Family) -> Result<Secret, Fault> {
        let token = self.refresh_token(id)?;
        let family = Family { current: digest(&token), ..family };
        let ticket = self.family_ticket(id, &family)?;
        let begun = self.tickets.insert(&ticket, self.now()).await.map_err(unavailable)?;
        if begun { Ok(token) } else { Err(Fault::Unavailable) }
    }

    /// What a token of this client stands for. A used one ends its family.
    pub(super) async fn held(
        &self,
        presented: &Secret,
        client: &str,
        resource: Option<&str>,
    ) -> Result<Held, Fault> {
        let id = self.family_of(presented).ok_or(Fault::RefreshUnknown)?;
        let (family, text) = self.family(&id).await?.ok_or(Fault::RefreshUnknown)?;
        if family.client != client || resource.is_some_and(|resource| resource != family.audience) {
            return Err(Fault::RefreshMismatch);
        }
        if family.current != digest(presented) {
            self.finish_family(&id, Fault::RefreshReused.as_str()).await?;
            return Err(Fault::RefreshReused);
        }
        Ok(Held { id, family, text })
    }

    /// Gives the next token, unless somebody used the same one meanwhile.
    pub(super) async fn turn(&self, held: Held) -> Result<Secret, Fault> {
        let token = self.refresh_token(&held.id)?;
        let next = Family { current: digest(&token), ..held.family };
        let ticket = self.family_ticket(&held.id, &next)?;
        if self.tickets.replace(&held.text, &ticket, self.now()).await.map_err(unavailable)? {
            return Ok(token);
        }
        self.finish_family(&held.id, Fault::RefreshReused.as_str()).await?;
        Err(Fault::RefreshReused)
    }

    /// Ends the family of a token, for its own client (RFC 7009). A token that is none is no error.
    pub(super) async fn revoke(&self, presented: &Secret, client: &str) -> Result<(), Fault> {
        let Some(id) = self.family_of(presented) else { return Ok(()) };
        let Some((family, _)) = self.family(&id).await? else { return Ok(()) };
        if family.client != client {
            return Err(Fault::RefreshMismatch);
        }
        self.finish_family(&id, "revoked").await
    }

    /// Ends a family and keeps its place taken, so that it cannot begin a moment later either.
    pub(super) async fn bar_family(&self, id: &str, why: Fault) -> Result<(), Fault> {
        if id.is_empty() {
            return Ok(());
        }
        self.finish_family(id, why.as_str()).await?;
        let now = self.now();
        let ticket = Ticket {
            kind: TicketKind::RefreshFamily,
            key: id.to_owned(),
            content: BARRED.to_owned(),
            expires_at: now.plus(self.facade()?.settings.refresh_lifetime),
        };
        self.tickets.insert(&ticket, now).await.map(drop).map_err(unavailable)
    }

    async fn finish_family(&self, id: &str, why: &str) -> Result<(), Fault> {
        let taken =
            self.tickets.take(TicketKind::RefreshFamily, id, self.now()).await.map_err(unavailable)?;
        let Some(ticket) = taken.filter(|ticket| ticket.content != BARRED) else { return Ok(()) };
        let family: Family = serde_json::from_str(&ticket.content).map_err(|_| Fault::Unavailable)?;
        let person = family.person.person();
        let session = public_id(id);
        let about = About {
            user: Some(&person.user),
            client: Some(&family.client),
            source: None,
            session: Some(&session),
        };
        let mut event = self.event(EventKind::RefreshFamilyEnded, about);
        event.reason = Some(why.to_owned());
        // It has ended already, whatever becomes of the record.
        self.record(event).await
    }

    async fn family(&self, id: &str) -> Result<Option<(Family, String)>, Fault> {
        let read = self.tickets.read(TicketKind::RefreshFamily, id, self.now()).await.map_err(unavailable)?;
        let Some(ticket) = read.filter(|ticket| ticket.content != BARRED) else { return Ok(None) };
        let family = serde_json::from_str(&ticket.content).map_err(|_| Fault::Unavailable)?;
        Ok(Some((family, ticket.content)))
    }

    fn family_ticket(&self, id: &str, family: &Family) -> Result<Ticket, Fault> {
        let settings = &self.facade()?.settings;
        let rests = self.now().plus(settings.refresh_idle);
        Ok(Ticket {
            kind: TicketKind::RefreshFamily,
            key: id.to_owned(),
            content: serde_json::to_string(family).map_err(|_| Fault::Unavailable)?,
            expires_at: rests.min(family.began.plus(settings.refresh_lifetime)),
        })
    }

    fn refresh_token(&self, family: &str) -> Result<Secret, Fault> {
        let mut bytes = Zeroizing::new([0_u8; FAMILY + RANDOM + CHECK]);
        let (body, check) = bytes.split_at_mut(FAMILY + RANDOM);
        let (id, random) = body.split_at_mut(FAMILY);
        hex::decode_to_slice(family, id).map_err(|_| Fault::Unavailable)?;
        self.random.fill(random);
        check.copy_from_slice(&self.key.check(Purpose::Refresh, body));
        let mut text = Vec::with_capacity(128);
        text.extend_from_slice(PREFIX.as_bytes());
        text.extend_from_slice(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())).as_bytes());
        Ok(Secret::new(text))
    }

    /// The family that a token of ours names; nothing for what we did not make.
    #[expect(clippy::disallowed_methods, reason = "a refresh token is taken apart by the one that made it")]
    fn family_of(&self, token: &Secret) -> Option<String> {
        let text = token.expose().strip_prefix(PREFIX.as_bytes())?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(text).ok()?);
        let (body, check) = bytes.split_at_checked(FAMILY + RANDOM)?;
        let ours = check == self.key.check(Purpose::Refresh, body).as_slice();
        ours.then(|| body.get(..FAMILY).map(hex::encode)).flatten()
    }
}
