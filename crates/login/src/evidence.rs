//! Evidence of logins, refusals, clients and tokens; none of it holds a secret.

use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use gateway_core::actor::UserIdentity;
use gateway_core::audit::{Decision, Event, EventKind};
use gateway_core::login::Fault;
use gateway_core::time::Timestamp;

use crate::context::Login;

/// How many refusals a minute leave evidence: strangers must not fill the disk.
const REFUSALS_A_MINUTE: u32 = 30;

/// Counts refusals within one minute.
#[derive(Debug, Default)]
pub(crate) struct Strangers(Mutex<(i64, u32)>);

impl Strangers {
    fn admit(&self, now: Timestamp) -> bool {
        let minute = now.seconds().div_euclid(60);
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.0 != minute {
            *counted = (minute, 0);
        }
        counted.1 = counted.1.saturating_add(1);
        counted.1 <= REFUSALS_A_MINUTE
    }
}

/// Who and what an event is about.
#[derive(Clone, Copy, Default, Debug)]
pub(crate) struct About<'a> {
    pub(crate) user: Option<&'a UserIdentity>,
    pub(crate) client: Option<&'a str>,
    pub(crate) source: Option<IpAddr>,
    /// The public id of a browser session or a family of refresh tokens.
    pub(crate) session: Option<&'a str>,
}

impl Login {
    pub(crate) fn event(&self, kind: EventKind, about: About<'_>) -> Event {
        let mut event = Event::new(kind, self.now());
        event.user = about.user.map(ToString::to_string);
        event.surface = about.client.map(|client| client.chars().take(512).collect());
        event.source_address = about.source;
        event.session = about.session.map(str::to_owned);
        event
    }

    /// Writes the event down before what it is about happens.
    ///
    /// # Errors
    /// [`Fault::Unavailable`]: it must not happen then.
    pub(crate) async fn record(&self, event: Event) -> Result<(), Fault> {
        self.audit.record(event).await.map(drop).map_err(|error| {
            tracing::error!(%error, "a login cannot be recorded, so it does not happen");
            Fault::Unavailable
        })
    }

    /// Notes a refusal, up to a number a minute.
    pub(crate) fn refused(&self, fault: Fault, about: About<'_>) {
        tracing::debug!(code = fault.as_str(), "refused at a page or the authorization server");
        if !self.strangers.admit(self.now()) {
            return;
        }
        let mut event = self.event(EventKind::LoginRefused, about);
        event.decision = Some(Decision::Deny);
        event.reason = Some(fault.as_str().to_owned());
        if let Err(error) = self.audit.note(event) {
            tracing::error!(%error, "a refusal could not be recorded");
        }
    }
}
