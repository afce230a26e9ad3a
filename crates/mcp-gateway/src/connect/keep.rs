//! Where the login of a door is kept between runs: the keyring, or nowhere. There is no file.

#[cfg(feature = "keyring")]
mod keyring;
pub mod memory;
pub mod tokens;
pub mod turn;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use gateway_core::secret::Secret;

use self::tokens::Tokens;
use self::turn::Turn;
use super::door::Door;
use super::notes::Notes;
use super::trouble::{Code, Trouble};

/// How long a person may take to unlock the keyring.
const UNLOCK: Duration = Duration::from_secs(120);
/// After which the person is told what is waited for.
const TELL: Duration = Duration::from_secs(2);

/// A keyring: one secret document for each door. Calls may wait for the person.
pub trait Keyring: Send + Sync + fmt::Debug {
    /// The document.
    ///
    /// # Errors
    /// The keyring is absent or stays locked.
    fn read(&self, door: &str) -> Result<Option<Secret>, Trouble>;

    /// Keeps a document in the place of the former one.
    ///
    /// # Errors
    /// As for [`Keyring::read`].
    fn write(&self, door: &str, document: &Secret) -> Result<(), Trouble>;

    /// Forgets it; whether there was one.
    ///
    /// # Errors
    /// As for [`Keyring::read`].
    fn remove(&self, door: &str) -> Result<bool, Trouble>;

    /// Whether other processes of the person see the same.
    fn is_shared(&self) -> bool;
}

/// A keyring, asked without holding up anything else, and never for longer than a person may take.
#[derive(Clone, Debug)]
pub struct Keeper {
    keyring: Arc<dyn Keyring>,
    notes: Notes,
    unlock_within: Duration,
}

impl Keeper {
    /// The keyring of the operating system.
    #[must_use]
    pub fn system(notes: Notes) -> Self {
        #[cfg(feature = "keyring")]
        let keyring = Arc::new(keyring::SystemKeyring);
        #[cfg(not(feature = "keyring"))]
        let keyring = Arc::new(memory::NoKeyring);
        Self::of(keyring, notes)
    }

    /// This process's memory alone.
    #[must_use]
    pub fn memory(notes: Notes) -> Self {
        Self::of(Arc::new(memory::Memory::default()), notes)
    }

    /// This keyring.
    pub fn of(keyring: Arc<dyn Keyring>, notes: Notes) -> Self {
        Self { keyring, notes, unlock_within: UNLOCK }
    }

    /// Another time for the person to unlock the keyring.
    #[must_use]
    pub fn unlocked_within(mut self, span: Duration) -> Self {
        self.unlock_within = span;
        self
    }

    /// The login that is kept for a door.
    ///
    /// # Errors
    /// The keyring is absent or locked, or holds something else.
    pub async fn read(&self, door: &Door) -> Result<Option<Tokens>, Trouble> {
        let name = door.as_str().to_owned();
        let document = self.ask(move |keyring| keyring.read(&name)).await?;
        document.map(|document| Tokens::read(&document)).transpose()
    }

    /// Keeps a login.
    ///
    /// # Errors
    /// The keyring is absent or locked.
    pub async fn write(&self, door: &Door, tokens: &Tokens) -> Result<(), Trouble> {
        let (name, document) = (door.as_str().to_owned(), tokens.write()?);
        self.ask(move |keyring| keyring.write(&name, &document)).await
    }

    /// Forgets a login; whether there was one.
    ///
    /// # Errors
    /// The keyring is absent or locked.
    pub async fn remove(&self, door: &Door) -> Result<bool, Trouble> {
        let name = door.as_str().to_owned();
        self.ask(move |keyring| keyring.remove(&name)).await
    }

    /// The turn among all processes that keep the same login: who has it may renew.
    ///
    /// # Errors
    /// Another process does not let go in time.
    pub async fn turn(&self, door: &Door, within: Duration) -> Result<Option<Turn>, Trouble> {
        if self.keyring.is_shared() { Turn::take(door, within).await.map(Some) } else { Ok(None) }
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&dyn Keyring) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, Trouble> {
        let keyring = self.keyring.clone();
        let mut asked = tokio::task::spawn_blocking(move || question(&*keyring));
        let quick = tokio::time::timeout(TELL.min(self.unlock_within), &mut asked).await;
        let answered = if let Ok(answered) = quick {
            answered
        } else {
            self.notes.say("waiting for the keyring; it may want to be unlocked");
            let late = |_| Trouble::new(Code::KeyringLocked).because("it did not answer in time");
            tokio::time::timeout(self.unlock_within, asked).await.map_err(late)?
        };
        answered.map_err(|error| Trouble::new(Code::KeyringAbsent).because(error))?
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use url::Url;

    use super::*;

    /// One that waits for its person.
    #[derive(Debug, Default)]
    struct Locked(Mutex<bool>, Condvar);

    impl Keyring for Locked {
        fn read(&self, _: &str) -> Result<Option<Secret>, Trouble> {
            let open = self.0.lock().unwrap();
            drop(self.1.wait_while(open, |open| !*open).unwrap());
            Ok(None)
        }

        fn write(&self, _: &str, _: &Secret) -> Result<(), Trouble> {
            Ok(())
        }

        fn remove(&self, _: &str) -> Result<bool, Trouble> {
            Ok(false)
        }

        fn is_shared(&self) -> bool {
            true
        }
    }

    fn door() -> Door {
        Door::parse(Url::parse("https://g.example/mcp/dev/x").unwrap(), false).unwrap()
    }

    #[tokio::test]
    async fn a_keyring_that_nobody_unlocks_is_named_and_holds_nothing_up() {
        let locked = Arc::new(Locked::default());
        let keeper = Keeper::of(locked.clone(), Notes::into(std::io::sink()));
        let refused = keeper.unlocked_within(Duration::from_millis(50)).read(&door()).await.unwrap_err();
        assert_eq!(refused.code, Code::KeyringLocked);
        // Or the runtime would wait for the thread at its end.
        *locked.0.lock().unwrap() = true;
        locked.1.notify_all();
    }

    #[tokio::test]
    async fn memory_keeps_a_login_for_its_door_alone() {
        let keyring = memory::Memory::default();
        keyring.write("https://a", &Secret::copy_from(b"document")).unwrap();
        assert_eq!(keyring.read("https://a").unwrap().unwrap().len(), 8);
        assert!(keyring.read("https://b").unwrap().is_none());
        assert!(keyring.remove("https://a").unwrap() && !keyring.remove("https://a").unwrap());
    }
}
