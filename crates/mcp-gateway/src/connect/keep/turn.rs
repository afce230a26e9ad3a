//! One renewal at a time among all processes of a person: a refresh token is good once, and who uses it
//! twice ends the login. The lock ends with its process, however that ends.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
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
        Self::take_in(&folder()?, door, within).await
    }

    async fn take_in(folder: &Path, door: &Door, within: Duration) -> Result<Self, Trouble> {
        let refused = |error: std::io::Error| Trouble::new(Code::TurnLate).because(error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(refused)?;
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

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    fn door(name: &str) -> Door {
        Door::parse(Url::parse(&format!("https://g.example/mcp/dev/{name}")).unwrap(), false).unwrap()
    }

    #[tokio::test]
    async fn one_has_the_turn_of_a_door_and_the_next_gets_it_when_it_is_let_go() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a").join("b");
        let now = Duration::ZERO;
        let turn = Turn::take_in(&place, &door("x"), now).await.unwrap();
        let refused = Turn::take_in(&place, &door("x"), now).await.unwrap_err();
        assert_eq!(refused.code, Code::TurnLate);
        Turn::take_in(&place, &door("y"), now).await.expect("another door has a turn of its own");
        let (other, wanted) = (place.clone(), door("x"));
        let waiting =
            tokio::spawn(async move { Turn::take_in(&other, &wanted, Duration::from_secs(20)).await });
        drop(turn);
        waiting.await.unwrap().expect("the turn was let go");
        for file in std::fs::read_dir(&place).unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().len(), 0, "a lock holds nothing");
        }
    }

    #[tokio::test]
    async fn a_link_in_the_place_of_the_lock_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        drop(Turn::take_in(folder.path(), &door("x"), Duration::ZERO).await.unwrap());
        let lock = std::fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        std::fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &lock).unwrap();
        let refused = Turn::take_in(folder.path(), &door("x"), Duration::ZERO).await.unwrap_err();
        assert_eq!(refused.code, Code::TurnLate);
        assert!(!folder.path().join("elsewhere").exists());
    }
}
