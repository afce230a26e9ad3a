//! The keyring of the operating system: Keychain on macOS, the Secret Service by D-Bus elsewhere.

use gateway_core::secret::Secret;
use keyring::{Entry, Error};

use super::Keyring;
use crate::connect::trouble::{Code, Trouble};

/// The service under which every entry stands; the door's address is its user.
const SERVICE: &str = "mcp-gateway connect";

/// The keyring that the session of the person has.
#[derive(Debug)]
pub(super) struct SystemKeyring;

impl Keyring for SystemKeyring {
    fn read(&self, door: &str) -> Result<Option<Secret>, Trouble> {
        match entry(door)?.get_secret() {
            Ok(bytes) => Ok(Some(Secret::new(bytes))),
            Err(Error::NoEntry) => Ok(None),
            Err(error) => Err(trouble(error)),
        }
    }

    #[expect(clippy::disallowed_methods, reason = "the login goes into the keyring of its person")]
    fn write(&self, door: &str, document: &Secret) -> Result<(), Trouble> {
        entry(door)?.set_secret(document.expose()).map_err(trouble)
    }

    fn remove(&self, door: &str) -> Result<bool, Trouble> {
        match entry(door)?.delete_credential() {
            Ok(()) => Ok(true),
            Err(Error::NoEntry) => Ok(false),
            Err(error) => Err(trouble(error)),
        }
    }

    fn is_shared(&self) -> bool {
        true
    }
}

fn entry(door: &str) -> Result<Entry, Trouble> {
    Entry::new(SERVICE, door).map_err(|error| match (error, Entry::store_status()) {
        (Error::NoDefaultStore, Err(cause)) => Trouble::new(Code::KeyringAbsent).because(cause),
        (error, _) => trouble(error),
    })
}

/// The library's errors may hold the bytes that they could not read: only their kind is told.
fn trouble(error: Error) -> Trouble {
    match error {
        Error::NoStorageAccess(cause) => Trouble::new(Code::KeyringLocked).because(cause),
        Error::PlatformFailure(cause) => Trouble::new(Code::KeyringAbsent).because(cause),
        Error::Ambiguous(_) => {
            Trouble::new(Code::KeyringUnreadable).because("there are several entries of one name")
        }
        Error::BadEncoding(_) | Error::BadDataFormat(..) | Error::BadStoreFormat(_) => {
            Trouble::new(Code::KeyringUnreadable)
        }
        _ => Trouble::new(Code::KeyringAbsent),
    }
}
