//! Clients: how each is known, and what it may ask for.

use gateway_core::login::Fault;
use gateway_core::ports::{Ticket, TicketKind};
use serde::{Deserialize, Serialize};
use url::Url;

use super::redirect::RedirectUri;
use super::register::CLIENT_LIFETIME;
use crate::context::Login;
use crate::session::unavailable;

/// How a client became known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Origin {
    /// By a document at its id, so that whoever has the host speaks for it.
    Document {
        /// The host.
        host: String,
    },
    /// It registered itself, so that nobody vouches for it.
    Registered,
}

/// A client as it describes itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Client {
    pub(super) id: String,
    /// Its own word, which nobody checked.
    pub(super) name: Option<String>,
    pub(super) redirect_uris: Vec<RedirectUri>,
    pub(super) refreshes: bool,
    pub(super) origin: Origin,
}

/// A client's metadata as it is written (RFC 7591, section 2), in registrations and documents alike.
/// What we know nothing of is not read.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_name: Option<String>,
    pub(super) redirect_uris: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) grant_types: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) token_endpoint_auth_method: Option<String>,
}

/// The most redirect URIs of one client.
const REDIRECTS: usize = 10;
/// The longest name that is shown, in characters.
const NAME: usize = 64;

impl Written {
    pub(super) fn redirects(&self) -> Result<Vec<RedirectUri>, Fault> {
        if !(1..=REDIRECTS).contains(&self.redirect_uris.len()) {
            return Err(Fault::RegistrationRefused);
        }
        let parsed = self.redirect_uris.iter().map(|text| RedirectUri::parse(text));
        parsed.collect::<Option<_>>().ok_or(Fault::RegistrationRedirect)
    }

    pub(super) fn refreshes(&self) -> bool {
        self.grant_types.as_ref().is_some_and(|types| types.iter().any(|kind| kind == "refresh_token"))
    }

    pub(super) fn name(&self) -> Option<String> {
        let name: String = self.client_name.as_ref()?.trim().chars().take(NAME).collect();
        (!name.is_empty()).then_some(name)
    }
}

impl Login {
    /// The client of this id.
    pub(super) async fn client(&self, id: &str) -> Result<Client, Fault> {
        if id.starts_with("https://") {
            return self.facade()?.documents.client(id, self.now()).await;
        }
        let now = self.now();
        let read = self.tickets.read(TicketKind::Client, id, now).await.map_err(unavailable)?;
        let ticket = read.ok_or(Fault::ClientUnknown)?;
        let written: Written = serde_json::from_str(&ticket.content).map_err(|_| Fault::Unavailable)?;
        self.prolong(&ticket).await?;
        Ok(Client {
            id: id.to_owned(),
            name: written.name(),
            redirect_uris: written.redirects()?,
            refreshes: written.refreshes(),
            origin: Origin::Registered,
        })
    }

    /// A registration in use does not end.
    async fn prolong(&self, ticket: &Ticket) -> Result<(), Fault> {
        let now = self.now();
        let until = now.plus(CLIENT_LIFETIME);
        if until.since(ticket.expires_at).as_secs() < 86_400 {
            return Ok(());
        }
        let later = Ticket { expires_at: until, ..ticket.clone() };
        self.tickets.replace(&ticket.content, &later, now).await.map(drop).map_err(unavailable)
    }
}

impl Client {
    /// The redirect URI of a request, if it is registered.
    pub(super) fn redirect(&self, asked: &str) -> Result<Url, Fault> {
        let known = self.redirect_uris.iter().any(|own| own.matches(asked));
        if !known {
            return Err(Fault::RedirectRefused);
        }
        Url::parse(asked).map_err(|_| Fault::RedirectRefused)
    }
}
