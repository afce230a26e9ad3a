//! One renewal at a time among all processes of a person: a refresh token is good once, and who uses it
//! twice ends the login. The lock ends with its process, however that ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::connect::door::Door;
use crate::connect::trouble::{Code, Trouble};

/// How often it is tried.
const PAUSE: Duration = Duration::from_millis(50);

/// The turn, until it is dropped. The file behind it is empty.
#[derive(Debug)]
pub struct Turn {
    _file: File,
}

impl Turn {
    /// Waits for the turn of this door.
    ///
    /// # Errors
    /// Another process does not let go in time, or there is no place for the lock.
    pub async fn take(door: &Door, within: Duration) -> Result<Self, Trouble> {
        let refused = |error: std::io::Error| Trouble::new(Code::TurnLate).because(error);
        let folder = folder()?;
        DirBuilder::new().recursive(true).mode(0o700).create(&folder).map_err(refused)?;
        let name = hex::encode(Sha256::digest(door.as_str().as_bytes()));
        let path = folder.join(format!("{}.lock", name.get(..32).unwrap_or_default()));
        let mut open = OpenOptions::new();
        open.write(true).create(true).truncate(false).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = open.open(&path).map_err(refused)?;
        let deadline = tokio::time::Instant::now() + within;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < deadline => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(TryLockError::WouldBlock) => return Err(Trouble::new(Code::TurnLate)),
                Err(TryLockError::Error(error)) => return Err(refused(error)),
            }
        }
    }
}

/// The person's runtime directory, else their cache (XDG Base Directory).
fn folder() -> Result<PathBuf, Trouble> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = set("XDG_RUNTIME_DIR")
        .or_else(|| set("XDG_CACHE_HOME"))
        .or_else(|| Some(set("HOME")?.join(".cache")))
        .ok_or_else(|| Trouble::new(Code::TurnLate).because("there is no home directory for the lock"))?;
    Ok(base.join("mcp-gateway").join("connect"))
}
