//! A person's way to the identity provider and back (OpenID Connect Core, section 3.1).

use std::net::IpAddr;
use std::time::Duration;

use gateway_core::audit::Decision;
use gateway_core::id::OperatorName;
use gateway_core::login::{Arrival, Departure, Fault};
use gateway_core::ports::{Ticket, TicketKind};
use gateway_core::secret::Secret;
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::allowance::Allowance;
use crate::context::Login;
use crate::cookie::Kind;
use crate::evidence::About;
use crate::fields::Fields;
use crate::realm::Realm;
use crate::seal::{Purpose, digest, random_secret};
use crate::session::unavailable;

/// How long a person may take at the provider.
const WAY: Duration = Duration::from_secs(600);
/// Where the provider sends browsers back to.
const CALLBACK: &str = "/login/callback";
/// Logins: how many may begin in a minute, from one address and from all.
pub(crate) fn allowance() -> Allowance {
    Allowance::new(60, 120, 3_000)
}
/// Pages that a login may lead back to.
const RETURNS: [&str; 5] = ["/login", "/oauth/authorize", "/connect", "/grants", "/console"];
/// The longest way back.
const RETURN_BYTES: usize = 8 * 1024;

/// A page of this gateway that a login leads back to. There is no way to write another site as one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Takes a path with its query.
    ///
    /// # Errors
    /// [`Fault::RequestMalformed`] for everything that is no page of ours.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let path = text.split('?').next().unwrap_or_default();
        let below =
            |page: &str| path.strip_prefix(page).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'\\' | b'#'));
        // Dots and escapes could make another path of it on the way.
        let whole = !path.contains("//") && !path.contains("..") && !path.contains('%');
        let ours = plain && whole && text.len() <= RETURN_BYTES && RETURNS.into_iter().any(below);
        if ours { Ok(Self(text.to_owned())) } else { Err(Fault::RequestMalformed) }
    }

    /// The path and query.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<ReturnTo> for String {
    fn from(place: ReturnTo) -> Self {
        place.0
    }
}

impl TryFrom<String> for ReturnTo {
    type Error = Fault;
    fn try_from(text: String) -> Result<Self, Fault> {
        Self::parse(&text)
    }
}

#[derive(Serialize, Deserialize)]
struct Content {
    /// The digest of the browser's cookie.
    browser: String,
    return_to: ReturnTo,
    /// What the person agreed to before they were asked who they are.
    consent: Option<String>,
}

/// What the browser is told.
#[derive(Debug)]
pub struct Way {
    /// Where it goes.
    pub url: String,
    /// The cookies it is given or has to forget.
    pub cookies: Vec<HeaderValue>,
}

impl Login {
    /// The cookie of the browser before anybody is known, made where there is none; with the header
    /// that sets it in that case.
    pub(crate) fn browser(&self, headers: &HeaderMap) -> (Secret, Option<HeaderValue>) {
        match self.jar().read(headers, Kind::Browser) {
            Some(cookie) => (cookie, None),
            None => {
                let cookie = random_secret(&*self.random);
                let header = self.jar().set(Kind::Browser, &cookie);
                (cookie, header)
            }
        }
    }

    /// Sends the browser to the identity provider. `again` asks for the password even where the
    /// provider remembers the person.
    ///
    /// # Errors
    /// The provider's metadata cannot be had, the login cannot be written down, or too many were begun from the
    /// same address.
    pub async fn begin(
        &self,
        headers: &HeaderMap,
        return_to: ReturnTo,
        again: bool,
        source: Option<IpAddr>,
    ) -> Result<Way, Fault> {
        self.begin_with(headers, return_to, None, again, source).await
    }

    pub(crate) async fn begin_with(
        &self,
        headers: &HeaderMap,
        return_to: ReturnTo,
        consent: Option<String>,
        again: bool,
        source: Option<IpAddr>,
    ) -> Result<Way, Fault> {
        let now = self.now();
        // Each leaves a record behind, and anybody may begin one.
        if !self.logins.admit(source, now) {
            return Err(Fault::LoginLimit);
        }
        let (browser, cookie) = self.browser(headers);
        let state = random_secret(&*self.random);
        let content = Content { browser: digest(&browser), return_to, consent };
        let ticket = Ticket {
            kind: TicketKind::Login,
            key: self.realm.record(&state),
            content: serde_json::to_string(&content).map_err(|_| Fault::Unavailable)?,
            expires_at: now.plus(WAY),
        };
        let departure = Departure {
            redirect_uri: &self.at(CALLBACK),
            state: &state,
            nonce: &self.key.text(Purpose::Nonce, &state, ""),
            verifier: &self.key.secret(Purpose::Verifier, &state),
            again,
        };
        let url: Url = self.provider.depart(&departure, now).await?;
        if !self.tickets.insert(&ticket, now).await.map_err(unavailable)? {
            return Err(Fault::Unavailable);
        }
        Ok(Way { url: url.into(), cookies: cookie.into_iter().collect() })
    }

    /// Takes the browser back from the identity provider, and opens a session.
    ///
    /// # Errors
    /// What is wrong with what came back; the login is used up then.
    pub(crate) async fn finish(
        &self,
        headers: &HeaderMap,
        fields: &Fields,
        source: Option<IpAddr>,
    ) -> Result<Way, Fault> {
        let now = self.now();
        let state = fields.secret("state").ok_or(Fault::StateUnknown)?;
        let taken = self
            .tickets
            .take(TicketKind::Login, &self.realm.record(&state), now)
            .await
            .map_err(unavailable)?;
        let content: Content = match taken {
            Some(ticket) => serde_json::from_str(&ticket.content).map_err(|_| Fault::Unavailable)?,
            None => return Err(Fault::StateUnknown),
        };
        let browser = self.jar().read(headers, Kind::Browser).ok_or(Fault::BrowserMismatch)?;
        if digest(&browser) != content.browser {
            return Err(Fault::BrowserMismatch);
        }
        let code = fields.secret("code");
        let arrival = Arrival {
            redirect_uri: &self.at(CALLBACK),
            code: code.as_ref(),
            issuer: fields.text("iss"),
            error: fields.text("error"),
            nonce: &self.key.text(Purpose::Nonce, &state, ""),
            verifier: &self.key.secret(Purpose::Verifier, &state),
        };
        let person = self.provider.arrive(&arrival, now).await?;
        if let Some(former) = self.jar().read(headers, Kind::Session) {
            self.end_session(&former).await?;
        }
        let (cookie, id) = self.open_session(&person, content.consent).await?;
        let about = About { user: Some(&person.user), source, session: Some(&id), client: None };
        let mut event = self.event(self.realm.login_event(), about);
        if self.realm == Realm::Operators {
            event.operator = OperatorName::parse(&person.user.to_string()).ok();
        }
        event.decision = Some(Decision::Allow);
        if let Err(fault) = self.record(event).await {
            self.end_session(&cookie).await?;
            return Err(fault);
        }
        // The browser's own cookie stays: other logins of this browser may still be under way.
        let cookies = self.jar().set(Kind::Session, &cookie).into_iter().collect();
        Ok(Way { url: self.at(content.return_to.as_str()), cookies })
    }
}
