//! `mcp-gateway connect`: for clients that speak stdio alone. Messages pass as they are written, one on a
//! line, to a door of the gateway by Streamable HTTP and back; the person logs in through the browser, and
//! the login stays in the keyring of the operating system (`docs/connect.md`).
//!
//! - [`login`]: discovery, registration, authorization code with PKCE, the loopback redirect
//! - [`access`]: the token that stands for the person now; renewed once for all who need it
//! - [`keep`]: where the login is kept between runs
//! - [`bridge`]: standard input and output on one side, the door on the other

pub mod access;
pub mod bridge;
pub mod door;
pub mod keep;
pub mod login;
pub mod notes;
pub mod trouble;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway_adapters::https::{OutboundClient, OutboundConfig};
use gateway_core::ports::Random;
use gateway_core::time::Clock;

use self::access::Access;
use self::bridge::{Bridge, Ending};
use self::door::Door;
use self::keep::Keeper;
use self::login::Login;
use self::notes::Notes;
use self::trouble::{Code, Trouble};

/// The largest answer of an authorization server, in bytes.
const LARGEST_DOCUMENT: usize = 256 * 1024;

/// How one run goes about it.
#[derive(Debug)]
pub struct Settings {
    /// The door.
    pub door: Door,
    /// The only certificate authorities to trust; the system's where absent.
    pub ca_file: Option<PathBuf>,
    /// Whether plain `http://` may leave this machine.
    pub plain_http: bool,
    /// How long the person may take to log in.
    pub login_within: Duration,
    /// Whether a browser is opened, or the address is only told.
    pub opens_browser: bool,
    /// The client's id where it is known beforehand: a registration, or the URL of a metadata document.
    pub client_id: Option<String>,
}

/// What comes from outside.
#[derive(Debug)]
pub struct Outside {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Where the login is kept.
    pub keeper: Keeper,
    /// What the person is told.
    pub notes: Notes,
}

/// The door, and the way to a token for it.
#[derive(Debug)]
pub struct Connection {
    door: Door,
    http: OutboundClient,
    access: Arc<Access>,
    notes: Notes,
}

impl Connection {
    /// Puts the parts together; touches neither network nor keyring.
    ///
    /// # Errors
    /// The certificate authorities cannot be used.
    pub fn new(settings: Settings, outside: Outside) -> Result<Self, Trouble> {
        let config = OutboundConfig {
            ca_file: settings.ca_file,
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            max_body: LARGEST_DOCUMENT,
            allow_plain_http: settings.plain_http,
            ..OutboundConfig::default()
        };
        let http =
            OutboundClient::new(&config).map_err(|error| Trouble::new(Code::Address).because(error))?;
        let Outside { clock, random, keeper, notes } = outside;
        let login = Login {
            http: http.clone(),
            door: settings.door.clone(),
            clock: clock.clone(),
            random,
            notes: notes.clone(),
            within: settings.login_within,
            opens_browser: settings.opens_browser,
            plain_http: settings.plain_http,
            client_id: settings.client_id,
        };
        let access = Arc::new(Access::new(login, keeper, clock));
        Ok(Self { door: settings.door, http, access, notes })
    }

    /// Carries messages until the client ends, or `stop` says so.
    ///
    /// # Errors
    /// The client's streams cannot be read or written.
    pub async fn bridge<R, W>(&self, input: R, output: W, stop: Ending) -> Result<(), Trouble>
    where
        R: tokio::io::AsyncRead + Unpin + Send + 'static,
        W: tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let bridge =
            Bridge::new(self.door.clone(), self.http.clone(), self.access.clone(), self.notes.clone());
        bridge.run(input, output, stop).await
    }

    /// The way to a token.
    #[must_use]
    pub fn access(&self) -> &Access {
        &self.access
    }
}

#[cfg(test)]
mod tests;
